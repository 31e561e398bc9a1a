# SPDX-License-Identifier: Apache-2.0
"""Estimate how many keys each group has and how much memory they use, from a part of the key space.

Input: names by group in the order of SCAN, which is that of a keyed hash and so a random one, and for some of them the
measured size. Output: estimates with their error.

The pass over the key space (a sweep) is divided into SEGMENTS of the hash's range, which are the same in every sweep.
Until the first sweep is complete, everything that was seen is scaled up to the size of the database. From then on every
segment contributes what it contained when it was last read completely. Therefore a new sweep changes nothing by itself,
a big key is never counted twice or missing, and counts are exact for the time of that reading. That needs batches that
end with their segment, as ``sources.key_space`` reads them from Redis and Valkey. On a server whose cursor does not
show the position in the key space, the last keys of a segment may be in another one in the next sweep. If a quarter of
the keys came or went meanwhile, a first sweep begins again.

As many keys of a group are measured as a small error needs, and no more (double sampling): the error of a group's
memory combines that of its count and that of its mean size. Memory is bounded: the groups of a segment beyond the limit
are summed up under OVERFLOW. Not thread-safe: see state.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from celery_redis_exporter.state.key_tallies import (
    FEWEST,
    OVERFLOW,
    RARE,
    Estimate,
    KeyReading,
    KeyTally,
    Scale,
    estimate,
)

SEGMENTS = 16
WIDE = 4
"""A segment that is being read may have this many times the groups that it keeps."""
OUTGROWN = 0.25
"""The share of keys that came or went after which a first sweep begins again."""
NOTHING = KeyTally()


class KeyNeed(NamedTuple):
    """How many keys of a group are worth measuring: the ``share`` of this segment, and ``all``.

    ``is_rare`` is True while almost nothing is known of the group.
    """

    share: int
    all: int
    is_rare: bool


class Segment:
    """A part of the key space, read once: groups and what was seen of them. ``limit`` groups are kept in the end."""

    def __init__(self, limit: int, largest: int) -> None:
        self.tallies: dict[str, KeyTally] = {}
        self.asked: Counter[str] = Counter()
        self._limit = limit
        self._largest = largest

    def admit(self, group: str) -> str:
        """Return the group, or OVERFLOW if there are too many."""
        if group not in self.tallies:
            if len(self.tallies) >= self._limit * WIDE:
                group = OVERFLOW
            self.tallies.setdefault(group, KeyTally())
        return group

    def close(self) -> None:
        """Keep the groups that use most memory, and sum up the others."""
        self.asked.clear()
        if len(self.tallies) <= self._limit:
            return
        rest = self.tallies.pop(OVERFLOW, None) or KeyTally()
        for group in sorted(self.tallies, key=self._weight, reverse=True)[self._limit :]:
            rest.merge(self.tallies.pop(group), self._largest)
        self.tallies[OVERFLOW] = rest

    def _weight(self, group: str) -> float:
        tally = self.tallies[group]
        return tally.names * (tally.mean or 1.0)


class KeyGroups:
    """The estimate of one database, with at most ``limit`` groups, and the ``largest`` keys of each.

    For each batch: ``enter`` the segment, ``fold`` the names, call ``wanted`` for the keys to measure, and ``measure``
    them, then or later. ``refresh`` updates the sums that the other methods use. ``census`` are keys that are read
    directly in every pass, and are not among the names.
    """

    def __init__(self, limit: int, largest: int = 0) -> None:
        self.census: Sequence[KeyReading] = ()
        self.swept = False
        """True after the whole key space was seen once."""
        self._limit = limit
        self._largest = largest
        self._asked: Counter[str] = Counter()
        self.restart()

    def replace_census(self, readings: Sequence[KeyReading]) -> None:
        """Replace the readings of the census, whose keys are read directly in every pass."""
        self.census = readings

    def restart(self) -> None:
        """Forget all but the census. The next sweep begins at position 0."""
        self.swept = False
        self._slots: list[Segment | None] = [None] * SEGMENTS
        self._place = 0
        self._open = Segment(self._limit, self._largest)
        self.refresh()

    @property
    def distinct(self) -> int:
        """Return the number of groups, including those of the census."""
        return len(self._seen.keys() | {reading.group for reading in self.census})

    def enter(self, position: float) -> Segment:
        """Return the segment of a position in the key space, 0 to 1. Segments before it are complete and replaced."""
        place = min(int(position * SEGMENTS), SEGMENTS - 1)
        if place > self._place:
            self._close_until(place)
            self.refresh()  # The keys that the next segment needs depend on those that are measured.
        return self._open

    def complete(self) -> None:
        """Record that the sweep has reached its end. The next one begins at position 0."""
        self._close_until(SEGMENTS)
        self._place = 0
        self.swept = True

    def fold(
        self, segment: Segment, names: Mapping[str, list[bytes]], single: Collection[str] = ()
    ) -> dict[str, list[bytes]]:
        """Count names by group. Return them with the groups over the limit combined.

        ``single`` are the groups that consist of one key with its whole name.
        """
        admitted: dict[str, list[bytes]] = {}
        for group, found in names.items():
            label = segment.admit(group)
            segment.tallies[label].count(len(found), is_one_key=group in single and label == group)
            admitted.setdefault(label, []).extend(found)
        return admitted

    def wanted(self, segment: Segment, group: str) -> KeyNeed:
        """Return how many more keys of a group are worth measuring."""
        seen = self._seen.get(group)
        target = seen.target if seen is not None else FEWEST
        have = (seen.measured if seen is not None else 0) + self._asked[group]
        share = max(math.ceil(target / SEGMENTS) - segment.asked[group], 0)
        return KeyNeed(share, max(target - have, share), have < RARE)

    def ask(self, segment: Segment, group: str, keys: int) -> None:
        """Record that ``keys`` keys of a group will be measured."""
        segment.asked[group] += keys
        self._asked[group] += keys

    def measure(self, segment: Segment, reading: KeyReading) -> None:
        """Add a measured key to the segment in which its name was counted."""
        tally = segment.tallies.get(reading.group) or segment.tallies.get(OVERFLOW)
        if tally is not None:
            tally.measure(reading, self._largest)

    def forget(self, group: str, keys: int) -> None:
        """Drop a group with at most ``keys`` keys, which are read in the census from now on."""
        if group in self._seen and self._seen[group].names <= keys:
            for segment in (*self._slots, self._open):
                if segment is not None:
                    segment.tallies.pop(group, None)

    def refresh(self) -> None:
        """Sum up all segments."""
        self._seen: dict[str, KeyTally] = {}
        self._asked.clear()
        for segment in (*self._slots, *(() if self.swept else (self._open,))):
            for group, tally in segment.tallies.items() if segment is not None else ():
                self._seen.setdefault(group, KeyTally()).merge(tally, self._largest)
        self._names = sum(tally.names for tally in self._seen.values())

    def outgrown(self, total: int) -> bool:
        """Return True if so many keys came or went that a new first sweep is better and faster."""
        return self.swept and abs(total - self._names) > OUTGROWN * self._names

    def coverage(self, total: int) -> float:
        """Return the share of ``total`` keys that the estimate is based on, 0 to 1."""
        return 1.0 if self.swept or self._names >= total else self._names / total

    def estimates(self, total: int) -> list[Estimate]:
        """Estimate every group in a database of ``total`` keys without those of the census, the largest first."""
        census: dict[str, list[KeyReading]] = {}
        for reading in self.census:
            census.setdefault(reading.group, []).append(reading)
        scale = Scale(self._names, total, exact=self.swept)
        found = [
            estimate(group, self._seen.get(group, NOTHING), census.get(group, ()), scale, self._largest)
            for group in self._seen.keys() | census.keys()
        ]
        return sorted(found, key=lambda each: (each.memory or 0, each.keys, each.group), reverse=True)

    def _close_until(self, place: int) -> None:
        self._open.close()
        self._slots[self._place] = self._open
        for passed in range(self._place + 1, place):
            self._slots[passed] = None
        self._place = place
        self._open = Segment(self._limit, self._largest)
