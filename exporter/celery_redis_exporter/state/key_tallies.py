# SPDX-License-Identifier: Apache-2.0
"""Record the names and measured keys of one group of keys, and estimate the group from them.

Input: counts of names, and sizes of some of them. Output: counts and bytes with the error of each: that of a share of
the names seen, and that of a mean size. The error is too small for few keys of very uneven sizes (of a lognormal size
nine of ten intervals are right from FEWEST keys on), and it does not cover a huge key that was not seen. Keeps numbers,
and no keys but the largest if requested. Not thread-safe: see state.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OVERFLOW = "overflow"
"""redis_exporter's name for the groups that are not shown one by one."""
Z = 1.96
AIM = 0.025
"""The intended error of a mean size. With that of the count the error of the memory is at most 5 %."""
FEWEST, MOST = 200, 5000
"""The limits for the keys measured per group, whatever their sizes. The share without a time to live needs FEWEST."""
RARE = 30
"""The number of measured keys from which on a group's spread is known well enough."""


class KeyReading(NamedTuple):
    """One key: its group, name, size in bytes and whether it has no time to live. None is unknown."""

    group: str
    name: bytes
    size: int | None
    lasts: bool | None


class Estimate(NamedTuple):
    """The estimate of one group. Errors are half the width of the 95 % interval, as a ratio to the value.

    ``memory`` is in bytes, or None if no key could be measured. ``without_ttl`` is a ratio, or None if no time to live
    is known. ``largest`` are the largest measured keys as (bytes, name), the largest first.
    """

    group: str
    keys: float
    keys_error: float
    memory: float | None
    memory_error: float | None
    without_ttl: float | None
    largest: tuple[tuple[int, bytes], ...] = ()


class KeyTally:
    """The number of names of a group, and of measured keys: number, mean size, squares of differences, times to live.

    ``behind`` is the number of names that the mean represents. ``uneven`` is that number squared, per measured key,
    summed over the merged tallies: if some parts were measured more closely than others, all together are less precise
    than as many keys measured evenly (``evenly_measured``). ``is_one_key`` is True if the group consists of a key with
    its whole name. Then its count is 1, however small the part of the key space that was seen.
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
        """Return the variance of the sizes. For a single size it is a cautious guess."""
        return self.squares / (self.measured - 1) if self.measured > 1 else self.mean**2

    @property
    def evenly_measured(self) -> float:
        """Return the number of evenly drawn keys that would be as precise about the mean."""
        return self.behind**2 / self.uneven if self.uneven else self.measured

    @property
    def target(self) -> int:
        """Return how many keys to measure for the intended error."""
        spread = math.sqrt(self.variance) / self.mean if self.measured >= RARE and self.mean else 1.0
        return min(max(math.ceil((Z * spread / AIM) ** 2), FEWEST), MOST)

    def count(self, names: int, *, is_one_key: bool) -> None:
        """Add names. SCAN may return the same key twice."""
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
        """Add the tally of another segment. Means are weighted by the names that they represent."""
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
    """The scale from the keys seen to the database: ``names`` of ``total`` keys, or all of them (``exact``)."""

    names: int
    total: int
    exact: bool

    def count(self, names: int) -> float:
        """Return the keys of a group with ``names`` of the names seen. It is never more than there are."""
        if not self.names:
            return 0.0
        ratio = self.total / self.names
        return names * (min(ratio, 1.0) if self.exact else ratio)

    def variance(self, names: int) -> float:
        """Return the variance of that count.

        It is binomial without replacement, with two hits and two misses added, so that it is not too small for few
        names.
        """
        if self.exact or not names or self.names >= self.total:
            return 0.0
        share = (names + 2) / (self.names + 4)
        return self.total**2 * share * (1 - share) / (self.names + 4) * (1 - self.names / self.total)


def estimate(group: str, tally: KeyTally, census: Iterable[KeyReading], scale: Scale, kept: int = 0) -> Estimate:
    """Estimate one group from its sampled keys, and from those that were all read (``census``).

    ``kept`` is the number of its largest keys that are returned.
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
    """Lower the estimates until their sum is at most ``most`` bytes, the memory that the server uses.

    Exact values are not changed, as far as that is possible. Intervals keep their width in bytes.
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
    """Return the first ``shown`` groups, and all others summed up under OVERFLOW."""
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
    """Return half the width of the 95 % interval of the mean size, in bytes, in a group of ``count`` keys."""
    if not tally.measured or not count:
        return 0.0
    unmeasured = max(1 - tally.measured / count, 0.0)
    return _student(tally.measured) * math.sqrt(tally.variance / tally.evenly_measured * unmeasured)


def _student(measured: int) -> float:
    """Return the width of a 95 % interval in standard errors: Student's t, by Cornish and Fisher's series."""
    if measured < 2:
        return Z
    inverse = 1 / (measured - 1)
    return Z + inverse * (2.372 + inverse * (2.822 + inverse * (2.556 + inverse * 1.589)))
