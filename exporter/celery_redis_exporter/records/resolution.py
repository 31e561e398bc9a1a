# SPDX-License-Identifier: Apache-2.0
"""The parts into which a native histogram's observations are counted, and the buckets that they belong to.

A part lies in exactly one classic and one native bucket, since all their bounds are bounds of parts. So one look-up
per observation finds both. Data only.

The bounds of native buckets are powers of 2 ** (2 ** -schema), as Prometheus defines them. Schema 3, the finest one
here, has eight buckets from a number to its double, so a bucket's upper bound exceeds its lower one by 9 %.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf, ldexp
from typing import NamedTuple

FINEST_SCHEMA = 3
SMALLEST, LARGEST = -30, 34
"""Exponents of 2 between which buckets are distinguished: from a nanosecond to 544 years, if the unit is a second."""
ZERO_THRESHOLD = 2.0**SMALLEST
"""Observations up to here are counted in the zero bucket."""
MOST_BUCKETS = 160
"""Native buckets that a histogram may have. With more its resolution is halved. Schema 1 never has more."""


@dataclass(frozen=True, slots=True, eq=False)
class Resolution:
    """The parts for the bounds of a classic histogram and a schema.

    ``bounds`` are upper bounds; the last part has none. ``classic`` is the place of each part's classic bucket, and
    ``native`` the index of its native bucket by Prometheus's count, None for the zero bucket.
    """

    schema: int
    bounds: tuple[float, ...]
    classic: tuple[int, ...]
    native: tuple[int | None, ...]

    def part(self, upper: float) -> int:
        """Return the part that contains a number."""
        return bisect_left(self.bounds, upper)

    def upper(self, part: int) -> float:
        """Return the upper bound of a part."""
        return self.bounds[part] if part < len(self.bounds) else inf


class NativeCounts(NamedTuple):
    """A native histogram's value: observations by part. The mapping never changes."""

    resolution: Resolution
    parts: Mapping[int, int]


class NativeBuckets(NamedTuple):
    """The same by bucket: those of the zero bucket, and of each bucket that has any by its index, in rising order."""

    zero: int
    buckets: dict[int, int]


@lru_cache(maxsize=256)
def resolve(bounds: tuple[float, ...], schema: int) -> Resolution:
    """Return the parts for a classic histogram with these ``bounds`` and a native one with this schema."""
    native = _native_bounds(schema)
    uppers = tuple(sorted({*bounds, *native}))
    first = SMALLEST << schema
    indexes = [bisect_left(native, upper) for upper in (*uppers, inf)]
    return Resolution(
        schema,
        uppers,
        tuple(bisect_left(bounds, upper) for upper in (*uppers, inf)),
        tuple(first + index if index else None for index in indexes),
    )


def fold(counts: NativeCounts) -> NativeBuckets:
    """Return the observations of each native bucket."""
    resolution, parts = counts
    zero, buckets = 0, dict[int, int]()
    for part in sorted(parts):
        index = resolution.native[part]
        if index is None:
            zero += parts[part]
        else:
            buckets[index] = buckets.get(index, 0) + parts[part]
    return NativeBuckets(zero, buckets)


@lru_cache(maxsize=FINEST_SCHEMA + 1)
def _native_bounds(schema: int) -> tuple[float, ...]:
    """Return the bounds of native buckets. Those of a lower schema are among those of a higher one, bit by bit."""
    steps = 1 << schema
    numbers = range(SMALLEST * steps, LARGEST * steps + 1)
    return tuple(ldexp(2.0 ** (number % steps / steps), number // steps) for number in numbers)
