# SPDX-License-Identifier: Apache-2.0
"""The counts of a task's events in every order that was observed on a real broker."""

from collections.abc import Callable
from typing import Any

import pytest

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN, internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.events import TaskFailed
from celery_redis_exporter.state.tracking import ENDED_KEPT, TOGETHER
from celery_redis_exporter.state.worker import Setup
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits, worker_limits
from tests.support.sizes import scaled

TQ = ("t", "q")


@pytest.fixture
def lab() -> Lab:
    """Return an empty state."""
    return Lab()


def test_success(lab: Lab) -> None:
    """A task that succeeds counts once at each step, with its waiting time, prefetch time and runtime."""
    lab.sent("a", 0)
    lab.received("a", 1)
    lab.started("a", 3)
    lab.succeeded("a", 5, runtime=1.5)
    assert (1, 1, 1) == tuple(
        lab.value(metric, *TQ) for metric in (rows.TASKS_SENT, rows.TASKS_RECEIVED, rows.TASKS_STARTED)
    )
    assert {"success": 1} == lab.ends()
    assert (1, 3.0) == lab.observations(rows.TASK_WAIT, *TQ)
    assert (1, 2.0) == lab.observations(rows.TASK_PREFETCH, *TQ)
    assert (1, 1.5) == lab.observations(rows.TASK_RUNTIME, *TQ, "success")
    assert lab.start + 5 == lab.value(rows.TASK_LAST_SUCCESS, "t")
    assert lab.start == lab.value(rows.TASK_LAST_SENT, "t")
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_states_are_born_together(lab: Lab) -> None:
    """All states of a (task, queue) exist at 0 from its first event on, so that increase() includes the first end."""
    lab.sent("a", 0)
    assert [0, 0, 0, 0, 0] == [
        lab.value(rows.TASKS, *TQ, state) for state in ("success", "failure", "retry", "revoked", "rejected")
    ]
    assert (0, 0) == lab.observations(rows.TASK_RUNTIME, *TQ, "success")


def test_running_and_oldest(lab: Lab) -> None:
    """Running tasks count per queue, and the oldest start is shown per task until that execution ends."""
    for uuid, at in (("a", 1), ("b", 2)):
        lab.sent(uuid, 0)
        lab.received(uuid, 0)
        lab.started(uuid, at)
    assert 2 == lab.value(rows.TASKS_RUNNING, *TQ)
    assert lab.start + 1 == lab.value(rows.TASK_OLDEST_STARTED, "t")
    lab.succeeded("a", 3)
    assert lab.start + 2 == lab.value(rows.TASK_OLDEST_STARTED, "t")
    lab.succeeded("b", 3)
    assert lab.value(rows.TASK_OLDEST_STARTED, "t") is None


@pytest.mark.parametrize(
    "ahead", ["nothing", "task-sent", "task-sent and task-received", "task-received and task-sent", "late task-sent"]
)
def test_retry_published_before_the_first_run_is_over(lab: Lab, ahead: str) -> None:
    """A retry's task-sent and task-received belong to the second start, even if they come before the first."""

    def publish() -> None:
        lab.sent("a", 2.1, retries=1)

    def receive() -> None:
        lab.received("a", 2.2, retries=1)

    steps = {  # before and after the first task-started
        "nothing": ((), (publish, receive)),
        "task-sent": ((publish,), (receive,)),  # the child sends it while the parent buffers task-started
        "task-sent and task-received": (
            (publish, receive),
            (),
        ),  # the parent reads the message before its child's report
        "task-received and task-sent": ((receive, publish), ()),
        "late task-sent": ((), (receive, publish)),
    }
    before, after = steps[ahead]
    lab.sent("a", 0)
    lab.received("a", 1)
    for step in before:
        step()
    lab.started("a", 2)
    for step in after:
        step()
    lab.retried("a", 3)
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.started("a", 4.1)
    lab.succeeded("a", 5)
    assert {"retry": 1, "success": 1} == lab.ends()
    assert (2, 2.0 + 2.0) == lab.observations(rows.TASK_WAIT, *TQ)
    assert (2, 1.0 + 1.9) == lab.observations(rows.TASK_PREFETCH, *TQ)
    assert (1, 1.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "retry")
    assert 1 == lab.value(rows.TASK_EXCEPTIONS, "t", "KeyError")
    assert lab.tasks.tracked["a"].over


