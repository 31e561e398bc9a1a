# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: factories for one test, and one shared set of all programs.

Everything that a factory starts is stopped by process id after the test. A failed test shows the last lines of their
logs.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from celery import Celery

from tests.integration.application import build
from tests.integration.celery_workers import Worker, WorkerOptions
from tests.integration.exporters import LISTEN, Exporter
from tests.integration.processes import Process
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_servers import RedisServer, is_installed
from tests.support.waiting import eventually


class Broker(Protocol):
    """A server that Celery can use as broker."""

    def url(self) -> str:
        """Return its URL."""


class Programs:
    """Starts programs, and stops all of them."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._ending = ending

    def redis(self, **options: Any) -> RedisServer:  # noqa: ANN401 -- RedisServer checks them
        """Start a Redis server."""
        server = RedisServer(self.folder / f"redis-{self._number()}", **options)
        self._ending.callback(server.stop)
        return server

    def worker(self, server: Broker, name: str = "w", options: WorkerOptions | None = None) -> Worker:
        """Start a worker on a server, and wait until it is online."""
        log = self.folder / f"worker-{self._number()}.log"
        worker = Worker(name, server.url(), log, options or WorkerOptions())
        # No task of a test needs to finish once the test is over.
        self._keep(worker.process, patience=0.05)
        return worker

    def exporter(self, *arguments: str, **options: Any) -> Exporter:  # noqa: ANN401 -- Exporter checks them
        """Start an exporter on a free port."""
        exporter = Exporter(self.folder / f"exporter-{self._number()}.log", *arguments, *LISTEN, **options)
        self._keep(exporter.process)
        return exporter

    def listening(self, server: Broker, *arguments: str) -> Exporter:
        """Start an exporter that reads the broker at every scrape, and wait until it receives events."""
        environment = {"EXPORTER_SCRAPE__FRESHNESS": "0"}
        exporter = self.exporter("--broker-url", server.url(), *arguments, environment=environment)
        eventually(exporter.hears)
        return exporter

    def publisher(self, server: Broker, **settings: Any) -> Celery:  # noqa: ANN401 -- Celery's settings
        """Build the application in this process to publish with it. It has no results, which would keep connections."""
        app = build(server.url(), settings)
        self._ending.callback(app.close)
        return app

    def prometheus(self, config_text: str, *flags: str, program: str = "prometheus") -> PrometheusServer:
        """Start a Prometheus with a configuration, and wait until it is ready."""
        folder = self.folder / f"prometheus-{self._number()}"
        server = PrometheusServer(folder, config_text, *flags, program=program)
        self._keep(server.process)
        return server

    def run(self, *command: str, environment: dict[str, str] | None = None) -> Process:
        """Start any other program."""
        process = Process(command, self.folder / f"program-{self._number()}.log", environment)
        self._keep(process)
        return process

    def _keep(self, process: Process, patience: float = 8) -> None:
        self.processes.append(process)
        self._ending.callback(process.end, patience)

    def _number(self) -> int:
        return len(list(self.folder.iterdir()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the programs' last lines to the report of a test that failed."""
    report = yield
    if report.when == "call" and report.failed:
        arguments = getattr(item, "funcargs", {})
        for fixture in ("fleet", "programs", "rabbit", "shared", "watched"):
            for process in getattr(arguments.get(fixture), "processes", ()):
                report.sections.append(("program", process.tail()))
    return report


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Yield a starter of programs that are stopped after the test."""
    with ExitStack() as ending:
        yield Programs(tmp_path, ending)


@dataclass(frozen=True)
class Shared:
    """One program of each kind, for tests that count only their own tasks."""

    redis: RedisServer
    worker: Worker
    exporter: Exporter
    app: Celery
    processes: tuple[Process, ...]

    def send(self, task: str, *args: object, **options: Any) -> str:  # noqa: ANN401 -- Celery's options
        """Publish a task. Return its id."""
        return str(self.app.send_task(task, args, **options).id)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Yield a Redis server, an exporter that receives events, a worker on two queues, and a publisher."""
    assert is_installed(), "redis-server is not on PATH; leave these tests out with -m 'not servers'"
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("shared"), ending)
        server = programs.redis()
        exporter = programs.exporter("--broker-url", server.url())
        eventually(exporter.hears)
        settings = {"result_backend": server.url(db=1)}
        worker = programs.worker(server, "shared", WorkerOptions("celery,slow", settings=settings, arguments=()))
        app = programs.publisher(server)
        yield Shared(server, worker, exporter, app, tuple(programs.processes))
