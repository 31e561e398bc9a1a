# SPDX-License-Identifier: Apache-2.0
"""Exact accounts: after a number of tasks of each outcome, all counts have exactly the expected values."""

from pathlib import Path

import pytest
from celery import chain

from tests.integration.conftest import Shared
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, times
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_successes_are_counted(shared: Shared) -> None:
    """Each task that succeeds is counted once in every metric of tasks."""
    for number in range(5):
        shared.send("plain", number)
    shared.exporter.agrees("plain", times(5, ONE_SUCCESS))


def test_failures_are_counted(shared: Shared) -> None:
    """Each task that raises is counted as a failure of its exception class."""
    for _ in range(3):
        shared.send("fail")
    shared.exporter.agrees("fail", times(3, {**ONE_RUN, "failure": 1, "ValueError": 1, "runtime failure": 1}))


def test_retries_are_counted(shared: Shared) -> None:
    """A task that is retried and then succeeds is counted as two executions, one of each outcome."""
    for _ in range(4):
        shared.send("retry_once")
    ends = {"retry": 1, "KeyError": 1, "runtime retry": 1, "success": 1, "runtime success": 1}
    shared.exporter.agrees("retry_once", times(4, {**times(2, ONE_RUN), **ends}))


def test_rejections_are_counted(shared: Shared) -> None:
    """A rejected task is counted as one rejected execution and no failure, although Celery sends both events."""
    for _ in range(3):
        shared.send("reject")
    shared.exporter.agrees("reject", times(3, {**ONE_RUN, "rejected": 1}))


def test_requeued_tasks_are_counted(shared: Shared) -> None:
    """A task that is put back once is counted as one rejected and one successful execution of one publication."""
    for _ in range(3):
        shared.send("requeue_once")
    runs = {"sent": 1, "received": 2, "started": 2, "wait": 1, "prefetch": 2}
    shared.exporter.agrees("requeue_once", times(3, {**runs, "rejected": 1, "success": 1, "runtime success": 1}))


def test_ignored_tasks_stop_running(shared: Shared) -> None:
    """A task that ends in Ignore is no longer counted as running, although it sends no event at its end."""
    for _ in range(2):
        shared.send("ignore")
    shared.exporter.agrees("ignore", times(2, ONE_RUN))


def test_failures_that_are_not_acknowledged_are_counted(shared: Shared) -> None:
    """With acks_on_failure_or_timeout=False a task-rejected and a later task-failed are counted as one failure."""
    for _ in range(5):
        shared.send("fail_unacknowledged")
    ends = {"failure": 1, "ValueError": 1, "runtime failure": 1}
    shared.exporter.agrees("fail_unacknowledged", times(5, {**ONE_RUN, **ends}))


def test_the_longest_run_stays_beside_ignored_ones(shared: Shared, tmp_path: Path) -> None:
    """The end of executions by Ignore does not end the longest execution on the same worker."""
    gate = tmp_path / "gate"
    shared.send("hold", str(gate))
    shared.exporter.agrees("hold", {**ONE_RUN, "running": 1})
    oldest = shared.exporter.value("celery_task_oldest_started_timestamp_seconds", task="hold")
    closed = shared.exporter.value("celery_exporter_tasks_evicted_total", reason="inactive") or 0
    for _ in range(3):
        shared.send("ignored_beside")
    eventually(
        lambda: (shared.exporter.value("celery_exporter_tasks_evicted_total", reason="inactive") or 0) == closed + 3
    )
    shared.exporter.agrees("ignored_beside", times(3, ONE_RUN))
    shared.exporter.agrees("hold", {**ONE_RUN, "running": 1})
    assert oldest == shared.exporter.value("celery_task_oldest_started_timestamp_seconds", task="hold")
    gate.touch()
    shared.exporter.agrees("hold", ONE_SUCCESS)


def test_the_signal_of_the_soft_time_limit_ends_nothing(shared: Shared, tmp_path: Path) -> None:
    """A task revoked with SIGUSR1 runs until its own end and is counted as the failure that the signal raises."""
    task_id = shared.send("signalled", str(tmp_path / "never"))
    shared.exporter.agrees("signalled", {**ONE_RUN, "running": 1})
    shared.app.control.revoke(
        task_id, terminate=True, signal="SIGUSR1", reply=True, destination=[shared.worker.name], timeout=10
    )
    ends = {"failure": 1, "SoftTimeLimitExceeded": 1, "runtime failure": 1}
    shared.exporter.agrees("signalled", {**ONE_RUN, **ends})


