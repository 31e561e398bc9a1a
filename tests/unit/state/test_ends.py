# SPDX-License-Identifier: Apache-2.0
"""Ends that no event reports, that two events report, and whose events arrive before other ones of the task."""

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.inspection import Answers, HeldTask
from celery_redis_exporter.state.control import DOUBT, DOUBT_INTERVAL, Inspection, InspectionTarget
from celery_redis_exporter.state.task import MOST_PUBLICATIONS
from celery_redis_exporter.state.workers import DOUBT_SECONDS
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits

TQ = ("t", "q")


@pytest.fixture
def lab() -> Lab:
    """Return an empty state."""
    return Lab()


def run(lab: Lab, uuid: str, name: str = "t", worker: str = W1) -> None:
    """Publish a task and let a worker start it, now."""
    at = lab.clock.epoch - lab.start
    lab.sent(uuid, at, name)
    lab.received(uuid, at, name, worker)
    lab.started(uuid, at, worker)


def beat(lab: Lab, active: int, times: int = 1) -> None:
    """Let W1 send heartbeats, two seconds apart."""
    for _ in range(times):
        lab.advance(2)
        lab.beat(processed=10, active=active)


def held(uuid: str, name: str = "t") -> HeldTask:
    """Return a task as a worker lists it."""
    return HeldTask(uuid, name, "", "q")


@pytest.fixture
def asked(lab: Lab) -> Inspection:
    """Return an inspection in which W1 has answered its first queries."""
    inspection = Inspection(lab.workers, lab.tasks, lab.clock)
    inspection.expect(answers=True)
    lab.beat(processed=10, active=0)
    lab.workers.by_name[W1].questions.asked = True
    return inspection


def test_the_longest_run_is_not_taken_for_one_that_ended(lab: Lab) -> None:
    """If another run ended by Ignore, the longest run stays running, and its retry counts when it ends."""
    run(lab, "w", "long")
    lab.advance(0.3)
    run(lab, "i", "ignored")
    beat(lab, active=1, times=2)
    assert (1, 0) == (lab.value(rows.TASKS_RUNNING, "long", "q"), lab.value(rows.TASKS_RUNNING, "ignored", "q"))
    lab.sent("w", 4.3, "long", retries=1)
    lab.received("w", 4.31, "long", W2, retries=1)
    lab.started("w", 4.32, W2)
    lab.succeeded("w", 4.33, 0.01, W2)
    lab.retried("w", 4.319)
    assert {"retry": 1, "success": 1} == lab.ends("long")
    assert lab.value(internals.TASKS_DUPLICATE, "task-retried") is None


def test_a_worker_reports_which_run_ended(lab: Lab, asked: Inspection) -> None:
    """A worker that reports fewer active tasks than its events is queried, and runs it does not list are closed."""
    run(lab, "long", "first")
    lab.advance(0.3)
    run(lab, "short", "second")
    beat(lab, active=1, times=2)
    assert [InspectionTarget(W1, DOUBT)] == asked.targets(everyone=False)
    assert [] == asked.targets(everyone=False)  # it is not queried again at once
    asked.fold(InspectionTarget(W1, DOUBT), Answers(active=[held("short", "second")]))
    assert (0, 1) == (lab.value(rows.TASKS_RUNNING, "first", "q"), lab.value(rows.TASKS_RUNNING, "second", "q"))
    assert 1 == lab.value(internals.TASKS_EVICTED, "inactive")


def test_without_an_answer_the_youngest_run_is_closed(lab: Lab, asked: Inspection) -> None:
    """A worker that does not answer is queried again, and after ten seconds its youngest run is closed."""
    run(lab, "long", "first")
    lab.advance(0.3)
    run(lab, "short", "second")
    beat(lab, active=1, times=2)
    assert asked.targets(everyone=False)
    asked.fold(InspectionTarget(W1, DOUBT), Answers())
    lab.advance(DOUBT_INTERVAL)
    assert asked.targets(everyone=False)
    assert 1 == lab.value(rows.TASKS_RUNNING, "second", "q")
    beat(lab, active=1, times=int(DOUBT_SECONDS))
    assert (1, 0) == (lab.value(rows.TASKS_RUNNING, "first", "q"), lab.value(rows.TASKS_RUNNING, "second", "q"))


