"""Every order in which the events of one retried task can arrive."""

from itertools import permutations

import pytest

from exporter.catalog import tasks as rows
from tests.lab import Lab

# What happened, in order, with its time: two executions, the second a retry without delay.
EVENTS = {
    "sent 0": 0.0, "received 0": 1.0, "started 0": 2.0, "sent 1": 2.5, "received 1": 3.0, "retried 0": 4.0,
    "started 1": 5.0, "succeeded 1": 7.0,
}  # fmt: skip
# What one sender tells in one order. The worker's main process hears of starts and ends from its children, and of
# messages from Redis, so the two can cross; publishers use connections of their own.
BEFORE = [
    ("received 0", "started 0"), ("started 0", "retried 0"), ("received 0", "received 1"), ("received 1", "started 1"),
    ("started 0", "started 1"), ("started 1", "succeeded 1"), ("sent 0", "sent 1"),
]  # fmt: skip


def arrivals() -> list[tuple[str, ...]]:
    """Every order that keeps each sender's own."""
    found = []
    for order in permutations(EVENTS):
        place = {name: number for number, name in enumerate(order)}
        if all(place[first] < place[second] for first, second in BEFORE):
            found.append(order)
    return found


def fold(lab: Lab, event: str) -> None:
    """Fold one event with the time at which it happened."""
    kind, number = event.split()
    match kind:
        case "sent":
            lab.sent("a", EVENTS[event], retries=int(number))
        case "received":
            lab.received("a", EVENTS[event], retries=int(number))
        case "started":
            lab.started("a", EVENTS[event])
        case "retried":
            lab.retried("a", EVENTS[event])
        case "succeeded":
            lab.succeeded("a", EVENTS[event], runtime=2.0)


def test_orders() -> None:
    """Whatever order the events of a retried task arrive in, its executions are counted the same."""
    orders = arrivals()
    assert 100 < len(orders)
    for order in orders:
        lab = Lab()
        lab.sent("another", 0)  # so that task-sent is expected
        for event in order:
            fold(lab, event)
        lab.advance(2)
        assert {"retry": 1, "success": 1} == lab.ends(), order
        counts = [
            lab.value(metric, "t", "q") for metric in (rows.TASKS_RECEIVED, rows.TASKS_STARTED, rows.TASKS_RUNNING)
        ]
        assert [2, 2, 0] == counts, order
        assert (2, 1.0 + 2.0) == lab.observations(rows.TASK_PREFETCH, "t", "q"), order
        assert (1, 2.0) == lab.observations(rows.TASK_RUNTIME, "t", "q", "retry"), order
        assert not lab.tasks.tracked["a"].pending, order


def test_waits() -> None:
    """The waiting time of each execution is right wherever its task-sent arrives before the task's end."""
    for order in arrivals():
        place = {name: number for number, name in enumerate(order)}
        if place["sent 0"] > place["started 1"] or place["sent 1"] > place["succeeded 1"] + 1:
            continue
        lab = Lab()
        lab.sent("another", 0)
        for event in order:
            fold(lab, event)
        assert (2, 2.0 + 2.5) == lab.observations(rows.TASK_WAIT, "t", "q"), order


@pytest.mark.parametrize("lost", ["started 0", "received 0", "received 1", "sent 1", "retried 0", "started 1"])
def test_losses(lost: str) -> None:
    """Whichever event is lost, no execution is counted twice, no time is invented, and nothing runs on."""
    for order in arrivals():
        if order.index("retried 0") > order.index("succeeded 1" if lost == "started 1" else "started 1"):
            continue  # what is left can't be told from another story
        if lost == "received 0" and order.index("sent 0") > order.index("started 0"):
            continue  # nobody told the task's name in time
        lab = Lab()
        lab.sent("another", 0)
        for event in order:
            if event != lost:
                fold(lab, event)
        lab.advance(2)
        ends = lab.ends()
        assert ends == {"retry": 1, "success": 1} or (lost == "retried 0" and ends == {"success": 1}), order
        waits, waited = lab.observations(rows.TASK_WAIT, "t", "q")
        assert waits <= 2, order
        assert waited <= 2.0 + 2.5, order