def test_tasks_revoked_before_they_arrive_are_counted(shared: Shared) -> None:
    """A task revoked before its arrival is counted as revoked, and neither as received nor as started."""
    ids = [f"revoked-{number}" for number in range(2)]
    shared.app.control.revoke(ids, reply=True, destination=[shared.worker.name], timeout=10)
    for task_id in ids:
        shared.send("revoked", task_id=task_id)
    shared.exporter.agrees("revoked", {"sent": 2, "revoked": 2, "revocation revoked": 2})


def test_tasks_revoked_while_they_wait_for_their_eta_are_counted(shared: Shared) -> None:
    """A scheduled task that is revoked in the worker is counted as received and revoked."""
    task_id = shared.send("revoked_scheduled", countdown=2)
    shared.exporter.agrees("revoked_scheduled", {"sent": 1, "received": 1})
    shared.app.control.revoke(task_id, reply=True, destination=[shared.worker.name], timeout=10)
    shared.exporter.agrees("revoked_scheduled", {"sent": 1, "received": 1, "revoked": 1, "revocation revoked": 1})


def test_expired_tasks_are_counted(shared: Shared) -> None:
    """A task that expired in its queue is counted as revoked with the reason expired."""
    for _ in range(3):
        shared.send("expired", expires=-1)
    shared.exporter.agrees("expired", {"sent": 3, "revoked": 3, "revocation expired": 3})


def test_terminated_tasks_are_counted(shared: Shared, tmp_path: Path) -> None:
    """A running task that is terminated is counted as revoked with the reason terminated."""
    task_id = shared.send("terminated", str(tmp_path / "never"))
    shared.exporter.agrees("terminated", {**ONE_RUN, "running": 1})
    shared.app.control.revoke(task_id, terminate=True, reply=True, destination=[shared.worker.name], timeout=10)
    shared.exporter.agrees("terminated", {**ONE_RUN, "revoked": 1, "revocation terminated": 1})


def test_tasks_over_their_hard_time_limit_are_counted_once(shared: Shared, tmp_path: Path) -> None:
    """The two task-failed events of a hard time limit are counted as one failure of the class in the traceback."""
    shared.send("overrun_hard", str(tmp_path / "never"))
    eventually(lambda: shared.exporter.value("celery_exporter_tasks_duplicate_total", type="task-failed"))
    shared.exporter.agrees("overrun_hard", {**ONE_RUN, "failure": 1, "TimeLimitExceeded": 1, "runtime failure": 1})


def test_tasks_over_their_soft_time_limit_are_counted(shared: Shared, tmp_path: Path) -> None:
    """A task over its soft time limit is counted as a failure of SoftTimeLimitExceeded."""
    shared.send("overrun_soft", str(tmp_path / "never"))
    shared.exporter.agrees("overrun_soft", {**ONE_RUN, "failure": 1, "SoftTimeLimitExceeded": 1, "runtime failure": 1})


def test_tasks_whose_process_was_killed_are_counted(shared: Shared) -> None:
    """A task whose process was killed is counted as a failure of WorkerLostError."""
    shared.send("kill_child")
    shared.exporter.agrees(
        "kill_child", {**ONE_RUN, "failure": 1, "WorkerLostError": 1, "runtime failure": 1}, within=30
    )


def test_unregistered_tasks_are_counted(shared: Shared) -> None:
    """A task that no worker has registered is counted as a failure of NotRegistered, under its own name."""
    shared.send("nowhere.registered")
    shared.exporter.agrees("nowhere.registered", {"sent": 1, "failure": 1, "NotRegistered": 1})


def test_requested_delay_is_no_wait(shared: Shared) -> None:
    """The waiting and prefetch times of a task with a countdown begin at its eta, not at its publication."""
    shared.send("delayed", countdown=2)
    shared.exporter.agrees("delayed", ONE_SUCCESS)
    for metric in ("celery_task_wait_seconds_sum", "celery_task_prefetch_seconds_sum"):
        waited = shared.exporter.value(metric, task="delayed", queue="celery")
        assert waited is not None
        assert 0 <= waited < 1.5


