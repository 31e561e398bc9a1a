# SPDX-License-Identifier: Apache-2.0
"""Executions of tasks with ``send_events=False`` are not counted as lost events."""

import sys

import pytest

from tests.integration.celery_versions import VERSIONS, install, python_of
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.eventless_tasks import EVENTLESS
from tests.integration.exporters import ONE_SUCCESS, Exporter, times
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

OFTEN = ("--celery.inspect-interval", "1s", "--celery.inspect-timeout", "1s")
SETTINGS = {"imports": ["tests.integration.eventless_tasks"]}
MISSED, PROCESSED = "celery_worker_events_missed_total", "celery_worker_tasks_processed_total"
EVENTS, BEAT = "celery_worker_task_events_enabled", "celery_worker_last_heartbeat_timestamp_seconds"
POOL = "celery_worker_pool_info"


def allow_events(server: RedisServer, *, allowed: bool) -> None:
    """Allow or deny the exporter's user to subscribe. Denial also closes its connection."""
    events = ("&/0.celeryev/*",) if allowed else ()
    channels = ("resetchannels", "&/0.celery.pidbox", *events)
    server.command("ACL", "SETUSER", "monitor", "on", ">word", "~*", "+@all", *channels)


def beats_on(exporter: Exporter, worker: str, seconds: float) -> None:
    """Wait until the worker has sent heartbeats for this many more seconds."""
    seen = exporter.value(BEAT, worker=worker) or 0
    eventually(lambda: (exporter.value(BEAT, worker=worker) or 0) > seen + seconds)


@pytest.mark.parametrize("version", ["own", *(pytest.param(minor, marks=pytest.mark.slow) for minor in VERSIONS)])
def test_lost_events_are_told_from_those_that_are_not_sent(programs: Programs, version: str) -> None:
    """Only executions with events that began while the subscription was cut are counted as missed."""
    if version != "own":
        install([version])
    python = sys.executable if version == "own" else str(python_of(version))
    server = programs.redis()
    allow_events(server, allowed=True)
    exporter = programs.exporter("--broker-url", server.url(user="monitor", password="word"), *OFTEN)
    eventually(exporter.hears)
    options = WorkerOptions(settings=SETTINGS, arguments=BEATING, python=python)
    worker = programs.worker(server, "partly", options).name
    app = programs.publisher(server)
    eventually(lambda: exporter.labels(POOL))
    for _ in range(30):
        app.send_task("plain")
        app.send_task(EVENTLESS)
    eventually(lambda: exporter.value(PROCESSED, worker=worker) == 60)
    beats_on(exporter, worker, 5)
    assert exporter.value(MISSED, worker=worker) == 0
    allow_events(server, allowed=False)
    eventually(lambda: exporter.value("celery_exporter_event_stream_reconnects_total", reason="noperm"))
    for _ in range(7):
        app.send_task("plain")
        app.send_task(EVENTLESS)
    eventually(lambda: server.command("HLEN", "unacked") == 0 and server.command("LLEN", "celery") == 0)
    allow_events(server, allowed=True)
    eventually(lambda: exporter.value(MISSED, worker=worker) == 7)
    beats_on(exporter, worker, 3)
    assert exporter.value(MISSED, worker=worker) == 7
    assert exporter.value(PROCESSED, worker=worker) == 74
    exporter.agrees("plain", times(30, ONE_SUCCESS))
    assert exporter.value(EVENTS, worker=worker) == 1


@pytest.mark.parametrize("sends", [True, False], ids=["with -E", "without"])
def test_workers_without_task_events_are_told_from_tasks_without(programs: Programs, sends: bool) -> None:  # noqa: FBT001 -- a table
    """A worker that executes only tasks without events is not reported until a task with events runs."""
    server = programs.redis()
    exporter = programs.listening(server, *OFTEN)
    options = WorkerOptions(settings=SETTINGS, arguments=BEATING, events=sends)
    worker = programs.worker(server, options=options).name
    app = programs.publisher(server)
    eventually(lambda: exporter.labels(POOL))
    for _ in range(3):
        app.send_task(EVENTLESS)
    eventually(lambda: exporter.value(PROCESSED, worker=worker) == 3)
    beats_on(exporter, worker, 5)
    assert exporter.value(EVENTS, worker=worker) is None
    app.send_task("plain")
    eventually(lambda: exporter.value(EVENTS, worker=worker) == float(sends))
    assert exporter.value(MISSED, worker=worker) == 0
