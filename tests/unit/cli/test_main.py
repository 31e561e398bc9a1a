# SPDX-License-Identifier: Apache-2.0
"""The command line: its commands, exit codes and messages."""

import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from celery_redis_exporter import __version__
from celery_redis_exporter.cli import COMMANDS, main
from celery_redis_exporter.errors import ConfigError, SourceError
from celery_redis_exporter.settings import Settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Replace the daemon; return the settings with which it was started."""
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "CELERY_"))]:
        monkeypatch.delenv(name)
    seen: list[Settings] = []

    def run(settings: Settings, read: Callable[[], Settings]) -> int:
        assert settings == read()
        seen.append(settings)
        return 0

    daemon = ModuleType("celery_redis_exporter.daemon.service")
    daemon.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "celery_redis_exporter.daemon.service", daemon)
    return seen


@pytest.mark.parametrize("argv", [["run", "--queues.max=3"], ["--queues.max=3"]])
def test_run_is_the_command_without_a_name(argv: list[str], started: list[Settings]) -> None:
    """Flags without a command start the daemon with these settings."""
    assert main(argv) == 0
    assert [settings.queues.max for settings in started] == [3]


def test_the_exit_code_is_the_commands(started: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """The process returns the exit code of the daemon."""
    monkeypatch.setattr(sys.modules["celery_redis_exporter.daemon.service"], "run", lambda *_: 1)
    assert main([]) == 1
    assert started == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--queues.mx=1"], "unknown flag --queues.mx; did you mean --queues.max?; see --help"),
        (["chek"], "unknown command chek; did you mean check?"),
        (["help", "analyse"], "unknown command analyse; did you mean analyze?"),
        (["top", "--intervall=1"], "unknown flag --intervall; did you mean --interval?; see --help"),
        (["check", "--listn=3"], "unknown flag --listn; did you mean --listen?; see --help"),
        (["analyze", "--dutty=1"], "unknown flag --dutty; did you mean --duty?; see --help"),
        (
            ["check", "http://exporter:9808", "--queues.max=3"],
            "check: with the URL of an exporter there are no settings: --queues.max",
        ),
        (
            ["check", "redis://h/x"],
            "--broker-url: has a database that is not a number of 0 or more, as in redis://localhost:6379/0",
        ),
        (["frob"], f"unknown command frob; the commands are {', '.join(COMMANDS)}"),
        (
            ["redis://:SECRET@h"],
            f"unknown command; the commands are {', '.join(COMMANDS)}",
        ),
        (["metrics", "--format=xml"], "--format: must be text, markdown, json, not 'xml'"),
        (["metrics", "x"], "metrics takes one flag: --format=text, --format=markdown or --format=json"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    argv: list[str], message: str, started: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing starts, and standard error names the wrong word."""
    assert main(argv) == 2
    assert capsys.readouterr().err == f"celery-redis-exporter: error: {message}\n"
    assert started == []


def test_expected_failures_are_one_line(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure while running is exit code 1, a late configuration error 2; line breaks are folded."""

    def fail(error: Exception) -> None:
        raise error

    for error, code in ((SourceError("refused", "no\nserver"), 1), (ConfigError("no\nport"), 2)):
        monkeypatch.setattr(
            sys.modules["celery_redis_exporter.daemon.service"], "run", lambda *_, error=error: fail(error)
        )
        assert code == main([])
        assert capsys.readouterr().err == f"celery-redis-exporter: error: {' '.join(str(error).split())}\n"
    assert started == []


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--version names the version; --help every command."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"celery-redis-exporter {__version__}\n"
    for argument in ("--help", "-h"):
        assert main([argument]) == 0
        text = capsys.readouterr().out
        assert [name for name in COMMANDS if name not in text] == []


@pytest.mark.parametrize("command", ["run", "check", "metrics"])
def test_help_of_a_command(command: str, started: list[Settings], capsys: pytest.CaptureFixture[str]) -> None:
    """--help behind a command shows its flags, and starts nothing."""
    assert main([command, "--help"]) == 0
    assert f"usage: celery-redis-exporter {command}" in capsys.readouterr().out
    assert started == []


def test_python_m_exporter_is_the_same() -> None:
    """The module form accepts the same arguments and returns the same exit codes."""
    done = subprocess.run(
        [sys.executable, "-m", "celery_redis_exporter", "frob"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("celery-redis-exporter: error: unknown command frob")


CONNECTING: tuple[list[str], ...] = ([], ["run"], ["check"], ["top"], ["analyze"])
"""Return the commands that accept this setting."""


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), ["render", "alerts"], ["render", "dashboards"]]
)
@pytest.mark.parametrize(
    "given",
    [
        ["--broker-url", "redis://:SECRET@h"], ["--x", "redis://u:SE/CRET@h:1/0"], ["--x=redis://:SECRET@h"],
        ["redis://:SECRET@h/x"], ["--password", "SECRET"], ["--format", "redis://:SECRET@h"], ["--port=redis://:SECRET@h"],
        ["--config=redis://:SECRET@h"], ["--set", "redis://:SECRET@h"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_command_repeats_a_secret(command: list[str], given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A password, or a URL with one, that is passed in the wrong place does not appear in the message."""
    if command in CONNECTING and given[0] == "--broker-url":
        given = [*given, "--nosuch=redis://:SECRET@h"]
    assert main([*command, *given]) == 2
    assert "CRET" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_help_and_the_flag_agree(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``help COMMAND`` prints what ``COMMAND --help`` prints."""
    codes = [main(argv) for argv in (["help", name], [name, "--help"])]
    assert codes[0] == codes[1]
    out, err = capsys.readouterr()
    for text in (out, err):
        assert text[: len(text) // 2] == text[len(text) // 2 :]
