# SPDX-License-Identifier: Apache-2.0
"""Sweep one database, a part at a time: sources.key_space -> decode.key_groups -> state.key_groups.

A pass first reads the census: the few keys that may be big and whose names are known, those of queues and their
bookkeeping. It then continues the sweep where the last pass stopped, until a budget is used up, and measures some of
the names that it finds. The results are kept in this process, nothing on the server. All runs in the caller's thread.

A pass is limited in four ways. By default it reads 20,000 names, measures 1,000 keys, keeps the server busy for 0.05 s,
and lasts 5 s. Three further rules spread that over the pass:

- *Pause after a batch.* The server may be busy for 2 % of the time (``duty``). After a batch that took it 1 ms the
  sweep waits 1 ms * (1 / 0.02 - 1) = 49 ms. 0.05 s of the server's time therefore take 2.5 s.
- *Measurements follow the names.* 30 % of the 1,000 measurements are the reserve (300). The other 700 are released in
  proportion to the names seen: after 5,000 of 20,000 names 700 * 0.25 = 175 may have been used, so that names at the
  end of the pass are measured too.
- *Rare groups.* A group is rare while fewer than 30 of its keys are measured. It may use the reserve at any time, and
  then what is released. One round trip measures at most 100 keys, at most 70 of them of common groups.
"""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode.key_groups import CeleryNames, KeyClassifier, single_keys
from celery_redis_exporter.sources.key_space import MOST_MEASURED, Batch, KeySpaceReader, Measured, Walk
from celery_redis_exporter.sources.scanning import FIRST_CURSOR
from celery_redis_exporter.state.key_groups import SEGMENTS, KeyGroups, Segment
from celery_redis_exporter.state.key_tallies import KeyReading

MOST_CENSUS = 1000
"""The maximum number of keys read in every pass. The keys of further queues are part of the sample."""
RARE_SHARE = 0.3
"""The share of the measurements, of a pass and of a round trip, that is reserved for rare groups."""
MOST_COMMON = int(MOST_MEASURED * (1 - RARE_SHARE))
"""The maximum number of keys of common groups that one round trip measures."""
MOST_SECONDS = 5.0
"""The longest time of one pass, by the wall clock."""
SLOW_SECONDS = 0.05
"""A round trip that takes this much longer than the shortest one ends the pass."""


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """The limits of one pass.

    - ``names``: how many names it reads.
    - ``measured``: how many keys it measures.
    - ``busy``: the server's time, in seconds.
    - ``duty``: the share of the time in which the server may be kept busy, 0 to 1.
    - ``wall``: how long it lasts by the wall clock, in seconds.
    """

    names: int
    measured: int
    busy: float
    duty: float
    wall: float


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The key names of a database: those of Celery, and the user's ``patterns`` (group -> globs).

    ``census`` contains the names of keys that may be big, whether they exist or not.
    """

    celery: CeleryNames
    patterns: Mapping[str, tuple[str, ...]]
    census: tuple[str, ...] = ()


class KeySweep:
    """The sweep over database ``db``. Its results are in ``groups``."""

    def __init__(self, db: int, names: KeyNames, groups: KeyGroups) -> None:
        self.db = db
        self.groups = groups
        self.total = 0
        """The number of keys in the database without those of the census."""
        self.scanned = 0
        self.busy = 0.0
        """The server's time that all passes took, in seconds."""
        self._walk = Walk(db)
        self._is_long = False  # This sweep, or the one before, took more than one pass.
        self._barred: set[str] = set()
        self._learn(names)

    def call(self, names: KeyNames) -> None:
        """Use these names from now on. The keys of a queue that becomes known leave the sample."""
        if names == self._names:
            return
        before, classify = set(self._census), self._classify
        self._learn(names)
        new: dict[str, int] = defaultdict(int)
        for name in set(self._census) - before:
            new[classify(name)] += 1
        for group, keys in new.items():
            self.groups.forget(group, keys)

    def go_on(self, reader: KeySpaceReader, total: int, budget: KeyBudget, clock: Clock, stop: threading.Event) -> str:
        """Run a pass over a database of ``total`` keys. Return its outcome. Raises SourceError.

        The result is one of: complete (the sweep reached its end), keys, busy, wall, slow.
        """
        step = _Pass(self, budget, clock)
        census = self._take_census(reader)
        self.total = max(total - len(self.groups.census), 0)
        if self.groups.outgrown(self.total):
            self._walk = Walk(self.db)
            self.groups.restart()
        outcome = ""
        keys: list[tuple[Segment, str, bytes]] = []
        is_continued = self._walk.cursor != FIRST_CURSOR
        # Within one pass it does not matter where segments end, as estimates are read after it.
        segments = SEGMENTS if self._is_long or total > budget.names else 1
        while not outcome:
            batch = reader.next_batch(self._walk, total, [name for _, _, name in keys], segments)
            self._note(keys, batch.measured)
            if batch.restarted:
                self.groups.restart()
            segment = self.groups.enter(batch.position)
            keys = step.choose(segment, self._count(segment, batch, census), self.total)
            self.busy += batch.busy
            outcome = step.outcome(batch)
            if not outcome and stop.wait(step.rest(batch.busy)):
                outcome = "wall"
        if keys and not stop.is_set():  # When ``stop`` is set the connection is being closed.
            measured, busy = reader.measure(self.db, [name for _, _, name in keys])
            self.busy += busy
            self._note(keys, measured)
        if outcome == "complete":
            self.groups.complete()
            self._barred.clear()
        self._is_long = is_continued or outcome != "complete"
        self.groups.refresh()
        return outcome

    def bars(self, group: str) -> bool:
        """Return True if the keys of a group must not be read."""
        return group in self._barred

    def _learn(self, names: KeyNames) -> None:
        self._names = names
        self._classify = KeyClassifier(names.celery, names.patterns).classify
        self._census = [name.encode() for name in names.census[:MOST_CENSUS]]

    def _take_census(self, reader: KeySpaceReader) -> frozenset[bytes]:
        """Read the census. Return the names to leave out of the sample, none if no key of the census could be read."""
        read: list[Measured] = []
        for start in range(0, len(self._census), MOST_MEASURED):
            measured, busy = reader.measure(self.db, self._census[start : start + MOST_MEASURED])
            read += measured
            self.busy += busy
        known = any(each.size is not None or each.ttl is not None for each in read)
        self.groups.replace_census(
            [
                _reading(self._classify(name), name, measured)
                for name, measured in zip(self._census, read, strict=True)
                if measured.exists
            ]
        )
        return frozenset(self._census) if known else frozenset()

    def _count(self, segment: Segment, batch: Batch, census: frozenset[bytes]) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = defaultdict(list)
        classify = self._classify
        for name in batch.names:
            if name not in census:
                found[classify(name)].append(name)
        self.scanned += len(batch.names)
        return self.groups.fold(segment, found, single_keys(found, self._names.patterns))

    def _note(self, keys: Iterable[tuple[Segment, str, bytes]], measured: Iterable[Measured]) -> None:
        for (segment, group, name), found in zip(keys, measured, strict=True):
            if found.refused:
                self._barred.add(group)
            self.groups.measure(segment, _reading(group, name, found))


