# SPDX-License-Identifier: Apache-2.0
"""States of workers, derived from heartbeats, worker-offline events and silence."""

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.events import WorkerHeartbeat
from celery_redis_exporter.state.series import NewSeries
from tests.support.fakes import FakeClock
from tests.support.lab import W1, W2, Lab
from tests.support.options import worker_limits


@pytest.fixture
def lab() -> Lab:
    """Return an empty state."""
    return Lab()


def counts(lab: Lab) -> tuple[float | None, ...]:
    """Return the numbers of workers online, lost and offline."""
    lab.advance(0)
    return tuple(lab.value(rows.WORKERS, state) for state in ("online", "lost", "offline"))


def test_states_are_always_there(lab: Lab) -> None:
    """The number of workers in each state is 0, not absent, before the first worker."""
    assert (0, 0, 0) == counts(lab)


def test_heartbeat(lab: Lab) -> None:
    """The values of a heartbeat become series, and its time is that of the exporter's clock."""
    lab.beat(processed=7, active=2, skew=-1.5)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    assert 7 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 2 == lab.value(rows.WORKER_ACTIVE, W1)
    assert 2.0 == lab.value(rows.WORKER_INTERVAL, W1)
    assert -1.5 == lab.value(rows.WORKER_SKEW, W1)
    assert lab.clock.epoch == lab.value(rows.WORKER_LAST_HEARTBEAT, W1)
    assert [0.1, 0.2, 0.3] == [lab.value(rows.WORKER_LOAD, W1, period) for period in ("1m", "5m", "15m")]
    assert 1 == lab.value(rows.WORKER_INFO, W1, "5.7.0", "py-celery", "Linux")
    assert (1, 0, 0) == counts(lab)


def test_heartbeat_on_demand_changes_no_figure(lab: Lab) -> None:
    """A heartbeat that answers a remote command changes neither counts nor the interval, as it contains wrong ones."""
    lab.beat(processed=7, active=2)
    lab.workers.fold_heartbeat(WorkerHeartbeat(W1, lab.clock.epoch, 1, 5.0))
    assert 7 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 2 == lab.value(rows.WORKER_ACTIVE, W1)
    assert 2.0 == lab.value(rows.WORKER_INTERVAL, W1)


def test_lost_and_back(lab: Lab) -> None:
    """A silent worker is up until lost_after, then 0, and 1 again with its next event."""
    lab.beat()
    lab.advance(29.9)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    lab.advance(0.1)
    assert 0 == lab.value(rows.WORKER_UP, W1)
    assert (0, 1, 0) == counts(lab)
    lab.tasks.now = lab.clock.monotonic()
    lab.received("a", 0)
    assert 1 == lab.value(rows.WORKER_UP, W1)


def test_any_event_is_a_sign_of_life(lab: Lab) -> None:
    """Task events keep a worker with late heartbeats online."""
    lab.beat()
    lab.advance(20)
    lab.received("a", 0)
    lab.advance(20)
    assert 1 == lab.value(rows.WORKER_UP, W1)


def test_patience_of_three_intervals() -> None:
    """A worker with a long heartbeat interval is lost only after three intervals."""
    lab = Lab(workers=worker_limits(lost_after=1))
    lab.beat()
    lab.advance(5.9)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    lab.advance(0.1)
    assert 0 == lab.value(rows.WORKER_UP, W1)


def test_patience_by_worker() -> None:
    """lost_after can be set for workers by a pattern of their names."""
    lab = Lab(workers=worker_limits(lost_after_by_worker=(("w2@*", 100.0),)))
    lab.beat(worker=W1)
    lab.beat(worker=W2)
    lab.advance(50)
    assert 0 == lab.value(rows.WORKER_UP, W1)
    assert 1 == lab.value(rows.WORKER_UP, W2)


def test_lost_is_kept_for_the_retention(lab: Lab) -> None:
    """A lost worker shows up 0 for the retention, which is longer than any alert's wait, and is then forgotten."""
    lab.beat()
    lab.advance(30)
    lab.advance(3599)
    assert 0 == lab.value(rows.WORKER_UP, W1)
    lab.advance(1)
    assert lab.value(rows.WORKER_UP, W1) is None
    assert (0, 0, 0) == counts(lab)


