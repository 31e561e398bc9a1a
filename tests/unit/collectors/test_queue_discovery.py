"""The search for queues in the background."""

import threading
from typing import cast

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.collectors.queue_discovery import COLLECTOR, QueueDiscovery
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.queues import QueueScan, ScanBatch
from celery_redis_exporter.state.queues import Queues
from tests.support.lab import Lab


class ScriptedScan:
    """Gives batches, or raises, as told."""

    def __init__(self, *script: ScanBatch | SourceError) -> None:
        self.script = list(script)

    def next_batch(self) -> ScanBatch:
        """The next step."""
        step = self.script.pop(0)
        if isinstance(step, SourceError):
            raise step
        return step


def binding(queue: str) -> bytes:
    """A member of a binding set."""
    return f"\x06\x16\x06\x16{queue}".encode()


def search(lab: Lab, queues: Queues, *script: ScanBatch | SourceError, max_keys: int = 10_000) -> None:
    """One pass."""
    stop = threading.Event()
    discovery = QueueDiscovery(cast("QueueScan", ScriptedScan(*script)), queues, lab.store, lab.clock, "celeryev")
    discovery.run(stop, 0.0, max_keys, stop.set)


def test_pass() -> None:
    """A pass finds queues over several batches, and counts reply queues once each, when it is complete."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    search(
        lab, queues,
        ScanBatch([binding("b"), binding("w@h.celery.pidbox")], {b"1.reply", b"2.reply"}, complete=False),
        ScanBatch([binding("a"), b"junk"], {b"2.reply"}, complete=True),
    )  # fmt: skip
    assert ("b", "a") == queues.names()
    assert 2 == lab.value(rows.REPLY_QUEUES)
    assert 1 == lab.value(internals.EVENTS_INVALID, "binding")
    assert 1 == lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert lab.clock.epoch == lab.value(internals.COLLECTOR_LAST_SUCCESS, COLLECTOR)


def test_pass_is_bounded() -> None:
    """A pass looks at no more keys than it may, and does not count what it did not see whole."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    search(
        lab, queues, *(ScanBatch([binding(f"q{number}")], set(), complete=False) for number in range(9)), max_keys=2000
    )
    assert ("q0", "q1") == queues.names()
    assert lab.value(rows.REPLY_QUEUES) is None


def test_failure() -> None:
    """A failed pass is shown as such and handed on; what was known stays."""
    lab = Lab()
    queues = Queues(lab.tasks, ["known"], 10)
    with pytest.raises(SourceError):
        search(lab, queues, SourceError("noperm", "SCAN"))
    assert 0 == lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert ("known",) == queues.names()
