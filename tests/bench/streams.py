"""Realistic streams of event messages, and what they must add up to.

Takes the shape of a load, gives messages as kombu publishes them: per task one task-sent, and one task.multi batch of
received, started and ended, as a prefork worker under load sends them.
"""

import base64
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exporter.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Shape:
    """A load: ``payload`` is the length of args, ``failures`` a share, ``tasks_per_batch`` tasks in one message."""

    tasks: int = 20_000
    names: int = 20
    workers: int = 10
    queues: int = 3
    failures: float = 0.05
    payload: int = 20
    tasks_per_batch: int = 1
    seed: int = 1

    @property
    def events(self) -> int:
        """Events in the stream."""
        return 4 * self.tasks

    def name(self, number: int) -> str:
        """Name of the task with this number."""
        return f"proj.tasks.task_{number % self.names}"


@dataclass(slots=True)
class Message:
    """A message and the channel it goes to."""

    channel: str
    payload: bytes


def make_stream(shape: Shape) -> Iterator[Message]:
    """Give the messages of a load, in order; the same shape gives the same stream but for time stamps."""
    dice = random.Random(shape.seed)  # noqa: S311 -- a load, no secret
    start = SystemClock().now()
    batch: list[dict[str, Any]] = []
    for number in range(shape.tasks):
        at = start + number * 1e-4
        task_id = str(uuid.UUID(int=dice.getrandbits(128)))
        name, worker = shape.name(number), f"worker{number // shape.tasks_per_batch % shape.workers}@host"
        yield _message("task.sent", "gen1@host", _sent(shape, number, task_id, name, at))
        common = {"hostname": worker, "utcoffset": 0.0, "pid": 100 + number % shape.workers, "clock": number}
        batch += [
            common | _naming(shape, task_id, name) | {"timestamp": at + 0.005, "type": "task-received"},
            common | {"uuid": task_id, "timestamp": at + 0.010, "type": "task-started"},
            common | {"uuid": task_id} | _end(dice.random() < shape.failures, at + 0.020),
        ]
        if len(batch) >= 3 * shape.tasks_per_batch:
            yield _message("task.multi", worker, batch)
            batch = []
    if batch:
        yield _message("task.multi", batch[0]["hostname"], batch)


def count_failures(shape: Shape) -> int:
    """How many of the stream's tasks fail."""
    dice = random.Random(shape.seed)  # noqa: S311 -- as above
    failed = 0
    for _ in range(shape.tasks):
        dice.getrandbits(128)
        failed += dice.random() < shape.failures
    return failed


def heartbeat(worker: str, processed: int, active: int = 0) -> Message:
    """A worker's heartbeat, now."""
    body = {
        "hostname": worker, "utcoffset": 0.0, "pid": 100, "clock": 1, "freq": 2.0, "active": active,
        "processed": processed, "loadavg": [0.4, 0.4, 0.2], "sw_ident": "py-celery", "sw_ver": "5.7.0",
        "sw_sys": "Linux", "timestamp": SystemClock().now(), "type": "worker-heartbeat",
    }  # fmt: skip
    return _message("worker.heartbeat", worker, body)


def _naming(shape: Shape, task_id: str, name: str) -> dict[str, Any]:
    return {
        "uuid": task_id, "name": name, "args": f"({'x' * shape.payload!r},)", "kwargs": "{}", "root_id": task_id,
        "parent_id": None, "retries": 0, "eta": None, "expires": None,
    }  # fmt: skip


def _sent(shape: Shape, number: int, task_id: str, name: str, at: float) -> dict[str, Any]:
    queue = f"queue{number % shape.queues}"
    base = {"hostname": "gen1@host", "utcoffset": 0.0, "pid": 1, "clock": number}
    where = {"queue": queue, "exchange": "", "routing_key": queue, "timestamp": at, "type": "task-sent"}
    return base | _naming(shape, task_id, name) | where


def _end(failed: bool, at: float) -> dict[str, Any]:  # noqa: FBT001 -- a value
    if not failed:
        return {"result": "3", "runtime": 0.01, "timestamp": at, "type": "task-succeeded"}
    traceback = 'Traceback (most recent call last):\n  File "tasks.py", line 14, in task\nValueError: kaboom\n'
    return {"exception": "ValueError('kaboom')", "traceback": traceback, "timestamp": at, "type": "task-failed"}


def _message(routing_key: str, hostname: str, body: object) -> Message:
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"hostname": hostname},
        "properties": {
            "delivery_mode": 1,
            "delivery_info": {"exchange": "celeryev", "routing_key": routing_key},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return Message(f"/0.celeryev/{routing_key}", json.dumps(envelope).encode())
