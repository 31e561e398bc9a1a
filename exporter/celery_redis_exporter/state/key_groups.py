"""How many keys each group has and what they take, estimated from part of the key space.

Takes names by group in the order of SCAN, which is that of a keyed hash and so a random one, and for some of them the
measured size; gives estimates with their error. The pass over the key space (a sweep) is cut into SEGMENTS of the
hash's range, which are the same in every sweep: until the first one is complete, all that was seen is scaled up to the
size of the database. From then on every segment shows what it had when it was last looked at whole, so that a sweep
that begins again changes nothing by itself, a big key is never there twice or missing, and counts are exact for the
time of that look. Where a quarter of the keys came or went meanwhile, a first sweep begins again. Sizes are measured
for as many keys of a group as a small error needs, and no more (double sampling): the error of a group's memory is that
of its count and that of its mean size together. Bounded: the groups of a segment beyond the limit are added up under
OVERFLOW. Not thread-safe: see state.
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
"""While a segment is open it may hold that many times the groups that it keeps."""
OUTGROWN = 0.25
"""Share of the keys."""
NOTHING = KeyTally()


class KeyNeed(NamedTuple):
    """Keys of a group that are worth measuring: the ``share`` of this segment, and in ``all``.

    ``is_rare`` while next to nothing is known of the group.
    """

    share: int
    all: int
    is_rare: bool


class Segment:
    """A part of the key space, looked at once: groups and what was seen of them, ``limit`` of them in the end."""

    def __init__(self, limit: int, largest: int) -> None:
        self.tallies: dict[str, KeyTally] = {}
        self.asked: Counter[str] = Counter()
        self._limit = limit
        self._largest = largest

    def admit(self, group: str) -> str:
        """Give the group, or OVERFLOW if there are too many."""
        if group not in self.tallies:
            if len(self.tallies) >= self._limit * WIDE:
                group = OVERFLOW
            self.tallies.setdefault(group, KeyTally())
        return group

    def close(self) -> None:
        """Keep the groups that weigh most, and add the others up."""
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
    """The estimate of one database; ``limit`` groups are told apart, ``largest`` keys kept in each.

    Per batch: ``enter`` the segment, ``fold`` the names, ask ``wanted`` which to measure, ``measure`` them, also later.
    ``refresh`` adds up, for everything that is asked. ``census`` are keys that are read directly, each time, and are
    not among the names.
    """

    def __init__(self, limit: int, largest: int = 0) -> None:
        self.census: Sequence[KeyReading] = ()
        self.swept = False
        """Whether the whole key space was seen once."""
        self._limit = limit
        self._largest = largest
        self._asked: Counter[str] = Counter()
        self.restart()

    def replace_census(self, readings: Sequence[KeyReading]) -> None:
        """Take over what the keys of the census, which are read directly each time, are like now."""
        self.census = readings

    def restart(self) -> None:
        """Forget all but the census; the next sweep begins at position 0."""
        self.swept = False
        self._slots: list[Segment | None] = [None] * SEGMENTS
        self._place = 0
        self._open = Segment(self._limit, self._largest)
        self.refresh()

    @property
    def distinct(self) -> int:
        """Groups told apart, those of the census among them."""
        return len(self._seen.keys() | {reading.group for reading in self.census})

    def enter(self, position: float) -> Segment:
        """Give the segment of a position in the key space, 0 to 1; what was passed by is complete, and replaced."""
        place = min(int(position * SEGMENTS), SEGMENTS - 1)
        if place > self._place:
            self._close_until(place)
            self.refresh()  # how many keys the next segment needs follows from those that are measured
        return self._open

    def complete(self) -> None:
        """Say that the sweep has come to its end; the next one begins at position 0."""
        self._close_until(SEGMENTS)
        self._place = 0
        self.swept = True

    def fold(
        self, segment: Segment, names: Mapping[str, list[bytes]], single: Collection[str] = ()
    ) -> dict[str, list[bytes]]:
        """Count names by group; return them with the groups over the limit together.

        ``single`` are the groups that are one key, by its whole name.
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
        """Note that so many keys of a group are going to be measured."""
        segment.asked[group] += keys
        self._asked[group] += keys

    def measure(self, segment: Segment, reading: KeyReading) -> None:
        """Add a measured key to the segment in which its name was counted."""
        tally = segment.tallies.get(reading.group) or segment.tallies.get(OVERFLOW)
        if tally is not None:
            tally.measure(reading, self._largest)

    def forget(self, group: str, keys: int) -> None:
        """Drop a group that has at most so many keys: they are read in the census from now on."""
        if group in self._seen and self._seen[group].names <= keys:
            for segment in (*self._slots, self._open):
                if segment is not None:
                    segment.tallies.pop(group, None)

    def refresh(self) -> None:
        """Add up all segments."""
        self._seen: dict[str, KeyTally] = {}
        self._asked.clear()
        for segment in (*self._slots, *(() if self.swept else (self._open,))):
            for group, tally in segment.tallies.items() if segment is not None else ():
                self._seen.setdefault(group, KeyTally()).merge(tally, self._largest)
        self._names = sum(tally.names for tally in self._seen.values())

    def outgrown(self, total: int) -> bool:
        """Tell whether so much came or went since it was looked at that a new first sweep tells more, and sooner."""
        return self.swept and abs(total - self._names) > OUTGROWN * self._names

    def coverage(self, total: int) -> float:
        """The part of ``total`` keys that the estimate rests on, 0 to 1."""
        return 1.0 if self.swept or self._names >= total else self._names / total

    def estimates(self, total: int) -> list[Estimate]:
        """Estimate every group in a database of ``total`` keys without the census's, the heaviest first."""
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
