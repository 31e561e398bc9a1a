# SPDX-License-Identifier: Apache-2.0
"""The load generator: ``python -m tests.bench.load --url redis://127.0.0.1:6379/0 --rate N|max --tasks N ...``.

Publishes a stream of events at a set rate or as fast as Redis accepts it, in a separate process, so that it shares no
interpreter with the measured subject. Renders some tasks at a time, so that a run may be of any length; with
``--ahead`` everything is rendered before the first message is sent, for the highest rate. Prints what it sent as JSON.
"""

import argparse
import json
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from celery_redis_exporter.clock import SystemClock
from tests.bench.streams import STAGES, Message, Shape, Stream

CHUNK = 250
"""Tasks rendered and sent at once at full speed: the next chunk is rendered while Redis processes the last one."""
TICK = 0.001
"""Seconds between two checks for due tasks at a set rate."""
LINGER_TICK = 0.1
"""Seconds between two checks for due heartbeats, when there is nothing else to send."""
MOST_DUE = 2_000
"""Tasks sent at once to catch up with the rate after a pause of this process."""


STARTED = "sending"
"""Line that the process prints when it sends the first message."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was sent: tasks and events (without heartbeats) in ``seconds``; ``unheard`` messages had no receiver."""

    tasks: int
    events: int
    started: int
    failed: int
    beats: int
    unheard: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return events per second."""
        return self.events / self.seconds


class Publisher:
    """A connection that publishes; at most one chunk is without a reply, so that Redis is neither idle nor flooded."""

    def __init__(self, host: str, port: int) -> None:
        self.unheard = 0
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unanswered = 0
        self._rest = b""

    def send(self, packed: bytes, messages: int) -> None:
        """Send a packed chunk, and wait for the replies to the one before it."""
        before = self._unanswered
        self._socket.sendall(packed)
        self._unanswered += messages
        self._await(self._unanswered - before)

    def close(self) -> None:
        """Wait for all replies, and close."""
        self._await(0)
        self._socket.close()

    def _await(self, unanswered: int) -> None:
        while self._unanswered > unanswered:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("Redis closed the connection")
            answers, newline, self._rest = (self._rest + received).rpartition(b"\n")
            lines = answers + newline
            self._unanswered -= lines.count(b"\n")
            self.unheard += lines.count(b":0\r\n")


def pack(messages: Sequence[Message]) -> bytes:
    """Return the PUBLISH commands of messages."""
    return b"".join([
        b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, len(payload), payload)
        for channel, payload in messages
    ])  # fmt: skip


def publish(port: int, shape: Shape, *, beat: bool = False) -> Stream:
    """Publish a small load from this process, at full speed; with ``beat`` the workers' heartbeats follow."""
    stream, publisher = Stream(shape), Publisher("127.0.0.1", port)
    while stream.left:
        _send(publisher, stream.render(CHUNK))
    if beat:
        _send(publisher, stream.beat())
    publisher.close()
    return stream


class Replay:
    """The sending of a stream; ``beats`` are the seconds between heartbeats, 0 for none."""

    def __init__(self, publisher: Publisher, stream: Stream, beats: float) -> None:
        self.stream = stream
        self._publisher = publisher
        self._beats = beats
        self._clock = SystemClock()
        self._beaten = -beats

    def at_full_speed(self, *, ahead: bool) -> float:
        """Send everything; return the seconds that sending took."""
        chunks: Iterator[tuple[bytes, int]] = self._chunks()
        if ahead:
            chunks = iter(list(chunks))
        _say(STARTED)
        start = self._clock.monotonic()
        for packed, messages in chunks:
            self._publisher.send(packed, messages)
        return self._clock.monotonic() - start

    def at_rate(self, events_per_second: float, seconds: float) -> float:
        """Send at this rate until all is sent, or ``seconds`` (0: no limit) are over; return the seconds it took."""
        shape, pause = self.stream.shape, threading.Event()
        rate = events_per_second / shape.events_per_task
        _say(STARTED)
        start = self._clock.monotonic()
        while True:
            elapsed = self._clock.monotonic() - start
            due = min(int(elapsed * rate) - self.stream.sent, MOST_DUE)
            messages = self.stream.render(due - due % shape.tasks_per_batch) + self._due_beats()
            if messages:
                _send(self._publisher, messages)
            if (seconds and elapsed >= seconds) or not (self.stream.left or seconds):
                return elapsed
            pause.wait(TICK)

    def linger(self, seconds: float) -> None:
        """Send only heartbeats for ``seconds``, as workers without tasks do."""
        pause, end = threading.Event(), self._clock.monotonic() + seconds
        while self._clock.monotonic() < end:
            beats = self._due_beats()
            if beats:
                _send(self._publisher, beats)
            pause.wait(LINGER_TICK)

    def _chunks(self) -> Iterator[tuple[bytes, int]]:
        step = CHUNK - CHUNK % self.stream.shape.tasks_per_batch
        while self.stream.left:
            messages = self._due_beats() + self.stream.render(step)
            yield pack(messages), len(messages)

    def _due_beats(self) -> list[Message]:
        now = self._clock.monotonic()
        if not self._beats or now - self._beaten < self._beats:
            return []
        self._beaten = now
        return self.stream.beat()


def _send(publisher: Publisher, messages: Sequence[Message]) -> None:
    publisher.send(pack(messages), len(messages))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def replay(url: str, shape: Shape, options: argparse.Namespace) -> Replayed:
    """Replay a load with these options; return what was sent."""
    target = urlsplit(url)
    publisher = Publisher(target.hostname or "127.0.0.1", target.port or 6379)
    stream = Stream(shape, begun=options.begun)
    run = Replay(publisher, stream, options.heartbeats)
    if options.rate == "max":
        seconds = run.at_full_speed(ahead=options.ahead)
    else:
        seconds = run.at_rate(float(options.rate), options.seconds)
    run.linger(options.linger)
    if options.heartbeats:
        # The ledger settles a period at the heartbeat after its end. It counts a start as lost if two settlements
        # missed it and no start followed the heartbeat closely (state/ledger.py), which takes two quiet periods.
        for _ in range(5):
            _send(publisher, stream.beat())
    publisher.close()
    events = stream.sent * shape.events_per_task
    return Replayed(stream.sent, events, stream.started, stream.failed, stream.beats, publisher.unheard, seconds)


def main(argv: Sequence[str]) -> None:
    """Replay, and print what was sent."""
    usual = Shape()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--url", default="redis://127.0.0.1:6379/0", help="Redis to publish on; no password, no TLS")
    parser.add_argument("--rate", default="max", help="events per second, or max")
    parser.add_argument("--seconds", type=float, default=0, help="how long, at a set rate; 0: until all is sent")
    parser.add_argument("--ahead", action="store_true", help="render everything before sending (max only)")
    parser.add_argument("--heartbeats", type=float, default=0, help="seconds between a worker's heartbeats; 0: none")
    parser.add_argument("--linger", type=float, default=0, help="seconds of heartbeats after the last task")
    parser.add_argument("--begun", type=int, default=0, help="tasks that each worker had begun before")
    for name in ("tasks", "names", "workers", "queues", "payload", "tasks-per-batch", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name.replace("-", "_")))
    parser.add_argument("--failures", type=float, default=usual.failures, help="share of tasks that fail")
    parser.add_argument("--until", choices=STAGES, default=usual.until, help="how far the tasks get")
    options = parser.parse_args(argv)
    shape = Shape(**{name: getattr(options, name) for name in asdict(usual)})
    _say(json.dumps(asdict(replay(options.url, shape, options))))


if __name__ == "__main__":
    main(sys.argv[1:])
