# SPDX-License-Identifier: Apache-2.0
"""The cost of the bounds on hostile input: parsing, decoding and folding of events with them and without them.

Runs in this process, in pairs and in alternating order. Without bounds the parser only feeds hiredis, and tasks are
tracked without a limit.
"""

import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import pytest

from celery_redis_exporter.records.events import LONGEST_MESSAGE
from celery_redis_exporter.sources.replies import FEED_BYTES, ReplyParser
from celery_redis_exporter.sources.wire import RECEIVE_BYTES
from celery_redis_exporter.state.matching import Matching
from celery_redis_exporter.state.task import Publication, Task
from tests.bench.streams import Shape, Stream
from tests.bench.table import Effort, Report, Row, spread
from tests.support.lab import Lab

MOST = 1.02
PUSH = b"*4\r\n$8\r\npmessage\r\n$13\r\n/0.celeryev/*\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"


class UnboundedParser:
    """Parses replies as ``ReplyParser`` does, and limits nothing."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()

    def parse(self, buffer: bytearray, size: int) -> list[Any]:
        """Return the replies that the first ``size`` bytes of ``buffer`` complete."""
        replies: list[Any] = []
        feed, gets = self._reader.feed, self._reader.gets
        for start in range(0, size, FEED_BYTES):
            feed(buffer, start, min(start + FEED_BYTES, size) - start)  # type: ignore[arg-type]  # its stub
            reply = gets()
            while reply is not False:
                replies.append(reply)
                reply = gets()
        return replies


def track_without_limit(matching: Matching, uuid: str, publication: Publication, now: float) -> Task:
    """Add a task, however many there are."""
    task = matching.tracked[uuid] = Task(now, (publication,))
    return task


def against_unbounded(effort: Effort) -> Report:
    """Compare the CPU time of an event with the bounds and without them."""
    stream = Stream(Shape(tasks=effort.times(6_000, 200)))
    messages = stream.render(stream.left)
    sent = b"".join(PUSH % (len(channel), channel, len(payload), payload) for channel, payload in messages)
    pieces = [bytearray(sent[start : start + RECEIVE_BYTES]) for start in range(0, len(sent), RECEIVE_BYTES)]
    ratios = []
    for number in range(effort.times(31, 1)):
        seconds = {bounded: _fold(pieces, bounded=bounded) for bounded in ((True, False), (False, True))[number % 2]}
        ratios.append(seconds[True] / seconds[False])
    cost = spread(ratios)
    row = Row(
        "CPU time of an event with the bounds on hostile input, in one process", "", "without bounds",
        cost.text(".3f"), f"<= {MOST:g}", cost.median <= MOST,
    )  # fmt: skip
    return Report([row])


def _fold(pieces: list[bytearray], *, bounded: bool) -> float:
    """Return the CPU seconds of parsing, decoding and folding."""
    lab = Lab()
    collector, parser = lab.collector(), ReplyParser(LONGEST_MESSAGE) if bounded else UnboundedParser()
    with pytest.MonkeyPatch.context() as patch, _without_collection():
        if not bounded:
            patch.setattr(Matching, "track", track_without_limit)
        before = _cpu_seconds()
        for piece in pieces:
            lab.clock.advance(0.001)
            collector.fold([reply[-1] for reply in parser.parse(piece, len(piece))])
        return _cpu_seconds() - before


@contextmanager
def _without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
