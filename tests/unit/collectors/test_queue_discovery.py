# SPDX-License-Identifier: Apache-2.0
"""The search for queues in the background."""

import threading
from typing import cast

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.collectors.queue_discovery import (
    COLLECTOR,
    FIRST_INTERVAL,
    PAUSE,
    BindingRules,
    QueueDiscovery,
)
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import BoundMember
from celery_redis_exporter.sources.queues import QueueScan, ScanBatch
from celery_redis_exporter.state.queues import Queues
from tests.support.lab import Lab


class ScriptedScan:
    """A scan that returns the batches of a script, or raises its errors."""

    def __init__(self, *script: ScanBatch | SourceError) -> None:
        self.script = list(script)

    def next_batch(self) -> ScanBatch:
        """Return the next step."""
        step = self.script.pop(0)
        if isinstance(step, SourceError):
            raise step
        return step


def binding(queue: str, sep: str = "\x06\x16") -> BoundMember:
    """Return a member of a binding set."""
    return BoundMember(queue, f"{queue}{sep}{sep}{queue}".encode())


def junk(member: bytes) -> BoundMember:
    """Return a member that is no binding."""
    return BoundMember("e", member)


def discovery_of(lab: Lab, queues: Queues, *script: ScanBatch | SourceError, sep: str = "\x06\x16") -> QueueDiscovery:
    """Return a discovery that reads these batches."""
    rules = BindingRules("celeryev", lambda: sep)
    return QueueDiscovery(cast("QueueScan", ScriptedScan(*script)), queues, lab.store, lab.clock, rules)


def search(lab: Lab, queues: Queues, *script: ScanBatch | SourceError, max_keys: int = 10_000) -> None:
    """Make one pass."""
    stop = threading.Event()
    discovery_of(lab, queues, *script).run(stop, 0.0, max_keys, stop.set)


def test_pass() -> None:
    """A complete pass finds queues over several batches, and counts each reply queue once."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    search(
        lab, queues,
        ScanBatch([binding("b"), binding("w@h.celery.pidbox")], {b"1.reply", b"2.reply"}, complete=False),
        ScanBatch([binding("a"), junk(b"junk")], {b"2.reply"}, complete=True),
    )  # fmt: skip
    assert ("b", "a") == queues.names()
    assert 2 == lab.value(rows.REPLY_QUEUES)
    assert 1 == lab.value(internals.BINDINGS_INVALID)
    assert lab.value(internals.EVENTS_INVALID, "binding") is None
    assert 1 == lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert lab.clock.epoch == lab.value(internals.COLLECTOR_LAST_SUCCESS, COLLECTOR)


def test_pass_is_bounded() -> None:
    """The number of keys of a pass is limited, and an incomplete pass sets no number of reply queues."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    search(
        lab, queues, *(ScanBatch([binding(f"q{number}")], set(), complete=False) for number in range(9)), max_keys=2000
    )
    assert ("q0", "q1") == queues.names()
    assert lab.value(rows.REPLY_QUEUES) is None


def test_failure() -> None:
    """A failed pass is shown as failed and raised; known queues stay."""
    lab = Lab()
    queues = Queues(lab.tasks, ["known"], 10)
    with pytest.raises(SourceError):
        search(lab, queues, SourceError("noperm", "SCAN"))
    assert 0 == lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert ("known",) == queues.names()


def test_bindings_with_the_separator_of_the_settings() -> None:
    """Bindings are split by the separator of the settings and by kombu's default, whatever their names contain."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    members = [binding("celery", ":"), binding("old"), binding("a:b"), BoundMember("m", b"media.#:^media\\..*?$:vids")]
    discovery = discovery_of(lab, queues, ScanBatch(members, set(), complete=True), sep=":")
    stop = threading.Event()
    discovery.run(stop, 0.0, 1000, stop.set)
    assert {"celery", "old", "a:b", "vids"} == set(queues.names())
    assert 0 == lab.value(internals.BINDINGS_INVALID)
    assert {"\x06\x16"} == discovery.other_separators


def test_an_unreadable_binding_is_counted_once() -> None:
    """A binding with an unknown separator is counted once, is no invalid event, and its separator is recorded."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    batch = ScanBatch([binding("celery", ":"), binding("mail", ":"), junk(b"\xff")], set(), complete=True)
    discovery = discovery_of(lab, queues, *[batch] * 3)
    for _ in range(3):
        stop = threading.Event()
        discovery.run(stop, 0.0, 1000, stop.set)
    assert () == queues.names()
    assert 3 == lab.value(internals.BINDINGS_INVALID)
    assert lab.value(internals.EVENTS_INVALID, "binding") is None
    assert {":"} == discovery.other_separators


class Waits(threading.Event):
    """An event that records the timeouts of its waits, and is set after ``count`` waits."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.waited: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        if timeout != PAUSE:
            self.waited.append(timeout or 0.0)
            if len(self.waited) >= self.count:
                self.set()
        return self.is_set()


@pytest.mark.parametrize("found", [[], [junk(b"junk")], [binding("q")]], ids=["nothing", "unreadable", "queue"])
def test_the_interval_is_the_long_one_after_two_passes(found: list[BoundMember]) -> None:
    """Searches use the short interval until the second complete pass, whatever it finds, and then the long one."""
    lab = Lab()
    whole, part = ScanBatch(found, set(), complete=True), ScanBatch(found, set(), complete=False)
    discovery = discovery_of(lab, Queues(lab.tasks, [], 10), part, part, whole, part, whole, whole)
    stop = Waits(6)
    discovery.run(stop, 60.0, 1000, lambda: None)
    assert [*[FIRST_INTERVAL] * 4, 60, 60] == stop.waited


def test_a_failed_pass_does_not_shorten_the_interval() -> None:
    """After an error the interval stays unchanged."""
    lab = Lab()
    whole = ScanBatch([], set(), complete=True)
    discovery = discovery_of(lab, Queues(lab.tasks, [], 10), whole, whole, SourceError("closed", ""), whole)
    with pytest.raises(SourceError):
        discovery.run(Waits(3), 60.0, 1000, lambda: None)
    stop = Waits(1)
    discovery.run(stop, 60.0, 1000, lambda: None)
    assert [60] == stop.waited


def test_bindings_of_broadcast_queues_are_no_queues() -> None:
    """The bindings that Broadcast queues leave behind are no queues, and yield the name for those queues."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    bound = [BoundMember("news", f"news\x06\x16\x06\x16bcast.{number}".encode()) for number in range(50)]
    search(lab, queues, ScanBatch([binding("mail"), *bound], set(), complete=True))
    assert ("mail",) == queues.names()
    assert ("news", "bcast.*", "mail") == tuple(queues.shown(queue) for queue in ("bcast.7", "bcast.77", "mail"))
    assert "news" == queues.routes.queue_of("news", "any key")
