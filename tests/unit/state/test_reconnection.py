# SPDX-License-Identifier: Apache-2.0
"""Workers that lost their connection: what they execute, and messages that were redelivered meanwhile."""

import pytest

from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.events import TaskFailed
from tests.support.lab import W1, W2, Lab


@pytest.fixture
def lab() -> Lab:
    """Return tasks and workers."""
    return Lab()


def execute(lab: Lab, uuid: str = "a") -> None:
    """Let the first worker start a task."""
    lab.sent(uuid, 0)
    lab.received(uuid, 0.1)
    lab.started(uuid, 0.2)


def running(lab: Lab) -> object:
    """Return how many executions run."""
    return lab.value(rows.TASKS_RUNNING, "t", "q")


def test_a_worker_that_reconnects_goes_on(lab: Lab) -> None:
    """A worker that loses its connection and connects again executes what it executed, and its end counts once."""
    lab.online()
    execute(lab)
    lab.beat(1, 1)
    lab.offline()
    assert 0 == running(lab)
    lab.online(processed=1, active=1)
    assert 1 == running(lab)
    lab.tasks.refresh()
    assert lab.start + 0.2 == lab.value(rows.TASK_OLDEST_STARTED, "t")
    lab.succeeded("a", 9)
    assert 0 == running(lab)
    assert {"success": 1} == lab.ends()


def test_a_worker_that_was_lost_and_comes_back_goes_on(lab: Lab) -> None:
    """A worker that was suspended beyond its deadline executes what it executed."""
    lab.online()
    lab.beat(0, 0)
    execute(lab)
    lab.beat(1, 1)
    lab.advance(40)
    assert 0 == running(lab)
    lab.beat(1, 1)
    assert 1 == running(lab)


def test_what_ended_while_a_worker_was_away(lab: Lab) -> None:
    """A run that ended while its worker was away runs no more, with an event of its end or without."""
    lab.online()
    execute(lab, "a")
    execute(lab, "b")
    lab.beat(2, 2)
    lab.offline()
    lab.succeeded("a", 1)
    lab.online(processed=2, active=1)
    assert 1 == running(lab)
    lab.offline()
    lab.online(processed=2)
    assert 0 == running(lab)
    lab.beat(3, 1)
    assert 0 == running(lab)  # What runs now is something else.


def test_another_process_does_not_go_on(lab: Lab) -> None:
    """A new process executes nothing of the one before; in a container it can have the same process id."""
    lab.online()
    lab.beat(0, 0)
    execute(lab)
    lab.beat(1, 1)
    lab.offline()
    lab.online(active=1)
    assert 0 == running(lab)
    lab.beat(1, 1)
    assert 0 == running(lab)
    execute(lab, "b")
    lab.offline()
    lab.online(pid=2, processed=5, active=1)
    assert 0 == running(lab)


def test_a_start_that_follows_the_stop_of_its_worker(lab: Lab) -> None:
    """A task that a worker of the pool solo started before it stopped cold runs until the deadline, not for ever."""
    lab.online()
    lab.sent("a", 0)
    lab.offline()
    lab.received("a", 0.1)
    lab.started("a", 0.2)
    assert 1 == running(lab)
    lab.advance(31)
    assert 0 == running(lab)
    lab.tasks.refresh()
    assert lab.value(rows.TASK_OLDEST_STARTED, "t") is None


