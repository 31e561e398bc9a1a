# SPDX-License-Identifier: Apache-2.0
"""Estimates of a database across sweeps: segments, quotas, bounds."""

import random
from collections import defaultdict
from heapq import nsmallest

import pytest

from celery_redis_exporter.state.key_groups import SEGMENTS, WIDE, KeyGroups, Segment
from celery_redis_exporter.state.key_tallies import FEWEST, MOST, OVERFLOW, RARE, Estimate, KeyReading
from tests.support.sizes import scaled

BATCH = 50


def dice(seed: int) -> random.Random:
    """Return a random generator that draws the same numbers in each run."""
    return random.Random(seed)  # noqa: S311 -- no secret depends on it


class Database:
    """Keys with a group, a size and a fixed place in the key space, which are swept batch by batch."""

    def __init__(self, groups: KeyGroups, keys: dict[bytes, tuple[str, int]], seed: int = 1) -> None:
        self.groups = groups
        self.keys = dict(keys)
        self._chance = dice(seed)
        self._places = {name: self._chance.random() for name in keys}
        self._at = 0.0

    def add(self, name: bytes, group: str, size: int) -> None:
        """Add a key at a random place."""
        self.keys[name] = (group, size)
        self._places[name] = self._chance.random()

    def sweep(self, batches: int = 1, *, measure: bool = True) -> bool:
        """Sweep some batches; return whether the sweep is complete."""
        for _ in range(batches):
            ahead = nsmallest(
                BATCH + 1, ((self._places[name], name) for name in self.keys if self._places[name] >= self._at)
            )
            taken, left = ahead[:BATCH], ahead[BATCH:]
            segment = self.groups.enter(self._at)
            found = defaultdict(list)
            for _, name in taken:
                found[self.keys[name][0]].append(name)
            for group, names in self.groups.fold(segment, found).items():
                if measure:
                    self._measure(segment, group, names)
            self._at = left[0][0] if left else 0.0
            if not left:
                self.groups.complete()
                break
        self.groups.refresh()
        return self._at == 0.0

    def full_sweep(self) -> None:
        """Sweep to the end."""
        while not self.sweep(20):
            pass

    def estimates(self) -> dict[str, Estimate]:
        """Return every estimate by group."""
        return {each.group: each for each in self.groups.estimates(len(self.keys))}

    def _measure(self, segment: Segment, group: str, names: list[bytes]) -> None:
        wanted = self.groups.wanted(segment, group).all
        self.groups.ask(segment, group, min(wanted, len(names)))
        for name in names[:wanted]:
            self.groups.measure(segment, KeyReading(group, name, self.keys[name][1], lasts=True))


def database(groups: dict[str, tuple[int, int]], limit: int = 50, largest: int = 0) -> Database:
    """Return a database with groups of a number of keys of an approximate size."""
    chance = dice(7)
    keys = {
        f"{group}{number}".encode(): (group, int(size * chance.uniform(0.5, 1.5)))
        for group, (count, size) in groups.items()
        for number in range(count)
    }
    return Database(KeyGroups(limit, largest), keys)


def test_counts_are_exact_after_a_full_sweep() -> None:
    """After a complete sweep counts are exact, and memory is within its stated error."""
    swept = database({"a": (3000, 100), "b": (500, 1000), "c": (1, 10**6)})
    swept.full_sweep()
    found = swept.estimates()
    assert {"a": 3000, "b": 500, "c": 1} == {group: each.keys for group, each in found.items()}
    assert {0.0} == {each.keys_error for each in found.values()}
    assert ("c", 1.0) == (swept.groups.estimates(3501)[0].group, swept.groups.coverage(3501))
    for group, each in found.items():
        truth = sum(size for other, size in swept.keys.values() if other == group)
        assert each.memory is not None
        assert each.memory_error is not None
        assert abs(each.memory - truth) <= each.memory_error * truth + 0.5


