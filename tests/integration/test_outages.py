# SPDX-License-Identifier: Apache-2.0
"""Redis away, hanging, or refusing: what is shown then, and that it passes."""

import signal

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.checks import check_quickly
from tests.integration.conftest import Programs
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

BACK_SECONDS = 5.0
"""Within which the exporter finds a server that came back."""


def test_starts_while_redis_is_down(programs: Programs) -> None:
    """The exporter starts without its server, says so everywhere, and picks it up when it comes."""
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
    """While Redis is away counters stand, and afterwards they go on."""
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
    """A scrape of a hanging server ends before Prometheus gives up, whatever deadline is set."""
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
    """The exporter starts beside a hanging server, and picks it up when it goes on."""
    server = programs.redis()
    server.freeze()
    exporter = programs.exporter("--broker-url", server.url(), "--scrape.deadline", "500ms")
    assert exporter.value("redis_up", redis="broker") == 0
    server.thaw()
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1, BACK_SECONDS)
    eventually(exporter.hears, BACK_SECONDS)


def test_a_wrong_password_is_told_and_never_shown(programs: Programs) -> None:
    """A refused password is a reason of its own, logged once per part, and no password is written anywhere."""
    server = programs.redis(password="right-PASSWORD-1")
    wrong = "wrong-PASSWORD-2"
    url = server.url(password=wrong)
    exporter = programs.exporter("--broker-url", url)
    assert exporter.value("redis_up", redis="broker") == 0
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="auth") == 1
    refused = "celery_exporter_event_stream_reconnects_total"
    eventually(lambda: (exporter.value(refused, reason="auth") or 0) >= 3)
    failures = exporter.lines("supervisor.source_failed")
    assert {"event_stream": "auth", "queue_discovery": "auth"} == {line["source"]: line["reason"] for line in failures}
    assert len(failures) == 2
    check = programs.run(exporter.process.command[0], "-m", "celery_redis_exporter", "check", "--broker-url", url)
    assert check.ended() == 1
    shown = [exporter.get(path).text for path in ("/", "/metrics", "/-/ready", "/-/healthy")]
    for text in (*shown, exporter.process.output(), check.output()):
        assert "PASSWORD" not in text
    assert "auth" in check.output()


def test_a_missing_password_is_told(programs: Programs) -> None:
    """A server that wants a password which the URL does not hold is a matter of authentication too."""
    server = programs.redis(password="right-PASSWORD-1")
    exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{server.port}/0")
    assert exporter.value("redis_exporter_last_scrape_error", redis="broker", err="auth") == 1
    failed = eventually(lambda: exporter.lines("supervisor.source_failed"))
    assert failed[0]["reason"] == "auth"


def test_the_right_password_works(programs: Programs) -> None:
    """With its password in the URL a server is read and heard, and the password stays unseen."""
    server = programs.redis(password="right-PASSWORD-1")
    exporter = programs.listening(server)
    assert exporter.value("redis_up", redis="broker") == 1
    for text in (exporter.get("/").text, exporter.get().text, exporter.process.output()):
        assert "PASSWORD" not in text


def test_a_subscription_that_the_server_cut_is_resumed(programs: Programs) -> None:
    """A subscription that fell behind and was cut by the server stands again, and the loss is counted."""
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
    """Connections that an operator kills are opened again, and no scrape fails for it."""
    server = programs.redis()
    exporter = programs.listening(server)
    for kind in ("pubsub", "normal", "normal"):
        server.command("CLIENT", "KILL", "TYPE", kind)
        assert exporter.value("redis_up", redis="broker") == 1
    # A subscription that is opened again is a normal connection at first, which the next command may kill, too.
    eventually(lambda: (exporter.value("celery_exporter_event_stream_reconnects_total", reason="closed") or 0) >= 1)
    eventually(exporter.hears)


def test_connections_that_redis_closes_while_idle_fail_no_scrape(programs: Programs) -> None:
    """Where Redis closes idle connections (``timeout``) sooner than Prometheus scrapes, no scrape is a failure."""
    server = programs.redis(options=("--timeout", "1"))
    exporter = programs.listening(server)

    def is_idle() -> bool:
        with server.client() as client:
            return "celery-redis-exporter" not in {other["name"] for other in client.client_list()}

    for _ in range(3):
        assert exporter.value("redis_up", redis="broker") == 1
        eventually(is_idle)


def test_a_busy_server_is_not_one_that_refuses(programs: Programs) -> None:
    """While a script blocks the server it is down for a reason other than missing rights, and comes back."""
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


def test_a_full_server_is_told(programs: Programs) -> None:
    """A server that takes no more clients is down, with a reason, until there is room."""
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
    """A server that goes is one line with name and reason, its return another one; no failure is a success."""
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
