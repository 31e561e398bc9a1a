# SPDX-License-Identifier: Apache-2.0
"""The same exact counts from every pool: each possible outcome of a task, on each pool of Celery."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.celery_workers import deliver_again
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, times
from tests.integration.pools import CASES, NOWHERE, Case, Fleet, assemble, failed, worker_options
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

POOLS = ("prefork", "threads", "gevent", "eventlet", "solo")
COMMANDED = ("prefork", "threads", "gevent", "eventlet")
"""Pools that obey commands while tasks run, in the order of the list above, so that each fleet starts once."""
LIMITED = {"prefork", "gevent"}
"""Pools that enforce the hard time limit; the others ignore it."""
TERMINATED = {"threads": ONE_SUCCESS}
"""The count of a terminated task in the pool that can't terminate one."""
REPEATED = {pool: {"task-rejected": 2} for pool in POOLS}  # Reject also sends task-failed
REPEATED["prefork"]["task-failed"] = 1  # the hard time limit sends two events
REPEATED["gevent"]["task-succeeded"] = REPEATED["eventlet"]["task-revoked"] = 1  # a terminated task sends both
"""The maximum number of events that report an end a second time."""
LIMITS = tuple(Case(task, ONE_SUCCESS, args=(NOWHERE, 1.0)) for task in ("overrun_hard", "overrun_soft"))


@pytest.fixture(scope="module", params=POOLS)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Yield a fleet of each pool, to which the tasks of all cases were sent at once."""
    with ExitStack() as ending:
        fleet = assemble(tmp_path_factory.mktemp("pool"), ending, request.param)
        for case in (*CASES, *LIMITS):
            fleet.publish(case)
        eventually(fleet.is_idle)
        yield fleet


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.task)
def test_every_outcome_is_counted(fleet: Fleet, case: Case) -> None:
    """Each outcome has the same counts on every pool."""
    fleet.exporter.agrees(case.task, case.account)


def test_time_limits_are_counted(fleet: Fleet) -> None:
    """A time limit counts as one failure of its class if the pool enforces limits, and as none otherwise."""
    hard = failed("TimeLimitExceeded") if fleet.pool in LIMITED else ONE_SUCCESS
    soft = failed("SoftTimeLimitExceeded") if fleet.pool == "prefork" else ONE_SUCCESS
    fleet.exporter.agrees("overrun_hard", hard)
    fleet.exporter.agrees("overrun_soft", soft)


def test_tasks_revoked_before_they_arrive_are_counted(fleet: Fleet) -> None:
    """A task revoked before its arrival counts as revoked, and neither as received nor as started."""
    fleet.app.control.revoke("early", reply=True, destination=[fleet.worker.name], timeout=10)
    fleet.send("revoked", task_id="early")
    fleet.exporter.agrees("revoked", {"sent": 1, "revoked": 1, "revocation revoked": 1})


def test_tasks_revoked_while_they_wait_for_their_eta_are_counted(fleet: Fleet) -> None:
    """A task that the worker keeps until its eta counts as received and revoked."""
    task_id = fleet.send("revoked_scheduled", countdown=1)
    received = {"sent": 1, "received": 1}
    fleet.exporter.agrees("revoked_scheduled", received)
    fleet.app.control.revoke(task_id, reply=True, destination=[fleet.worker.name], timeout=10)
    fleet.exporter.agrees("revoked_scheduled", {**received, "revoked": 1, "revocation revoked": 1})


@pytest.mark.parametrize("fleet", COMMANDED, indirect=True)
def test_tasks_revoked_while_they_wait_for_a_slot_are_counted(fleet: Fleet, tmp_path: Path) -> None:
    """A task revoked while queued behind others counts as revoked by prefork; other pools run it."""
    gate = tmp_path / "gate"
    for _ in range(2):
        fleet.send("hold", str(gate))
    fleet.exporter.agrees("hold", {**times(2, ONE_RUN), "running": 2})
    task_id = fleet.send("reserved")
    received = {"sent": 1, "received": 1}
    fleet.exporter.agrees("reserved", received)
    fleet.app.control.revoke(task_id, reply=True, destination=[fleet.worker.name], timeout=10)
    gate.touch()
    revoked = {**received, "revoked": 1, "revocation revoked": 1}
    fleet.exporter.agrees("reserved", revoked if fleet.pool == "prefork" else ONE_SUCCESS)
    fleet.exporter.agrees("hold", times(2, ONE_SUCCESS))


@pytest.mark.parametrize("fleet", COMMANDED, indirect=True)
def test_terminated_tasks_are_counted(fleet: Fleet, tmp_path: Path) -> None:
    """A terminated running task counts once, as revoked, even if its worker reports a success first."""
    gate = tmp_path / "gate"
    task_id = fleet.send("terminated", str(gate))
    fleet.exporter.agrees("terminated", {**ONE_RUN, "running": 1})
    fleet.app.control.revoke(task_id, terminate=True, reply=True, destination=[fleet.worker.name], timeout=10)
    if fleet.pool == "threads":  # threads can't be terminated
        gate.touch()
    terminated = {**ONE_RUN, "revoked": 1, "revocation terminated": 1}
    fleet.exporter.agrees("terminated", TERMINATED.get(fleet.pool, terminated))


def test_tasks_of_killed_workers_run_again(fleet: Fleet, tmp_path: Path) -> None:
    """If a worker is killed during a task, the next run is a second execution of the same publication."""
    eventually(fleet.is_idle)
    options = worker_options(fleet.redis, fleet.pool, queues="risky")
    first = fleet.programs.worker(fleet.redis, "mortal", options)
    gate = tmp_path / "gate"
    fleet.send("hold_late", str(gate), queue="risky")
    seen = fleet.pool != "solo"  # solo sends the events of an execution after its end
    if seen:
        fleet.exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    eventually(lambda: fleet.redis.command("HLEN", "unacked") == 1)
    first.process.kill()
    fleet.programs.worker(fleet.redis, "mortal", options)
    deliver_again(fleet.app)
    gate.touch()
    lost = {"received": 1, "started": 1, "prefetch": 1} if seen else {}
    account = {title: ONE_SUCCESS[title] + lost.get(title, 0) for title in ONE_SUCCESS}
    fleet.exporter.agrees("hold_late", account)


def test_nothing_is_left_unexplained(fleet: Fleet) -> None:
    """At the end no task runs, none is missed, and no event was unreadable, unmatched or without a queue."""
    for case in CASES:
        fleet.exporter.agrees(case.task, case.account)
    eventually(fleet.is_idle)
    assert {} == fleet.unexplained()
    repeated = "celery_exporter_tasks_duplicate_total"
    counts = {
        labels["type"]: fleet.exporter.value(repeated, **labels) or 0 for labels in fleet.exporter.labels(repeated)
    }
    assert {} == {kind: count for kind, count in counts.items() if count > REPEATED[fleet.pool].get(kind, 0)}
