# SPDX-License-Identifier: Apache-2.0
"""Realistic streams of event messages, and the counts that they must produce.

Input: the shape of a load. Output: messages as kombu publishes them: per task one task-sent, and one task.multi batch
of received, started and ended, as a prefork worker under load sends them; heartbeats with the worker's own count, so
that a lost event is detected. Texts are prepared once and filled in per task, since building them anew would cost more
than any exporter needs to read them. Sends nothing.
"""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from celery_redis_exporter.clock import Clock, SystemClock

Stage = Literal["sent", "started", "ended"]
STAGES: tuple[Stage, ...] = ("sent", "started", "ended")
PREFETCH_SECONDS = 0.002
LONGEST_RUNTIME = 2.0
"""Upper limit in seconds of the runtimes that workers report: spread from 0, so that histograms fill realistically."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A load: ``payload`` is the length of args, ``failures`` a share, ``tasks_per_batch`` the tasks of one message.

    ``until`` is the last state of the tasks: those that are only sent or started stay in flight.
    """

    tasks: int = 20_000
    names: int = 20
    workers: int = 10
    queues: int = 3
    failures: float = 0.05
    payload: int = 20
    tasks_per_batch: int = 1
    until: Stage = "ended"
    seed: int = 1

    @property
    def events(self) -> int:
        """Return the number of events in the stream, without heartbeats."""
        return self.tasks * self.events_per_task

    @property
    def events_per_task(self) -> int:
        """Return the number of events of one task."""
        return {"sent": 1, "started": 3, "ended": 4}[self.until]


class Message(NamedTuple):
    """A message and its channel."""

    channel: bytes
    payload: bytes


class Stream:
    """The messages of a load, rendered in parts; ``sent``, ``started`` and ``failed`` count tasks so far.

    ``begun`` is the number of tasks that each worker started before; its heartbeats continue that count.
    """

    def __init__(self, shape: Shape, clock: Clock | None = None, begun: int = 0) -> None:
        self.shape = shape
        self.sent = self.started = self.failed = self.beats = 0
        self._clock = clock or SystemClock()
        self._dice = random.Random(shape.seed)  # noqa: S311 -- a load, no secret
        self._last = 0.0
        self._batches = 0
        self._workers = [f"worker{number}@host".encode() for number in range(shape.workers)]
        self._begun = [begun] * shape.workers
        self._texts = _Texts(shape)

    @property
    def left(self) -> int:
        """Return the number of tasks that are not rendered yet."""
        return self.shape.tasks - self.sent

    def render(self, tasks: int) -> list[Message]:
        """Return the messages of the next ``tasks`` tasks, with current timestamps; batches never span two calls."""
        messages: list[Message] = []
        while tasks > 0 and self.left:
            size = min(tasks, self.left, self.shape.tasks_per_batch)
            tasks -= size
            worker = self._batches % self.shape.workers
            self._batches += 1
            events = b", ".join([self._task(worker, messages) for _ in range(size)])
            if events:
                self._begun[worker] += size
                self.started += size
                messages.append(_enveloped(b"task.multi", self._workers[worker], b"[" + events + b"]"))
        return messages

    def beat(self) -> list[Message]:
        """Return a heartbeat of every worker, with the number of its started tasks and the last task's timestamp."""
        self.beats += self.shape.workers
        at = self._last or self._clock.now()
        running = self.shape.until == "started"
        return [
            _heartbeat(name, number, begun, begun if running else 0, at)
            for number, (name, begun) in enumerate(zip(self._workers, self._begun, strict=True))
        ]

    def _task(self, worker: int, messages: list[Message]) -> bytes:
        """Add a task's task-sent to ``messages``, and return the events that its worker sends."""
        shape, texts, number = self.shape, self._texts, self.sent
        self.sent += 1
        # Strictly increasing, because a worker's heartbeat counts the starts up to a moment.
        at = self._last = max(self._clock.now(), self._last + 2e-6)
        task_id = b"%08x-0000-4000-8000-%012x" % (shape.seed, number)
        name = b"proj.tasks.task_%d" % (number % shape.names)
        queue = b"queue%d" % (number % shape.queues)
        sent = texts.sent % (number, task_id, name, task_id, queue, queue, at - 2 * PREFETCH_SECONDS)
        messages.append(_enveloped(b"task.sent", b"gen1@host", sent))
        if shape.until == "sent":
            return b""
        by = (self._workers[worker], 100 + worker, number)
        events = texts.started % (*by, task_id, name, task_id, at - PREFETCH_SECONDS, *by, task_id, at)
        if shape.until == "started":
            return events
        if self._dice.random() < shape.failures:
            self.failed += 1
            return events + texts.failed % (*by, task_id, at)
        return events + texts.succeeded % (*by, task_id, self._dice.random() * LONGEST_RUNTIME, at)


