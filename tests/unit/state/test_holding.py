"""Events that are deferred until the task-sent of their task, or the answer of their worker, arrives."""

from celery_redis_exporter.state.holding import Held, Holding
from tests.support.lab import Lab

RECEIVED = Held("task-received", lambda: None)
STARTED = Held("task-started", lambda: None)


def make(limit: int | None = None) -> Holding:
    """Return one without deferred events that has not received a task-sent."""
    names = Lab().tasks.names
    return Holding(names) if limit is None else Holding(names, limit)


def test_events_are_deferred_for_a_second() -> None:
    """An event is deferred for one second, and no longer."""
    holding = make()
    assert holding.hold("a", "t", RECEIVED, 100.0)
    assert [] == holding.give_up(100.99)
    assert ["a"] == [waiting.uuid for waiting in holding.give_up(101.0)]
    assert [] == holding.give_up(200.0)


def test_events_are_deferred_until_a_promised_answer() -> None:
    """An event of an unknown task is deferred until its worker's answer is due, and for at least a second."""
    holding = make()
    assert not holding.hold("a", None, STARTED, 100.0)
    assert holding.hold("a", None, STARTED, 100.0, promised=110.0)
    assert holding.hold("b", None, STARTED, 109.5, promised=110.0)
    assert [] == holding.give_up(109.99)
    assert ["a"] == [waiting.uuid for waiting in holding.give_up(110.0)]
    assert ["b"] == [waiting.uuid for waiting in holding.give_up(110.5)]


def test_deferred_events_have_a_bound() -> None:
    """At most ten thousand events are deferred; each one that is released or expires makes room for another."""
    holding = make()
    assert all(holding.hold(str(number), "t", RECEIVED, 100.0) for number in range(10_000))
    assert not holding.hold("more", "t", RECEIVED, 100.0)
    assert [RECEIVED] == holding.release("7")
    assert holding.hold("more", "t", RECEIVED, 100.5)
    assert not holding.hold("even more", "t", RECEIVED, 100.5)
    assert 9_999 == len(holding.give_up(101.0))
    assert 1 == holding.events
    assert 1 == len(holding.give_up(101.5))
    assert 0 == holding.events


def test_events_of_one_task_are_released_in_order() -> None:
    """The deferred events of a task are released once, in the order in which they arrived."""
    holding = make()
    assert holding.hold("a", "t", RECEIVED, 100.0)
    assert holding.hold("a", None, STARTED, 100.1)
    assert [RECEIVED, STARTED] == holding.release("a")
    assert [] == holding.release("a")


def test_one_lost_task_sent_changes_nothing_for_other_tasks() -> None:
    """After a task-sent is missed, events of other tasks are deferred only if another task-sent arrived before."""
    for seen, waits in ((True, True), (None, False)):
        holding = make()
        holding.sent_seen = seen
        holding.hold("a", "t", RECEIVED, 100.0)
        holding.give_up(101.0)
        assert waits == holding.hold("b", "other", RECEIVED, 102.0)


def test_a_name_may_come_with_a_later_event() -> None:
    """A deferred task has the first name that one of its events contains."""
    holding = make()
    holding.hold("a", None, Held("task-revoked", lambda: None), 100.0)
    holding.hold("a", "t", RECEIVED, 100.1)
    holding.hold("a", "replacement", RECEIVED, 100.2)
    assert [("t", 3)] == [(waiting.name, len(waiting.events)) for waiting in holding.give_up(101.0)]
