# SPDX-License-Identifier: Apache-2.0
"""SIGTERM during a fault: the exporter stops in time with exit code 0 and leaves nothing behind."""

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.faults import ended_politely, ends_politely, shifted, stop_saving, with_few_descriptors
from tests.integration.processes import free_port
from tests.integration.redis_servers import RedisServer
from tests.integration.sentinel_servers import SentinelSet
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

WILLING = (
    "--enable-debug-command", "yes", "--enable-protected-configs", "yes",
    "--loading-process-events-interval-bytes", "1024", "--client-output-buffer-limit", "pubsub 64kb 64kb 1",
)  # fmt: skip
"""Options of a server that allows every fault."""
ERROR = "redis_exporter_last_scrape_error"
Fault = Callable[[RedisServer, Exporter], None]


def _killed(server: RedisServer, exporter: Exporter) -> None:
    server.process.kill()
    eventually(lambda: not exporter.hears())


def _frozen(server: RedisServer, exporter: Exporter) -> None:
    server.freeze()
    eventually(lambda: exporter.value("celery_exporter_event_stream_up") == 0)


def _read_only(server: RedisServer, exporter: Exporter) -> None:
    server.command("REPLICAOF", "127.0.0.1", free_port())
    eventually(lambda: exporter.labels("redis_slave_info"))


def _unable_to_save(server: RedisServer, exporter: Exporter) -> None:
    stop_saving(server)
    eventually(lambda: exporter.value("redis_rdb_last_bgsave_status", redis="broker") == 0)


def _full(server: RedisServer, exporter: Exporter) -> None:
    server.command("CONFIG", "SET", "maxmemory", "1")
    eventually(lambda: exporter.value("redis_memory_max_bytes", redis="broker") == 1)


def _emptied(server: RedisServer, exporter: Exporter) -> None:
    server.command("FLUSHALL")


def _cut_off(server: RedisServer, exporter: Exporter) -> None:
    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    server.command("CLIENT", "KILL", "TYPE", "normal")


def _locked(server: RedisServer, exporter: Exporter) -> None:
    server.command("CONFIG", "SET", "requirepass", "another")
    server.password = "another"
    _cut_off(server, exporter)
    eventually(lambda: exporter.value(ERROR, redis="broker", err="auth") == 1)


def _loading(server: RedisServer, exporter: Exporter) -> None:
    server.command("DEBUG", "POPULATE", 3000, "key", 100)
    server.command("CONFIG", "SET", "key-load-delay", 1000)

    def reload() -> None:
        with contextlib.suppress(redis.ConnectionError):  # the test ends before that
            server.command("DEBUG", "RELOAD")

    threading.Thread(target=reload, daemon=True).start()
    eventually(lambda: exporter.value(ERROR, redis="broker", err="loading") == 1)


def _too_slow(server: RedisServer, exporter: Exporter) -> None:
    exporter.process.signal(signal.SIGSTOP)

    def cut_off() -> bool:
        server.command("PUBLISH", "/0.celeryev/worker.heartbeat", "x" * 100_000)
        return bool(server.command("CLIENT", "LIST", "TYPE", "pubsub") == b"")

    eventually(cut_off)
    exporter.process.signal(signal.SIGCONT)


FAULTS: tuple[Fault, ...] = (
    _killed, _frozen, _read_only, _unable_to_save, _full, _emptied, _cut_off, _locked, _loading, _too_slow,
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_faults_of_the_server(programs: Programs, fault: Fault) -> None:
    """SIGTERM ends the exporter in time during any fault of the server."""
    server = programs.redis(options=WILLING)
    exporter = programs.listening(server, "--scrape.freshness", "0", "--events.idle-timeout", "1s")
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})
    fault(server, exporter)
    ends_politely(exporter)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_faults_of_workers(programs: Programs, number: signal.Signals) -> None:
    """Control commands without a reply from a worker do not delay the exporter's end."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s", "--workers.lost-after", "3s")
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 1)
    worker.process.signal(number)
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 0)
    ends_politely(exporter)
    worker.process.signal(signal.SIGCONT)


def test_a_fleet_that_joins(programs: Programs) -> None:
    """SIGTERM ends the exporter in time during the first events of two hundred workers."""
    server = programs.redis()
    exporter = programs.listening(server)
    with programs.publisher(server).events.default_dispatcher(hostname="fleet") as dispatcher:
        for number in range(200):
            dispatcher.hostname = f"w{number}@fleet"
            dispatcher.send("worker-online", freq=2.0, active=0, processed=0)
            if number == 100:
                exporter.process.signal(signal.SIGTERM)
    ended_politely(exporter)


def test_a_master_that_is_searched(programs: Programs) -> None:
    """SIGTERM ends the exporter in time while the sentinels have no living master."""
    server = programs.redis()
    sentinels = SentinelSet(programs.folder / "one", (server,), 1)
    programs.processes.append(sentinels.sentinels[0].process)
    try:
        options = ("--broker-transport-options", json.dumps(sentinels.options))
        exporter = programs.listening(sentinels, *options)
        server.process.kill()
        eventually(lambda: exporter.value("redis_up", redis="broker") == 0)
        ends_politely(exporter)
    finally:
        sentinels.stop()


@pytest.mark.parametrize("followed", [False, True], ids=["begun", "followed"])
def test_a_master_that_moves(programs: Programs, followed: bool) -> None:  # noqa: FBT001 -- the moment
    """SIGTERM ends the exporter in time during and right after a failover, and the failover itself succeeds."""
    first = programs.redis(options=("--repl-diskless-sync-delay", "0"))
    second = programs.redis(options=("--replicaof", "127.0.0.1", f"{first.port}"))
    sentinels = SentinelSet(programs.folder / "one", (first, second), 1)
    programs.processes.append(sentinels.sentinels[0].process)
    try:
        options = ("--broker-transport-options", json.dumps(sentinels.options))
        exporter = programs.listening(sentinels, *options)
        sentinels.begin_fail_over()
        if followed:
            eventually(lambda: sentinels.master is second)
        ends_politely(exporter)
        eventually(lambda: sentinels.master is second)
        eventually(lambda: second.command("ROLE")[0] == b"master")
        assert first.process.exit_code is None
    finally:
        sentinels.stop()


def test_a_clock_that_steps_back(programs: Programs, tmp_path: Path) -> None:
    """SIGTERM ends the exporter in time after its clock was set back by hours."""
    server = programs.redis()
    environment, file = shifted(tmp_path)
    exporter = programs.exporter("--broker-url", server.url(), environment=environment)
    eventually(exporter.hears)
    file.write_text("-10800", encoding="utf-8")
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})
    ends_politely(exporter)


def test_no_descriptors_left(programs: Programs) -> None:
    """SIGTERM ends the exporter in time without free descriptors."""
    server = programs.redis()
    exporter = with_few_descriptors(programs, server)
    folder = Path(f"/proc/{exporter.process.pid}/fd")
    with ExitStack() as ending:
        for _ in range(100):
            ending.enter_context(closing(socket.create_connection(("127.0.0.1", exporter.port), timeout=5)))
        eventually(lambda: len(list(folder.iterdir())) >= 60)
        ends_politely(exporter)
