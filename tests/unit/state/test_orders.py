# SPDX-License-Identifier: Apache-2.0
"""Every order in which the events of a task that is retried, replaced or published twice can arrive."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations

import pytest

from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.state.worker import Setup
from tests.support.lab import W1, Lab
from tests.support.sizes import scaled

# The events of two executions, the second a retry without delay, in order with their times.
EVENTS = {
    "sent 0": 0.0, "received 0": 1.0, "started 0": 2.0, "sent 1": 2.5, "received 1": 3.0, "retried 0": 4.0,
    "started 1": 5.0, "succeeded 1": 7.0,
}  # fmt: skip
# Pairs of events that one sender sends in this order. The worker's main process receives starts and ends from its
# children and messages from Redis, so the two can cross; each publisher has a separate connection.
BEFORE = [
    ("received 0", "started 0"), ("started 0", "retried 0"), ("received 0", "received 1"), ("received 1", "started 1"),
    ("started 0", "started 1"), ("started 1", "succeeded 1"),
]  # fmt: skip
# A task that is replaced by another one under its id, which its child publishes; the replaced one has no end event.
REPLACED = {
    "sent t": 0.0, "received t": 1.0, "started t": 2.0, "sent next": 2.5, "received next": 3.0, "started next": 4.0,
    "succeeded next": 5.0,
}  # fmt: skip
REPLACED_BEFORE = [
    ("received t", "started t"), ("started t", "received next"), ("received next", "started next"),
    ("started next", "succeeded next"),
]  # fmt: skip
# A task that is replaced by itself, under its id with as many retries, and one that is published twice under one id.
AGAIN = {
    "sent 0": 0.0, "received 0": 1.0, "started 0": 2.0, "sent 1": 2.5, "received 1": 3.0, "started 1": 4.0,
    "succeeded 1": 5.0,
}  # fmt: skip
AGAIN_BEFORE = [
    ("received 0", "started 0"), ("started 0", "received 1"), ("received 1", "started 1"),
    ("started 1", "succeeded 1"), ("sent 0", "sent 1"),
]  # fmt: skip
TWICE = {
    "sent 0": 0.0, "sent 1": 0.5, "received 0": 1.0, "received 1": 1.5, "started 0": 2.0, "succeeded 0": 3.0,
    "started 1": 4.0, "succeeded 1": 5.0,
}  # fmt: skip
TWICE_BEFORE = [
    ("sent 0", "sent 1"), ("sent 1", "received 1"), ("received 0", "received 1"), ("received 1", "started 0"),
    ("started 0", "succeeded 0"), ("succeeded 0", "started 1"), ("started 1", "succeeded 1"),
]  # fmt: skip


def arrivals(events: Mapping[str, float], before: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Return every order of events that keeps the order of each sender."""
    found = []
    for order in permutations(events):
        place = {name: number for number, name in enumerate(order)}
        if all(place[first] < place[second] for first, second in before):
            found.append(order)
    return found


@cache
def retried() -> list[tuple[str, ...]]:
    """Return orders of EVENTS: all of them with ``--thorough``, else every third."""
    return arrivals(EVENTS, BEFORE)[:: scaled(3, 1)]


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
    """The executions of a retried task count the same in whatever order its events arrive."""
    orders = retried()
    assert scaled(30, 100) < len(orders)
    for order in orders:
        lab = Lab()
        lab.sent("another", 0)  # so that a task-sent is expected
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
        assert lab.tasks.tracked["a"].over, order


def test_waits() -> None:
    """The waiting time of each execution is correct whenever its task-sent arrives, even after the task's end."""
    for order in retried():
        lab = Lab()
        lab.sent("another", 0)
        for event in order:
            fold(lab, event)
        assert (2, 2.0 + 2.5) == lab.observations(rows.TASK_WAIT, "t", "q"), order


# The worker's main process stamps a start when its child reports it; the child stamps a publication at once.
@pytest.mark.parametrize("start", [2.0, 2.75], ids=["stamped in time", "stamped late"])
def test_replacements(start: float) -> None:
    """The events of a task and of its replacement count under their own names in whatever order they arrive."""
    orders = arrivals(REPLACED, REPLACED_BEFORE)
    assert 40 < len(orders)
    for order in orders:
        lab = Lab()
        lab.workers.meet(W1).setup = Setup(("q",))
        for event in order:
            kind, name = event.split()
            named = {"name": name} if kind in {"sent", "received"} else {}
            getattr(lab, kind)("a", start if event == "started t" else REPLACED[event], **named)
        for name, waited, prefetched in (("t", start, start - 1.0), ("next", 1.5, 1.0)):
            counts = [
                lab.value(metric, name, "q") for metric in (rows.TASKS_SENT, rows.TASKS_RECEIVED, rows.TASKS_STARTED)
            ]
            assert [1, 1, 1] == counts, order
            assert (1, waited) == lab.observations(rows.TASK_WAIT, name, "q"), order
            assert (1, prefetched) == lab.observations(rows.TASK_PREFETCH, name, "q"), order
        assert ({}, {"success": 1}) == (lab.ends(), lab.ends("next")), order
        assert lab.tasks.tracked["a"].over, order


@pytest.mark.parametrize(
    ("events", "before", "waits", "prefetches"),
    [(AGAIN, AGAIN_BEFORE, 2.0 + 1.5, 1.0 + 1.0), (TWICE, TWICE_BEFORE, 2.0 + 3.5, 1.0 + 2.5)],
    ids=["replaced by itself", "published twice"],
)
def test_one_id_again(
    events: Mapping[str, float], before: Sequence[tuple[str, str]], waits: float, prefetches: float
) -> None:
    """Two publications under one id each have the waiting time of their start, in whatever order events arrive."""
    orders = arrivals(events, before)
    assert len(orders) > 1
    for order in orders:
        lab = Lab()
        lab.workers.meet(W1).setup = Setup(("q",))
        for event in order:
            getattr(lab, event.split()[0])("a", events[event])
        assert (2, waits) == lab.observations(rows.TASK_WAIT, "t", "q"), order
        assert (2, prefetches) == lab.observations(rows.TASK_PREFETCH, "t", "q"), order
        assert lab.tasks.tracked["a"].untaken is None, order


@pytest.mark.parametrize("lost", ["started 0", "received 0", "received 1", "sent 1", "retried 0", "started 1"])
def test_losses(lost: str) -> None:
    """Whichever event is lost, no execution counts twice, no time is invented, and no run stays open."""
    for order in retried():
        if order.index("retried 0") > order.index("succeeded 1" if lost == "started 1" else "started 1"):
            continue  # the remaining events can't be distinguished from another sequence
        if lost == "received 0" and order.index("sent 0") > order.index("started 0"):
            continue  # no event contained the task's name in time
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
