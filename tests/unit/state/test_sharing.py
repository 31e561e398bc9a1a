# SPDX-License-Identifier: Apache-2.0
"""Several processes with one node name."""

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.events import WorkerOffline
from celery_redis_exporter.state.sharing import NameProcesses
from tests.support.lab import W1, Lab

RUNNING = (task_rows.TASKS_RUNNING, "t", "q")


def shared(first: int = 100, second: int = 0) -> Lab:
    """Return a lab with two processes that share a name, of which the first had executed ``first`` tasks before."""
    lab = Lab()
    lab.beat(first, pid=1)
    for _ in range(2):
        for pid, processed in ((2, second), (1, first)):
            lab.advance(1)
            lab.beat(processed, pid=pid)
    return lab


def test_counts_are_sums() -> None:
    """Executions and active tasks of both are summed, and earlier executions of the first do not count again."""
    lab = shared()
    assert 0 == lab.value(rows.WORKER_PROCESSED, W1)
    lab.beat(105, 2, pid=1)
    lab.beat(7, 1, pid=2)
    assert 12 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 3 == lab.value(rows.WORKER_ACTIVE, W1)
    assert [W1] == lab.workers.shared
    assert 1 == lab.value(rows.WORKERS, "online")
    assert 0 == lab.value(rows.WORKER_STARTS, W1)


def test_no_run_is_closed_and_nothing_is_missed() -> None:
    """Alternating heartbeats of both close no run, and executions of one are not missed events of the other."""
    lab = shared()
    lab.sent("a", 10, "t", "q")
    lab.received("a", 10)
    lab.started("a", 10)
    for step in range(6):
        lab.advance(1)
        lab.beat(100 + step, 1, pid=1)
        lab.beat(step, 0, pid=2)
        assert 1 == lab.value(*RUNNING)
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    lab.succeeded("a", 20)
    assert 0 == lab.value(*RUNNING)
    assert {"success": 1} == lab.ends()


@pytest.mark.parametrize("end", ["silence", "goodbye"])
def test_one_leaves(end: str) -> None:
    """When one process ends, counters do not fall, and the other one is queried again."""
    lab = shared()
    lab.beat(110, pid=1)
    lab.beat(20, pid=2)
    if end == "goodbye":
        lab.workers.fold_offline(WorkerOffline(W1, lab.clock.epoch, 1, 2.0))
    for _ in range(20):
        lab.advance(2)
        lab.beat(21, 1, pid=2)
    assert 31 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 1 == lab.value(rows.WORKER_ACTIVE, W1)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    assert {} == lab.workers.by_name[W1].processes.sharing
    assert not lab.workers.by_name[W1].questions.asked


def test_falls_are_counted_in_intervals_of_heartbeats() -> None:
    """Counts that fall three times, each within three intervals of the one before, are those of several processes."""
    for pause, expected in ((15.0, [False, False, True]), (15.1, [False] * 3)):
        processes = NameProcesses()
        assert expected == [processes.fall(0, 100 + number * pause, 5.0) for number in range(3)]


def test_all_leave() -> None:
    """When both are silent the worker is lost, and the count of the next process begins at 0."""
    lab = shared()
    lab.advance(60)
    lab.advance(1)
    assert 0 == lab.value(rows.WORKER_UP, W1)
    lab.online(pid=3)
    lab.beat(2, pid=3)
    assert 2 == lab.value(rows.WORKER_PROCESSED, W1)


def test_a_late_heartbeat_is_no_process() -> None:
    """A late heartbeat or worker-offline of a process that was replaced changes nothing."""
    lab = Lab()
    lab.beat(100, pid=1)
    lab.online(pid=2)
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 0)
    lab.beat(100, pid=1)
    lab.workers.fold_offline(WorkerOffline(W1, lab.clock.epoch, 1, 2.0))
    lab.beat(1, 1, pid=2)
    assert 1 == lab.value(*RUNNING)
    assert 1 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    assert [] == lab.workers.shared
    assert lab.value(internals.TASKS_EVICTED, "restarted") is None


def test_restarts_are_no_processes() -> None:
    """Processes that start one after the other do not share the name, even if a process id is reused."""
    lab = Lab()
    for pid in (1, 2, 1, 2, 1):
        lab.online(pid=pid)
        lab.beat(3, pid=pid)
    assert [] == lab.workers.shared
    assert 3 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 5 == lab.value(rows.WORKER_STARTS, W1)


def test_many_processes_are_bounded() -> None:
    """If a hundred processes share a name the latest ones are kept, and the sum is unchanged."""
    lab = shared()
    for pid in range(3, 103):
        lab.beat(0, pid=pid)
        lab.beat(1, pid=pid)
    assert 100 == lab.value(rows.WORKER_PROCESSED, W1)
    assert len(lab.workers.by_name[W1].processes.sharing) <= 32


def alternate(lab: Lab, rounds: int, *counts: int) -> None:
    """Receive heartbeats of processes with one process id in turn."""
    for _ in range(rounds):
        for processed in counts:
            lab.advance(1)
            lab.beat(processed, 1)


def test_processes_with_one_id_are_not_counted() -> None:
    """Processes with one process id close no run of each other, are queried once, and have no counts."""
    lab = Lab()
    lab.online()
    alternate(lab, 3, 9, 5)
    lab.received("a", 10)
    lab.started("a", 10)
    lab.workers.by_name[W1].questions.asked = True
    alternate(lab, 10, 9, 5)
    assert 1 == len(lab.workers.by_name[W1].runs)
    assert lab.workers.by_name[W1].questions.asked
    assert lab.value(rows.WORKER_PROCESSED, W1) is None
    assert lab.value(rows.WORKER_ACTIVE, W1) is None
    assert 0 == lab.value(rows.WORKER_EVENTS_MISSED, W1)
    assert 1 == lab.value(rows.WORKER_UP, W1)
    assert [W1] == lab.workers.take_shared()


def test_one_of_two_with_one_id_goes() -> None:
    """When only one process with the process id is left, its counts are shown again."""
    lab = Lab()
    lab.online()
    alternate(lab, 5, 9, 5)
    alternate(lab, 12, 10)
    assert 10 == lab.value(rows.WORKER_PROCESSED, W1)
    assert 1 == lab.value(rows.WORKER_ACTIVE, W1)


def test_restarts_with_one_id_are_no_processes() -> None:
    """A count that falls after a worker-online is a restart, as in a container, where each process has the same id."""
    lab = Lab()
    for _ in range(5):
        lab.online()
        alternate(lab, 3, 4)
    assert 4 == lab.value(rows.WORKER_PROCESSED, W1)
    assert [] == lab.workers.take_shared()


@pytest.mark.parametrize("seconds", [7, 8, 10])
def test_a_restart_that_was_not_reported(seconds: int) -> None:
    """A count that falls once without a worker-online is a restart, and so is each fall after three heartbeats."""
    lab = Lab()
    for processed in (9, 5, 2, 1):
        alternate(lab, seconds, processed)
    assert 1 == lab.value(rows.WORKER_PROCESSED, W1)
    assert [] == lab.workers.take_shared()