def test_lost_start_of_a_run_that_is_retried(lab: Lab) -> None:
    """If the first task-started is lost, its times count nowhere, and the second start has its own times."""
    lab.sent("a", 0)
    lab.received("a", 1)
    lab.sent("a", 2.1, retries=1)
    lab.received("a", 2.2, retries=1)
    lab.retried("a", 3)
    lab.started("a", 4.1)
    lab.succeeded("a", 5)
    assert {"retry": 1, "success": 1} == lab.ends()
    assert (1, 2.0) == lab.observations(rows.TASK_WAIT, *TQ)


def test_tasks_that_never_start_are_forgotten(lab: Lab) -> None:
    """Expired and revoked tasks, which never start, are forgotten as well."""
    for number in range(30_000):
        lab.sent(str(number), 0)
        lab.revoked(str(number), 1, expired=True)
    assert 5_000 <= len(lab.tasks.tracked) <= 5_500
    assert "25000" in lab.tasks.tracked


def test_retry_into_another_queue(lab: Lab) -> None:
    """The first execution ends under its own queue although its retry was already published to another."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.sent("a", 1.5, queue="slow", retries=1)
    lab.received("a", 1.6, retries=1)
    lab.retried("a", 2)
    lab.started("a", 3)
    lab.succeeded("a", 4)
    assert {"retry": 1} == lab.ends(queue="q")
    assert {"success": 1} == lab.ends(queue="slow")
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", "slow")


def test_hard_time_limit(lab: Lab) -> None:
    """The second task-failed that Celery sends at the hard time limit does not count as a second failure."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.failed("a", 3, "TimeLimitExceeded")
    lab.failed("a", 3.002, "TimeLimitExceeded")
    assert {"failure": 1} == lab.ends()
    assert 1 == lab.value(rows.TASK_EXCEPTIONS, "t", "TimeLimitExceeded")
    assert (1, 2.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")
    assert 1 == lab.value(internals.TASKS_DUPLICATE, "task-failed")
    assert lab.start + 3 == lab.value(rows.TASK_LAST_FAILURE, "t")


def test_failures_in_a_row(lab: Lab) -> None:
    """Consecutive failures count until a success, not a retry, resets them; before the first failure none are shown."""
    counted = []
    for at, (uuid, end) in enumerate(zip("abcdefg", "sfffrsf", strict=True)):
        lab.received(uuid, at)
        lab.started(uuid, at)
        if end == "s":
            lab.succeeded(uuid, at + 0.5)
        elif end == "f":
            lab.failed(uuid, at + 0.5)
        else:
            lab.retried(uuid, at + 0.5)
        counted.append(lab.value(rows.TASK_CONSECUTIVE_FAILURES, "t"))
    assert [None, 1, 2, 3, 3, 0, 1] == counted


def test_reject_reported_twice(lab: Lab) -> None:
    """Reject, which Celery reports as failed and as rejected, counts as one rejection and no failure."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.failed("a", 2, "Reject")
    lab.rejected("a", 2)
    assert {"rejected": 1} == lab.ends()
    assert lab.value(rows.TASK_EXCEPTIONS, "t", "Reject") is None


def test_reject_and_requeue(lab: Lab) -> None:
    """A task that is rejected, requeued and delivered again counts once per execution."""
    lab.sent("a", 0)
    for at in (1, 5):
        lab.received("a", at)
        lab.started("a", at + 1)
        lab.rejected("a", at + 2, requeue=True)
    assert {"rejected": 2} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [({}, "revoked"), ({"expired": True}, "expired"), ({"terminated": True}, "terminated")],
)
def test_revoked_before_start(lab: Lab, flags: dict[str, Any], reason: str) -> None:
    """A task that is revoked before its start counts once, by reason, even if two workers report it."""
    lab.sent("a", 0)
    lab.revoked("a", 1, **flags)
    lab.revoked("a", 1.1, **flags)
    assert {"revoked": 1} == lab.ends()
    assert 1 == lab.value(rows.TASK_REVOCATIONS, "t", reason)


def test_terminated_while_running(lab: Lab) -> None:
    """A terminated task is no longer running and counts as revoked."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.revoked("a", 2, terminated=True)
    assert {"revoked": 1} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_unregistered_task_without_task_sent(lab: Lab) -> None:
    """A failure whose event contains the task's name (NotRegistered) counts under that name."""
    event = TaskFailed("a", lab.start, W1)
    lab.tasks.fold_failed(event, "NotRegistered", "nope")
    lab.tasks.fold_failed(event, "NotRegistered", "nope")
    assert {"failure": 1} == lab.ends("nope", UNKNOWN)


def test_redelivery_runs_twice(lab: Lab) -> None:
    """A task that is delivered to a second worker while the first still runs it counts as two executions."""
    lab.sent("a", 0)
    lab.received("a", 0, worker=W1)
    lab.started("a", 1, worker=W1)
    lab.received("a", 10, worker=W2)
    lab.started("a", 11, worker=W2)
    lab.advance(1.1)  # another task-sent could follow
    assert 2 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.failed("a", 12, worker=W1)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.succeeded("a", 13, worker=W2)
    assert {"failure": 1, "success": 1} == lab.ends()
    assert (1, 11.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_redelivery_to_the_same_worker(lab: Lab) -> None:
    """A task that one worker runs twice at once, past the visibility timeout, counts as two executions and two ends."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.received("a", 10)
    lab.started("a", 11)
    lab.advance(1.1)  # another task-sent could follow
    assert 2 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.succeeded("a", 12)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.succeeded("a", 13)
    assert {"success": 2} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.succeeded("a", 14)
    assert {"success": 2} == lab.ends()


@pytest.mark.parametrize("late", [False, True], ids=["task-sent in time", "task-sent after the end"])
def test_retry_that_its_own_success_overtakes(lab: Lab, late: bool) -> None:  # noqa: FBT001 -- a parameter
    """A retry that succeeds before the task-retried of the first run arrives: both count, with their waiting times."""
    lab.sent("a", 0)
    lab.received("a", 0.01)
    lab.started("a", 0.02)
    if not late:
        lab.sent("a", 0.03, retries=1)
    lab.received("a", 0.031, retries=1)
    lab.started("a", 0.032)
    lab.succeeded("a", 0.04)
    if late:
        lab.sent("a", 0.03, retries=1)
    lab.retried("a", 0.041)
    assert {"retry": 1, "success": 1} == lab.ends()
    assert (2, 0.022) == lab.observations(rows.TASK_WAIT, *TQ)
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    assert lab.tasks.tracked["a"].over


def test_eta_does_not_count_as_waiting(lab: Lab) -> None:
    """The waiting time of a task with an eta counts from its eta, not from its publication, and is never negative."""
    eta = "2027-01-15T08:01:00+00:00"  # 60 s after the start of the fake clock
    lab.sent("a", 0, eta=eta)
    lab.received("a", 1, eta=eta)
    lab.started("a", 62)
    assert (1, 2.0) == lab.observations(rows.TASK_WAIT, *TQ)
    assert (1, 2.0) == lab.observations(rows.TASK_PREFETCH, *TQ)
    lab.sent("b", 0, eta=eta)
    lab.received("b", 1, eta=eta)
    lab.started("b", 59)
    assert (2, 2.0) == lab.observations(rows.TASK_WAIT, *TQ)


def test_one_id_published_twice_waits_in_the_queue(lab: Lab) -> None:
    """The waiting publication of an id that was published twice is the first, and after task-received the second."""
    lab.sent("a", 0)
    lab.sent("a", 5)
    assert lab.start == lab.tasks.tracked.sent_at("a")
    lab.received("a", 6)
    assert lab.start + 5 == lab.tasks.tracked.sent_at("a")


def test_publisher_ahead_of_worker(lab: Lab) -> None:
    """If the publisher's clock is ahead, the waiting time is 0, not negative."""
    lab.sent("a", 100)
    lab.received("a", 1)
    lab.started("a", 2)
    assert (1, 0.0) == lab.observations(rows.TASK_WAIT, *TQ)


def test_events_overtake_task_sent(lab: Lab) -> None:
    """Events that arrive before their task-sent are deferred until it arrives, and count under its queue."""
    lab.sent("first", 0)
    lab.received("a", 1)
    lab.started("a", 2)
    lab.succeeded("a", 3)
    lab.advance(0.9)
    assert 0 == lab.value(rows.TASKS_RECEIVED, *TQ)
    lab.sent("a", 0.5)
    assert 1 == lab.value(rows.TASKS_RECEIVED, *TQ)
    assert {"success": 1} == lab.ends()
    assert (1, 1.5) == lab.observations(rows.TASK_WAIT, *TQ)
    assert {} == lab.ends(queue=UNKNOWN)


def test_task_sent_that_never_comes(lab: Lab) -> None:
    """Events that are deferred for a task-sent count under an unknown queue after one second without it."""
    lab.sent("first", 0)
    lab.received("a", 1)
    lab.started("a", 2)
    lab.advance(1.1)
    assert 1 == lab.value(rows.TASKS_STARTED, "t", UNKNOWN)
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends(queue=UNKNOWN)
    lab.received("b", 4)
    assert 2 == lab.value(rows.TASKS_RECEIVED, "t", UNKNOWN)


@pytest.mark.parametrize("kind", ["revoked", "failed"])
def test_refusal_overtakes_task_sent(lab: Lab, kind: str) -> None:
    """A task that is revoked or failed on arrival, before its task-sent arrives, counts under its name and queue."""
    lab.sent("first", 0, name="other")
    if kind == "revoked":
        lab.revoked("a", 1, expired=True)
    else:
        lab.tasks.fold_failed(TaskFailed("a", lab.start + 1, W1), "NotRegistered", "t")
    lab.sent("a", 0.5)
    assert {"revoked" if kind == "revoked" else "failure": 1} == lab.ends()
    assert lab.value(internals.TASKS_UNMATCHED, "task-revoked") is None


def test_refusal_whose_task_sent_never_comes(lab: Lab) -> None:
    """A revocation of a task whose name is unknown counts as unmatched once, after one second."""
    lab.sent("first", 0)
    lab.revoked("a", 1)
    assert lab.value(internals.TASKS_UNMATCHED, "task-revoked") is None
    lab.advance(1.1)
    lab.advance(1.1)
    assert 1 == lab.value(internals.TASKS_UNMATCHED, "task-revoked")


def test_without_task_sent_nothing_is_held(lab: Lab) -> None:
    """If no publisher sends task-sent, events count at once and there is no waiting time."""
    lab.received("a", 1)
    lab.started("a", 2)
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends(queue=UNKNOWN)
    assert (0, 0) == lab.observations(rows.TASK_WAIT, "t", UNKNOWN)


def test_late_task_sent_of_a_running_task(lab: Lab) -> None:
    """A task-sent that arrives after the start of its run still sets the waiting time."""
    lab.received("a", 1)
    lab.started("a", 2)
    lab.sent("a", 0.5)
    assert (1, 1.5) == lab.observations(rows.TASK_WAIT, "t", UNKNOWN)
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends(queue=UNKNOWN)


@pytest.mark.parametrize(
    ("late", "first", "second"), [(1.0, (1, 0.0), (0, 0.0)), (1.5, (0, 0.0), (1, 4.5))], ids=["its own", "the next"]
)
def test_task_sent_with_a_later_timestamp_than_a_start(
    lab: Lab, late: float, first: tuple[int, float], second: tuple[int, float]
) -> None:
    """A task-sent stamped up to one second after a start belongs to that run, one stamped later to the next run."""
    lab.received("a", 1)
    lab.started("a", 2)
    lab.sent("a", 2 + late)
    lab.succeeded("a", 4)
    assert first == lab.observations(rows.TASK_WAIT, "t", UNKNOWN)
    lab.received("a", 5)
    lab.started("a", 8)
    assert second == lab.observations(rows.TASK_WAIT, *TQ)


def test_queue_of_the_only_consumed_one(lab: Lab) -> None:
    """Without task-sent a task counts under its worker's queue if the worker consumes only one."""
    lab.workers.meet(W1).setup = Setup(("emails",))
    lab.received("a", 1)
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", "emails")
    lab.workers.meet(W1).setup = Setup(("emails", "other"))
    lab.received("b", 1)
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", UNKNOWN)


@pytest.mark.parametrize("kind", ["received", "failed"])
def test_consumed_queue_also_where_task_sent_is_usual(lab: Lab, kind: str) -> None:
    """A worker's only queue is used at once, even if other publishers send task-sent and this one's does not."""
    lab.sent("another", 0)
    lab.workers.meet(W1).setup = Setup(("emails",))
    if kind == "received":
        lab.received("a", 1)
    else:
        lab.tasks.fold_failed(TaskFailed("a", lab.start + 1, W1), "NotRegistered", "t")
    lab.advance(2)
    metric, labels = (rows.TASKS_RECEIVED, ()) if kind == "received" else (rows.TASKS, ("failure",))
    assert 1 == lab.value(metric, "t", "emails", *labels)
    assert lab.value(metric, "t", UNKNOWN, *labels) is None


def test_unknown_task(lab: Lab) -> None:
    """Events of a task whose name was never received count as unmatched and under no task."""
    lab.started("x", 1)
    lab.succeeded("x", 2)
    lab.cancelled("x", 3)
    for kind in ("task-started", "task-succeeded", "task-cancelled"):
        assert 1 == lab.value(internals.TASKS_UNMATCHED, kind)
    assert [] == list(lab.tasks.names)


def test_missing_task_started(lab: Lab) -> None:
    """An end without its task-started counts, without a runtime."""
    lab.sent("a", 0)
    lab.received("a", 1)
    lab.failed("a", 3)
    assert {"failure": 1} == lab.ends()
    assert (0, 0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_cancelled(lab: Lab) -> None:
    """A task that a worker returned to the broker neither runs nor ended, and counts when it is executed again."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.cancelled("a", 2)
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    assert {} == lab.ends()
    lab.received("a", 3)
    lab.started("a", 4)
    lab.succeeded("a", 5)
    assert {"success": 1} == lab.ends()


def test_success_without_runtime(lab: Lab) -> None:
    """A success that was stored by a worker before it was lost counts, without a runtime."""
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.succeeded("a", 2, runtime=None)
    lab.advance(15)  # after that no revocation can correct it
    assert {"success": 1} == lab.ends()
    assert (0, 0) == lab.observations(rows.TASK_RUNTIME, *TQ, "success")


def test_exception_classes_have_a_bound() -> None:
    """Exception classes beyond a task's limit count under the overflow label, and as dropped series."""
    lab = Lab(task_limits(exceptions=2))
    for number in range(4):
        lab.sent(str(number), 0)
        lab.received(str(number), 0)
        lab.failed(str(number), 1, f"Error{number}")
    assert [1, 1, 2] == [lab.value(rows.TASK_EXCEPTIONS, "t", name) for name in ("Error0", "Error1", OVERFLOW)]
    assert 1 <= (lab.value(internals.SERIES_DROPPED, rows.TASK_EXCEPTIONS.name) or 0)


def test_task_names_have_a_bound() -> None:
    """(task, queue) pairs beyond the limit count under the overflow label, separated by state."""
    lab = Lab(task_limits(pairs=2))
    for number in range(5):
        lab.sent(str(number), 0, name=f"t{number}")
        lab.received(str(number), 0, name=f"t{number}")
        lab.succeeded(str(number), 1)
    assert {"success": 1} == lab.ends("t1")
    assert {"success": 3} == lab.ends(OVERFLOW, OVERFLOW)
    assert 3 <= (lab.value(internals.SERIES_DROPPED, rows.TASKS.name) or 0)


def test_tracked_tasks_have_a_bound() -> None:
    """Beyond the limit of tracked tasks the oldest are forgotten, count as evicted, and are no longer running."""
    lab = Lab(task_limits(tracked=20))
    for number in range(30):
        lab.sent(str(number), 0)
        lab.received(str(number), 0)
        lab.started(str(number), 1)
    assert 20 >= len(lab.tasks.tracked)
    assert 10 == lab.value(internals.TASKS_EVICTED, "count")
    assert 20 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_old_tasks_are_forgotten() -> None:
    """An unfinished task is forgotten after its age limit."""
    lab = Lab(task_limits(age=100))
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert 0 == len(lab.tasks.tracked)
    assert 1 == lab.value(internals.TASKS_EVICTED, "age")
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_idle_series_expire() -> None:
    """All series of a (task, queue) without events expire after their time to live, and count as expired."""
    lab = Lab(task_limits(idle=100))
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.failed("a", 1)
    lab.tasks.sweep(lab.clock.monotonic())
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    left = {family.metric.name for family in lab.store.collect() for series in family.series if "t" in series.labels}
    assert set() == left
    assert 5 == lab.value(internals.SERIES_EXPIRED, rows.TASKS.name)
    lab.sent("b", 200)
    assert 1 == lab.value(rows.TASKS_SENT, *TQ)


def test_series_of_a_long_task_stay() -> None:
    """A (task, queue) without events does not expire while one of its executions runs."""
    lab = Lab(task_limits(idle=100), worker_limits(lost_after=1000))
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.tasks.sweep(lab.clock.monotonic())
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_ended_tasks_do_not_pile_up(lab: Lab) -> None:
    """After many thousands of finished tasks the last five thousand are kept, and at most 10 % more."""
    tasks = scaled(15_000, 100_000)
    for number in range(tasks):
        uuid = str(number)
        lab.sent(uuid, 0)
        lab.received(uuid, 0)
        lab.started(uuid, 1)
        lab.succeeded(uuid, 2)
    assert {"success": tasks} == lab.ends()
    assert 5_000 <= len(lab.tasks.tracked) <= 5_500
    assert str(tasks - 5_000) in lab.tasks.tracked


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_requeued_task_is_not_forgotten(lab: Lab, state: str) -> None:
    """A requeued task that waits or runs again counts when it ends, however many other tasks end meanwhile."""
    lab.sent("a", 0)
    lab.received("a", 1)
    lab.started("a", 2)
    lab.rejected("a", 3, requeue=True)
    lab.received("a", 4)
    if state == "running":
        lab.started("a", 5)
    for number in range(ENDED_KEPT + 2 * TOGETHER):
        lab.sent(str(number), 5)
        lab.revoked(str(number), 6)
    if state == "waiting":
        lab.started("a", 5)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.succeeded("a", 8)
    assert {"rejected": 1, "success": 1, "revoked": ENDED_KEPT + 2 * TOGETHER} == lab.ends()


def test_ended_tasks_are_not_evicted_for_their_age() -> None:
    """A task that ended does not count as evicted, however long its record is kept."""
    lab = Lab(task_limits(age=100))
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.failed("a", 2)
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert lab.value(internals.TASKS_EVICTED, "age") is None
    lab.failed("a", 2)
    assert {"failure": 1} == lab.ends()


def test_a_twentieth_is_evicted_at_once() -> None:
    """The task that exceeds the limit evicts exactly the oldest twentieth of the tasks."""
    lab = Lab(task_limits(tracked=100))
    for number in range(101):
        lab.sent(str(number), 0)
    assert 5 == lab.value(internals.TASKS_EVICTED, "count")
    assert ("4" in lab.tasks.tracked, "5" in lab.tasks.tracked) == (False, True)


def test_exemplars_carry_the_task_id(lab: Lab) -> None:
    """The histograms and the failure counter have exemplars with a task id; labels never contain one."""
    lab.sent("id-1", 0)
    lab.received("id-1", 0)
    lab.started("id-1", 1)
    lab.failed("id-1", 2)
    exemplar = lab.store.scalar(rows.TASKS, *TQ, "failure").exemplar
    assert exemplar is not None
    assert "id-1" == exemplar[0]
    kept = [entry for entry in lab.store.histogram(rows.TASK_WAIT, *TQ).copied().exemplars or () if entry]
    assert [("id-1", 1.0)] == [entry[:2] for entry in kept]


def test_first_events_of_all_wait_for_their_task_sent(lab: Lab) -> None:
    """Before the first task-sent, a task's events are deferred for a second, so that they count under its queue."""
    lab.tasks._holding.sent_seen = None
    lab.received("a", 1)
    lab.started("a", 2)
    assert {} == lab.ends()
    lab.sent("a", 0)
    lab.succeeded("a", 3)
    assert {"success": 1} == lab.ends()
    assert lab.value(rows.TASKS_RECEIVED, "t", UNKNOWN) is None


def test_first_events_of_all_where_none_is_sent(lab: Lab) -> None:
    """If no publisher sends task-sent, only the first tasks are deferred for a second, and none is lost."""
    lab.tasks._holding.sent_seen = None
    lab.received("a", 1)
    lab.started("a", 2)
    lab.succeeded("a", 3)
    lab.advance(1.5)
    assert {"success": 1} == lab.ends(queue=UNKNOWN)
    lab.received("b", 4)
    lab.started("b", 5)
    lab.succeeded("b", 6)
    assert {"success": 2} == lab.ends(queue=UNKNOWN)


def test_task_sent_after_that_of_its_retry(lab: Lab) -> None:
    """If task-sent arrives after the retry was published and received, both runs still have all their times."""
    lab.received("a", 1)
    lab.started("a", 2)
    lab.sent("a", 2.5, retries=1)
    lab.retried("a", 3)
    lab.received("a", 3.5, retries=1)
    lab.sent("a", 0)
    lab.started("a", 4)
    lab.succeeded("a", 5)
    queues = ("q", UNKNOWN)
    for metric in (rows.TASK_WAIT, rows.TASK_PREFETCH):
        assert 2 == sum(lab.observations(metric, "t", queue)[0] for queue in queues)
    assert {"retry": 1, "success": 1} == {state: n for queue in queues for state, n in lab.ends(queue=queue).items()}


@pytest.mark.parametrize("late", [0, 1, 2, 3], ids=["before received", "before started", "before retried", "after"])
def test_retry_that_is_heard_of_first(lab: Lab, late: int) -> None:
    """If the retry's task-sent arrives before the first run's task-sent, both runs still have all their times."""
    lab.sent("a", 2.5, retries=1)
    steps: list[Callable[[], None]] = [
        lambda: lab.received("a", 1),
        lambda: lab.started("a", 2),
        lambda: lab.retried("a", 3),
        lambda: None,
    ]
    for number, step in enumerate(steps):
        if number == late:
            lab.sent("a", 0)
        step()
    lab.received("a", 3.5, retries=1)
    lab.started("a", 4)
    lab.succeeded("a", 5)
    assert (2, 3.5) == lab.observations(rows.TASK_WAIT, *TQ)
    assert (2, 1.5) == lab.observations(rows.TASK_PREFETCH, *TQ)
    assert {"retry": 1, "success": 1} == lab.ends()


def test_the_latest_event_is_shown() -> None:
    """The timestamps of the last publication, success and failure are the latest in whatever order events arrive."""
    lab = Lab()
    for uuid, at in (("a", 9), ("b", 3)):
        for name in (uuid, f"{uuid}f"):
            lab.sent(name, at)
            lab.received(name, at)
            lab.started(name, at)
        lab.succeeded(uuid, at + 1)
        lab.failed(f"{uuid}f", at + 2)
    assert lab.start + 9 == lab.value(rows.TASK_LAST_SENT, "t")
    assert lab.start + 10 == lab.value(rows.TASK_LAST_SUCCESS, "t")
    assert lab.start + 11 == lab.value(rows.TASK_LAST_FAILURE, "t")
