# SPDX-License-Identifier: Apache-2.0
"""Workers that change while they run, and all ways to stop them: counts are exact, and no task stays running."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.celery_workers import BEATING, Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, Exporter, times
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

OWN_CLIENT = "celery-redis-exporter"
MISSED, STARTS = "celery_worker_events_missed_total", "celery_worker_starts_total"
CONCURRENCY, PROCESSED = "celery_worker_concurrency", "celery_worker_tasks_processed_total"
BEAT = "celery_worker_last_heartbeat_timestamp_seconds"
REMAPPED = {"REMAP_SIGTERM": "SIGQUIT"}
SOFT = {"worker_soft_shutdown_timeout": 2.0}
AGAIN = {**times(2, ONE_RUN), "sent": 1, "wait": 1}
"""The counts of a task that is executed twice for one publication, without its ends."""


def watched(programs: Programs, server: RedisServer) -> Exporter:
    """Start an exporter that queries workers often."""
    return programs.listening(server, "--celery.inspect-interval", "1s", "--celery.inspect-timeout", "1s")


def is_explained(exporter: Exporter, worker: Worker, starts: int = 1) -> bool:
    """Return whether the worker started ``starts`` times and, after further heartbeats, missed no event."""
    seen = exporter.value(BEAT, worker=worker.name) or 0
    eventually(lambda: (exporter.value(BEAT, worker=worker.name) or 0) > seen + 3)
    return exporter.value(MISSED, worker=worker.name) == 0 and exporter.value(STARTS, worker=worker.name) == starts


def test_a_pool_that_scales_itself(programs: Programs, tmp_path: Path) -> None:
    """With --autoscale the concurrency is the current one, and every execution counts once."""
    server = programs.redis()
    exporter = watched(programs, server)
    worker = programs.worker(server, options=WorkerOptions(arguments=(*BEATING, "--autoscale", "4,1")))
    app, gate = programs.publisher(server), tmp_path / "gate"
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 1)
    for _ in range(6):
        app.send_task("hold", (str(gate),))
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 4)
    eventually(lambda: exporter.account("hold").get("running") == 4)
    gate.touch()
    for _ in range(40):
        app.send_task("plain")
    exporter.agrees("hold", times(6, ONE_SUCCESS))
    exporter.agrees("plain", times(40, ONE_SUCCESS))
    assert is_explained(exporter, worker)


def test_children_that_are_recycled(programs: Programs) -> None:
    """With --max-tasks-per-child every execution counts once, and the worker starts once."""
    server = programs.redis()
    exporter = watched(programs, server)
    worker = programs.worker(server, options=WorkerOptions(arguments=(*BEATING, "--max-tasks-per-child", "1")))
    app = programs.publisher(server)
    for _ in range(20):
        app.send_task("plain")
        app.send_task("fail")
    exporter.agrees("plain", times(20, ONE_SUCCESS))
    failure = {**ONE_RUN, "failure": 1, "ValueError": 1, "runtime failure": 1}
    exporter.agrees("fail", times(20, failure))
    eventually(lambda: exporter.value(PROCESSED, worker=worker.name) == 40)
    assert is_explained(exporter, worker)


def cut_off(server: RedisServer) -> None:
    """Close every connection to the server except those of the exporter."""
    for line in server.command("CLIENT", "LIST").decode().splitlines():
        fields = dict(word.split("=", 1) for word in line.split(" "))
        if OWN_CLIENT not in fields["name"]:
            with server.client() as client:
                client.execute_command("CLIENT", "KILL", "ID", fields["id"])


def test_tasks_cancelled_by_a_lost_connection(programs: Programs, tmp_path: Path) -> None:
    """A task that is cancelled by a lost connection stops running, and only its second run ends."""
    server = programs.redis()
    exporter = watched(programs, server)
    settings = {"worker_cancel_long_running_tasks_on_connection_loss": True}
    worker = programs.worker(server, options=WorkerOptions(settings=settings, arguments=BEATING))
    app, gate = programs.publisher(server), tmp_path / "gate"
    app.send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    cut_off(server)
    eventually(lambda: exporter.account("hold_late").get("started") == 2)
    exporter.agrees("hold_late", {**AGAIN, "running": 1})
    gate.touch()
    exporter.agrees("hold_late", {**AGAIN, "success": 1, "runtime success": 1})
    assert is_explained(exporter, worker, starts=2)  # a worker that reconnects sends worker-online


class End(NamedTuple):
    """How a worker is stopped, and whether its tasks may end before."""

    number: signal.Signals
    waits: bool
    settings: Mapping[str, Any] = {}
    environment: Mapping[str, str] = {}


ENDS = {
    "warm": End(signal.SIGTERM, waits=True),
    "cold": End(signal.SIGQUIT, waits=False),
    "cold, remapped": End(signal.SIGTERM, waits=False, environment=REMAPPED),
    "soft": End(signal.SIGQUIT, waits=False, settings=SOFT),
    "soft, in time": End(signal.SIGQUIT, waits=True, settings=SOFT),
    "soft, remapped": End(signal.SIGTERM, waits=False, settings=SOFT, environment=REMAPPED),
}


@pytest.mark.parametrize("task", ["hold", "hold_late"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_ends(programs: Programs, tmp_path: Path, end: End, task: str) -> None:
    """However a worker stops, its tasks end once or stop running, and with acks_late they return to their queue."""
    server = programs.redis()
    exporter = watched(programs, server)
    options = WorkerOptions(settings=end.settings, arguments=BEATING, environment=end.environment)
    worker = programs.worker(server, options=options)
    app, gate = programs.publisher(server), tmp_path / "gate"
    for _ in range(5):
        app.send_task("plain")
    exporter.agrees("plain", times(5, ONE_SUCCESS))
    app.send_task(task, (str(gate),))
    exporter.agrees(task, {**ONE_RUN, "running": 1})
    worker.process.signal(end.number)
    if end.waits:
        gate.touch()
    worker.process.ended()
    exporter.agrees(task, ONE_SUCCESS if end.waits else ONE_RUN)
    exporter.agrees("plain", times(5, ONE_SUCCESS))
    eventually(lambda: exporter.value("celery_workers", state="offline") == 1)
    assert not exporter.value(MISSED, worker=worker.name)
    assert not exporter.labels("celery_exporter_tasks_unmatched_total")
    left = 1 if task == "hold_late" and not end.waits else 0
    assert (server.command("LLEN", "celery"), server.command("HLEN", "unacked")) == (left, 0)
