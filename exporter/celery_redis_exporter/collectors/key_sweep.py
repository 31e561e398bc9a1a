"""One database's sweep, a part of it at a time: sources.key_space -> decode.key_groups -> state.key_groups.

A pass first reads the census: the few keys that may be big and whose names are known, of queues and their bookkeeping.
Then it goes on with the sweep where the last pass left it, until a budget is used up, and measures some of the names
that it meets. What it met stays with it; the server keeps nothing. Lives in its caller's thread.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode.key_groups import CeleryNames, KeyClassifier
from celery_redis_exporter.sources.key_space import MOST_MEASURED, Batch, KeySpaceReader, Measured, Walk
from celery_redis_exporter.state.key_groups import KeyGroups, Segment
from celery_redis_exporter.state.key_tallies import KeyReading

MOST_CENSUS = 1000
"""Keys read in every pass; queues beyond that are part of the sample."""
RARE_SHARE = 0.3
"""What is kept of the keys to be measured for groups of which little is known, whenever they are met; the rest is given
out little by little, so that it lasts for the whole pass."""
MOST_COMMON = int(MOST_MEASURED * (1 - RARE_SHARE))
MOST_SECONDS = 5.0
"""For one pass, by the wall clock."""
SLOW_SECONDS = 0.05
"""A round trip that is so much longer than the shortest one ends the pass."""


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """What one pass may cost at most.

    ``names`` looked at, keys ``measured``, the server's time (``busy``) and the ``wall`` clock's in seconds, and the
    part of that which the server may be kept busy (``duty``, 0 to 1).
    """

    names: int
    measured: int
    busy: float
    duty: float
    wall: float


@dataclass(frozen=True, slots=True)
class KeyNames:
    """What the keys of a database are called: by Celery, and by the user (group -> globs).

    ``census`` are the names of keys that may be big, whether they exist or not.
    """

    celery: CeleryNames
    patterns: Mapping[str, tuple[str, ...]]
    census: tuple[str, ...] = ()


class KeySweep:
    """The sweep over database ``db``; ``groups`` is what it knows."""

    def __init__(self, db: int, names: KeyNames, groups: KeyGroups) -> None:
        self.db = db
        self.groups = groups
        self.total = 0
        """Keys in the database, those of the census not among them."""
        self.scanned = 0
        self.busy = 0.0
        """The server's time that all passes took, in seconds."""
        self._walk = Walk(db)
        self._barred: set[str] = set()
        self._learn(names)

    def call(self, names: KeyNames) -> None:
        """Use these names from now on; a queue that becomes known leaves the sample."""
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
        """Make a pass over a database of ``total`` keys; give what ended it; raise SourceError.

        complete (the sweep came to its end), keys, busy, wall, or slow.
        """
        step = _Pass(self, budget, clock)
        census = self._take_census(reader)
        self.total = max(total - len(self.groups.census), 0)
        if self.groups.outgrown(self.total):
            self._walk = Walk(self.db)
            self.groups.restart()
        outcome = ""
        keys: list[tuple[Segment, str, bytes]] = []
        while not outcome:
            batch = reader.next_batch(self._walk, total, [name for _, _, name in keys])
            self._note(keys, batch.measured)
            segment = self.groups.enter(batch.position)
            keys = step.choose(segment, self._count(segment, batch, census), self.total)
            self.busy += batch.busy
            outcome = step.outcome(batch)
            if not outcome and stop.wait(step.rest(batch.busy)):
                outcome = "wall"
        if keys and not stop.is_set():  # else the connection is being closed
            measured, busy = reader.measure(self.db, [name for _, _, name in keys])
            self.busy += busy
            self._note(keys, measured)
        if outcome == "complete":
            self.groups.complete()
            self._barred.clear()
        self.groups.refresh()
        return outcome

    def bars(self, group: str) -> bool:
        """Whether keys of a group must not be read."""
        return group in self._barred

    def _learn(self, names: KeyNames) -> None:
        self._names = names
        self._classify = KeyClassifier(names.celery, names.patterns).classify
        self._census = [name.encode() for name in names.census[:MOST_CENSUS]]

    def _take_census(self, reader: KeySpaceReader) -> frozenset[bytes]:
        """Read the census; give the names that the sample has to leave out: none where no key may be read."""
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
        return self.groups.fold(segment, found)

    def _note(self, keys: Iterable[tuple[Segment, str, bytes]], measured: Iterable[Measured]) -> None:
        for (segment, group, name), found in zip(keys, measured, strict=True):
            if found.refused:
                self._barred.add(group)
            self.groups.measure(segment, _reading(group, name, found))


class _Pass:
    """What one pass has used of its budget."""

    def __init__(self, sweep: KeySweep, budget: KeyBudget, clock: Clock) -> None:
        self._sweep = sweep
        self._budget = budget
        self._clock = clock
        self._until = clock.monotonic() + budget.wall
        self._busy = sweep.busy
        self._scanned = sweep.scanned
        self._rare = int(budget.measured * RARE_SHARE)
        self._measured = 0

    def choose(
        self, segment: Segment, names: Mapping[str, list[bytes]], total: int
    ) -> list[tuple[Segment, str, bytes]]:
        """Choose keys to measure, in the next round trip."""
        groups = self._sweep.groups
        looked = (self._sweep.scanned - self._scanned) / max(min(self._budget.names, total), 1)
        room = int((self._budget.measured - int(self._budget.measured * RARE_SHARE)) * min(looked, 1.0))
        wishes = {group: groups.wanted(segment, group) for group in names if not self._sweep.bars(group)}
        chosen: list[tuple[Segment, str, bytes]] = []
        # Those of which little is known come last, so that no crowd of them takes everything, the smallest first.
        for group in sorted(wishes, key=lambda group: (wishes[group][1], len(names[group]))):
            wanted, rare = wishes[group]
            found = names[group]
            left = max(room - self._measured, 0) + (self._rare if rare else 0)
            most = MOST_MEASURED if rare else MOST_COMMON
            keys = max(min(wanted, left, most - len(chosen), len(found)), 0)
            chosen += [(segment, group, name) for name in found[:keys]]
            reserved = min(keys, self._rare) if rare else 0
            self._rare -= reserved
            self._measured += keys - reserved
            groups.ask(segment, group, keys)
        return chosen

    def outcome(self, batch: Batch) -> str:
        """What ends the pass after a batch; empty while nothing does."""
        sweep, budget = self._sweep, self._budget
        if batch.complete:
            return "complete"
        if sweep.scanned - self._scanned >= budget.names:
            return "keys"
        if batch.busy > SLOW_SECONDS:
            return "slow"
        if sweep.busy - self._busy >= budget.busy:
            return "busy"
        return "wall" if self._clock.monotonic() >= self._until else ""

    def rest(self, busy: float) -> float:
        """Seconds to leave the server alone after it was kept busy, for ``duty`` to hold."""
        left = self._until - self._clock.monotonic()
        return max(min(busy * (1 / self._budget.duty - 1), left), 0.0)


def _reading(group: str, name: bytes, measured: Measured) -> KeyReading:
    known = measured.ttl is not None and measured.ttl != -2
    return KeyReading(group, name, measured.size, measured.ttl == -1 if known else None)
