# SPDX-License-Identifier: Apache-2.0
"""The programs of a truth run: a broker, the exporter, a recorder of events, and a worker of each pool.

Input: a folder, the kind of broker. Output: a running fleet, on loopback ports, ended with its ExitStack.
"""

import json
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from celery import Celery

from tests.integration.celery_workers import BEATING, Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import Process
from tests.integration.rabbitmq_server import RabbitServer
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually
from tests.truth.facts import FOLDER, NODE, FactReader, FactWriter
from tests.truth.generate import DOOMED, POOLS, QUEUES, SHARED
from tests.truth.signals import Scribe
from tests.truth.tasks import publisher

BrokerKind = Literal["redis", "rabbitmq"]
CHILDREN = {"prefork": "2", "threads": "4", "gevent": "20", "solo": "1"}
"""The concurrency of a worker of each pool."""
TASKS_PER_CHILD = "60"


class Ending(NamedTuple):
    """How a worker process ended: by ``kill`` or ``shutdown``, and when (epoch seconds)."""

    scene: str
    pid: int


class UrlServer(Protocol):
    """A server that has a URL."""

    def url(self) -> str:
        """Return its URL."""


@dataclass
class Doomed:
    """A worker that is killed or shut down, and started again under its name."""

    worker: Worker
    incarnation: int


class TruthFleet:
    """All programs of a truth run."""

    def __init__(self, folder: Path, ending: ExitStack, kind: BrokerKind) -> None:
        self.folder, self.kind = folder, kind
        self.programs = Programs(folder, ending)
        self.gate = folder / "gate"
        (folder / "facts").mkdir()
        self.reader = FactReader(folder / "facts")
        self.redis = self.programs.redis()
        self.rabbit: RabbitServer | None = None
        if kind == "rabbitmq":
            self.rabbit = RabbitServer(folder / "node")
            ending.callback(self.rabbit.stop)
        self.exporter: Exporter = self.programs.listening(self.broker)
        self.record = folder / "events.jsonl"
        self.record.touch()
        self.programs.run(sys.executable, "-m", "tests.truth.recorder", self.broker.url(), str(self.record))
        self.endings: dict[str, Ending] = {}
        self.pids: dict[str, int] = {}
        self._doomed: dict[str, Doomed] = {}
        for pool in POOLS:
            self._start(pool, pool, f"{pool},{SHARED}", 0)
        eventually(lambda: self.record.stat().st_size > 0)
        self.app = self._publisher(ending)

    @property
    def broker(self) -> RedisServer | RabbitServer:
        """Return the server of tasks and events."""
        return self.rabbit or self.redis

    @property
    def processes(self) -> list[Process]:
        """Return every program, for the report of a failed test."""
        return self.programs.processes

    def doomed(self, pool: str) -> str:
        """Return the node of the worker of a pool that scenes end; start it if it does not run."""
        if pool not in self._doomed:
            self._rise(pool, 1)
        return f"{DOOMED}{pool}.{self._doomed[pool].incarnation}"

    def kill(self, pool: str) -> None:
        """Kill the doomed worker of a pool with SIGKILL, restore its messages, and start it again."""
        doomed = self._note_end(pool, "kill")
        doomed.worker.process.kill()
        if self.rabbit is None:  # RabbitMQ restores them itself when the connection closes
            self._restore(f"{DOOMED}{pool}")
        self._rise(pool, doomed.incarnation + 1)

    def shut_down(self, pool: str) -> None:
        """Shut down the doomed worker of a pool warmly, and start it again."""
        doomed = self._note_end(pool, "shutdown")
        doomed.worker.process.signal(signal.SIGTERM)
        self.open_gate()
        doomed.worker.process.ended(60)
        self._rise(pool, doomed.incarnation + 1)

    def close_gate(self) -> None:
        """Use another gate from now on, which is closed; earlier ones stay open."""
        self.gate = self.folder / f"gate-{len(self.endings)}"

    def open_gate(self) -> None:
        """Let the tasks that wait for the current gate continue."""
        self.gate.touch()

    def is_idle(self) -> bool:
        """Return whether the broker has no message of a task, neither waiting nor unacknowledged."""
        queues = [*QUEUES, *(f"{DOOMED}{pool}" for pool in self._doomed)]
        if self.rabbit is not None:
            listed = self.rabbit.control("list_queues", "name", "messages", "--no-table-headers")
            lengths = dict(line.split("\t") for line in listed.splitlines() if "\t" in line)
            return not any(int(lengths.get(queue, "0")) for queue in queues)
        return not self.redis.command("HLEN", "unacked") and not any(
            self.redis.command("LLEN", queue) for queue in queues
        )

    def _note_end(self, pool: str, scene: str) -> Doomed:
        doomed = self._doomed[pool]
        self.endings[self.doomed(pool)] = Ending(scene, doomed.worker.process.pid)
        return doomed

    def _rise(self, pool: str, incarnation: int) -> None:
        name = f"{DOOMED}{pool}"
        self._doomed[pool] = Doomed(self._start(pool, name, name, incarnation), incarnation)

    def _start(self, pool: str, name: str, queues: str, incarnation: int) -> Worker:
        arguments = [*BEATING, "-P", pool, "-c", CHILDREN[pool]]
        arguments += ["--max-tasks-per-child", TASKS_PER_CHILD] if pool == "prefork" else []
        node = f"{name}.{incarnation}"
        environment = {
            FOLDER: str(self.reader.folder), NODE: node, "TRUTH_POOL": pool,
            "TRUTH_BROKER": self.broker.url(), "TRUTH_BACKEND": self.redis.url(db=1),
        }  # fmt: skip
        options = WorkerOptions(queues, arguments=arguments, app="tests.truth.worker_app", environment=environment)
        worker = self.programs.worker(self.broker, name, options)
        self.pids[node] = worker.process.pid
        return worker

    def _restore(self, queue: str) -> None:
        """Return a killed worker's messages to their queue, as the visibility timeout does after an hour."""
        with self.app.connection_for_write() as connection:
            qos = connection.default_channel.qos
            for tag, message in self.redis.command("HGETALL", "unacked").items():
                if json.loads(message)[2] == queue:
                    qos.restore_by_tag(tag.decode())

    def _publisher(self, ending: ExitStack) -> Celery:
        scribe = Scribe(FactWriter(self.reader.folder, "publisher"))
        scribe.connect()
        ending.callback(scribe.disconnect)
        app = publisher(self.broker.url())
        ending.callback(app.close)
        return app
