# SPDX-License-Identifier: Apache-2.0
"""From messages to series: folding, losses, gaps."""

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.collectors.events import EventCollector
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.events import (
    BeatHeartbeat,
    TaskReceived,
    TaskSent,
    TaskStarted,
    WorkerHeartbeat,
)
from tests.support.lab import W1, Lab

SAMPLES = Path(__file__).parents[2] / "fixtures/events/celery-5.7"


def load(name: str) -> bytes:
    """Load a captured message."""
    raw: str = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))["raw_payload"]
    return raw.encode()


@pytest.fixture
def lab() -> Lab:
    """Return an empty state."""
    return Lab()


@pytest.fixture
def collector(lab: Lab) -> EventCollector:
    """Return a collector for that state."""
    return lab.collector()


def test_one_read(lab: Lab, collector: EventCollector) -> None:
    """All messages of one read are folded, event by event and type by type."""
    collector.fold([load("serializer-msgpack"), load("task-sent"), load("worker-heartbeat")])
    assert 1 == lab.value(rows.TASKS, "wapp.add", "unknown", "success")
    assert 1 == lab.value(internals.EVENTS, "task-received")
    assert 1 == lab.value(internals.EVENTS, "task-sent")
    assert 1 == lab.value(internals.EVENTS, "worker-heartbeat")
    assert 0 == lab.value(internals.EVENTS, "task-failed")
    assert lab.clock.epoch == lab.value(internals.LAST_EVENT)
    assert 1 == lab.value(worker_rows.WORKER_UP, W1.replace("host", "host1"))


def test_losses_have_reasons(lab: Lab, collector: EventCollector) -> None:
    """Every unusable message is counted by its reason, and affects no other message."""
    collector.fold([b"junk", load("serializer-pickle"), load("pidbox-hello"), load("task-progress"), load("task-sent")])
    for reason in ("envelope", "serializer", "body"):
        assert 1 == lab.value(internals.EVENTS_INVALID, reason)
    assert 1 == lab.value(internals.EVENTS, "other")
    assert 1 == lab.value(rows.TASKS_SENT, "wapp.add", "celery")


def test_reject_and_wrappers_are_told_apart(lab: Lab, collector: EventCollector) -> None:
    """A captured Reject, sent as failed and rejected, is one rejected execution."""
    lab.sent("011e4d8d-24ca-494e-bb4d-9a2eeb465f13", 0)
    collector.fold([load("task-rejected")])
    assert {"rejected": 1} == lab.ends()


def test_lag(lab: Lab, collector: EventCollector) -> None:
    """The lag of a message is counted once, and is not negative for a sender whose clock is ahead."""
    lab.clock.epoch = 1_795_319_335.2067745 - 100
    collector.fold([load("worker-heartbeat")])
    assert (1, 0.0) == lab.observations(internals.EVENT_LAG)
    lab.clock.advance(100.5)
    collector.fold([load("worker-heartbeat")])
    assert (2, 0.5) == lab.observations(internals.EVENT_LAG)


def test_gap(lab: Lab, collector: EventCollector) -> None:
    """The time without a subscription is counted while it lasts, from the first subscription on."""
    collector.lost("refused")
    lab.clock.advance(100)
    collector.tick()
    assert 0 == lab.value(internals.STREAM_GAP)
    collector.opened()
    assert 1 == lab.value(internals.STREAM_UP)
    collector.lost("closed")
    lab.clock.advance(7)
    collector.lost("refused")
    collector.tick()
    assert 7 == lab.value(internals.STREAM_GAP)
    assert 0 == lab.value(internals.STREAM_UP)
    lab.clock.advance(1)
    collector.opened()
    lab.clock.advance(50)
    collector.tick()
    assert 8 == lab.value(internals.STREAM_GAP)
    assert 1 == lab.value(internals.STREAM_RECONNECTS, "closed")
    assert 2 == lab.value(internals.STREAM_RECONNECTS, "refused")


def test_deaf_exporter_loses_no_worker(lab: Lab, collector: EventCollector) -> None:
    """While the subscription is down, silent workers stay up, because the exporter can't receive their events."""
    collector.opened()
    lab.beat()
    collector.lost("closed")
    lab.clock.advance(1000)
    collector.tick()
    assert 1 == lab.value(worker_rows.WORKER_UP, W1)
    collector.opened()
    collector.tick()
    assert 1 == lab.value(worker_rows.WORKER_UP, W1)
    lab.clock.advance(31)
    collector.tick()
    assert 0 == lab.value(worker_rows.WORKER_UP, W1)


