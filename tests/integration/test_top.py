# SPDX-License-Identifier: Apache-2.0
"""``top`` in a real terminal and in a pipe, with data of an exporter or read directly from Redis."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from celery_redis_exporter.status.schema import build_schema
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import clean_environment, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
COMMAND = (sys.executable, "-m", "celery_redis_exporter", "top")


def _environment() -> dict[str, str]:
    """Return the environment without the size of the window in which the tests run."""
    return {name: value for name, value in clean_environment().items() if name not in {"COLUMNS", "LINES"}}


class Terminal:
    """A terminal of tmux, in a dedicated server."""

    def __init__(self, folder: Path, width: int, height: int, *command: str, **environment: str) -> None:
        self._server = ("tmux", "-S", str(folder / "tmux"), "-f", "/dev/null")
        given = _environment() | {"LANG": "C.UTF-8", **environment}
        words = " ".join(f"'{word}'" for word in command)
        # The shell keeps running, so that the terminal can be checked after the program ended.
        line = f"{words}; echo ended with $?; stty -a | tr ' ' '\\n' | grep -x -e '-\\?echo;\\?'; exec sleep 100"
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), line, environment=given)

    def press(self, *keys: str) -> None:
        """Press keys, named as in tmux."""
        self._run("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Resize the window."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *flags: str) -> str:
        """Return the text of the screen."""
        return self._run("capture-pane", "-p", *flags)

    def screen_with(self, *parts: str) -> str:
        """Return the text of the screen once it contains all ``parts``; before that it may be drawn only partly."""
        screen = self.screen()
        assert [] == [part for part in parts if part not in screen], screen
        return screen

    def close(self) -> None:
        """Close the terminal and the programs in it."""
        self._run("kill-server")

    def _run(self, *words: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self._server, *words], env=environment, capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def busy(programs: Programs) -> tuple[str, Exporter]:
    """Start a broker, a worker that ran tasks, and an exporter; return the broker's URL and the exporter."""
    server = programs.redis(options=("--maxmemory", "64mb"))
    exporter = programs.listening(server, "--celery.inspect-interval", "1s")
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server)
    for _ in range(3):
        app.send_task("plain", (1,))
        app.send_task("fail")
    app.send_task("plain", (1,), queue="nobody")
    eventually(lambda: (exporter.account("plain").get("success"), exporter.account("fail").get("failure")) == (3, 3))
    eventually(lambda: exporter.value("celery_queue_length", queue="nobody") == 1)
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) == 2)
    return server.url(), exporter


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    """Yield a list; the terminals in it are closed at the end of the test."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def top(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``top`` until it exits."""
    given = _environment() | environment
    return subprocess.run([*COMMAND, *arguments], env=given, capture_output=True, text=True, check=False, timeout=40)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not on PATH")
def test_in_a_terminal(busy: tuple[str, Exporter], terminals: list[Terminal], tmp_path: Path) -> None:
    """The screen updates, obeys its keys, follows the window's size, and leaves the terminal unchanged."""
    _, exporter = busy
    terminal = Terminal(tmp_path, 80, 24, *COMMAND, f"http://127.0.0.1:{exporter.port}", "--interval=0.3")
    terminals.append(terminal)
    parts = ("Event stream OK", "of 64 MiB", "plain", "fail", "nobody", "/ 2", "q quit")
    titles = (">1 Tasks 2", "2 Queues", "3 Workers 1")
    screen = eventually(lambda: terminal.screen_with(*parts, *titles))
    assert 24 == len(screen.rstrip("\n").split("\n"))
    assert max(map(len, screen.split("\n"))) <= 80
    terminal.press("Tab", "r")
    eventually(lambda: ">2 Queues" in terminal.screen() and "Waiting+" in terminal.screen())
    terminal.press("4")
    eventually(lambda: terminal.screen_with(">4 Running now", "No task runs."))
    terminal.press("2")
    terminal.press("/", "n", "o", "b", "Enter")
    eventually(lambda: ">2 Queues 1" in terminal.screen() and "filter: nob" in terminal.screen())
    terminal.press("Escape")
    eventually(lambda: "filter: nob" not in terminal.screen())
    terminal.press("p")
    eventually(lambda: "PAUSED" in terminal.screen())
    terminal.press("?")
    eventually(lambda: "choose a table" in terminal.screen())
    terminal.press("x", "p")
    eventually(lambda: "PAUSED" not in terminal.screen() and ">2 Queues" in terminal.screen())
    terminal.resize(100, 40)
    eventually(lambda: len(terminal.screen().rstrip("\n").split("\n")) == 40)
    exporter.process.end(8)
    eventually(lambda: terminal.screen_with("OLD:", "nobody"))
    terminal.press("q")
    eventually(lambda: "ended with 0" in terminal.screen())
    eventually(lambda: "\necho" in terminal.screen())
    assert "Tasks" not in terminal.screen(), "the screen before was not brought back"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not on PATH")