def test_part_of_a_sweep_is_scaled_up() -> None:
    """During the first sweep the swept part is scaled up to the whole database, and the errors shrink."""
    swept = database({"a": (3000, 100), "b": (1000, 1000)})
    swept.sweep(10)
    early = swept.estimates()
    assert 4000 == pytest.approx(sum(each.keys for each in early.values()))
    assert pytest.approx(500 / 4000) == swept.groups.coverage(4000)
    assert abs(early["b"].keys - 1000) <= early["b"].keys_error * early["b"].keys
    swept.sweep(30)
    assert swept.estimates()["b"].keys_error < early["b"].keys_error / 2


def test_a_new_sweep_changes_nothing_by_itself() -> None:
    """A later sweep does not change the counts of an unchanged database, not even of a single key."""
    swept = database({"a": (2000, 100), "b": (300, 500), "giant": (1, 10**7)})
    swept.full_sweep()
    for _ in range(100):
        swept.sweep()
        found = swept.estimates()
        counts = [found[group].keys for group in ("a", "b", "giant")]
        # The keys of a batch that crosses the bounds of two segments count in the wrong one for one sweep.
        assert [2000, 300, 1] == [pytest.approx(count, rel=0.04) for count in counts]
        assert found["giant"].memory == pytest.approx(10**7, rel=0.5)
        assert 0.0 == found["a"].keys_error


def test_a_later_sweep_sees_what_changed() -> None:
    """Added and deleted keys are counted once the next sweep is complete."""
    swept = database({"a": (2000, 100), "gone": (500, 100)})
    swept.full_sweep()
    for name in [name for name, (group, _) in swept.keys.items() if group == "gone"]:
        del swept.keys[name]
    for number in range(1000):
        swept.add(b"new%d" % number, "new", 50)
    swept.full_sweep()
    assert {"a": 2000, "new": 1000} == {group: each.keys for group, each in swept.estimates().items()}


def test_what_is_passed_by_is_gone() -> None:
    """If a batch spans several segments that are empty now, their old counts are dropped."""
    swept = database({"a": (3200, 100)})
    swept.full_sweep()
    for name in list(swept.keys)[:3180]:
        del swept.keys[name]
    swept.full_sweep()
    assert 20 == swept.groups._names


def test_what_was_asked_for_counts_once() -> None:
    """A key that was requested and then measured counts once."""
    groups = KeyGroups(10)
    segment = groups.enter(0.0)
    groups.fold(segment, {"a": [b"k"] * 300})
    groups.ask(segment, "a", 150)
    for _ in range(150):
        groups.measure(segment, KeyReading("a", b"k", 70, lasts=True))
    groups.refresh()
    assert (FEWEST - 150, False) == groups.wanted(segment, "a")[1:]


def test_an_open_segment_is_bounded() -> None:
    """While a segment is swept, it distinguishes no more groups than a multiple of the limit."""
    groups = KeyGroups(5)
    segment = groups.enter(0.0)
    for number in range(100):
        groups.fold(segment, {str(number): [b"k"]})
    assert 5 * WIDE + 1 == len(segment.tallies)
    assert 100 - 5 * WIDE == segment.tallies[OVERFLOW].names


def test_a_database_that_changed_much_is_outgrown() -> None:
    """After a full sweep the estimates are outdated once a quarter of the keys were added or deleted."""
    swept = database({"a": (2000, 100)})
    swept.sweep(2)
    assert not swept.groups.outgrown(10**6)
    swept.full_sweep()
    assert [True, False, False, True] == [swept.groups.outgrown(total) for total in (1499, 1501, 2499, 2501)]
    swept.groups.restart()
    assert ([], False) == (swept.groups.estimates(2000), swept.groups.swept)


def test_a_database_that_was_emptied_has_no_keys() -> None:
    """Estimates never exceed the current number of keys."""
    swept = database({"a": (2000, 100)})
    swept.full_sweep()
    assert [0] == [each.keys for each in swept.groups.estimates(0)]


def test_as_many_keys_are_measured_as_the_spread_asks_for() -> None:
    """The more the sizes in a group differ, the more of its keys are measured, up to a limit; of a few keys all are."""
    swept = database({"wild": (scaled(6000, 12_000), 0), "few": (20, 100), "alike": (scaled(2500, 5000), 0)})
    chance = dice(3)
    swept.keys = {
        name: (group, {"alike": 80, "few": 5, "wild": int(chance.lognormvariate(5, 2))}[group])
        for name, (group, _) in swept.keys.items()
    }
    swept.full_sweep()
    measured = {group: tally.measured for group, tally in swept.groups._seen.items()}
    assert measured["few"] == 20
    assert FEWEST <= measured["alike"] < 3 * FEWEST
    assert 10 * FEWEST < measured["wild"] <= 2 * MOST


