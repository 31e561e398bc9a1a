# SPDX-License-Identifier: Apache-2.0
"""The setup of a measurement: a dedicated Redis, its readers, and loads; all are stopped at the end of the block.

Input: options. Output: running processes and their counts. ``check_counts`` judges every run: speed with one lost or
miscounted event is a failure.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.load import STARTED, Replayed
from tests.bench.scraper import ACCEPT, Answer, Scraper, scrape_once
from tests.bench.streams import Shape
from tests.bench.subjects import OBSERVED, OWN, STARTERS, Subject, install_alone, start_exporter
from tests.integration.processes import Process
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

# Redis must not disconnect a slow subscriber: the peers fall behind by the whole stream.
UNLIMITED = ("--client-output-buffer-limit", "pubsub 0 0 0")
PATIENCE = 300.0
"""Timeout of every wait, in seconds."""


class Load:
    """A running load generator."""

    def __init__(self, process: Process, shape: Shape) -> None:
        self.process = process
        self.shape = shape

    @property
    def runs(self) -> bool:
        """Return whether it is still running."""
        return self.process.exit_code is None

    @property
    def has_begun(self) -> bool:
        """Return whether it is sending."""
        return STARTED in self.process.output()

    def finish(self) -> Replayed:
        """Wait until it ends; return what it sent."""
        code = self.process.ended(PATIENCE)
        assert code == 0, self.process.tail()
        return Replayed(**json.loads(self.process.output().splitlines()[-1]))


class Workbench:
    """A Redis server and the processes that use it."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder = folder
        self.server = server
        self._processes: list[Process] = []
        self._scrapers: list[Scraper] = []

    def start(self, name: str) -> Subject:
        """Start a subject by its name, and wait until it is subscribed."""
        return self._listening(STARTERS[name](self.server.port, self.folder))

    def exporter(self, *flags: str, observed: bool = False, alone: bool = False) -> Subject:
        """Start this exporter with ``flags``, and wait until it is subscribed.

        ``alone`` runs it in an environment with only its own dependencies.
        """
        program = [*OBSERVED, str(self.folder / "folds.json")] if observed else [*OWN]
        if alone:
            program[0] = str(install_alone())
        return self._listening(start_exporter(self.server.port, self.folder, *flags, program=program))

    def scraper(self, subject: Subject, encoding: str = "gzip", accept: bytes = ACCEPT) -> Scraper:
        """Connect to a subject as Prometheus does; the connection is closed with the workbench."""
        scraper = Scraper(subject.port, encoding, accept)
        self._scrapers.append(scraper)
        return scraper

    def keep(self, process: Process) -> Process:
        """Register a process to be stopped with the workbench."""
        self._processes.append(process)
        return process

    def load(self, shape: Shape, *flags: str) -> Load:
        """Start a load generator with ``flags``."""
        command = [sys.executable, "-m", "tests.bench.load", "--url", self.server.url(), *_flags(shape), *flags]
        return Load(self.keep(Process(command, self.folder / f"load-{len(self._processes)}.log")), shape)

    def end(self) -> None:
        """Stop everything that was started here."""
        for scraper in self._scrapers:
            scraper.close()
        for process in self._processes:
            process.kill()
        self.server.stop()

    def _listening(self, subject: Subject) -> Subject:
        self.keep(subject.process)
        eventually(lambda: subject.process.exit_code is not None or self._subscriptions(), within=60)
        assert subject.process.exit_code is None, subject.process.tail()
        return subject

    def _subscriptions(self) -> int:
        return int(self.server.command("PUBSUB", "NUMPAT"))


@contextlib.contextmanager
def open_workbench(*redis_options: str) -> Iterator[Workbench]:
    """Yield a workbench whose Redis has these options (UNLIMITED: it never disconnects a subscriber)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workbench = Workbench(folder, RedisServer(folder / "redis", options=redis_options or UNLIMITED))
        try:
            yield workbench
        finally:
            workbench.end()


def _flags(shape: Shape) -> Sequence[str]:
    values = {name.replace("_", "-"): getattr(shape, name) for name in Shape.__dataclass_fields__}
    return [word for name, value in values.items() for word in (f"--{name}", str(value))]


LOSSES = (
    r"celery_exporter_events_invalid_total", r"celery_exporter_tasks_unmatched_total",
    r"celery_exporter_tasks_duplicate_total", r"celery_exporter_tasks_evicted_total",
    r"celery_exporter_series_dropped_total", r"celery_exporter_event_stream_reconnects_total",
    r"celery_worker_events_missed_total", r"celery_exporter_unexpected_errors_total",
)  # fmt: skip
"""Counters that must not change in a run."""


def check_counts(subject: Subject, *sent: Replayed) -> Answer:
    """Wait until this exporter's counts equal exactly what was sent; return the scrape. Raises AssertionError."""
    ended = sum(load.tasks for load in sent if load.events == 4 * load.tasks)
    expected = {
        "sent": sum(load.tasks for load in sent),
        "started": sum(load.started for load in sent),
        "success": ended - sum(load.failed for load in sent),
        "failure": sum(load.failed for load in sent),
        "heartbeats": sum(load.beats for load in sent),
        "waits": sum(load.started for load in sent),
    } | dict.fromkeys(LOSSES, 0)
    patterns = {
        "sent": r"celery_tasks_sent_total\{",
        "started": r"celery_tasks_started_total\{",
        "success": r'celery_tasks_total\{.*state="success"',
        "failure": r'celery_tasks_total\{.*state="failure"',
        "heartbeats": r'celery_exporter_events_total\{type="worker-heartbeat"',
        "waits": r"celery_task_wait_seconds_count\{",
    } | {pattern: pattern for pattern in LOSSES}

    def counted() -> Answer:
        answer = scrape_once(subject.port)
        found = {name: answer.total(pattern) for name, pattern in patterns.items()}
        assert expected == found, f"expected {expected}, found {found}"
        return answer

    return eventually(counted, within=60)


def check_ended(subject: Subject, expected: int) -> None:
    """Wait until a subject has counted exactly this many ended tasks. Raises AssertionError."""

    def counted() -> bool:
        found = subject.ended()
        assert expected == found, f"{subject.process.command} counted {found} of {expected} tasks"
        return True

    eventually(counted, within=120)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait up to PATIENCE until a condition is true."""
    eventually(condition, within=PATIENCE)