def test_goodbye_removes_the_series(lab: Lab) -> None:
    """The series of a worker that reported its stop are removed, so that no alert fires, and it counts as offline."""
    lab.beat()
    lab.offline()
    for metric in (rows.WORKER_UP, rows.WORKER_ACTIVE, rows.WORKER_PROCESSED, rows.WORKER_LAST_HEARTBEAT):
        assert lab.value(metric, W1) is None
    lab.advance(100)
    assert (0, 0, 1) == counts(lab)
    assert lab.value(rows.WORKER_UP, W1) is None


def test_tasks_after_goodbye_do_not_resurrect(lab: Lab) -> None:
    """Task events after a worker reported its stop count, and do not set the worker up again."""
    lab.beat()
    lab.received("a", 0)
    lab.offline()
    lab.succeeded("a", 1)
    assert lab.value(rows.WORKER_UP, W1) is None
    assert 1 == lab.value(task_rows.TASKS, "t", "unknown", "success")


@pytest.mark.parametrize(("pid", "after", "up"), [(1, 0.3, None), (1, 31.0, 1), (2, 0.3, 1), (2, 31.0, 1)])
def test_a_heartbeat_after_the_goodbye(lab: Lab, pid: int, after: float, up: int | None) -> None:
    """A late heartbeat of a stopped process sets no worker up; another process's or a much later heartbeat does."""
    lab.beat(pid=1)
    lab.offline()
    lab.advance(after)
    lab.beat(pid=pid)
    assert up == lab.value(rows.WORKER_UP, W1)
    lab.advance(40)
    assert (0, 0, 1) == counts(lab) if up is None else (0, 1, 0) == counts(lab)


def test_gauges_of_a_lost_worker_are_absent(lab: Lab) -> None:
    """A lost worker shows up 0 and its last heartbeat, and no active tasks, load or clock skew."""
    lab.beat(active=2)
    last = lab.value(rows.WORKER_LAST_HEARTBEAT, W1)
    lab.advance(30)
    assert 0 == lab.value(rows.WORKER_UP, W1)
    assert last == lab.value(rows.WORKER_LAST_HEARTBEAT, W1)
    assert lab.value(rows.WORKER_ACTIVE, W1) is None
    assert lab.value(rows.WORKER_SKEW, W1) is None
    assert lab.value(rows.WORKER_LOAD, W1, "1m") is None
    lab.beat(active=1)
    assert 1 == lab.value(rows.WORKER_ACTIVE, W1)
    assert 0.1 == lab.value(rows.WORKER_LOAD, W1, "1m")


@pytest.mark.parametrize("missed", [0, 10])
def test_missed_events_are_shown_after_the_goodbye(missed: int) -> None:
    """Events missed before a worker's stop are shown after the counter was shown as 0; without any no series exists."""
    clock = FakeClock()
    lab = Lab(new=NewSeries(clock, zero_first=30.0))
    lab.beat(processed=0)
    lab.received("a", 0)
    lab.started("a", 1)
    for _ in range(3):
        lab.advance(2)
        lab.beat(processed=1 + missed)
    lab.advance(2)
    lab.offline()
    assert (None if not missed else 0) == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    clock.advance(31)
    assert (missed or None) == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    lab.advance(3600)
    assert lab.value(rows.WORKER_EVENTS_MISSED, W1) is None


def test_reconnect_of_the_same_process(lab: Lab) -> None:
    """A worker that reports its stop and reconnects is up again, and counts one more start."""
    lab.online()
    lab.offline()
    lab.online()
    assert 1 == lab.value(rows.WORKER_UP, W1)
    assert 2 == lab.value(rows.WORKER_STARTS, W1)


def test_silence_of_our_own(lab: Lab) -> None:
    """While the exporter receives no events, no worker is lost, and afterwards each has its full time again."""
    lab.beat()
    lab.advance(300, listening=False)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    lab.workers.gap()
    lab.advance(29)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    lab.advance(1)
    assert 0 == lab.value(rows.WORKER_UP, W1)


