# SPDX-License-Identifier: Apache-2.0
"""How the daemon starts and ends."""

import signal
import socket
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

RELOADED = "celery_exporter_config_last_reload_successful"
RELOADED_AT = "celery_exporter_config_last_reload_success_timestamp_seconds"
MODULE = (sys.executable, "-m", "celery_redis_exporter")
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


@STOPS
def test_signals_end_it_politely(programs: Programs, number: signal.Signals) -> None:
    """A signal ends the exporter with exit code 0 and a last log line that lists no part still running."""
    server = programs.redis()
    exporter = programs.listening(server)
    exporter.metrics()
    exporter.process.signal(number)
    assert exporter.process.ended(10) == 0
    last = exporter.lines()[-1]
    assert ("app.stopped", [], False) == (last["event"], last["left_behind"], last["requests_cut_off"])
    assert [] == server.command("CLIENT", "LIST", "TYPE", "pubsub").split()


@STOPS
def test_signals_end_it_while_redis_hangs(programs: Programs, number: signal.Signals) -> None:
    """A server that does not respond does not keep the exporter from stopping."""
    server = programs.redis()
    exporter = programs.listening(server, "--scrape.deadline", "500ms")
    server.freeze()
    assert exporter.value("redis_up", redis="broker") == 0
    exporter.process.signal(number)
    assert exporter.process.ended(10) == 0
    assert exporter.lines()[-1]["event"] == "app.stopped"


@STOPS
def test_signals_end_it_while_redis_is_away(programs: Programs, number: signal.Signals) -> None:
    """An unreachable server does not keep the exporter from stopping."""
    server = programs.redis()
    server.stop()
    exporter = programs.exporter("--broker-url", server.url())
    eventually(lambda: exporter.lines("supervisor.source_failed"))
    exporter.process.signal(number)
    assert exporter.process.ended(10) == 0
    last = exporter.lines()[-1]
    assert ("app.stopped", []) == (last["event"], last["left_behind"])


def test_the_command_run_is_the_default(programs: Programs) -> None:
    """``run`` and no command do the same."""
    server = programs.redis()
    exporter = programs.exporter("run", "--broker-url", server.url())
    assert exporter.value("redis_up", redis="broker") == 1


def test_without_settings_the_local_redis_is_meant(programs: Programs) -> None:
    """Without a flag the exporter connects to the default address of Redis."""
    environment = {"EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0"}
    process = programs.run(*MODULE, environment=environment)
    process.wait_for("app.server_configured")
    assert '"redis": "broker", "url": "redis://localhost:6379/0"' in process.output()


def test_celerys_own_variables_are_honoured(programs: Programs) -> None:
    """Celery's environment variables set the servers if the exporter's own variables don't."""
    broker, results = programs.redis(), programs.redis()
    environment = {"CELERY_BROKER_URL": broker.url(), "CELERY_RESULT_BACKEND": results.url()}
    exporter = programs.exporter(environment=environment)
    assert {"broker", "results"} == {labels["redis"] for labels in exporter.labels("redis_up")}
    eventually(exporter.hears)


