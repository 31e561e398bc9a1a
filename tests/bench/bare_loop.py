# SPDX-License-Identifier: Apache-2.0
"""The lower bound for comparison: socket, hiredis, msgspec, dicts, and nothing else.

Run as a process: it subscribes, counts, and prints its counts as JSON at SIGUSR1.
It has no layers, event order, retries, duplicates, losses, bounds, exemplars or locks: only the cost of reading and
counting in Python remains.
"""

import json
import signal
import socket
import sys
from bisect import bisect_left
from typing import Any, Union

import hiredis
import msgspec

from celery_redis_exporter.catalog.tasks import DURATION_BUCKETS


class Envelope(msgspec.Struct, gc=False):
    """The envelope; base64 is decoded during parsing."""

    body: bytes


class Sent(msgspec.Struct, tag_field="type", tag="task-sent", gc=False):
    """task-sent."""

    uuid: str
    timestamp: float
    name: str
    queue: str


class Received(msgspec.Struct, tag_field="type", tag="task-received", gc=False):
    """task-received."""

    uuid: str
    timestamp: float
    name: str


class Started(msgspec.Struct, tag_field="type", tag="task-started", gc=False):
    """task-started."""

    uuid: str
    timestamp: float


class Succeeded(msgspec.Struct, tag_field="type", tag="task-succeeded", gc=False):
    """task-succeeded."""

    uuid: str
    timestamp: float
    runtime: float


class Failed(msgspec.Struct, tag_field="type", tag="task-failed", gc=False):
    """task-failed."""

    uuid: str
    timestamp: float
    exception: str


class Series:
    """Counters and histograms of one (task, queue)."""

    __slots__ = (
        "exceptions", "failed", "last_failure", "last_sent", "last_success", "prefetch", "received", "running",
        "runtime", "sent", "started", "succeeded", "wait",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sent = self.received = self.started = self.succeeded = self.failed = self.running = 0
        self.last_sent = self.last_success = self.last_failure = 0.0
        self.exceptions: dict[str, int] = {}
        self.runtime, self.wait, self.prefetch = ([0] * (len(DURATION_BUCKETS) + 2) for _ in range(3))


series: dict[tuple[str, str], Series] = {}
tasks: dict[str, list[Any]] = {}
BOUNDS = DURATION_BUCKETS


def observe(histogram: list[Any], value: float) -> None:
    """Count an observation; the sum is the last entry."""
    histogram[bisect_left(BOUNDS, value)] += 1
    histogram[-1] += value


def sent(event: Sent) -> None:
    """Count task-sent."""
    key = (event.name, event.queue)
    found = series.get(key)
    if found is None:
        found = series[key] = Series()
    found.sent += 1
    found.last_sent = event.timestamp
    tasks[event.uuid] = [found, event.timestamp, 0.0, 0.0]


def received(event: Received) -> None:
    """Count task-received."""
    task = tasks[event.uuid]
    task[0].received += 1
    task[2] = event.timestamp


def started(event: Started) -> None:
    """Count task-started."""
    task = tasks[event.uuid]
    found = task[0]
    found.started += 1
    found.running += 1
    task[3] = event.timestamp
    observe(found.wait, event.timestamp - task[1])
    observe(found.prefetch, event.timestamp - task[2])


def succeeded(event: Succeeded) -> None:
    """Count task-succeeded."""
    found = tasks.pop(event.uuid)[0]
    found.succeeded += 1
    found.running -= 1
    found.last_success = event.timestamp
    observe(found.runtime, event.runtime)


def failed(event: Failed) -> None:
    """Count task-failed."""
    found, _, _, begun = tasks.pop(event.uuid)
    found.failed += 1
    found.running -= 1
    found.last_failure = event.timestamp
    name = event.exception.partition("(")[0]
    found.exceptions[name] = found.exceptions.get(name, 0) + 1
    observe(found.runtime, event.timestamp - begun)


FOLD: dict[type, Any] = {Sent: sent, Received: received, Started: started, Succeeded: succeeded, Failed: failed}


def tell(*_: object) -> None:
    """Print the counts."""
    totals = {name: sum(getattr(one, name) for one in series.values()) for name in ("sent", "succeeded", "failed")}
    sys.stdout.write(json.dumps(totals) + "\n")
    sys.stdout.flush()


def run(port: int) -> None:
    """Count the events of the Redis on ``port`` until the process ends."""
    signal.signal(signal.SIGUSR1, tell)
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(hiredis.pack_command(("PSUBSCRIBE", "/0.celeryev/*")))  # type: ignore[arg-type]  # its stub
    buffer, reader = bytearray(256 * 1024), hiredis.Reader()
    union: Any = Union[tuple(FOLD)]  # noqa: UP007 -- made from a list
    envelope = msgspec.json.Decoder(Envelope).decode
    one, many = msgspec.json.Decoder(union).decode, msgspec.json.Decoder(list[union]).decode
    while size := connection.recv_into(buffer):
        # This parses a whole read at once; sources/wire.py explains why the exporter does not.
        reader.feed(buffer, 0, size)  # type: ignore[arg-type]  # its stub
        frame: Any = reader.gets()
        while frame is not False:
            if frame[0] == b"pmessage":
                body = envelope(frame[3]).body
                for event in many(body) if body[0] == 0x5B else (one(body),):
                    FOLD[type(event)](event)
            frame = reader.gets()


if __name__ == "__main__":
    run(int(sys.argv[1]))