def make_stream(shape: Shape) -> Iterator[Message]:
    """Yield the messages of a load, in order; the same shape yields the same stream except for timestamps."""
    stream = Stream(shape)
    while stream.left:
        yield from stream.render(shape.tasks_per_batch)


class _Texts:
    """The texts of a shape's events, with placeholders for the values of each task."""

    def __init__(self, shape: Shape) -> None:
        naming = {
            "uuid": "%b", "name": "%b", "args": f"({'x' * shape.payload!r},)", "kwargs": "{}", "root_id": "%b",
            "parent_id": None, "retries": 0, "eta": None, "expires": None,
        }  # fmt: skip
        by = {"hostname": "%b", "utcoffset": 0.0, "pid": "%d", "clock": "%d"}
        generator = {"hostname": "gen1@host", "utcoffset": 0.0, "pid": 1, "clock": "%d"}
        where = {"queue": "%b", "exchange": "", "routing_key": "%b", "timestamp": "%.6f", "type": "task-sent"}
        begun = {"uuid": "%b", "timestamp": "%.6f", "type": "task-started"}
        success = {"result": "3", "runtime": "%.6f", "timestamp": "%.6f", "type": "task-succeeded"}
        traceback = 'Traceback (most recent call last):\n  File "tasks.py", line 14, in task\nValueError: kaboom\n'
        failure = {"exception": "ValueError('kaboom')", "traceback": traceback}
        failure |= {"timestamp": "%.6f", "type": "task-failed"}
        self.sent = _cut(generator | naming | where)
        received = _cut(by | naming | {"timestamp": "%.6f", "type": "task-received"})
        self.started = b", ".join((received, _cut(by | begun)))
        self.succeeded = b", " + _cut(by | {"uuid": "%b"} | success)
        self.failed = b", " + _cut(by | {"uuid": "%b"} | failure)


def _cut(event: dict[str, Any]) -> bytes:
    text = json.dumps(event)
    for number in ("%d", "%.6f"):
        text = text.replace(f'"{number}"', number)
    return text.encode()


_ENVELOPE = json.dumps({
    "body": "%b",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"hostname": "%b"},
    "properties": {
        "delivery_mode": 1,
        "delivery_info": {"exchange": "celeryev", "routing_key": "%b"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": "6a6ae0d4-0c5c-4c92-8a4d-1c5c4f3f0f6e",
    },
}).encode()  # fmt: skip


def _enveloped(routing_key: bytes, hostname: bytes, body: bytes) -> Message:
    return Message(b"/0.celeryev/" + routing_key, _ENVELOPE % (base64.b64encode(body), hostname, routing_key))


def _heartbeat(worker: bytes, number: int, processed: int, active: int, at: float) -> Message:
    body = {
        "hostname": worker.decode(), "utcoffset": 0.0, "pid": 100 + number, "clock": 1, "freq": 2.0, "active": active,
        "processed": processed, "loadavg": [0.4, 0.4, 0.2], "sw_ident": "py-celery", "sw_ver": "5.7.0",
        "sw_sys": "Linux", "timestamp": at, "type": "worker-heartbeat",
    }  # fmt: skip
    return _enveloped(b"worker.heartbeat", worker, json.dumps(body).encode())