def test_a_port_in_use_ends_it(programs: Programs) -> None:
    """A port in use is a configuration error: one line that names the port, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = programs.run(*MODULE, "--web.listen-address", address)
        assert process.ended() == 2
    assert 1 == len(process.output().splitlines())
    assert address in process.output()


@pytest.mark.parametrize(("arguments", "environment", "named"), [
    (("--broker-ulr", "redis://x"), {}, "--broker-url"),
    (("--broker-url", "http://x:secret@y"), {}, "--broker-url"),
    ((), {"EXPORTER_BROKER_ULR": "redis://x:secret@y"}, "EXPORTER_BROKER_ULR"),
    (("serve",), {}, "serve"),
])  # fmt: skip
def test_wrong_settings_end_it(
    programs: Programs, arguments: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    """A wrong setting ends the program with exit code 2 and one line that names it and shows no secret."""
    process = programs.run(*MODULE, *arguments, environment=environment)
    assert process.ended() == 2
    assert 1 == len(process.output().splitlines())
    assert named in process.output()
    assert "secret" not in process.output()


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_it_runs_without_standard_streams(programs: Programs, closed: str) -> None:
    """If started with closed file descriptors the exporter serves, and no log line is written to a socket."""
    server = programs.redis()
    port = free_port()
    flags = f"--broker-url {server.url()} --web.listen-address=127.0.0.1:{port} --log.level=debug"
    process = programs.run("sh", "-c", f"exec {sys.executable} -m celery_redis_exporter {flags} {closed}")
    eventually(partial(_is_served, port))
    process.signal(signal.SIGTERM)
    assert process.ended(10) == 0


def _scrape(port: int) -> bytes:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2], ids=lambda number: number.name)
def test_other_signals_do_nothing(programs: Programs, number: signal.Signals) -> None:
    """Signals that log rotation or an operator sends do not stop the exporter."""
    exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{free_port()}/0")
    exporter.process.signal(number)
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.lines("app.reloaded"))
    assert exporter.process.exit_code is None


def test_a_hangup_reloads_what_can_be_reloaded(programs: Programs, tmp_path: Path) -> None:
    """SIGHUP logs the changes that need a restart, and settings that can't be read change nothing."""
    broker = f"redis://127.0.0.1:{free_port()}/0"
    file = tmp_path / "settings.yml"
    file.write_text(f"broker_url: {broker}\n", encoding="utf-8")
    exporter = programs.exporter("--config.file", str(file))
    started = exporter.value(RELOADED_AT)
    assert exporter.value(RELOADED) == 1
    assert started is not None

    file.write_text("log:\n  levle: debug\n", encoding="utf-8")
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.value(RELOADED) == 0)
    assert started == exporter.value(RELOADED_AT)
    eventually(lambda: exporter.lines("app.reload_failed"))  # a thread writes it
    assert "did you mean log.level?" in exporter.line("app.reload_failed")["error"]

    file.write_text(f"broker_url: {broker}\nscrape: {{deadline: 1}}\nqueues: {{max: 7}}\n", encoding="utf-8")
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.value(RELOADED) == 1)
    assert (exporter.value(RELOADED_AT) or 0) > started
    eventually(lambda: exporter.lines("app.restart_needed"))
    assert ["queues.max", "scrape.deadline"] == exporter.line("app.restart_needed")["settings"]


def test_a_hangup_changes_the_log_level(programs: Programs, tmp_path: Path) -> None:
    """After the log level is reloaded, lines below it are no longer logged."""
    file = tmp_path / "settings.yml"
    file.write_text("log: {level: info}\n", encoding="utf-8")
    exporter = programs.exporter("--broker-url", programs.redis().url(), "--config.file", str(file))
    started = exporter.value(RELOADED_AT)
    file.write_text("log: {level: error}\n", encoding="utf-8")
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.value(RELOADED_AT) != started)
    exporter.process.signal(signal.SIGTERM)
    assert exporter.process.ended(10) == 0
    assert [] == exporter.lines("app.stopped")


def test_it_listens_on_a_unix_socket(programs: Programs, tmp_path: Path) -> None:
    """A unix socket serves metrics, also if a killed process left the file, and a clean stop removes it."""
    path = tmp_path / "http.sock"
    flags = ("--broker-url", programs.redis().url(), f"--web.listen-address=unix:{path}")
    for stop in (signal.SIGKILL, signal.SIGTERM):
        process = programs.run(*MODULE, *flags)
        eventually(lambda: b'redis_up{redis="broker"} 1' in _ask(path))
        process.signal(stop)
        process.ended(10)
        assert path.exists() == (stop is signal.SIGKILL)


def _ask(path: Path) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b""))
    except OSError:
        return b""


def test_it_takes_sockets_over_from_systemd(programs: Programs) -> None:
    """With the sockets of a systemd socket unit the exporter serves on both, and child processes inherit none."""
    ports = [free_port(), free_port()]
    command = [*MODULE, "--web.systemd-socket", "--broker-url", programs.redis().url()]
    code = (
        "import os, socket\n"
        f"for number, port in enumerate({ports}):\n"
        "    os.dup2(socket.create_server(('127.0.0.1', port)).detach(), 20 + number)\n"
        "os.dup2(20, 3), os.dup2(21, 4)\n"
        "os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))\n"
        f"os.execv({command[0]!r}, {command})\n"
    )
    process = programs.run(sys.executable, "-c", code)
    for port in ports:
        eventually(partial(_is_served, port))
    assert process.exit_code is None


def _is_served(port: int) -> bool:
    return b'redis_up{redis="broker"} 1' in _scrape(port)