def test_a_run_that_started_after_the_question_is_not_closed(lab: Lab, asked: Inspection) -> None:
    """A run that started after the heartbeat with the lower count is not closed by the worker's list."""
    run(lab, "silent", "first")
    beat(lab, active=0, times=2)
    lab.advance(1)
    run(lab, "young", "second")
    asked.fold(asked.targets(everyone=False)[0], Answers(active=[]))
    assert (0, 1) == (lab.value(rows.TASKS_RUNNING, "first", "q"), lab.value(rows.TASKS_RUNNING, "second", "q"))


def test_a_worker_that_agrees_is_not_queried(lab: Lab, asked: Inspection) -> None:
    """A worker that reports as many active tasks as its events is not queried for them."""
    run(lab, "a")
    beat(lab, active=1, times=3)
    assert [] == asked.targets(everyone=False)


def test_a_failure_that_is_reported_as_rejected_first(lab: Lab) -> None:
    """A failure counts once if task-rejected precedes task-failed, as with acks_on_failure_or_timeout=False."""
    for uuid in "abcde":
        run(lab, uuid)
    for uuid in "abcde":
        lab.rejected(uuid, 2)
        lab.succeeded("unknown", 2)  # events of other tasks arrive in between
    assert {} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    for uuid in "abcde":
        lab.failed(uuid, 3, "KeyError" if uuid == "a" else "ValueError")
    lab.advance(60)
    assert {"failure": 5} == lab.ends()
    assert [1, 4] == [lab.value(rows.TASK_EXCEPTIONS, "t", name) for name in ("KeyError", "ValueError")]
    assert (5, 10.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")
    assert lab.value(internals.TASKS_DUPLICATE, "task-failed") is None


def test_a_failure_at_the_hard_time_limit_that_is_reported_as_rejected(lab: Lab) -> None:
    """The second task-failed at the hard time limit is a duplicate even if task-rejected came first."""
    run(lab, "a")
    lab.rejected("a", 2)
    lab.failed("a", 2.1, "TimeLimitExceeded")
    lab.failed("a", 2.2, "TimeLimitExceeded")
    assert {"failure": 1} == lab.ends()


@pytest.mark.parametrize("settled", ["heartbeat", "offline", "lost"])
def test_a_rejection_without_a_failure_counts(lab: Lab, settled: str) -> None:
    """A rejection counts five seconds later by its worker's clock, or when the worker is gone."""
    lab.beat(active=1)
    run(lab, "a")
    lab.rejected("a", 0)
    if settled == "heartbeat":
        beat(lab, active=0, times=2)
        assert {} == lab.ends()
        beat(lab, active=0)
        lab.advance(0)
    elif settled == "offline":
        lab.offline()
    else:
        lab.advance(31)
    assert {"rejected": 1} == lab.ends()


def test_a_rejection_of_a_worker_without_heartbeats_counts(lab: Lab) -> None:
    """Without heartbeats a rejection counts after fifteen seconds."""
    run(lab, "a")
    lab.rejected("a", 0)
    lab.advance(14)
    assert {} == lab.ends()
    lab.advance(1)
    assert {"rejected": 1} == lab.ends()


def test_a_rejection_that_requeues_counts_at_once(lab: Lab) -> None:
    """A rejection that requeues counts at once, and the next execution has no waiting time since the publication."""
    run(lab, "a")
    lab.rejected("a", 1, requeue=True)
    assert {"rejected": 1} == lab.ends()
    lab.received("a", 2, worker=W2)
    lab.started("a", 3, W2)
    lab.succeeded("a", 4, worker=W2)
    assert {"rejected": 1, "success": 1} == lab.ends()
    assert 1 == lab.observations(rows.TASK_WAIT, *TQ)[0]


@pytest.mark.parametrize("signum", [10, 30, "SIGUSR1", "10"])
def test_the_signal_of_the_soft_limit_ends_nothing(lab: Lab, signum: int | str) -> None:
    """A task that is revoked with the signal of the soft time limit runs until its next end event, which counts."""
    run(lab, "a")
    lab.revoked("a", 1, terminated=True, signum=signum)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.failed("a", 3, "SoftTimeLimitExceeded")
    assert {"failure": 1} == lab.ends()
    assert (1, 3.0) == lab.observations(rows.TASK_RUNTIME, *TQ, "failure")


@pytest.mark.parametrize("signum", [15, 9, "SIGTERM", None])
def test_other_signals_end_a_task(lab: Lab, signum: int | str | None) -> None:
    """A task that is terminated with another signal has ended."""
    run(lab, "a")
    lab.revoked("a", 1, terminated=True, signum=signum)
    assert {"revoked": 1} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_a_shadow_is_another_name_of_its_task(lab: Lab) -> None:
    """Tasks that workers report under a shadow name count under the name that they were published under."""
    for number in range(300):
        lab.sent(str(number), 0)
        lab.received(str(number), 1, f"sync customer {number}")
        lab.started(str(number), 2)
        lab.succeeded(str(number), 3)
    lab.advance(1.1)
    assert {"success": 300} == lab.ends()
    assert (300, 600.0) == lab.observations(rows.TASK_WAIT, *TQ)
    assert ["t"] == [name.name for name in lab.tasks.names]
    lab.sent("next", 0)
    lab.received("next", 1, "sync customer 301")
    assert 301 == lab.value(rows.TASKS_RECEIVED, *TQ)  # not deferred: no task-sent with this name is expected


def test_shadows_are_shown_where_that_is_set() -> None:
    """With ``by_shadow`` a task counts under its shadow name."""
    lab = Lab(task_limits(by_shadow=True))
    lab.sent("a", 0)
    lab.received("a", 1, "sync")
    lab.started("a", 2)
    lab.succeeded("a", 3)
    lab.advance(1.1)
    assert ({}, {"success": 1}) == (lab.ends(), lab.ends("sync"))
    assert (1, 2.0) == lab.observations(rows.TASK_WAIT, "sync", "q")


def test_a_replacement_is_no_shadow(lab: Lab) -> None:
    """A replacement whose task-sent arrives within a second counts under its own name."""
    lab.sent("a", 0)
    lab.received("a", 1, "other")
    lab.sent("a", 0.5, "other")
    lab.advance(2)
    assert (None, 1) == (lab.value(rows.TASKS_RECEIVED, *TQ) or None, lab.value(rows.TASKS_RECEIVED, "other", "q"))


def test_what_waits(lab: Lab) -> None:
    """A published task that neither started nor ended is waiting, whether in its queue, at a worker or for its eta."""
    assert lab.value(rows.TASKS_WAITING, *TQ) is None
    for uuid in "abcd":
        lab.sent(uuid, 0)
    lab.received("a", 1)
    assert 4 == lab.value(rows.TASKS_WAITING, *TQ)
    lab.started("a", 2)
    lab.revoked("b", 2)
    assert 2 == lab.value(rows.TASKS_WAITING, *TQ)
    lab.sent("a", 3, retries=1)
    lab.retried("a", 4)
    assert 3 == lab.value(rows.TASKS_WAITING, *TQ)


def test_what_is_forgotten_waits_no_longer() -> None:
    """A publication that is forgotten because of its age or the limit is not waiting."""
    lab = Lab(task_limits(age=100, tracked=20))
    for number in range(25):
        lab.sent(str(number), 0)
    assert 20 == lab.value(rows.TASKS_WAITING, *TQ)
    lab.clock.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    assert 0 == (lab.value(rows.TASKS_WAITING, *TQ) or 0)


def test_without_task_sent_nothing_waits(lab: Lab) -> None:
    """If publishers send no task-sent, the number of waiting tasks is absent."""
    lab.received("a", 1)
    lab.started("a", 2)
    assert lab.value(rows.TASKS_WAITING, "t", "unknown") is None


def test_publications_that_wait_are_forgotten_before_runs() -> None:
    """However many publications are never received, a running task is not forgotten, and its end counts."""
    lab = Lab(task_limits(tracked=100))
    run(lab, "long")
    for number in range(1000):
        lab.sent(str(number), 0)
    lab.succeeded("long", 50)
    assert {"success": 1} == lab.ends()
    assert 100 >= len(lab.tasks.tracked)


def test_one_redelivered_task_runs_on_both_workers_that_report_it(lab: Lab) -> None:
    """If two workers list a task as active when the exporter starts, both runs and both ends count."""
    for worker in (W1, W2):
        lab.tasks.adopt("a", "t", "q", lab.workers.meet(worker), lab.start)
    assert 2 == lab.value(rows.TASKS_RUNNING, *TQ)
    for worker in (W1, W2):
        lab.succeeded("a", 5, worker=worker)
    assert {"success": 2} == lab.ends()
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_a_task_that_is_reported_again_runs_once(lab: Lab) -> None:
    """A list of active tasks adds nothing if it repeats an earlier one, or events of the task arrived."""
    worker = lab.workers.meet(W1)
    for _ in range(2):
        lab.tasks.adopt("a", "t", "q", worker, lab.start)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.sent("b", 0)
    lab.received("b", 1, worker=W2)
    lab.tasks.adopt("b", "t", "q", worker, lab.start)
    assert 1 == lab.value(rows.TASKS_RUNNING, *TQ)


def test_a_task_sent_that_is_stamped_after_the_replacement(lab: Lab) -> None:
    """A replacement still replaces a task whose task-sent has a later timestamp than the replacement's task-sent."""
    lab.received("a", 0, "replaced")
    lab.sent("a", 0.0014, "replacement")
    lab.started("a", 0.0002)
    lab.received("a", 0.0046, "replacement")
    lab.sent("a", 0.0057, "replaced")
    lab.started("a", 0.0048)
    lab.succeeded("a", 0.0064, 0.0015)
    lab.advance(2)
    assert ({}, {"success": 1}) == (lab.ends("replaced"), lab.ends("replacement"))
    assert (0, 0) == (
        lab.value(rows.TASKS_RUNNING, "replaced", "q"),
        lab.value(rows.TASKS_RUNNING, "replacement", "q"),
    )


def test_a_terminated_task_that_is_reported_as_succeeded_first(lab: Lab) -> None:
    """A task that gevent reports as succeeded without a runtime and as revoked counts as one revocation."""
    run(lab, "a")
    lab.succeeded("a", 2.02, None)
    lab.revoked("a", 2, terminated=True, signum=15)
    lab.advance(60)
    assert {"revoked": 1} == lab.ends()
    assert 1 == lab.value(rows.TASK_REVOCATIONS, "t", "terminated")
    assert lab.value(internals.TASKS_DUPLICATE, "task-revoked") is None


def test_a_success_without_a_runtime_counts(lab: Lab) -> None:
    """A success without a runtime, as of a result stored before its worker was lost, counts fifteen seconds later."""
    run(lab, "a")
    lab.succeeded("a", 2, None)
    assert 0 == lab.value(rows.TASKS_RUNNING, *TQ)
    lab.advance(15)
    assert {"success": 1} == lab.ends()


def test_an_id_that_is_used_for_ever(lab: Lab) -> None:
    """A task that is published repeatedly under one id has all its waiting times, and few publications are kept."""
    for number in range(50):
        lab.sent("nightly", 10 * number)
        lab.received("nightly", 10 * number + 1)
        lab.started("nightly", 10 * number + 2)
        lab.succeeded("nightly", 10 * number + 3)
    assert {"success": 50} == lab.ends()
    assert (50, 100.0) == lab.observations(rows.TASK_WAIT, *TQ)
    assert MOST_PUBLICATIONS >= len(lab.tasks.tracked["nightly"].publications)


def test_an_id_that_was_retried_is_used_again(lab: Lab) -> None:
    """A new publication of an id that was retried many times counts like any other."""
    for retries in range(20):
        lab.sent("a", 10 * retries, retries=retries)
        lab.received("a", 10 * retries + 1, retries=retries)
        lab.started("a", 10 * retries + 2)
        lab.retried("a", 10 * retries + 3)
    lab.sent("a", 500)
    lab.received("a", 501)
    lab.started("a", 502)
    lab.succeeded("a", 503)
    assert {"retry": 20, "success": 1} == lab.ends()
    assert (21, 42.0) == lab.observations(rows.TASK_WAIT, *TQ)


def test_uncertain_ends_have_a_bound(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit a worker's oldest uncertain end counts at once, as does an uncertain end of the same task id."""
    monkeypatch.setattr("celery_redis_exporter.state.runs.MOST_UNCERTAIN", 3)
    for uuid in "abcde":
        run(lab, uuid)
        lab.rejected(uuid, 1)
    assert {"rejected": 2} == lab.ends()
    run(lab, "e")
    lab.rejected("e", 2)
    assert {"rejected": 3} == lab.ends()
    lab.advance(60)
    assert {"rejected": 6} == lab.ends()


def test_only_the_event_that_follows_corrects_an_end(lab: Lab) -> None:
    """A revocation does not correct a rejection, and a failure does not correct a success without a runtime."""
    run(lab, "a")
    lab.rejected("a", 1)
    lab.revoked("a", 2, terminated=True)
    run(lab, "b")
    lab.succeeded("b", 1, None)
    lab.failed("b", 2)
    lab.advance(60)
    assert {"rejected": 1, "success": 1} == lab.ends()
