# SPDX-License-Identifier: Apache-2.0
"""Redis unreachable, hanging or refusing: what the exporter shows meanwhile and afterwards."""

import signal

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.checks import check_quickly
from tests.integration.conftest import Programs
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

BACK_SECONDS = 5.0
"""Seconds within which the exporter reconnects to a server that is available again."""


def test_starts_while_redis_is_down(programs: Programs) -> None:
    """The exporter starts without its server, reports that everywhere, and connects when the server is up."""
    server = programs.redis()
    server.stop()
    exporter = programs.exporter("--broker-url", server.url())
    assert exporter.value("redis_up", redis="broker") == 0
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="refused") == 1
    assert exporter.value("celery_exporter_event_stream_up") == 0
    assert exporter.value("celery_workers", state="online") == 0
    assert exporter.value("celery_queue_length", queue="celery") is None
    assert exporter.get("/-/healthy").status == 200
    assert exporter.get("/-/ready").status == 503
    assert exporter.get("/").status == 200
    server.start()
    eventually(exporter.hears, BACK_SECONDS)
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1, BACK_SECONDS)
    eventually(lambda: exporter.get("/-/ready").status == 200, BACK_SECONDS)


def test_counters_survive_a_restart_of_redis(programs: Programs) -> None:
    """Counters keep their values while Redis is unreachable, and continue from there."""
    server = programs.redis()
    exporter = programs.listening(server)
    app = programs.publisher(server)
    for _ in range(3):
        app.send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 3})
    server.stop()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 0)
    eventually(lambda: not exporter.hears())
    assert {"sent": 3} == exporter.account("counted")
    server.start()
    eventually(exporter.hears, BACK_SECONDS)
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 4})
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1)
    assert exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") == 1
    assert exporter.value("celery_exporter_event_stream_gap_seconds_total")


def test_a_hanging_redis_costs_its_own_metrics_only(programs: Programs) -> None:
    """While Redis hangs a scrape is answered within the deadline, with redis_up 0 and every event metric."""
    server = programs.redis()
    exporter = programs.listening(server, "--scrape.deadline", "500ms", "--events.idle-timeout", "2s")
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})
    eventually(lambda: exporter.value("celery_queue_length", queue="celery") == 1)
    clock = SystemClock()
    server.freeze()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 0)
    started = clock.monotonic()
    samples = exporter.metrics()
    assert clock.monotonic() - started < 2
    assert samples["redis_up", frozenset({("redis", "broker")})] == 0
    assert samples["redis_exporter_last_scrape_error", frozenset({("redis", "broker"), ("err", "timeout")})] == 1
    assert samples["celery_tasks_sent_total", frozenset({("task", "counted"), ("queue", "celery")})] == 1
    assert not [name for name, _ in samples if name.startswith(("celery_queue_", "redis_memory_"))]
    assert exporter.get("/-/healthy").status == 200
    eventually(lambda: exporter.value("celery_exporter_event_stream_up") == 0, 10)
    server.thaw()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1, BACK_SECONDS)
    eventually(exporter.hears, BACK_SECONDS)
    assert exporter.value("celery_queue_length", queue="celery") == 1


def test_prometheus_own_timeout_bounds_a_scrape(programs: Programs) -> None:
    """A scrape of a hanging server ends before Prometheus's timeout, whatever deadline is set."""
    server = programs.redis()
    exporter = programs.listening(server, "--scrape.deadline", "15s")
    server.freeze()
    clock = SystemClock()
    started = clock.monotonic()
    answer = exporter.get("/metrics", {"X-Prometheus-Scrape-Timeout-Seconds": "1"})
    assert clock.monotonic() - started < 1
    assert 'redis_up{redis="broker"} 0.0' in answer.text
    exporter.process.signal(signal.SIGTERM)
    assert exporter.process.ended(10) == 0


def test_starts_while_redis_hangs(programs: Programs) -> None:
    """The exporter starts while its server hangs, and connects when it responds again."""
    server = programs.redis()
    server.freeze()
    exporter = programs.exporter("--broker-url", server.url(), "--scrape.deadline", "500ms")
    assert exporter.value("redis_up", redis="broker") == 0
    server.thaw()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1, BACK_SECONDS)
    eventually(exporter.hears, BACK_SECONDS)


def test_a_wrong_password_is_told_and_never_shown(programs: Programs) -> None:
    """A refused password has a dedicated reason, is logged once per part, and the password appears in no output."""
    server = programs.redis(password="right-PASSWORD-1")
    wrong = "wrong-PASSWORD-2"
    url = server.url(password=wrong)
    exporter = programs.exporter("--broker-url", url)
    assert exporter.value("redis_up", redis="broker") == 0
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="auth") == 1
    refused = "celery_exporter_event_stream_reconnects_total"
    eventually(lambda: (exporter.value(refused, reason="auth") or 0) >= 3)
    sources = {"event_stream", "queue_discovery", "key_space_broker"}
    eventually(lambda: sources == {line["source"] for line in exporter.lines("supervisor.source_failed")})
    assert ["auth"] * 3 == [line["reason"] for line in exporter.lines("supervisor.source_failed")]
    check = programs.run(exporter.process.command[0], "-m", "celery_redis_exporter", "check", "--broker-url", url)
    assert check.ended() == 1
    shown = [exporter.get(path).text for path in ("/", "/metrics", "/-/ready", "/-/healthy")]
    for text in (*shown, exporter.process.output(), check.output()):
        assert "PASSWORD" not in text
    assert "auth" in check.output()


