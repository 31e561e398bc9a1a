# SPDX-License-Identifier: Apache-2.0
"""Estimates of groups of keys, and whether the stated errors cover the real ones."""

import random
import statistics
from collections.abc import Callable, Sequence

import pytest

from celery_redis_exporter.state import key_tallies
from celery_redis_exporter.state.key_tallies import (
    FEWEST,
    OVERFLOW,
    Estimate,
    KeyReading,
    KeyTally,
    Scale,
    bound,
    estimate,
    fold_rest,
)
from tests.support.sizes import scaled

RUNS = scaled(40, 200)

Sizes = Callable[[random.Random], int]
SIZES: dict[str, Sizes] = {
    "equal": lambda _: 72,
    "uniform": lambda chance: chance.randint(100, 1000),
    "two kinds": lambda chance: chance.choice((100, 100, 100, 2000)),
    "exponential": lambda chance: 50 + int(chance.expovariate(1 / 500)),
    "lognormal": lambda chance: int(chance.lognormvariate(6, 1)),
}


def dice(seed: int) -> random.Random:
    """Return a random generator that draws the same numbers in each run."""
    return random.Random(seed)  # noqa: S311 -- no secret depends on it


def reading(size: int | None, *, lasts: bool | None = True, name: bytes = b"k") -> KeyReading:
    """Return a measured key."""
    return KeyReading("g", name, size, lasts)


def tally_of(sizes: Sequence[int], names: int | None = None, kept: int = 0) -> KeyTally:
    """Return a tally of measured keys among ``names``."""
    tally = KeyTally()
    tally.names = len(sizes) if names is None else names
    for number, size in enumerate(sizes):
        tally.measure(reading(size, name=b"%d" % number), kept)
    return tally


def test_everything_measured_is_exact() -> None:
    """If each key was swept and measured, count and memory are exact and have no error."""
    found = estimate("g", tally_of([100, 200, 600]), (), Scale(10, 10, exact=True))
    assert Estimate("g", 3, 0.0, 900, 0.0, 1.0) == found


@pytest.mark.parametrize(
    # 30 keys are too few for sizes as skewed as lognormal; only groups that have no more keys are measured so little.
    ("kind", "measured"),
    [*((kind, 30) for kind in SIZES if kind != "lognormal"), *((kind, FEWEST) for kind in SIZES)],
)
def test_errors_are_honest(kind: str, measured: int) -> None:
    """In at least nine of ten seeded runs the true count and memory lie within the stated error."""
    chance = dice(measured)
    total, share, looked = 10_000, 0.1, 2000
    hits = {"count": 0, "memory": 0}
    for _ in range(RUNS):
        sizes = [SIZES[kind](chance) for _ in range(int(total * share))]
        drawn = chance.sample(range(total), looked)
        seen = [sizes[place] for place in drawn if place < len(sizes)]
        found = estimate("g", tally_of(seen[:measured], len(seen)), (), Scale(looked, total, exact=False))
        assert found.memory is not None
        assert found.memory_error is not None
        hits["count"] += abs(found.keys - len(sizes)) <= found.keys_error * found.keys
        hits["memory"] += abs(found.memory - sum(sizes)) <= found.memory_error * found.memory
    assert min(hits.values()) >= 0.9 * RUNS, hits


@pytest.mark.parametrize("keys", [1, 3, 10])
def test_errors_of_rare_groups_are_honest(keys: int) -> None:
    """The stated error of a group of which few keys were found is large enough in nine of ten runs."""
    chance = dice(keys)
    total, looked, hits, runs = 5000, 1000, 0, 0
    for _ in range(scaled(200, 800)):
        met = sum(place < keys for place in chance.sample(range(total), looked))
        if met:
            runs += 1
            found = estimate("g", tally_of([50] * met), (), Scale(looked, total, exact=False))
            hits += abs(found.keys - keys) <= found.keys_error * found.keys
    assert hits >= 0.9 * runs


