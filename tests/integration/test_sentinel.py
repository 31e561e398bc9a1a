# SPDX-License-Identifier: Apache-2.0
"""Redis behind Sentinel: the same counts before and after a failover, and the messages for wrong settings."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from celery import Celery

from tests.integration.celery_workers import Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, Exporter, times
from tests.integration.processes import Process
from tests.integration.sentinel_servers import NAME, PASSWORD, SentinelSet
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

UP = "redis_up"
REDIS_PASSWORD = "redis-PASSWORD"
FOLLOW_SECONDS = 15.0
PATIENT = {"broker_connection_retry": True, "broker_connection_max_retries": None, "broker_heartbeat": 1}


def options_of(sentinels: SentinelSet, **changes: object) -> tuple[str, ...]:
    """Return the flag with Celery's transport options."""
    return ("--broker-transport-options", json.dumps({**sentinels.options, **changes}))


@dataclass(frozen=True)
class Watched:
    """Three sentinels that monitor a master and its replica, a subscribed exporter, a worker, and a publisher."""

    sentinels: SentinelSet
    exporter: Exporter
    worker: Worker
    app: Celery
    processes: tuple[Process, ...]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield one set for all tests; each test leaves a healthy master and replica."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("sentinel"), ending)
        auth = ("--masterauth", REDIS_PASSWORD, "--repl-diskless-sync-delay", "0")
        first = programs.redis(password=REDIS_PASSWORD, options=auth)
        second = programs.redis(password=REDIS_PASSWORD, options=(*auth, "--replicaof", "127.0.0.1", f"{first.port}"))
        sentinels = SentinelSet(programs.folder, (first, second), 3)
        ending.callback(sentinels.stop)
        exporter = programs.listening(sentinels, *options_of(sentinels))
        settings = {"broker_transport_options": sentinels.options, **PATIENT}
        worker = programs.worker(sentinels, "watched", WorkerOptions(settings=settings))
        app = programs.publisher(sentinels, broker_transport_options=sentinels.options)
        processes = (*programs.processes, *(sentinel.process for sentinel in sentinels.sentinels))
        yield Watched(sentinels, exporter, worker, app, processes)


def test_the_master_is_read_and_heard(watched: Watched) -> None:
    """Tasks of each outcome count as without Sentinel, and queues, servers and workers are read."""
    for number in range(5):
        watched.app.send_task("plain", (number,))
        watched.app.send_task("fail")
        watched.app.send_task("retry_once")
    exporter = watched.exporter
    exporter.agrees("plain", times(5, ONE_SUCCESS))
    exporter.agrees("fail", times(5, {**ONE_RUN, "failure": 1, "ValueError": 1, "runtime failure": 1}))
    ends = {"retry": 1, "KeyError": 1, "runtime retry": 1, "success": 1, "runtime success": 1}
    exporter.agrees("retry_once", times(5, {**times(2, ONE_RUN), **ends}))
    assert exporter.value(UP, redis="broker") == 1
    assert exporter.value("celery_queue_length", queue="celery") == 0
    roles = [labels["role"] for labels in exporter.labels("redis_instance_info") if labels["redis"] == "broker"]
    assert ["master"] == roles
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=watched.worker.name) == 2)
    eventually(lambda: exporter.get("/-/ready").status == 200)


