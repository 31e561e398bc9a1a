# SPDX-License-Identifier: Apache-2.0
"""Events that are deferred until the task-sent of their task, or the answer of their worker, arrives."""

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.state.holding import Held, Holding
from tests.support.lab import W1, W2, Lab

RECEIVED = Held("task-received", lambda: None)
STARTED = Held("task-started", lambda: None)


def make(limit: int | None = None) -> Holding:
    """Return an object without deferred events that has not received a task-sent."""
    names = Lab().tasks.names
    return Holding(names) if limit is None else Holding(names, limit)


def test_events_are_deferred_for_a_second() -> None:
    """An event is deferred for one second at most."""
    holding = make()
    assert holding.hold("a", W1, RECEIVED, 100.0)
    assert [] == holding.give_up(100.99)
    assert [[RECEIVED]] == holding.give_up(101.0)
    assert [] == holding.give_up(200.0)


def test_events_are_deferred_until_a_promised_answer() -> None:
    """An event of an unknown task is deferred until its worker's answer is due, and for at least a second."""
    holding = make()
    assert holding.hold("a", W1, STARTED, 100.0, promised=110.0)
    assert holding.hold("b", W1, RECEIVED, 109.5, promised=110.0)
    assert [] == holding.give_up(109.99)
    assert [[STARTED]] == holding.give_up(110.0)
    assert [[RECEIVED]] == holding.give_up(110.5)


def test_only_a_promise_defers_a_start_of_an_unknown_task() -> None:
    """A task-started of an unknown task counts as unmatched unless its worker's list of tasks is due."""
    lab = Lab()
    lab.started("a", 1)
    assert 1 == lab.value(internals.TASKS_UNMATCHED, "task-started")
    lab.workers.by_name[W1].seeding_until = lab.clock.monotonic() + 10
    lab.started("b", 1)
    lab.sent("b", 0)
    assert (1, 1) == (lab.value(internals.TASKS_UNMATCHED, "task-started"), lab.value(rows.TASKS_STARTED, "t", "q"))


def test_deferred_events_have_a_bound() -> None:
    """At most ten thousand events are deferred; each one that is released or expires makes room for another."""
    holding = make()
    assert all(holding.hold(str(number), W1, RECEIVED, 100.0) for number in range(10_000))
    assert not holding.hold("more", W1, RECEIVED, 100.0)
    assert not holding.append("7", W1, STARTED)
    assert [RECEIVED] == holding.release("7")
    assert holding.hold("more", W1, RECEIVED, 100.5)
    assert not holding.hold("even more", W1, RECEIVED, 100.5)
    assert 9_999 == len(holding.give_up(101.0))
    assert 1 == holding.events
    assert 1 == len(holding.give_up(101.5))
    assert 0 == holding.events


def test_events_of_one_task_are_released_in_order() -> None:
    """The deferred events of a task are released once, those of each worker in the order in which they arrived."""
    holding = make()
    assert holding.hold("a", W1, RECEIVED, 100.0)
    assert holding.append("a", W1, STARTED)
    assert not holding.append("a", W2, STARTED)
    assert not holding.append("b", W1, STARTED)
    assert [RECEIVED, STARTED] == holding.release("a")
    assert [] == holding.release("a")


def test_an_event_that_is_deferred_again_waits_a_whole_second() -> None:
    """An event that is released and deferred again is deferred for another full second."""
    holding = make()
    assert holding.hold("a", W1, RECEIVED, 100.0)
    holding.release("a")
    assert holding.hold("a", W1, RECEIVED, 100.5)
    assert [] == holding.give_up(101.4)
    assert [[RECEIVED]] == holding.give_up(101.5)


def test_one_lost_task_sent_changes_nothing_for_other_tasks() -> None:
    """After a task-sent is missed, events of other tasks are deferred only if another task-sent arrived before."""
    for seen, waits in ((True, True), (None, False)):
        holding = make()
        holding.sent_seen = seen
        holding.hold("a", W1, RECEIVED, 100.0)
        holding.give_up(101.0)
        assert waits == holding.is_expected("other")


def test_deferred_events_are_no_sign_of_life() -> None:
    """The release of deferred events does not count as a sign of life of their worker."""
    lab = Lab()
    lab.workers.seeding = 13.0
    lab.received("a", 0)
    lab.received("b", 0)
    worker = lab.workers.by_name[W1]
    seen = worker.seen
    lab.advance(5)
    lab.sent("b", 0)
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", "q")
    lab.advance(9)
    assert 0 == lab.tasks._holding.events
    assert seen == worker.seen
    lab.received("c", 14)
    assert worker.seen > seen
