# SPDX-License-Identifier: Apache-2.0
"""Remember the counters of the last ten minutes at intervals ("marks"), to compute how fast they grow.

Input: counters by name, with the time of these values. Output: their growth. Memory is bounded: KEPT marks of 8 bytes
for each counter, and one index for as long as the names stay the same.
"""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Hashable, Mapping
from itertools import accumulate, chain
from operator import itemgetter, lt, sub
from typing import NamedTuple

SPACING = 60.0
"""Seconds between two marks."""
KEPT = 10
WINDOW = SPACING * KEPT
Counters = tuple[float, ...]
"""The counters of one name. All of them are 0 before the name first appears."""


class Growth(NamedTuple):
    """What was added within ``seconds``."""

    seconds: float
    added: Counters

    def rate(self, position: int) -> float:
        """Return the growth per second of the counter at ``position``."""
        return self.added[position] / self.seconds


class _Mark(NamedTuple):
    """All counters at one moment, one after another. ``spans`` contains the first and last position of each name."""

    at: float
    spans: Mapping[Hashable, tuple[int, int]]
    values: "array[float]"


class Marks:
    """The last marks. The first one is all zeros, at ``at`` seconds of the monotonic clock."""

    def __init__(self, at: float) -> None:
        self._marks: deque[_Mark] = deque([_Mark(at, {}, array("d"))], KEPT)

    def restart(self, at: float, counters: Mapping[Hashable, Counters]) -> None:
        """Forget all marks and add one: counters that were restored were not counted since the start."""
        self._marks.clear()
        self._marks.append(_Mark(at, {}, array("d")))
        self.note(at, counters)
        self._marks.popleft()

    def note(self, at: float, counters: Mapping[Hashable, Counters]) -> None:
        """Add a mark."""
        ends = accumulate(map(len, counters.values()))
        spans = {name: (end - len(now), end) for (name, now), end in zip(counters.items(), ends, strict=True)}
        before = self._marks[-1].spans
        values = array("d", chain.from_iterable(counters.values()))
        self._marks.append(_Mark(at, before if spans == before else spans, values))

    def growth(self, name: Hashable, now: Counters, at: float, seconds: float = WINDOW) -> Growth | None:
        """Return the growth since the last mark that is at least ``seconds`` old, or since the oldest mark.

        ``now`` are the counters at the monotonic time ``at``. Return None if no time has passed since that mark. A
        counter that is smaller than in the mark has restarted from 0.
        """
        youngest = bisect_right(self._marks, at - seconds, key=itemgetter(0)) - 1
        since, spans, values = self._marks[max(youngest, 0)]
        if at <= since:
            return None
        begin, end = spans.get(name, (0, 0))
        before = values[begin:end]
        if len(before) != len(now) or any(map(lt, now, before)):
            return Growth(at - since, now)
        return Growth(at - since, tuple(map(sub, now, before)))


def quantile(share: float, bounds: tuple[float, ...], counts: Counters) -> float | None:
    """Return the value below which ``share`` of the observations are, as histogram_quantile does, or None without any.

    ``counts`` are those of each bucket, not cumulative. Values are interpolated within a bucket. Above the highest
    bound the result is that bound.
    """
    rank, seen, lower = share * sum(counts), 0.0, 0.0
    if not rank:
        return None
    for upper, count in zip(bounds, counts, strict=False):
        if count and seen + count >= rank:
            return lower + (upper - lower) * (rank - seen) / count
        seen, lower = seen + count, upper
    return lower
