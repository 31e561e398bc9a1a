"""Marks: what counters were at moments of the last ten minutes, so that a page can say how fast they grow.

Takes counters by name and when they had these values, gives their growth. Memory has a bound: KEPT marks of 8 bytes for
each counter, and one index for as long as the names stay the same.
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
"""Counters of one thing, all of them 0 before it was first seen."""


class Growth(NamedTuple):
    """What was added within ``seconds``."""

    seconds: float
    added: Counters

    def rate(self, position: int) -> float:
        """What one counter grew by per second."""
        return self.added[position] / self.seconds


class _Mark(NamedTuple):
    """Counters at a moment, one behind the other; ``spans`` says where each name's begin and end."""

    at: float
    spans: Mapping[Hashable, tuple[int, int]]
    values: "array[float]"


class Marks:
    """The last marks; the first is where everything was 0, ``at`` seconds on the monotonic clock."""

    def __init__(self, at: float) -> None:
        self._marks: deque[_Mark] = deque([_Mark(at, {}, array("d"))], KEPT)

    def note(self, at: float, counters: Mapping[Hashable, Counters]) -> None:
        """Keep a mark."""
        ends = accumulate(map(len, counters.values()))
        spans = {name: (end - len(now), end) for (name, now), end in zip(counters.items(), ends, strict=True)}
        before = self._marks[-1].spans
        values = array("d", chain.from_iterable(counters.values()))
        self._marks.append(_Mark(at, before if spans == before else spans, values))

    def growth(self, name: Hashable, now: Counters, at: float, seconds: float = WINDOW) -> Growth | None:
        """Give what was added since the last mark that is at least ``seconds`` old, or since the oldest.

        None where no time has passed. A counter that is smaller than it was began anew.
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
    """Give the value below which ``share`` of the observations lie, as histogram_quantile does; None without any.

    Linear within a bucket; the highest bound for what lies above it.
    """
    rank, seen, lower = share * sum(counts), 0.0, 0.0
    if not rank:
        return None
    for upper, count in zip(bounds, counts, strict=False):
        if count and seen + count >= rank:
            return lower + (upper - lower) * (rank - seen) / count
        seen, lower = seen + count, upper
    return lower