def test_the_delay_of_a_retry_is_no_wait(shared: Shared) -> None:
    """The waiting time of a retry with a countdown begins at its eta."""
    shared.send("retry_later", 1)
    ends = {"retry": 1, "KeyError": 1, "runtime retry": 1, "success": 1, "runtime success": 1}
    shared.exporter.agrees("retry_later", {**times(2, ONE_RUN), **ends})
    for metric in ("celery_task_wait_seconds_sum", "celery_task_prefetch_seconds_sum"):
        assert 0 <= (shared.exporter.value(metric, task="retry_later", queue="celery") or 0) < 0.9


def test_chains_are_counted(shared: Shared) -> None:
    """Each task of a chain is counted under its own name, no matter which process published it."""
    first, second = (shared.app.signature(name, args=(1,), app=shared.app) for name in ("first", "second"))
    chain(first, second, app=shared.app).apply_async()
    for task in ("first", "second"):
        shared.exporter.agrees(task, ONE_SUCCESS)


def test_chords_are_counted(shared: Shared) -> None:
    """Each task of a chord's group is counted, and its body is counted once."""
    shared.send("launch_chord")
    shared.exporter.agrees("part", times(4, ONE_SUCCESS))
    shared.exporter.agrees("body", ONE_SUCCESS)


def test_bursts_are_counted_under_their_queue(shared: Shared) -> None:
    """None of 500 short tasks is lost, counted twice or counted under an unknown queue, in any order of events."""
    for number in range(500):
        shared.send("burst", number, queue="slow" if number % 2 else "celery")
    shared.exporter.agrees("burst", times(500, ONE_SUCCESS), within=40)
    assert {"celery", "slow"} == shared.exporter.queues_of("burst")


def test_every_queue_is_known(shared: Shared) -> None:
    """With task-sent events no task of any outcome is counted under an unknown queue."""
    shared.send("measured")
    shared.exporter.agrees("measured", ONE_SUCCESS)
    unknown = [labels for labels in shared.exporter.labels("celery_tasks_total") if labels["queue"] == "unknown"]
    assert [] == unknown


def test_without_task_sent_the_queue_is_unknown(shared: Shared) -> None:
    """Without task-sent events only the queue and the waiting time of a task are missing."""
    shared.app.conf.task_send_sent_event = False
    try:
        shared.send("quiet", queue="slow")
    finally:
        shared.app.conf.task_send_sent_event = True
    known = {title: value for title, value in ONE_SUCCESS.items() if title not in {"sent", "wait"}}
    shared.exporter.agrees("quiet", known)
    assert {"unknown"} == shared.exporter.queues_of("quiet")


def test_running_tasks_show_with_their_start(shared: Shared, tmp_path: Path) -> None:
    """An execution is shown as running, with its start, until it ends."""
    gate = tmp_path / "gate"
    shared.send("hold_watched", str(gate))
    shared.exporter.agrees("hold_watched", {**ONE_RUN, "running": 1})
    oldest = "celery_task_oldest_started_timestamp_seconds"
    assert shared.exporter.value(oldest, task="hold_watched")
    gate.touch()
    shared.exporter.agrees("hold_watched", ONE_SUCCESS)
    assert shared.exporter.value(oldest, task="hold_watched") is None


def test_the_oldest_of_several_runs_is_shown(shared: Shared, tmp_path: Path) -> None:
    """The oldest start of two parallel executions is that of the first until it ends, and then that of the second."""
    gates = [tmp_path / name for name in ("first", "second")]

    def start_of_oldest() -> float:
        return shared.exporter.value("celery_task_oldest_started_timestamp_seconds", task="hold") or 0

    def runs(count: int) -> None:
        running = "celery_tasks_running"
        eventually(lambda: shared.exporter.value(running, task="hold", queue="celery") == count)

    shared.send("hold", str(gates[0]))
    runs(1)
    first = start_of_oldest()
    assert first
    shared.send("hold", str(gates[1]))
    runs(2)
    assert first == start_of_oldest()
    gates[0].touch()
    eventually(lambda: start_of_oldest() > first)
    gates[1].touch()
    runs(0)
    assert start_of_oldest() == 0