def test_the_end_of_the_key_space_is_in_the_last_segment() -> None:
    """A position of 1, which a server can report before its last names, is in the last segment."""
    groups = KeyGroups(10)
    segment = groups.enter(1.0)
    groups.fold(segment, {"a": [b"a"]})
    groups.complete()
    groups.refresh()
    assert [1] == [each.keys for each in groups.estimates(1)]


def test_what_is_little_known_is_reported() -> None:
    """A group counts as rare until enough of its keys were requested."""
    groups = KeyGroups(10)
    segment = groups.enter(0.0)
    assert (FEWEST, True) == groups.wanted(segment, "a")[1:]
    groups.ask(segment, "a", RARE)
    assert (FEWEST - RARE, False) == groups.wanted(segment, "a")[1:]


def test_groups_are_bounded_and_nothing_is_lost() -> None:
    """However many groups exist, memory is bounded; heavy groups are shown, all others are in the overflow group."""
    junk = {f"junk{number}": (1, 100) for number in range(3000)}
    swept = database(junk | {"heavy": (2000, 1000)}, limit=5)
    swept.full_sweep()
    found = swept.estimates()
    assert len(found) <= SEGMENTS * 6
    assert 5000 == sum(each.keys for each in found.values())
    assert 2000 == found["heavy"].keys
    assert found[OVERFLOW].keys > 2900
    assert found[OVERFLOW].memory == pytest.approx(found[OVERFLOW].keys * 100, rel=0.2)


def test_overflow_is_not_inflated_by_one_giant() -> None:
    """One giant key in the overflow group counts once and does not raise the estimate of its unmeasured keys."""
    segment = Segment(1, 0)
    groups = KeyGroups(1)
    groups.fold(segment, {"heavy": [b""] * 10_000, "many": [b""] * 5000, "giant": [b""]})
    for group, size in (("heavy", 1000), ("many", 100), ("giant", 100_000)):
        groups.measure(segment, KeyReading(group, b"", size, lasts=True))
    segment.close()
    rest = segment.tallies[OVERFLOW]
    assert 5001 * rest.mean == pytest.approx(5000 * 100 + 100_000)


def test_late_sizes_reach_their_segment() -> None:
    """A size that arrives after its segment was closed counts in its group, or in overflow if the group was folded."""
    groups = KeyGroups(1)
    segment = groups.enter(0.0)
    groups.fold(segment, {"a": [b"1", b"2"], "b": [b"3"]})
    groups.enter(0.5)
    for group in ("a", "b"):
        groups.measure(segment, KeyReading(group, b"", 70, lasts=False))
    groups.refresh()
    assert {"a": 70, OVERFLOW: 70} == {group: tally.mean for group, tally in groups._seen.items()}


def test_a_key_that_joins_the_census_leaves_the_sample() -> None:
    """A group whose keys are all read directly now is dropped from the sample; a group with other keys is kept."""
    swept = database({"queue": (1, 10**6), "others": (100, 50)})
    swept.full_sweep()
    swept.groups.forget("queue", 1)
    swept.groups.forget("others", 1)
    swept.groups.census = [KeyReading("queue", b"queue", 900, lasts=True)]
    swept.groups.refresh()
    found = {each.group: each for each in swept.groups.estimates(100)}
    assert (1, 900, 100) == (found["queue"].keys, found["queue"].memory, found["others"].keys)
    assert 2 == swept.groups.distinct


def test_the_largest_keys_come_with_their_names() -> None:
    """The largest keys of a group are those of all segments, with their names."""
    swept = database({"a": (150, 100)}, largest=3)
    for name in (b"a3", b"a77", b"a149"):
        swept.keys[name] = ("a", 10**6)
    swept.full_sweep()
    assert {b"a3", b"a77", b"a149"} == {name for _, name in swept.estimates()["a"].largest}
