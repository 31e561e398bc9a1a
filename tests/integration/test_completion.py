# SPDX-License-Identifier: Apache-2.0
"""Shell completion in real shells: the words that each shell completes, and the key that completes them."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from celery_redis_exporter.cli import COMMANDS
from celery_redis_exporter.settings.schema.rows import describe
from tests.integration.processes import clean_environment
from tests.support.waiting import eventually

NAME = "celery-redis-exporter"
SHELLS = ("bash", "zsh", "fish")
INTERACTIVE = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i"), "fish": ("fish", "-i")}
SOURCE = {
    "bash": "source {}",
    "zsh": "autoload -Uz compinit; compinit -u -D; source {}",
    "fish": "source {}",
}
IN_TERMINAL = "import os, sys; os.login_tty(os.dup(0)); os.execvp(sys.argv[1], sys.argv[1:])"
"""Makes standard input the terminal of a new session. Without one fish exits."""
Completer = Callable[..., set[str]]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the script for each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        command = [sys.executable, "-m", "celery_redis_exporter", "completion", shell]
        done = subprocess.run(command, env=clean_environment(), capture_output=True, check=True)
        (folder / shell).write_bytes(done.stdout)
    return {shell: folder / shell for shell in SHELLS}


def run_shell(shell: str, code: str, folder: Path) -> set[str]:
    """Run code in a shell. Return the lines of its output."""
    command = {"bash": ("bash", "--norc"), "zsh": ("zsh", "-f"), "fish": ("fish", "--no-config")}[shell]
    environment = {**clean_environment(), "HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run(
        [*command, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    return {line.partition("\t")[0].rstrip() for line in done.stdout.splitlines()}


@pytest.fixture(params=SHELLS)
def complete(request: pytest.FixtureRequest, scripts: dict[str, Path], tmp_path: Path) -> Completer:
    """Return a function that completes the last of some words in a shell."""
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = scripts[shell]

    def in_bash(*words: str) -> set[str]:
        # as readline splits words
        split = [part for word in words for part in _broken(word)]
        line = " ".join(shlex.quote(part) for part in [NAME, *split])
        code = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(split)}; _celery_redis_exporter"
        return run_shell("bash", code + '; printf "%s\\n" "${COMPREPLY[@]}"', tmp_path) - {""}

    def in_zsh(*words: str) -> set[str]:
        # The real functions exist only while a key is handled. These print their arguments.
        setup = (
            'compdef() { :; }; compset() { :; }; _files() { print -l -- *(N); }; compadd() { while [[ $1 != "--" ]]; do'
        )
        setup += " shift; done; shift; (( $# )) && print -l -- $@; return 0; }"
        line = " ".join(shlex.quote(word) for word in [NAME, *words])
        code = f"{setup}; source {script}; words=({line}); CURRENT={len(words) + 1}; _celery_redis_exporter"
        return run_shell("zsh", code, tmp_path) - {""}

    def in_fish(*words: str) -> set[str]:
        line = " ".join([NAME, *words])
        return run_shell("fish", f"source {script}; complete -C {shlex.quote(line)}", tmp_path)

    return {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}[shell]


def _broken(word: str) -> Iterator[str]:
    name, equals, value = word.partition("=")
    yield name
    if equals:
        yield equals
    if value:
        yield value


def bare(found: set[str]) -> set[str]:
    """Remove what shells add to a word: the equals sign after a flag with a value, and the flag before a value."""
    return {word.removesuffix("=").rpartition("=")[2] for word in found}


def starting(found: set[str], begun: str) -> set[str]:
    """Return the words with this beginning. Zsh itself filters the offered words."""
    return {word for word in bare(found) if word.startswith(begun)}


def test_commands(complete: Completer) -> None:
    """The first word completes to a command or to a flag of run."""
    assert set(COMMANDS) <= bare(complete(""))
    assert {"check", "completion"} >= starting(complete("c"), "c") >= {"check"}
    assert {"--log.level", "--log.format"} == starting(complete("--log."), "--log.")


def test_flags_of_a_command(complete: Completer) -> None:
    """A command completes its own flags and, if it uses the settings, their flags, and no others."""
    found = starting(complete("check", "--"), "--")
    assert {"--listen", "--strict", "--json", "--help"} <= found
    assert {row.flag for row in describe()} <= found
    assert {"--format", "--help"} == starting(complete("metrics", "--"), "--")
    assert "--slo" in starting(complete("render", "alerts", "--"), "--")
    assert "--uid" not in starting(complete("render", "alerts", "--"), "--")


def test_words_behind_a_command(complete: Completer) -> None:
    """``render`` completes the formats that it renders, and ``completion`` the shells."""
    assert {"alerts", "dashboards"} <= bare(complete("render", ""))
    assert set(SHELLS) <= bare(complete("completion", ""))


def test_values(complete: Completer) -> None:
    """A flag with fixed values completes them after = and after a space, and each command has its own values."""
    levels = {"debug", "info", "warning", "error"}
    assert levels == bare(complete("--log.level="))
    assert levels == bare(complete("run", "--log.level", ""))
    assert {"warning"} == starting(complete("check", "--log.level=w"), "w")
    assert {"text", "markdown", "json"} == bare(complete("metrics", "--format="))
    assert {"rules", "prometheusrule", "grafana"} == bare(complete("render", "alerts", "--format="))
    assert {"configmap", "json"} == bare(complete("render", "dashboards", "--format="))


def test_files(complete: Completer, tmp_path: Path) -> None:
    """A flag for a file completes the files of the folder, and a flag for any text completes nothing."""
    (tmp_path / "settings.yml").touch()
    assert "settings.yml" in bare(complete("--config.file", ""))
    assert "settings.yml" in bare(complete("render", "alerts", "--config="))
    assert set() == bare(complete("--web.telemetry-path", "")) - {""}


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[tuple[int, bytearray]]:
    """Start an interactive shell. Yield the descriptor to type into, and a buffer of the shown output."""
    environment = clean_environment() | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", IN_TERMINAL, *INTERACTIVE[shell]]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield ours, bytearray()
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_key_completes(shell: str, scripts: dict[str, Path], tmp_path: Path) -> None:
    """In a terminal the tab key completes the typed words, and the command runs with them."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    with terminal(shell, tmp_path) as (typed, shown):

        def shows(text: str) -> bool:
            if select.select([typed], [], [], 0)[0]:
                shown.extend(os.read(typed, 65_536))
            return text.encode() in shown

        define = 'function {}; echo "got:$argv"; end' if shell == "fish" else "{}() {{ echo got:$*; }}"
        prepare = f"{SOURCE[shell].format(scripts[shell])}; {define.format(NAME)}; echo rea''dy"
        os.write(typed, f"{prepare}\n".encode())
        eventually(lambda: shows("ready"))
        os.write(typed, f"{NAME} anal\t--larg\t7\n".encode())
        # fish puts a space between flag and value
        eventually(lambda: shows("got:analyze --largest=7") or shows("got:analyze --largest 7"))
