# SPDX-License-Identifier: Apache-2.0
"""Several executions of one task id at the same time."""

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.events import TaskCancelled
from celery_redis_exporter.state.tracking import ENDED_KEPT, TOGETHER
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits

TQ = ("t", "q")


def redelivered(lab: Lab, first: float = 1, second: float = 3601, worker: str = W2) -> None:
    """Start a task on W1, and again on another worker because the message was delivered again."""
    lab.sent("a", 0)
    lab.started("a", first, worker=W1)
    lab.started("a", second, worker=worker)


@pytest.mark.parametrize("worker", [W1, W2])
def test_oldest_start_is_that_of_the_longest_execution(worker: str) -> None:
    """The oldest start is that of the first execution until it ends, wherever the second one runs."""
    lab = Lab()
    redelivered(lab, worker=worker)
    assert (2, lab.start + 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))
    lab.succeeded("a", 3602, worker=worker)
    assert (1, lab.start + 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))
    lab.succeeded("a", 3603, worker=W1)
    assert (0, None) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))


def test_an_end_forgets_no_execution_that_still_runs() -> None:
    """After the second execution ends, the first one is kept until its end, however many tasks end meanwhile."""
    lab = Lab()
    redelivered(lab)
    lab.succeeded("a", 3602, worker=W2)
    for number in range(ENDED_KEPT + 2 * TOGETHER):
        lab.sent(str(number), 1)
        lab.started(str(number), 2)
        lab.succeeded(str(number), 3)
    assert (1, lab.start + 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))
    lab.failed("a", 3700, worker=W1)
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    assert 1 == lab.value(rows.TASKS, *TQ, "failure")


def test_age_ends_the_first_execution_too() -> None:
    """An execution without an end is closed at the age limit, even if another one of its id ended."""
    lab = Lab(task_limits(age=100))
    redelivered(lab, 1, 2)
    lab.succeeded("a", 3, worker=W2)
    lab.clock.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    assert 1 == lab.value(internals.TASKS_EVICTED, "age")


def test_a_cancelled_execution_is_that_of_its_worker() -> None:
    """A worker that returns its message ends its own execution, even if another one started later."""
    lab = Lab()
    redelivered(lab)
    lab.tasks.fold_cancelled(TaskCancelled("a", lab.start + 3700, W1))
    assert (1, lab.start + 3601) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))


def test_a_heartbeat_counts_the_executions_of_its_worker() -> None:
    """The heartbeat of a redelivered task's first worker is compared with the start there, not with the latest one."""
    lab = Lab()
    lab.sent("b", 0)
    lab.started("b", 50)
    redelivered(lab, 1, 60)
    lab.clock.advance(70)
    for _ in range(2):
        lab.beat(active=1, processed=2)
        lab.clock.advance(2)
    assert {"a"} == set(lab.workers.by_name[W1].runs.values())  # the longest run is closed last
    assert (2, lab.start + 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))


def test_a_heartbeat_counts_both_executions_of_an_id() -> None:
    """Two runs of one id on a worker that reports one active task become one run at its next heartbeat."""
    lab = Lab()
    redelivered(lab, 1, 60, worker=W1)
    lab.clock.advance(70)
    for _ in range(2):
        lab.beat(active=1, processed=2)
        lab.clock.advance(2)
    assert (1, lab.start + 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))


def test_executions_of_one_id_have_a_bound() -> None:
    """The eleventh execution of one task id closes the oldest one, which counts as evicted."""
    lab = Lab()
    lab.sent("a", 0)
    for number in range(1, 12):
        lab.started("a", number, worker=f"w{number}@host")
    assert (10, lab.start + 2) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))
    assert 1 == lab.value(internals.TASKS_EVICTED, "count")


def test_a_retry_ends_the_oldest_execution() -> None:
    """A task-retried ends the oldest of three executions of one id on one worker, as the others are its retries."""
    lab = Lab()
    lab.sent("a", 0)
    for at in (1, 10, 20):
        lab.started("a", at)
    lab.retried("a", 30)
    assert (1, 29.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "retry")
    assert (2, lab.start + 10) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(rows.TASK_OLDEST_STARTED, "t"))


def test_a_cancellation_ends_the_latest_execution() -> None:
    """A task-cancelled ends the execution that started last of two executions of one id on one worker."""
    lab = Lab()
    lab.sent("a", 0)
    for at, worker in ((1, W1), (10, W1), (20, W2)):
        lab.started("a", at, worker=worker)
    lab.cancelled("a", 30)
    assert [lab.start + 1, lab.start + 20] == sorted(
        run.started_at for worker in lab.workers.by_name.values() for run in worker.runs
    )


@pytest.mark.parametrize("lost", [False, True], ids=["ended", "closed before"])
def test_a_run_without_a_start_has_no_runtime(lost: bool) -> None:  # noqa: FBT001 -- a parameter
    """If the task-started of a retry is lost, its runtime is unknown: the start of the previous run is not used."""
    lab = Lab()
    lab.sent("a", 0)
    lab.started("a", 1)
    if lost:
        lab.runs.close_all(lab.workers.by_name[W1], "lost")
    lab.retried("a", 2)
    lab.received("a", 3, retries=1)
    lab.failed("a", 10)
    lab.advance(1.1)
    assert {"retry": 1, "failure": 1} == lab.ends()
    assert (0, 0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")


def test_age_ends_a_second_execution_too() -> None:
    """An execution that starts without a task-received after another one ended is closed at the age limit."""
    lab = Lab(task_limits(age=100))
    lab.sent("a", 0)
    lab.started("a", 1)
    lab.rejected("a", 2, requeue=True)
    lab.started("a", 3)
    lab.clock.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert (0, 1) == (lab.value(rows.TASKS_RUNNING, *TQ), lab.value(internals.TASKS_EVICTED, "age"))
