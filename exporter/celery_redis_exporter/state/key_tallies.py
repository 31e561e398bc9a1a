"""What was seen of one group of keys, and the estimate that follows from it.

Takes counts of names and sizes of some of them, gives counts and bytes with the error of each: that of a share of the
names seen, and that of a mean size. Few keys of very uneven sizes say less than their error admits (of a lognormal
size nine of ten intervals hold from FEWEST keys on), and none tells of a giant that was not met. Keeps numbers, and no
keys but the largest if it is asked to. Not thread-safe: see state.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OVERFLOW = "overflow"
"""redis_exporter's word for the groups that are not shown one by one."""
Z = 1.96
AIM = 0.025
"""Error of a mean size that is aimed at: with that of the count the memory's is 5 % at most."""
FEWEST, MOST = 200, 5000
"""Keys measured per group, however alike or different they are; the fewest tell the share without a time to live."""
RARE = 30
"""Keys measured until a group's spread is known well enough."""


class KeyReading(NamedTuple):
    """One key: its group, name, size in bytes and whether it has no time to live; None is not known."""

    group: str
    name: bytes
    size: int | None
    lasts: bool | None


class Estimate(NamedTuple):
    """One group. Errors are half the width of the 95 % interval, as a ratio to the value; ``memory`` in bytes.

    ``memory`` is None where no key could be measured, ``without_ttl`` (a ratio) where no time to live is known.
    ``largest`` are the largest measured keys as (bytes, name), the largest first.
    """

    group: str
    keys: float
    keys_error: float
    memory: float | None
    memory_error: float | None
    without_ttl: float | None
    largest: tuple[tuple[int, bytes], ...] = ()