def test_merged_tallies_weigh_by_names() -> None:
    """Merged tallies weigh each mean by its number of names, not by its number of measured keys."""
    both = KeyTally()
    both.merge(tally_of([100] * 5, names=900), 0)
    both.merge(tally_of([1100] * 50, names=100), 0)
    assert (1000, 55, 200.0) == (both.names, both.measured, both.mean)
    assert pytest.approx(statistics.pvariance([100] * 900 + [1100] * 100)) == both.squares / both.measured
    # As precise as six evenly drawn keys: the five of the large tally decide.
    assert pytest.approx(1000**2 / (900**2 / 5 + 100**2 / 50)) == both.evenly_measured


@pytest.mark.parametrize(("least", "most"), [(1, 4), (50, 5000)])
def test_merging_parts_gives_the_whole(least: int, most: int) -> None:
    """Merged parts have the mean and the variance of the whole."""
    chance = dice(5)
    sizes = [chance.randint(least, most) for _ in range(400)]
    whole, parts = tally_of(sizes), KeyTally()
    for start in range(0, 400, 50):
        parts.merge(tally_of(sizes[start : start + 50]), 0)
    assert pytest.approx((whole.mean, whole.variance)) == (parts.mean, parts.variance)


def test_times_to_live_are_told_as_a_share() -> None:
    """The share of keys without a time to live is a share of the keys whose time to live was read."""
    tally = KeyTally()
    tally.names = 4
    for lasts in (True, False, False, None):
        tally.measure(reading(10, lasts=lasts), 0)
    assert pytest.approx(1 / 3) == estimate("g", tally, (), Scale(4, 4, exact=True)).without_ttl
    assert estimate("g", tally_of([]), (), Scale(4, 4, exact=True)).without_ttl is None


def test_census_is_added_exactly() -> None:
    """Keys that are read directly are added to the estimate of the others, and are not scaled up."""
    census = [reading(5000, lasts=True), reading(3000, lasts=False)]
    found = estimate("g", tally_of([100] * 10), census, Scale(50, 100, exact=False))
    assert (22, 10_000) == (found.keys, found.memory)
    assert pytest.approx(21 / 22) == found.without_ttl
    assert Estimate("g", 2, 0.0, 8000, 0.0, 0.5) == estimate("g", KeyTally(), census, Scale(50, 100, exact=False))


def test_unmeasured_memory_is_absent() -> None:
    """If no key of a group could be measured, its memory is absent and its count is stated."""
    found = estimate("g", tally_of([], names=5), (), Scale(10, 20, exact=False))
    assert (10, None, None) == (found.keys, found.memory, found.memory_error)
    assert estimate("g", KeyTally(), [reading(None)], Scale(10, 20, exact=False)).memory is None


def test_the_largest_keys_are_kept() -> None:
    """The requested number of largest measured keys is kept per group, across merges and with the census."""
    assert [(20, b"2"), (900, b"1")] == sorted(tally_of([5, 900, 20], kept=2).largest)
    both = KeyTally()
    both.merge(tally_of([5, 900, 20], kept=2), 2)
    both.merge(tally_of([700, 1, 30], kept=2), 2)
    both.merge(tally_of([], kept=2), 2)
    assert [(700, b"0"), (900, b"1")] == sorted(both.largest)
    both.measure(reading(750, name=b"d"), 2)
    assert [(750, b"d"), (900, b"1")] == sorted(both.largest)
    found = estimate("g", both, [reading(800, name=b"c")], Scale(6, 6, exact=True), 2)
    assert ((900, b"1"), (800, b"c")) == found.largest


def test_the_error_of_a_count_is_that_of_a_draw_without_replacement() -> None:
    """The variance of a scaled count shrinks with the share of the keys that were seen."""
    share = 12 / 54
    binomial = 100**2 * share * (1 - share) / 54
    assert pytest.approx(binomial / 2) == Scale(50, 100, exact=False).variance(10)
    assert 0 == Scale(100, 100, exact=False).variance(10) == Scale(50, 100, exact=True).variance(10)