def test_sentinels_are_read(watched: Watched) -> None:
    """Each sentinel is a server named by its address, and reports the master with redis_exporter's metrics."""
    exporter = watched.exporter
    for sentinel in watched.sentinels.sentinels:
        name = f"broker/sentinel/127.0.0.1:{sentinel.port}"
        of_master = {"master_name": NAME, "master_address": f"127.0.0.1:{watched.sentinels.master.port}", "redis": name}
        assert exporter.value(UP, redis=name) == 1
        assert exporter.value("redis_sentinel_masters", redis=name) == 1
        assert exporter.value("redis_sentinel_master_status", **of_master, master_status="ok") == 1
        assert exporter.value("redis_sentinel_master_sentinels", **of_master) == 3
        assert exporter.value("redis_sentinel_master_setting_ckquorum", **of_master) == 2
        eventually(lambda of_master=of_master: exporter.value("redis_sentinel_master_ok_sentinels", **of_master) == 3)  # type: ignore[misc]  # a lambda's default has no type
        eventually(lambda of_master=of_master: exporter.value("redis_sentinel_master_ok_slaves", **of_master) == 1)  # type: ignore[misc]  # as above
        quorum = [
            labels for labels in exporter.labels("redis_sentinel_master_ckquorum_status") if labels["redis"] == name
        ]
        assert ["OK 3 usable Sentinels. Quorum and failover authorization can be reached"] == [
            labels["message"] for labels in quorum
        ]
        assert exporter.value("redis_db_keys", redis=name, db="db0") is None
    assert exporter.labels("celery_exporter_command_denied") == []


def test_analyze_prints_commands_for_the_master(watched: Watched, programs: Programs) -> None:
    """A command that ``analyze`` prints goes to the master, since a sentinel stores no keys."""
    sentinels = watched.sentinels
    key = "left.reply.celery.pidbox"
    sentinels.master.command("LPUSH", key, "x")
    flags = ("--broker-url", sentinels.url(), *options_of(sentinels), "--duty=1")
    process = programs.run(sys.executable, "-m", "celery_redis_exporter", "analyze", *flags)
    assert 0 == process.ended(30)
    sentinels.master.command("DEL", key)
    assert f" redis-cli -h 127.0.0.1 -p {sentinels.master.port} -n 0 UNLINK" in process.output()
    assert PASSWORD not in process.output()


def test_a_failover_is_followed(watched: Watched) -> None:
    """After Sentinel promotes the replica, and after the new master is killed, all counts continue."""
    exporter, sentinels = watched.exporter, watched.sentinels
    sentinels.fail_over()
    _wait_until_followed(watched)
    _count_again(watched, 3)
    killed = sentinels.master
    killed.process.kill()
    eventually(lambda: sentinels.master is not killed)
    _wait_until_followed(watched)
    _count_again(watched, 6)
    assert exporter.value("celery_exporter_event_stream_gap_seconds_total")
    assert (exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") or 0) >= 2
    killed.stop()
    killed.start()
    eventually(lambda: exporter.value("redis_connected_slaves", redis="broker") == 1, FOLLOW_SECONDS)


def test_a_master_that_is_none_any_more_is_left(programs: Programs) -> None:
    """If the sentinels name another master, the exporter closes its connections to the old one."""
    former, latter = programs.redis(), programs.redis()
    sentinels = SentinelSet(programs.folder / "one", (former,), 1)
    sentinels.servers.append(latter)
    programs.processes.append(sentinels.sentinels[0].process)
    try:
        exporter = programs.listening(sentinels, *options_of(sentinels), "--queues.names", "moved")
        assert exporter.value("celery_queue_length", queue="moved") == 0
        latter.command("LPUSH", "moved", "x")
        sentinels.sentinels[0].command("REMOVE", NAME)
        sentinels.sentinels[0].command("MONITOR", NAME, "127.0.0.1", latter.port, 1)
        eventually(lambda: exporter.value("celery_queue_length", queue="moved") == 1)
        eventually(latter.is_heard)
        programs.publisher(latter).send_task("kept", queue="parked")
        eventually(lambda: exporter.account("kept") == {"sent": 1})
        assert former.command("CLIENT", "LIST", "TYPE", "pubsub") == b""
    finally:
        sentinels.stop()


def test_a_wrong_sentinel_password_is_reported(watched: Watched, programs: Programs) -> None:
    """An error of the sentinels differs from one of Redis, and names the setting to check."""
    wrong = options_of(watched.sentinels, sentinel_kwargs={"password": "wrong-PASSWORD"})
    line = _trouble(watched, programs, "auth", *wrong)
    assert "broker_transport_options: check sentinel_kwargs.username and .password" in line
    wrong_redis = watched.sentinels.url().replace(REDIS_PASSWORD, "wrong-PASSWORD")
    exporter = programs.exporter("--broker-url", wrong_redis, *options_of(watched.sentinels))
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="auth") == 1
    for text in (exporter.process.output(), exporter.get("/").text):
        assert "PASSWORD" not in text