def test_ctrl_c_straight_from_redis(busy: tuple[str, Exporter], terminals: list[Terminal], tmp_path: Path) -> None:
    """Without an exporter ``top`` receives the events itself, and Ctrl-C ends it normally."""
    url, _ = busy
    terminal = Terminal(tmp_path, 100, 30, *COMMAND, "--broker-url", url, "--interval=0.3", NO_COLOR="1")
    terminals.append(terminal)
    eventually(lambda: terminal.screen_with("3 Workers 1", "of 64 MiB"))
    colours = terminal.screen("-e")
    assert not any(f"\x1b[{code}m" in colours for code in ("31", "32", "33", "1;31"))
    terminal.press("C-c")
    eventually(lambda: "ended with 0" in terminal.screen())
    eventually(lambda: "\necho" in terminal.screen())


def test_in_a_pipe(busy: tuple[str, Exporter]) -> None:
    """In a pipe one complete screen is written, without colour or escapes, and in ASCII if the locale is."""
    _, exporter = busy
    done = top(f"127.0.0.1:{exporter.port}", "--sort=tasks=-failure")
    assert (0, "") == (done.returncode, done.stderr)
    assert "\x1b" not in done.stdout
    lines = done.stdout.split("\n")
    head = next(number for number, line in enumerate(lines) if line.startswith("Task "))
    assert "fail" == lines[head + 1].split()[0]
    for part in ("Last success", "nobody", "w@", "prefork", "of 64 MiB"):
        assert part in done.stdout
    narrow = top(f"http://127.0.0.1:{exporter.port}", "--once", COLUMNS="60", PYTHONIOENCODING="ascii")
    assert (0, "") == (narrow.returncode, narrow.stderr)
    assert max(map(len, narrow.stdout.split("\n"))) <= 60
    assert narrow.stdout.isascii()


@pytest.mark.parametrize("form", ["--once", "--json"])
def test_nothing_there_is_no_success(form: str) -> None:
    """If no server responds, the results so far are shown, and the exit code is 1."""
    done = top(form, "--listen=0.5", "--broker-url", f"redis://127.0.0.1:{free_port()}/0")
    assert 1 == done.returncode
    assert "refused" in done.stdout


@pytest.mark.parametrize("direct", [False, True], ids=["exporter", "redis"])
def test_json(busy: tuple[str, Exporter], direct: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """JSON matches the schema, from an exporter and directly from Redis."""
    url, exporter = busy
    source = ("--broker-url", url, "--listen=3") if direct else (f"http://127.0.0.1:{exporter.port}/",)

    def read() -> dict[str, Any]:
        done = top(*source, "--json")
        assert (0, "") == (done.returncode, done.stderr)
        report: dict[str, Any] = json.loads(done.stdout)
        jsonschema.validate(report, build_schema())
        return report

    report = read()
    while not report["workers"]:  # with little CPU time a worker may send no heartbeat within three seconds
        report = read()
    assert ["online"] == [worker["state"] for worker in report["workers"]]
    assert ("broker", 64 * 2**20) == (report["redis"][0]["name"], report["redis"][0]["memory"]["limit_bytes"])
    assert {"nobody": 1} == {queue["name"]: queue["length"] for queue in report["queues"] if queue["length"]}


def test_an_exporter_that_is_away_is_a_failure() -> None:
    """An address without a listener is reported in one line, with exit code 1."""
    away = top(f"http://127.0.0.1:{free_port()}")
    assert (1, 1) == (away.returncode, away.stderr.count("\n"))
    assert "refused" in away.stderr.casefold()


def test_a_server_that_is_no_exporter_is_a_failure(programs: Programs) -> None:
    """An address of another service is reported in one line, with exit code 1."""
    other = top(f"http://127.0.0.1:{programs.redis().port}", "--once")
    assert (1, 1) == (other.returncode, other.stderr.count("\n"))


@pytest.mark.parametrize(("arguments", "part"), [
    (["redis://localhost:6379"], "--broker-url"), (["http://user:s3cret@localhost"], "--user"),
    (["http://localhost", "--broker-url=redis://x"], "--broker-url"), (["--user=a"], "--user"),
    (["http://localhost", "--user=a"], "--password-file"), (["--sort=tasks=colour"], "p95"),
    (["--sort=table=x"], "workers"), (["--interval=soon"], "soon"), (["--unknown"], "--unknown"),
    (["https://localhost", "--ca-file=/nowhere"], "/nowhere"), (["http://localhost:99999"], "URL"),
])  # fmt: skip
def test_an_error_of_usage_is_one_line(arguments: list[str], part: str) -> None:
    """A wrong flag or address is reported in one line without the password, with exit code 2."""
    done = top(*arguments)
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    assert part in done.stderr
    assert "s3cret" not in done.stderr