def test_a_missing_password_is_reported(programs: Programs) -> None:
    """A server that requires a password missing from the URL is reported as an authentication failure."""
    server = programs.redis(password="right-PASSWORD-1")
    exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{server.port}/0")
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="auth") == 1
    failed = eventually(lambda: exporter.lines("supervisor.source_failed"))
    assert failed[0]["reason"] == "auth"


def test_the_right_password_works(programs: Programs) -> None:
    """With the password in the URL the exporter reads the server and receives events, and never shows the password."""
    server = programs.redis(password="right-PASSWORD-1")
    exporter = programs.listening(server)
    assert exporter.value("redis_up", redis="broker") == 1
    for text in (exporter.get("/").text, exporter.get().text, exporter.process.output()):
        assert "PASSWORD" not in text


def test_a_subscription_that_the_server_cut_is_resumed(programs: Programs) -> None:
    """If the server closes a slow subscription, the exporter subscribes again and counts the loss."""
    server = programs.redis(options=("--client-output-buffer-limit", "pubsub", "256kb", "0", "0"))
    exporter = programs.listening(server)
    exporter.process.signal(signal.SIGSTOP)
    try:
        eventually(lambda: server.command("PUBLISH", "/0.celeryev/task.multi", "x" * 1_000_000) == 0)
    finally:
        exporter.process.signal(signal.SIGCONT)
    eventually(lambda: exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") == 1)
    eventually(exporter.hears)
    assert exporter.value("redis_client_output_buffer_limit_disconnections_total", redis="broker") in {None, 1}
    programs.publisher(server).send_task("counted")
    eventually(lambda: exporter.account("counted") == {"sent": 1})


def test_killed_connections_are_opened_again(programs: Programs) -> None:
    """Connections that an operator kills are opened again, and no scrape fails."""
    server = programs.redis()
    exporter = programs.listening(server)
    for kind in ("pubsub", "normal", "normal"):
        server.command("CLIENT", "KILL", "TYPE", kind)
        assert exporter.value("redis_up", redis="broker") == 1
    # A subscription that is opened again is a normal connection at first, which the next command may kill, too.
    eventually(lambda: (exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") or 0) >= 1)
    eventually(exporter.hears)


def test_connections_that_redis_closes_while_idle_fail_no_scrape(programs: Programs) -> None:
    """If Redis closes idle connections (``timeout``) between two scrapes, no scrape fails."""
    server = programs.redis(options=("--timeout", "1"))
    exporter = programs.listening(server)

    def is_idle() -> bool:
        with server.client() as client:
            return "celery-redis-exporter" not in {other["name"] for other in client.client_list()}

    for _ in range(3):
        assert exporter.value("redis_up", redis="broker") == 1
        eventually(is_idle)


def test_a_busy_server_is_not_one_that_refuses(programs: Programs) -> None:
    """While a script blocks the server its down reason is not a missing permission, and it recovers afterwards."""
    server = programs.redis(options=("--busy-reply-threshold", "100"))
    exporter = programs.listening(server, "--events.idle-timeout", "5s")
    with server.client() as client:
        endless = client.connection_pool.get_connection()
        endless.send_command("EVAL", "while true do end", 0)
        eventually(lambda: exporter.value("redis_up", redis="broker") == 0)
        reasons = []
        for _ in range(3):
            reasons += [labels["err"] for labels in exporter.labels("redis_exporter_last_scrape_error")]
        client.script_kill()
        endless.disconnect()
    assert "noperm" not in reasons
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1)


def test_a_full_server_is_reported(programs: Programs) -> None:
    """A server that accepts no more clients is down, with a reason, until a connection is free."""
    server = programs.redis()
    server.command("CONFIG", "SET", "maxclients", "1")
    with server.client() as client:
        client.ping()
        exporter = programs.exporter("--broker-url", server.url())
        assert exporter.value("redis_up", redis="broker") == 0
        assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="maxclients") == 1
        assert not exporter.hears()
        found = check_quickly(programs, server.url())
        assert {"redis-maxclients"} == {code for code in found if code.startswith("redis-")}
        assert "max number of clients" in found["redis-maxclients"]["found"]
        client.config_set("maxclients", 100)
    eventually(exporter.hears, BACK_SECONDS)
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1)


def test_the_log_names_what_is_down(programs: Programs) -> None:
    """A lost server is one log line with name and reason, its return another, and no failure is logged as success."""
    server = programs.redis()
    exporter = programs.listening(server)
    exporter.metrics()
    assert [] == exporter.lines("supervisor.source_works") + exporter.lines("server.up")
    server.stop()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 0)
    exporter.metrics()
    server.start()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1)
    eventually(exporter.hears)
    eventually(lambda: exporter.lines("events.resumed"))
    assert "broker" == exporter.line("server.down")["server"]
    assert exporter.line("server.down")["reason"] in {"closed", "refused"}
    (up,) = exporter.lines("server.up")
    assert ("broker", True) == (up["server"], up["after_seconds"] >= 0)
    assert exporter.line("events.lost")["reason"] in {"closed", "refused"}
