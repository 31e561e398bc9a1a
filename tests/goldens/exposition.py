# SPDX-License-Identifier: Apache-2.0
"""The output of an exporter for recorded events and server replies, on a clock that only the story advances.

Input: replies (``replay_server``), captured messages (``tests/fixtures/events``), a generated load
(``tests.bench.streams``). Output: the bodies of ``/metrics`` in both formats and of ``/api/v1/status``, without lines
that differ between two machines.
"""

import json
import re
import threading
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from celery_redis_exporter.collectors.control import Control
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.daemon.options import control_options
from celery_redis_exporter.settings import load_tree
from celery_redis_exporter.sources.control import Request
from tests.bench.streams import Shape, Stream
from tests.goldens.replay_server import ReplayServer
from tests.support.fakes import FakeClock

EVENTS = Path(__file__).parents[1] / "fixtures" / "events" / "celery-5.7"
INSPECT = Path(__file__).with_name("inspect.json")
TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
SETTINGS: dict[str, Any] = {
    "queues": {"names": ["celery", "mail"]},
    "tasks": {"proj.tasks.task_1": {"expected_interval": "10m", "runtime_threshold": "30s"}},
    "names": {"worker": {"rewrite": {"worker[0-4]@host": "worker-a@host"}}},
    "status": {"failures": 5},
    "metrics": {"created": True, "labels": {"environment": "golden"}},
    "redis": {"assumed_maxmemory": "1gb"},
}
MACHINE = re.compile(
    r"^(?:# (?:HELP|TYPE|UNIT) )?(?:process_|python_|celery_exporter_build_info|redis_connect|celery_exporter_log_)"
)
"""Lines of /metrics that differ between machines."""


class RecordedWorker:
    """A ``ControlClient`` whose workers answer each command with its recorded reply, or not at all without one."""

    rights = ""

    def __init__(self, replies: dict[str, dict[str, Any]], clock: FakeClock) -> None:
        self._replies = replies
        self._clock = clock
        self._waiting: list[bytes] = []

    def open(self) -> None:
        """Start without replies."""
        self._waiting = []

    def send(self, requests: Sequence[Request]) -> None:
        """Add the recorded replies."""
        for request in requests:
            for worker in request.destination:
                answer = self._replies.get(request.command, {}).get(worker)
                if answer is not None:
                    envelope = {"body": json.dumps({worker: answer}), "headers": {"ticket": request.ticket}}
                    self._waiting.append(json.dumps(envelope).encode())

    def receive(self) -> list[bytes]:
        """Return all replies; if there is none, advance the clock by a second, so that waiting ends."""
        if not self._waiting:
            self._clock.advance(1)
        waiting, self._waiting = self._waiting, []
        return waiting

    def settle(self, *, complete: bool) -> None:
        """Do nothing, because no key is left."""

    def close(self) -> None:
        """Do nothing."""


class Story:
    """An exporter of two recorded servers, and the steps of the story."""

    def __init__(self, broker: ReplayServer, results: ReplayServer) -> None:
        self.clock = FakeClock()
        self.clock.epoch = 1_795_319_600.0  # just after the captured messages
        self._ports = {str(broker.port): "6379", str(results.port): "6380"}
        tree = SETTINGS | {
            "broker_url": f"redis://127.0.0.1:{broker.port}/0",
            "result_backend_url": f"redis://127.0.0.1:{results.port}/1",
        }
        settings = load_tree(tree)
        self.exporter = Exporter(settings, self.clock)
        application = self.exporter.only.application
        replies = json.loads(INSPECT.read_text(encoding="utf-8"))
        self.control = Control(
            RecordedWorker(replies, self.clock),
            application.inspection,
            application.store,
            self.clock,
            control_options(settings),
        )

    def run(self) -> None:
        """Fold the captured messages, then a load with some unfinished tasks."""
        self.exporter.only.servers.reads.start()
        self.exporter.only.application.events.opened()
        for message in captured_messages():
            self.exporter.only.application.events.fold([message])
        self._pass(1)
        self._load(Shape(tasks=400, names=6, workers=6, queues=3, failures=0.1, tasks_per_batch=4))
        self._inspect()
        self._load(Shape(tasks=20, names=3, workers=2, queues=1, until="started", seed=2))
        self._load(Shape(tasks=10, names=2, workers=2, queues=2, until="sent", seed=3))
        self._pass(5)

    def close(self) -> None:
        """End every thread."""
        self.exporter.close()

    def metrics(self, accept: str) -> str:
        """Return a body of /metrics without the lines that differ between machines."""
        body = self.exporter.metrics(accept, "", None).body.decode()
        return self._neutral(_sorted(line for line in body.splitlines() if not MACHINE.match(line)))

    def status(self) -> str:
        """Return the body of /api/v1/status, indented."""
        return self._neutral(json.dumps(json.loads(self.exporter.show_status()), indent=1) + "\n")

    def _load(self, shape: Shape) -> None:
        stream = Stream(shape, self.clock)
        while stream.left:
            self.exporter.only.application.events.fold([message.payload for message in stream.render(40)])
            self._pass(0.5)
        self.exporter.only.application.events.fold([message.payload for message in stream.beat()])
        self._pass(1)

    def _inspect(self) -> None:
        self.control._turn(threading.Event())

    def _pass(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.exporter.only.application.events.tick()

    def _neutral(self, text: str) -> str:
        for port, shown in self._ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{shown}")
        return text


def _sorted(lines: Iterable[str]) -> str:
    """Sort the samples of each family, because some come from sets, whose order differs between processes."""
    groups = groupby(lines, key=lambda line: line.startswith("#"))
    kept = chain.from_iterable(group if is_comment else sorted(group) for is_comment, group in groups)
    return "".join(f"{line}\n" for line in kept)


def captured_messages() -> list[bytes]:
    """Return the events that were captured from real workers, one message each, in the order of their names."""
    trees = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(EVENTS.glob("*.json"))]
    return [tree["raw_payload"].encode() for tree in trees if "celeryev" in tree.get("channel", "")]