def test_new_version_replaces_the_old_info(lab: Lab) -> None:
    """After an upgrade a worker has one info series, not two."""
    lab.beat()
    lab.workers.fold_heartbeat(WorkerHeartbeat(W1, lab.clock.epoch, 2, 2.0, 0, 0, None, "py-celery", "5.8.0", "Linux"))
    assert lab.value(rows.WORKER_INFO, W1, "5.7.0", "py-celery", "Linux") is None
    assert 1 == lab.value(rows.WORKER_INFO, W1, "5.8.0", "py-celery", "Linux")


def run_task(lab: Lab, uuid: str, *, started: bool = True) -> None:
    """Start a task now, with or without its task-started."""
    lab.sent(uuid, 0)
    if started:
        lab.started(uuid, lab.clock.epoch - lab.start)


def test_missed_events_are_exact(lab: Lab) -> None:
    """Executions without a task-started are counted exactly, two heartbeats later."""
    lab.beat(processed=0)
    lab.advance(1)
    for number in range(5):
        run_task(lab, f"seen{number}")
    lab.advance(1)
    lab.beat(processed=8)  # three task-started were lost
    lab.advance(2)
    lab.beat(processed=8)
    lab.advance(2)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    lab.beat(processed=8)
    assert 3 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    lab.advance(2)
    lab.beat(processed=8)
    assert 3 == lab.value(rows.WORKER_EVENTS_MISSED, W1)


def test_heartbeat_that_overtakes_is_no_loss(lab: Lab) -> None:
    """A heartbeat that overtakes buffered task events causes no missed events."""
    lab.beat(processed=0)
    lab.advance(2)
    at = lab.clock.epoch - lab.start - 0.01
    lab.beat(processed=1)
    lab.sent("a", 0)
    lab.started("a", at)  # stamped before the heartbeat, arrives after it
    for _ in range(3):
        lab.advance(2)
        lab.beat(processed=1)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)


def test_first_heartbeat_is_a_baseline(lab: Lab) -> None:
    """Executions before the first heartbeat that the exporter received are not missed events."""
    for _ in range(3):
        lab.beat(processed=1000)
        lab.advance(2)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)


def test_restart_is_no_loss(lab: Lab) -> None:
    """A restarted worker has no missed events."""
    lab.beat(processed=50, pid=1)
    lab.advance(2)
    lab.beat(processed=0, pid=2)
    for _ in range(3):
        lab.advance(2)
        lab.beat(processed=0, pid=2)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)


def test_worker_without_task_events(lab: Lab) -> None:
    """A worker that executes tasks and sends no task events is shown as such and has no missed events."""
    lab.beat(processed=0)
    assert lab.value(rows.WORKER_TASK_EVENTS, W1) is None
    for processed in (3, 6, 6):
        lab.advance(2)
        lab.beat(processed=processed)
    assert 0 == lab.value(rows.WORKER_TASK_EVENTS, W1)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    lab.received("a", 0)
    lab.started("a", 0)
    assert 1 == lab.value(rows.WORKER_TASK_EVENTS, W1)


def test_everything_lost_in_a_gap_is_missed(lab: Lab) -> None:
    """Events that were lost while the subscription was down are missed even if none had arrived before."""
    lab.beat(processed=0)
    lab.advance(1)
    lab.workers.gap()
    lab.advance(1)
    for _ in range(3):
        lab.beat(processed=4)
        lab.advance(2)
    assert 4 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    assert lab.value(rows.WORKER_TASK_EVENTS, W1) is None


def start(lab: Lab, uuid: str = "a") -> None:
    """Start a task on the first worker."""
    lab.sent(uuid, 0)
    lab.received(uuid, 0)
    lab.started(uuid, lab.clock.epoch - lab.start)


