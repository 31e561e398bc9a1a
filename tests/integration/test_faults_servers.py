# SPDX-License-Identifier: Apache-2.0
"""Faults of the Redis server: killed, read-only, unable to save, full, emptied."""

import pytest

from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_SUCCESS, times
from tests.integration.faults import NOTICE_SECONDS, recovers, stop_saving, watched
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

FRESH = ("--scrape.freshness", "0")
MISSED = "celery_worker_events_missed_total"


def test_a_server_that_is_killed(programs: Programs) -> None:
    """A killed server is reported as down at once, and counters continue after its restart."""
    server = programs.redis()
    exporter = programs.exporter("--broker-url", server.url(), *FRESH)
    eventually(exporter.hears)
    app = programs.publisher(server)
    app.send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})
    with watched(exporter):
        server.process.kill()
        eventually(lambda: exporter.value("redis_up", redis="broker") == 0, NOTICE_SECONDS)
        eventually(lambda: not exporter.hears(), NOTICE_SECONDS)
        server.stop()
        server.start()
        recovers(exporter)
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 2})


def test_a_server_that_becomes_read_only(programs: Programs) -> None:
    """A broker that becomes a replica is still read, and queries of workers resume when it is a master again."""
    server, other = programs.redis(), programs.redis()
    flags = ("--celery.inspect-interval", "1s", "--celery.inspect-timeout", "1s", "--workers.lost-after", "1h")
    exporter = programs.exporter("--broker-url", server.url(), *FRESH, *flags)
    eventually(exporter.hears)
    # Not a real worker: Celery's stops within a second, because its BRPOP is rejected.
    with programs.publisher(server).events.default_dispatcher(hostname="w@fleet") as dispatcher:
        dispatcher.send("worker-online", freq=2.0, active=0, processed=0)
    collector = {"collector": "control"}
    eventually(lambda: exporter.value("celery_exporter_collector_success", **collector) == 1)
    with watched(exporter):
        server.command("REPLICAOF", "127.0.0.1", other.port)
        # While a replica loads the data of its master, it is down with that reason.
        master = {"redis": "broker", "master_host": "127.0.0.1", "master_port": str(other.port)}
        eventually(lambda: exporter.value("redis_master_link_up", **master) == 1)
        assert exporter.value("redis_up", redis="broker") == 1
        assert exporter.value("celery_unacked_messages") == 0
        assert exporter.hears()
        eventually(lambda: exporter.value("celery_exporter_collector_success", **collector) == 0)
        server.command("REPLICAOF", "NO", "ONE")
        recovers(exporter)
        eventually(lambda: exporter.value("celery_exporter_collector_success", **collector) == 1)


def test_a_server_that_can_not_save(programs: Programs) -> None:
    """A server that refuses writes because it can't save is up, its metrics show the failure, and counters stay."""
    server = programs.redis(options=("--enable-protected-configs", "yes"))
    exporter = programs.exporter("--broker-url", server.url(), *FRESH)
    worker = programs.worker(server)
    eventually(exporter.hears)
    app = programs.publisher(server)
    app.send_task("plain", (1,))
    exporter.agrees("plain", ONE_SUCCESS)
    worker.process.end()  # Celery's workers stop within a second when their BRPOP is rejected
    eventually(lambda: exporter.value("celery_workers", state="offline") == 1)
    with watched(exporter):
        stop_saving(server)
        eventually(lambda: exporter.value("redis_rdb_last_bgsave_status", redis="broker") == 0)
        assert exporter.value("redis_up", redis="broker") == 1
        assert exporter.hears()
        server.command("CONFIG", "SET", "dir", str(server.folder))
        server.command("CONFIG", "SET", "save", "")
        recovers(exporter)
    programs.worker(server)
    app.send_task("plain", (2,))
    exporter.agrees("plain", times(2, ONE_SUCCESS))


def test_a_server_without_memory(programs: Programs) -> None:
    """A server at its memory limit is still read and its events are received, and tasks are counted afterwards."""
    server = programs.redis()
    exporter = programs.exporter("--broker-url", server.url(), *FRESH)
    programs.worker(server)
    eventually(exporter.hears)
    app = programs.publisher(server)
    app.send_task("plain", (1,))
    exporter.agrees("plain", ONE_SUCCESS)
    with watched(exporter):
        server.command("SET", "big", "x" * 3_000_000)
        server.command("CONFIG", "SET", "maxmemory", "2mb")
        eventually(lambda: exporter.value("redis_memory_max_bytes", redis="broker") == 2 * 2**20)
        assert exporter.value("redis_up", redis="broker") == 1
        assert exporter.hears()
        server.command("CONFIG", "SET", "maxmemory", "0")
        recovers(exporter)
    app.send_task("plain", (2,))
    exporter.agrees("plain", times(2, ONE_SUCCESS))


def test_a_server_that_is_emptied(programs: Programs) -> None:
    """After FLUSHALL known queues have length 0, and counters stay."""
    server = programs.redis()
    exporter = programs.exporter("--broker-url", server.url(), *FRESH)
    eventually(exporter.hears)
    app = programs.publisher(server)
    for _ in range(3):
        app.send_task("kept", queue="orders")
    eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 3)
    with watched(exporter):
        server.command("FLUSHALL")
        eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 0)
        assert exporter.value("celery_queue_oldest_message_age_seconds", queue="orders") == 0
        recovers(exporter)
    assert {"sent": 3} == exporter.account("kept")
    programs.publisher(server).send_task("kept", queue="orders")
    eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 1)