class ScriptedStream:
    """A stream that follows a script: batches, errors to raise, and a stop at the end."""

    def __init__(self, stop: threading.Event, script: list[list[bytes] | SourceError]) -> None:
        self.script, self.stop, self.is_open = script, stop, False
        self.dropped = 0
        self.is_drained = True

    def open(self) -> None:
        """Subscribe."""
        self.is_open = True

    def read(self) -> list[bytes]:
        """Return the batch of the script's next step, or raise its error."""
        step = self.script.pop(0)
        if isinstance(step, SourceError):
            raise step
        if not self.script:
            self.stop.set()
        return step

    def take_dropped(self) -> int:
        """Return the number of messages that were dropped since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def close(self) -> None:
        """End the subscription."""
        self.is_open = False


class PausedStream(ScriptedStream):
    """A stream of a process that is paused for ``seconds`` after each batch; then ``after`` is called."""

    def __init__(
        self, lab: Lab, stop: threading.Event, script: list[list[bytes] | SourceError], seconds: float = 3
    ) -> None:
        super().__init__(stop, script)
        self.lab = lab
        self.seconds = seconds
        self.after: Callable[[], None] = lambda: None

    def take_dropped(self) -> int:
        """Advance the clock after a batch."""
        self.lab.clock.advance(self.seconds)
        self.after()
        return 0


def test_listening(lab: Lab) -> None:
    """The collector folds events until it is stopped, reports that it works, and leaves the stream closed."""
    stop, works = threading.Event(), threading.Event()
    stream = ScriptedStream(stop, [[load("task-sent")], [], [load("task-sent")]])
    lab.collector(stream=stream).run(stop, works.set)
    assert 2 == lab.value(rows.TASKS_SENT, "wapp.add", "celery")
    assert works.is_set()
    assert not stream.is_open


@pytest.mark.parametrize("end", [[], SourceError("closed", "gone")], ids=["stopped", "lost"])
def test_dropped_messages_are_counted(lab: Lab, end: list[bytes] | SourceError) -> None:
    """Messages that the stream dropped are counted, also those of the read in which the subscription was lost."""
    stop = threading.Event()
    stream = ScriptedStream(stop, [end])
    stream.dropped = 3
    with contextlib.suppress(SourceError):
        lab.collector(stream=stream).run(stop, lambda: None)
    assert 3 == lab.value(internals.EVENTS_INVALID, "size")


def test_a_pause_of_the_process_releases_nothing_that_is_about_to_be_read(lab: Lab) -> None:
    """A process that was paused for seconds reads the task-sent of that time before it stops waiting for it."""
    stop = threading.Event()
    b = lab.clock.epoch
    batches: dict[bytes, list[Any]] = {
        b"first": [TaskSent("a", b, "t", "q")],
        b"received": [TaskReceived("b", b + 1, W1, "t"), TaskStarted("b", b + 1, W1)],
        b"sent": [TaskSent("b", b + 1, "t", "q")],
        b"unsent": [TaskReceived("c", b + 2, W1, "t")],
    }
    stream = PausedStream(lab, stop, [[b"first"], [b"received"], [b"sent"], [b"unsent"], [], []])
    collector = lab.collector(lambda payload: batches[payload], stream)
    stream.after = collector.tick  # as at a scrape
    collector.run(stop, lambda: None)
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", "q") == lab.value(rows.TASKS_STARTED, "t", "q")
    assert 1 == lab.value(rows.TASKS_RECEIVED, "t", "unknown")


def test_a_pause_of_the_process_loses_no_worker_that_is_about_to_be_read(lab: Lab) -> None:
    """A process that was paused for minutes loses no worker and no beat while it reads the events of that time."""
    stop, stamp = threading.Event(), lab.clock.epoch
    batches: dict[bytes, list[Any]] = {
        b"a": [WorkerHeartbeat("a", stamp, 1)],
        b"b": [WorkerHeartbeat("b", stamp, 2)],
        b"beat": [BeatHeartbeat("beat", stamp, 5.0)],
    }
    stream = PausedStream(lab, stop, [[b"a", b"b", b"beat"], [b"a"], [b"b"], [b"beat"], []], seconds=100)
    collector = lab.collector(lambda payload: batches[payload], stream)
    seen = []

    def tick() -> None:
        stream.is_drained = len(stream.script) <= 2  # until then each read leaves more data
        collector.tick()
        up = [lab.value(worker_rows.WORKER_UP, name) for name in ("a", "b")]
        seen.append([*up, lab.value(worker_rows.BEAT_UP, "beat")])

    stream.after = tick
    collector.run(stop, lambda: None)
    assert [[1, 1, 1]] * 3 == seen[:3]
    assert 0 == lab.value(worker_rows.WORKER_UP, "a")


def test_loss_while_listening(lab: Lab) -> None:
    """A loss of the stream is counted by its reason and raised."""
    stop = threading.Event()
    stream = ScriptedStream(stop, [[load("task-sent")], SourceError("closed", "gone"), []])
    collector = lab.collector(stream=stream)
    with pytest.raises(SourceError):
        collector.run(stop, lambda: None)
    assert 1 == lab.value(internals.STREAM_RECONNECTS, "closed")
    assert not stream.is_open
    assert not collector.listening


class ClosedStream(ScriptedStream):
    """A stream that another thread closes during a read, because the exporter stops."""

    def read(self) -> list[bytes]:
        """Raise the error of a closed stream."""
        self.stop.set()
        raise SourceError("closed", "gone")


def test_the_end_of_the_exporter_is_no_loss(lab: Lab) -> None:
    """A subscription that the exporter closes when it stops is not counted as lost, so a restart does not show it."""
    stop = threading.Event()
    collector = lab.collector(stream=ClosedStream(stop, []))
    with pytest.raises(SourceError):
        collector.run(stop, lambda: None)
    assert lab.value(internals.STREAM_RECONNECTS, "closed") is None