@pytest.mark.parametrize("reason", ["lost", "offline", "restarted", "inactive"])
def test_nothing_runs_on_a_worker_that_can_not_run_it(lab: Lab, reason: str) -> None:
    """An execution is closed without an end if its worker is gone or reports no active tasks in two heartbeats."""
    lab.beat(pid=1)
    start(lab)
    lab.advance(1)
    match reason:
        case "lost":
            lab.advance(30)
        case "offline":
            lab.offline()
        case "restarted":
            lab.beat(pid=2)
        case "inactive":
            lab.beat(processed=1, active=0)
            lab.advance(2)
            assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "q")
            lab.beat(processed=1, active=0)
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "t", "q")
    assert {} == lab.ends()
    assert 1 == lab.value(internals.TASKS_EVICTED, reason)


def test_end_after_being_given_up(lab: Lab) -> None:
    """A closed execution whose end arrives later counts once, with its full runtime."""
    lab.beat()
    start(lab)
    lab.advance(31)
    lab.failed("a", 40)
    lab.failed("a", 40)
    assert {"failure": 1} == lab.ends()
    assert (1, 40.0) == lab.observations(task_rows.TASK_RUNTIME, "t", "q", "failure")
    assert 0 == lab.value(task_rows.TASKS_RUNNING, "t", "q")


def test_lost_end_on_a_busy_worker(lab: Lab) -> None:
    """If a worker reports fewer active tasks than run on it, the youngest run is closed, never the longest one."""
    lab.beat(active=0)
    start(lab, "runs")
    lab.advance(1)
    start(lab, "lost")
    lab.advance(1)
    lab.beat(processed=2, active=2)
    lab.advance(2)
    lab.beat(processed=2, active=1)  # one of the two ended; its event may still be buffered
    assert 2 == lab.value(task_rows.TASKS_RUNNING, "t", "q")
    lab.advance(2)
    lab.beat(processed=2, active=1)
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "q")
    assert lab.start == lab.value(task_rows.TASK_OLDEST_STARTED, "t")
    assert 1 == lab.value(internals.TASKS_EVICTED, "inactive")


def test_what_starts_with_a_heartbeat_is_not_compared_with_it(lab: Lab) -> None:
    """A task that is stamped with the time of a heartbeat may not be among its active tasks, and raises no doubt."""
    lab.workers.seeding = 1.0  # so that a worker in doubt is queried
    lab.beat(active=0)
    start(lab)
    for _ in range(2):
        lab.advance(2)
        lab.beat(processed=1, active=1)
        assert lab.workers.by_name[W1].doubt is None
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "q")


def test_busy_worker_keeps_its_tasks(lab: Lab) -> None:
    """Heartbeats that report active tasks close no run."""
    lab.beat()
    start(lab)
    for _ in range(5):
        lab.advance(2)
        lab.beat(processed=1, active=1)
    assert 1 == lab.value(task_rows.TASKS_RUNNING, "t", "q")


def test_workers_have_a_bound() -> None:
    """Workers beyond the limit have no series, and their task events still count."""
    lab = Lab(workers=worker_limits(count=2))
    for number in range(5):
        lab.online(f"w{number}@host")
        lab.beat(worker=f"w{number}@host")
        lab.received(f"t{number}", 0, worker=f"w{number}@host")
        lab.started(f"t{number}", 1, worker=f"w{number}@host")
        lab.offline(f"w{number}@host")
    assert 2 == len(lab.workers.by_name)
    assert 5 == lab.value(task_rows.TASKS_STARTED, "t", "unknown")
    assert lab.value(rows.WORKER_UP, "w4@host") is None
    assert 15 == lab.value(internals.SERIES_DROPPED, "celery_worker_up"), "five events of each worker beyond the limit"


def test_a_worker_without_task_events_misses_none_after_a_reconnection() -> None:
    """A worker whose task events are disabled has no missed events, even after an interruption."""
    lab = Lab()
    for processed in (0, 10, 20, 30):
        lab.beat(processed)
        lab.advance(2)
    assert lab.value(rows.WORKER_TASK_EVENTS, W1) == 0
    lab.workers.gap()
    for processed in (40, 50, 60, 70):
        lab.beat(processed)
        lab.advance(2)
    assert lab.value(rows.WORKER_EVENTS_MISSED, W1) == 0
    assert lab.value(rows.WORKER_TASK_EVENTS, W1) == 0
