# SPDX-License-Identifier: Apache-2.0
"""Start, watch, end and remove the demo's processes and their folder.

Each process leads a session, so that the terminal's Ctrl-C reaches only the demo, and a process's own children end with
it. Its output goes to a log in the folder. Processes that were not started here are never ended.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import celery_redis_exporter
from celery_redis_exporter.demo.groups import end_groups
from celery_redis_exporter.demo.guard import DONE
from celery_redis_exporter.errors import ExporterError

PREFIX = "celery-redis-exporter-demo-"
TAIL_LINES = 15
GUARD_SECONDS = 2.0

FOREIGN = ("CELERY", "EXPORTER_", "PYTHONWARNINGS")
"""Variables of the user's own application (and of this exporter), which the sample must not inherit."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process of the demo, how it was started, and the file of its output."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    command: Sequence[str]
    variables: Mapping[str, str]

    def tail(self) -> str:
        """Return the last lines of the log, or an empty string if it no longer exists."""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, TAIL_LINES)).rstrip()


class Processes:
    """Every process of the demo. The first one is ended last, because the others need it.

    ``folder`` is a new temporary folder, removed by ``close``. The guard is started at once.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._running: list[Process] = []
        guard = [sys.executable, "-m", "celery_redis_exporter.demo.guard", str(self.folder)]
        try:
            self._guard = self._open("guard", guard, {}, subprocess.PIPE)
        except ExporterError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._pipe = cast("IO[bytes]", self._guard.popen.stdin)  # not None, because PIPE was requested

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> Process:
        """Start a process with the user's environment and ``variables``. Raises ExporterError if that fails."""
        process = self._open(name, command, variables or {}, subprocess.DEVNULL)
        self._running.append(process)
        try:
            self._pipe.write(f"{process.popen.pid}\n".encode())
        except OSError as error:
            raise ExporterError(f"the demo's guard ended: {self._guard.tail()}") from error
        return process

    def ids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {process.name: process.popen.pid for process in self._running}

    def ended(self) -> Process | None:
        """Return a process that ended unexpectedly, or None. The one that the others need comes first."""
        return next((process for process in [*self._running, self._guard] if process.popen.poll() is not None), None)

    def retire(self, process: Process) -> None:
        """End what a process left behind, and no longer watch it. ``start`` can start it again."""
        end_groups([process.popen.pid], self._reap)
        self._running.remove(process)

    def close(self) -> None:
        """End every process and remove the folder. It takes a few seconds at most; a second call does nothing."""
        if self._pipe.closed:
            return
        end_groups([process.popen.pid for process in self._running], self._reap)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self._guard.popen.communicate(f"{DONE}\n".encode(), GUARD_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.popen.kill()
            self._guard.popen.wait()

    def _reap(self) -> None:
        for process in self._running:
            process.popen.poll()

    def _open(self, name: str, command: Sequence[str], variables: Mapping[str, str], stdin: int) -> Process:
        log = self.folder / f"{name}.log"
        try:
            with log.open("wb") as output:
                popen = subprocess.Popen(  # noqa: S603 -- only command lines of this package
                    command,
                    bufsize=0,
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    # Celery's temporary files remain when a worker is killed. In this folder they are removed with it.
                    env={**_environment(), "TMPDIR": str(self.folder), **variables},
                    start_new_session=True,
                )
        except OSError as error:
            raise ExporterError(f"{name} can't be started: {command[0]}: {os.strerror(error.errno or 0)}") from error
        return Process(name, popen, log, command, variables)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Modules must not be imported from the process's folder. The package must be, if it is not installed.
    kept["PYTHONSAFEPATH"] = "1"
    source = str(Path(celery_redis_exporter.__file__).parents[1])
    if source != sysconfig.get_path("purelib"):
        kept["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [kept.get("PYTHONPATH")])])
    return kept