def test_an_unknown_master_is_reported(watched: Watched, programs: Programs) -> None:
    """An unknown master name has a dedicated reason, and the message names the setting to check."""
    line = _trouble(watched, programs, "nomaster", *options_of(watched.sentinels, master_name="nobody"))
    assert "broker_transport_options: check master_name" in line
    assert "'nobody'" in line


def test_check_of_a_master_is_good(watched: Watched, programs: Programs) -> None:
    """``check`` finds the master through its sentinels."""
    arguments = ("--broker-url", watched.sentinels.url(), *options_of(watched.sentinels))
    check = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", *arguments)
    assert check.ended(20) == 0
    assert "OK    redis broker" in check.output(), check.output()
    assert "PASSWORD" not in check.output()


def test_results_behind_sentinel_are_read(watched: Watched, programs: Programs) -> None:
    """A result backend behind sentinels is read, and only once if it is the broker's Redis."""
    broker = programs.redis()
    options = {"master_name": NAME, "sentinel_kwargs": {"password": PASSWORD}}
    results = ("--result-backend-url", watched.sentinels.url(db=1))
    given = (*results, "--result-backend-transport-options", json.dumps(options))
    exporter = programs.exporter("--broker-url", broker.url(), *given)
    assert exporter.value(UP, redis="results") == 1
    both = programs.exporter("--broker-url", watched.sentinels.url(), *options_of(watched.sentinels), *given)
    assert both.value(UP, redis="broker") == 1
    assert both.value(UP, redis="results") is None


def _wait_until_followed(watched: Watched) -> None:
    """Wait until exporter and worker are connected to the current master."""
    port, exporter = f"{watched.sentinels.master.port}", watched.exporter

    def followed() -> bool:
        found = [labels for labels in exporter.labels("redis_instance_info") if labels["redis"] == "broker"]
        is_read = [(port, "master")] == [(labels["tcp_port"], labels["role"]) for labels in found]
        return is_read and watched.sentinels.master.is_heard()

    eventually(followed, FOLLOW_SECONDS)
    beats = exporter.value("celery_worker_last_heartbeat_timestamp_seconds", worker=watched.worker.name) or 0
    heard = "celery_worker_last_heartbeat_timestamp_seconds"
    eventually(lambda: (exporter.value(heard, worker=watched.worker.name) or 0) > beats)


def _count_again(watched: Watched, total: int) -> None:
    """Send three more tasks, and check that they count exactly."""
    for number in range(3):
        watched.app.send_task("again", (number,))
    watched.exporter.agrees("again", times(total, ONE_SUCCESS))


def _trouble(watched: Watched, programs: Programs, reason: str, *arguments: str) -> str:
    """Start an exporter that can't work, check that it shows the reason once per part, and return its log line."""
    exporter = programs.exporter("--broker-url", watched.sentinels.url(), *arguments)
    assert exporter.value(UP, redis="broker") == 0
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err=reason) == 1
    refused = "celery_exporter_event_stream_reconnects_total"
    eventually(lambda: (exporter.value(refused, reason=reason) or 0) >= 2)
    failures = exporter.lines("supervisor.source_failed")
    assert {reason} == {line["reason"] for line in failures}
    assert len(failures) == len({line["source"] for line in failures})
    assert "PASSWORD" not in exporter.process.output()
    return str(failures[0]["error"])