@pytest.mark.parametrize(
    ("measured", "width"), [(3, 4.303), (4, 3.182), (6, 2.571), (11, 2.228), (31, 2.042), (1_000_001, 1.960)]
)
def test_intervals_of_few_keys_are_wider(measured: int, width: float) -> None:
    """The width of a 95 % interval is Student's t for the number of measured keys, as tables have it."""
    assert pytest.approx(width, rel=0.01) == key_tallies._student(measured)


def test_counts_never_exceed_the_database() -> None:
    """If keys were deleted since the sweep, counts are scaled down to the current number of keys."""
    assert (50, 0) == (Scale(200, 100, exact=True).count(100), Scale(200, 0, exact=True).count(100))
    assert 100 == Scale(200, 1000, exact=True).count(100)
    assert 0 == Scale(0, 1000, exact=False).count(0)


def test_the_rest_is_added_up() -> None:
    """Groups beyond the limit are summed into one group, whose error is that of a sum of independent estimates."""
    groups = [Estimate(str(n), 10, 0.1, 100, 0.2, 0.5) for n in range(4)] + [
        Estimate(OVERFLOW, 20, 0.0, None, None, None)
    ]
    *shown, rest = fold_rest(groups, 2)
    assert ["0", "1", OVERFLOW] == [each.group for each in (*shown, rest)]
    assert (40, 200, 0.5) == (rest.keys, rest.memory, rest.without_ttl)
    assert pytest.approx((2**0.5 / 40, 20 * 2**0.5 / 200)) == (rest.keys_error, rest.memory_error)
    assert groups[:2] == fold_rest(groups[:2], 2)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([72] * 1000, 200), ([50, 150] * 500, 1539), ([*[1] * 999, 10**6], 5000), ([72] * 29, 5000)],
    ids=["equal", "spread", "wild", "too few to estimate a spread"],
)
def test_number_of_keys_to_measure(sizes: list[int], expected: int) -> None:
    """As many keys of a group are measured as an error of 2.5 % of the mean size requires, from 200 to 5,000."""
    tally = KeyTally()
    for size in sizes:
        tally.measure(reading(size), 0)
    assert expected == tally.target


def test_a_group_of_one_key_is_not_scaled_up() -> None:
    """A group that is named after its only key counts one key, however small the swept part is."""
    tally = KeyTally()
    for _ in range(2):  # SCAN may return a key twice
        tally.count(1, is_one_key=True)
        tally.measure(KeyReading("bigz", b"bigz", 9_600_000, lasts=True), 0)
        assert (1, True) == (tally.names, tally.is_one_key)
    found = estimate("bigz", tally, (), Scale(1300, 10_000, exact=False))
    assert (1, 0, 9_600_000, 0) == (found.keys, found.keys_error, found.memory, found.memory_error)
    merged = KeyTally()
    merged.merge(tally, 0)
    merged.merge(tally, 0)
    assert (1, True) == (merged.names, merged.is_one_key)
    merged.count(3, is_one_key=False)
    assert (4, False) == (merged.names, merged.is_one_key)


def sized(group: str, memory: float | None, error: float = 0.0) -> Estimate:
    """Return the estimate of a group's memory."""
    return Estimate(group, 1, 0.0, memory, None if memory is None else error, None)


def test_estimates_are_no_more_than_the_server_uses() -> None:
    """Estimates are lowered to the server's memory; exact values and the widths of the intervals stay."""
    found = bound([sized("exact", 100), sized("a", 300, 0.5), sized("b", 100, 0.2), sized("unknown", None)], 300)
    assert [100, 150, 50, None] == [each.memory for each in found]
    assert [0, 1.0, 0.4, None] == [each.memory_error for each in found]
    assert [100, 300] == [each.memory for each in bound([sized("a", 100), sized("b", 300, 1.0)], 400)]
    assert [50, 150] == [each.memory for each in bound([sized("a", 100), sized("b", 300)], 200)]