class _Measurements:
    """The measurements that a pass has left: the reserve for rare groups, and those released as the pass proceeds."""

    def __init__(self, measured: int) -> None:
        self._reserve = int(measured * RARE_SHARE)
        self._common = measured - self._reserve
        self._used = 0

    def left(self, progress: float, *, rare: bool) -> int:
        """Return how many keys of a group may be measured when ``progress`` of the pass (0 to 1) is done."""
        released = int(self._common * progress)
        return max(released - self._used, 0) + (self._reserve if rare else 0)

    def take(self, keys: int, *, rare: bool) -> None:
        """Use up measurements. Those of a rare group come from the reserve first."""
        reserved = min(keys, self._reserve) if rare else 0
        self._reserve -= reserved
        self._used += keys - reserved


class _Pass:
    """One pass, and the part of its budget that it has used."""

    def __init__(self, sweep: KeySweep, budget: KeyBudget, clock: Clock) -> None:
        self._sweep = sweep
        self._budget = budget
        self._clock = clock
        self._until = clock.monotonic() + budget.wall
        self._busy_before = sweep.busy
        self._scanned_before = sweep.scanned
        self._measurements = _Measurements(budget.measured)

    @property
    def _scanned(self) -> int:
        return self._sweep.scanned - self._scanned_before

    def choose(
        self, segment: Segment, names: Mapping[str, list[bytes]], total: int
    ) -> list[tuple[Segment, str, bytes]]:
        """Choose the keys to measure in the next round trip. ``names`` are those of the last batch, by group."""
        groups = self._sweep.groups
        progress = min(self._scanned / max(min(self._budget.names, total), 1), 1.0)
        wanted = {group: groups.wanted(segment, group) for group in names if not self._sweep.bars(group)}
        # Common groups come first and leave 30 of 100 places, so that many rare groups can't take every place. Small
        # groups come before large ones. No group gets more than its share of the segment while another one has less.
        # Where fewer measurements are left than wanted, common groups divide them evenly, and so do rare ones.
        chosen = Counter[str]()
        for rare, is_share in product((False, True), (True, False)):
            order = sorted((each for each in wanted if wanted[each].is_rare is rare), key=lambda each: len(names[each]))
            for before, group in enumerate(order):
                keys = min(wanted[group].share if is_share else wanted[group].all, len(names[group]))
                left = math.ceil(self._measurements.left(progress, rare=rare) / (len(order) - before))
                places = (MOST_MEASURED if rare else MOST_COMMON) - chosen.total()
                more = max(min(keys - chosen[group], left, places), 0)
                self._measurements.take(more, rare=rare)
                chosen[group] += more
        for group, keys in chosen.items():
            groups.ask(segment, group, keys)
        return [(segment, group, name) for group, keys in chosen.items() for name in names[group][:keys]]

    def outcome(self, batch: Batch) -> str:
        """Return the outcome if the pass ends after this batch, or an empty string."""
        sweep, budget = self._sweep, self._budget
        if batch.complete:
            return "complete"
        if self._scanned >= budget.names:
            return "keys"
        if batch.busy > SLOW_SECONDS:
            return "slow"
        if sweep.busy - self._busy_before >= budget.busy:
            return "busy"
        return "wall" if self._clock.monotonic() >= self._until else ""

    def rest(self, busy: float) -> float:
        """Return for how many seconds to leave the server alone, so that it is busy for ``duty`` of the time only."""
        left = self._until - self._clock.monotonic()
        return max(min(busy * (1 / self._budget.duty - 1), left), 0.0)


def _reading(group: str, name: bytes, measured: Measured) -> KeyReading:
    known = measured.ttl is not None and measured.ttl != -2
    return KeyReading(group, name, measured.size, measured.ttl == -1 if known else None)