@pytest.mark.parametrize("retry_first", [True, False])
def test_a_retry_of_a_redelivered_task(lab: Lab, retry_first: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """A worker that holds a task which another one executed meanwhile starts the retry of it, not what it holds."""
    lab.online(W1)
    lab.online(W2, 2)
    lab.sent("a", 0)
    lab.received("a", 0.1, worker=W1)
    lab.received("a", 30, worker=W2)
    lab.advance(2)
    lab.started("a", 60, worker=W2)
    lab.sent("a", 61, retries=1)
    if retry_first:
        lab.retried("a", 61.1, worker=W2)
    lab.received("a", 61.2, worker=W1, retries=1)
    lab.started("a", 62, worker=W1)
    if not retry_first:
        lab.retried("a", 61.1, worker=W2)
    lab.succeeded("a", 63, worker=W1)
    lab.advance(3)
    assert {"success": 1, "retry": 1} == lab.ends()
    assert (0, 0) == (lab.value(rows.TASKS_WAITING, "t", "q"), running(lab))
    assert (1, 1.0) == lab.observations(rows.TASK_WAIT, "t", "q")


def test_a_broadcast_is_started_by_each_worker(lab: Lab) -> None:
    """A worker starts the Broadcast that it holds before its retry, although another worker has started it."""
    lab.online(W1)
    lab.online(W2, 2)
    lab.sent("a", 0, queue="bcast.1")
    for worker in (W1, W2):
        lab.received("a", 1, worker=worker)
    lab.advance(2)
    lab.started("a", 2, worker=W2)
    lab.sent("a", 3, queue="bcast.1", retries=1)
    lab.received("a", 4, worker=W1, retries=1)
    lab.started("a", 10, worker=W1)
    (queue,) = lab.tasks.names.by_name["t"].queues
    assert (2, 12.0) == lab.observations(rows.TASK_WAIT, "t", queue)


def test_a_clock_that_is_set_back_before_a_retry_starts(lab: Lab) -> None:
    """A retry that starts before its receipt, by the worker's clock, has a waiting time and waits no more."""
    lab.online()
    execute(lab)
    lab.sent("a", 0.3, retries=1)
    lab.retried("a", 0.4)
    lab.received("a", 0.5, retries=1)
    lab.started("a", -2)
    lab.succeeded("a", -1)
    lab.advance(3)
    assert {"success": 1, "retry": 1} == lab.ends()
    assert 0 == lab.value(rows.TASKS_WAITING, "t", "q")
    count, total = lab.observations(rows.TASK_WAIT, "t", "q")
    assert 2 == count
    assert pytest.approx(0.2) == total


def test_two_publications_of_one_id_of_which_the_first_is_redelivered(lab: Lab) -> None:
    """The publication that no worker started is the one that is redelivered."""
    lab.online(W1)
    lab.online(W2, 2)
    lab.sent("a", 0)
    lab.sent("a", 0.1)
    lab.received("a", 1, worker=W1)
    lab.received("a", 1.1, worker=W2)
    lab.started("a", 1.2, worker=W2)
    lab.succeeded("a", 2, worker=W2)
    lab.offline(W1)
    lab.received("a", 5, worker=W2)
    lab.advance(2)
    lab.started("a", 5.1, worker=W2)
    lab.succeeded("a", 6, worker=W2)
    assert 0 == lab.value(rows.TASKS_WAITING, "t", "q")
    assert {"success": 2} == lab.ends()


def test_a_task_is_as_old_as_its_last_publication(lab: Lab) -> None:
    """An id that is used again is forgotten by the age of its last publication: it still runs."""
    lab.online()
    execute(lab)
    lab.succeeded("a", 0.3)
    lab.clock.advance(172_790)
    lab.tasks.set_time(lab.clock.monotonic())
    lab.sent("a", 172_790)
    lab.received("a", 172_790.1)
    lab.started("a", 172_790.2)
    lab.clock.advance(20)
    lab.tasks.sweep(lab.clock.monotonic())
    assert 1 == running(lab)
    lab.succeeded("a", 172_810)
    assert {"success": 2} == lab.ends()


def test_a_task_that_is_used_again_hides_no_older_ones(lab: Lab) -> None:
    """Tasks that were first seen after an id that is used again are forgotten by their own age."""
    lab.tasks.set_time(lab.clock.monotonic())
    for uuid in ("a", "b"):
        lab.sent(uuid, 0)
    lab.clock.advance(172_790)
    lab.tasks.set_time(lab.clock.monotonic())
    lab.sent("a", 172_790, retries=1)
    lab.clock.advance(20)
    lab.tasks.sweep(lab.clock.monotonic())
    assert ["a"] == list(lab.tasks.tracked)


def test_failures_of_an_unregistered_task_are_deferred_together(lab: Lab) -> None:
    """Failures of one id that wait for a task-sent are all released, so that no later event waits."""
    lab.online()
    lab.sent("x", 0)
    lab.received("x", 0.1)
    for at in (1, 1.1):
        lab.tasks.fold_failed(TaskFailed("a", lab.start + at, W1), "NotRegistered", "t")
    assert 2 == lab.tasks._holding.events
    lab.advance(2)
    lab.advance(2)
    assert 0 == lab.tasks._holding.events
    assert {"failure": 1} == lab.ends("t", "unknown")