class KeyTally:
    """Names of a group, and of those measured their number, mean size, squares of the differences, times to live.

    ``behind`` is the number of names that the mean stands for, ``uneven`` that number squared by measured key, summed
    up over what was merged: where some parts were measured more closely than others, all together say less than as many
    keys measured evenly (``evenly_measured``). ``is_one_key`` if the group is a key by its whole name,
    of which there is one, however few keys were seen.
    """

    __slots__ = (
        "behind", "is_one_key", "largest", "lasting", "mean", "measured", "names", "squares", "timed", "uneven",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_one_key = False
        self.names = self.behind = self.measured = self.timed = self.lasting = 0
        self.mean = self.squares = self.uneven = 0.0
        self.largest: list[tuple[int, bytes]] = []

    @property
    def variance(self) -> float:
        """Of the sizes; of one size alone a cautious guess."""
        return self.squares / (self.measured - 1) if self.measured > 1 else self.mean**2

    @property
    def evenly_measured(self) -> float:
        """As many keys, drawn evenly, would say as much about the mean."""
        return self.behind**2 / self.uneven if self.uneven else self.measured

    @property
    def target(self) -> int:
        """Keys to measure for the error that is aimed at."""
        spread = math.sqrt(self.variance) / self.mean if self.measured >= RARE and self.mean else 1.0
        return min(max(math.ceil((Z * spread / AIM) ** 2), FEWEST), MOST)

    def count(self, names: int, *, is_one_key: bool) -> None:
        """Add names; SCAN may return the same key twice."""
        self.is_one_key = is_one_key and (self.is_one_key or not self.names)
        self.names = 1 if self.is_one_key else self.names + names

    def measure(self, reading: KeyReading, kept: int) -> None:
        """Add a measured key, and keep it if it is one of the ``kept`` largest."""
        if reading.lasts is not None:
            self.timed += 1
            self.lasting += reading.lasts
        if reading.size is None:
            return
        self.measured += 1
        step = reading.size - self.mean
        self.mean += step / self.measured
        self.squares += step * (reading.size - self.mean)
        if kept:
            push = heapq.heappush if len(self.largest) < kept else heapq.heappushpop
            push(self.largest, (reading.size, reading.name))

    def merge(self, other: "KeyTally", kept: int) -> None:
        """Add what was seen elsewhere; means weigh as much as the names that they stand for."""
        if other.measured:
            mine = (self.behind or self.names) if self.measured else 0
            others = other.behind or other.names
            both, step = mine + others, other.mean - self.mean
            uneven = self.uneven or (mine**2 / self.measured if mine else 0.0)
            self.uneven = uneven + (other.uneven or others**2 / other.measured)
            spread = self.squares / self.measured * mine if self.measured else 0.0
            spread += other.squares / other.measured * others + step**2 * mine * others / both
            self.mean += step * others / both
            self.measured += other.measured
            self.squares = spread / both * self.measured
            self.behind = both
        if other.names:
            self.count(other.names, is_one_key=other.is_one_key)
        self.timed += other.timed
        self.lasting += other.lasting
        if other.largest:
            self.largest = heapq.nlargest(kept, [*self.largest, *other.largest])[::-1]


@dataclass(frozen=True, slots=True)
class Scale:
    """From what was seen to the database: ``names`` of ``total`` keys, or all of them as they were seen (``exact``)."""

    names: int
    total: int
    exact: bool

    def count(self, names: int) -> float:
        """The keys of a group that has ``names`` of the names seen; never more than there are."""
        if not self.names:
            return 0.0
        ratio = self.total / self.names
        return names * (min(ratio, 1.0) if self.exact else ratio)

    def variance(self, names: int) -> float:
        """Of that count: binomial without replacement, two hits and two misses added to be honest about few."""
        if self.exact or not names or self.names >= self.total:
            return 0.0
        share = (names + 2) / (self.names + 4)
        return self.total**2 * share * (1 - share) / (self.names + 4) * (1 - self.names / self.total)


def estimate(group: str, tally: KeyTally, census: Iterable[KeyReading], scale: Scale, kept: int = 0) -> Estimate:
    """Estimate one group from what was seen of it, and from keys of it that were all read (``census``).

    ``kept`` is the number of its largest keys that are given.
    """
    names = tally.names
    count, count_variance = (1.0, 0.0) if tally.is_one_key else (scale.count(names), scale.variance(names))
    whole = KeyTally()
    for reading in census:
        whole.names += 1
        whole.measure(reading, kept)
    keys = count + whole.names
    memory = error = None
    if (tally.measured or not tally.names) and whole.measured == whole.names:
        memory = count * tally.mean + whole.names * whole.mean
        half = math.hypot(_error_of_mean(tally, count) * count, Z * tally.mean * math.sqrt(count_variance))
        error = half / memory if memory else 0.0
    sampled = count if tally.timed else 0.0
    lasting = (sampled * tally.lasting / tally.timed if tally.timed else 0.0) + whole.lasting
    timed = sampled + whole.timed
    largest = tuple(sorted([*tally.largest, *whole.largest], reverse=True)[:kept])
    keys_error = Z * math.sqrt(count_variance) / keys if keys else 0.0
    return Estimate(group, keys, keys_error, memory, error, lasting / timed if timed else None, largest)


def bound(estimates: Sequence[Estimate], most: float) -> list[Estimate]:
    """Lower what was estimated until all together is at most ``most`` bytes, which is what the server uses.

    What is known exactly stays, as far as that is possible. Intervals keep their width in bytes.
    """
    total = math.fsum(each.memory or 0.0 for each in estimates)
    if total <= most:
        return list(estimates)
    exact = math.fsum(each.memory or 0.0 for each in estimates if not each.memory_error)
    is_enough = exact < most
    factor = (most - exact) / (total - exact) if is_enough else most / total
    return [
        each if not each.memory or (is_enough and not each.memory_error) else _lowered(each, factor)
        for each in estimates
    ]


def _lowered(each: Estimate, factor: float) -> Estimate:
    return each._replace(memory=(each.memory or 0.0) * factor, memory_error=(each.memory_error or 0.0) / factor)


def fold_rest(estimates: list[Estimate], shown: int) -> list[Estimate]:
    """Give the first ``shown`` groups, and all others added up under OVERFLOW."""
    first = [each for each in estimates if each.group != OVERFLOW][:shown]
    groups = {each.group for each in first}
    rest = [each for each in estimates if each.group not in groups]
    if not rest:
        return first
    count = math.fsum(each.keys for each in rest)
    sizes = [(each.memory, each.memory_error or 0.0) for each in rest if each.memory is not None]
    memory = math.fsum(size for size, _ in sizes)
    timed = [(each.keys, each.without_ttl) for each in rest if each.without_ttl is not None]
    known = math.fsum(keys for keys, _ in timed)
    return [*first, Estimate(
        OVERFLOW, count, math.hypot(*(each.keys * each.keys_error for each in rest)) / count if count else 0.0,
        memory if sizes else None, math.hypot(*(size * error for size, error in sizes)) / memory if memory else None,
        math.fsum(keys * ratio for keys, ratio in timed) / known if known else None,
    )]  # fmt: skip


def _error_of_mean(tally: KeyTally, count: float) -> float:
    """Half the width of the 95 % interval of the mean size, in bytes, in a group of ``count`` keys."""
    if not tally.measured or not count:
        return 0.0
    unmeasured = max(1 - tally.measured / count, 0.0)
    return _student(tally.measured) * math.sqrt(tally.variance / tally.evenly_measured * unmeasured)


def _student(measured: int) -> float:
    """The width of a 95 % interval in standard errors: Student's t, by Cornish and Fisher's series."""
    if measured < 2:
        return Z
    inverse = 1 / (measured - 1)
    return Z + inverse * (2.372 + inverse * (2.822 + inverse * (2.556 + inverse * 1.589)))
