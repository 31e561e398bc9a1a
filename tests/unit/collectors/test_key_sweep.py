# SPDX-License-Identifier: Apache-2.0
"""A pass over one database, and its limits."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest

from celery_redis_exporter.collectors.key_sweep import SLOW_SECONDS, KeyBudget, KeyNames, KeySweep
from celery_redis_exporter.sources.key_space import Batch, KeySpaceReader, Walk
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from celery_redis_exporter.state.key_groups import KeyGroups
from celery_redis_exporter.state.key_tallies import Estimate
from tests.support.fakes import FakeClock
from tests.support.key_server import KeyServer
from tests.support.options import celery_names

KEYS = {b"user:%d" % number: (100, -1 if number % 4 else 5000) for number in range(3000)}
GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
QUEUES = celery_names(queues={"orders": "orders"})
NAMES = KeyNames(QUEUES, {}, ("orders", "orders\x06\x163", "unacked"))


class Lane:
    """A sweep over database 0 of a server in memory."""

    def __init__(self, keys: dict[bytes, tuple[int, int]], names: KeyNames | None = None) -> None:
        self.server = KeyServer(FakeClock(), db0=keys)
        self.reader = KeySpaceReader(cast("Session", self.server), self.server.clock, 1.0, select=False)
        self.reader.look()
        self.sweep = KeySweep(0, names or KeyNames(celery_names(), {}), KeyGroups(50))
        self.stop = threading.Event()

    def go_on(self, **budget: float) -> str:
        """Make a pass; a missing budget is without limit, and the server is never left alone."""
        whole = {"names": 10**6, "measured": 1000, "busy": 1e6, "wall": 1e6, "duty": 1.0} | budget
        return self.sweep.go_on(
            self.reader, len(self.server.databases[0]), KeyBudget(**whole), self.server.clock, self.stop  # type: ignore[arg-type]  # whole numbers stay whole
        )  # fmt: skip

    def estimates(self) -> dict[str, Estimate]:
        """Return every estimate by group."""
        return {each.group: each for each in self.sweep.groups.estimates(self.sweep.total)}


def test_a_pass_without_limits_sees_everything() -> None:
    """A sweep in one pass counts each key, and measures enough keys."""
    lane = Lane(KEYS)
    assert "complete" == lane.go_on()
    found = lane.estimates()["user:*"]
    assert (3000, 0.0, 300_000, 0.0) == (found.keys, found.keys_error, found.memory, found.memory_error)
    assert found.without_ttl == pytest.approx(0.75, abs=0.1)
    assert 200 <= len(lane.server.commands("MEMORY")) < 1000


@pytest.mark.parametrize(("outcome", "budget"), [
    ("keys", {"names": 700}),
    ("busy", {"busy": 0.005}),
    ("wall", {"wall": 0.01}),
])  # fmt: skip
def test_each_budget_ends_a_pass(outcome: str, budget: dict[str, float]) -> None:
    """The limits on names, server time and wall clock each end a pass, and the next pass continues from there."""
    lane = Lane(KEYS)
    lane.server.slowness["SCAN"] = 0.001
    assert outcome == lane.go_on(**budget)
    assert 0 < lane.sweep.scanned < 3000
    while lane.go_on(**budget) == outcome:
        pass
    assert 3000 == lane.sweep.scanned
    assert 3000 == lane.estimates()["user:*"].keys


def test_a_slow_answer_ends_a_pass() -> None:
    """A server that answers a batch slowly is left alone."""
    lane = Lane(KEYS)
    lane.server.slowness["SCAN"] = SLOW_SECONDS * 2
    assert "slow" == lane.go_on()
    assert 1 == len(lane.server.commands("SCAN"))


def test_no_more_keys_are_measured_than_the_budget_has() -> None:
    """The budget of measured keys is kept, and is spread over the names of a pass."""
    keys = {b"%s:%d" % (kind, number): (number, -1) for kind in (b"a", b"b", b"c", b"d") for number in range(700)}
    lane = Lane(keys)
    lane.go_on(names=1000, measured=100)
    # One more is requested, to see whether any are allowed.
    assert 60 < len(lane.server.commands("MEMORY")) <= 101
    before_last_scan = max(place for place, command in enumerate(lane.server.sent) if command[0] == "SCAN")
    assert any(command[0] == "MEMORY" for command in lane.server.sent[before_last_scan:])


def test_round_trips_are_bounded() -> None:
    """A round trip measures at most a hundred keys, the census included."""
    queues = {b"queue-%d" % number: (70, -1) for number in range(150)}
    names = KeyNames(celery_names(), {}, tuple(name.decode() for name in queues))
    sizes = {b"%s-%d" % (kind, n): (50 * n, -1) for kind in (b"a", b"b", b"c") for n in range(500)}
    lane = Lane(KEYS | sizes | queues, names)
    trips: list[int] = []
    exchange = lane.server.exchange

    def counted(commands: Sequence[Command], deadline: float) -> list[Any]:
        trips.append(sum(command[0] == "MEMORY" for command in commands))
        return exchange(commands, deadline)

    lane.server.exchange = counted  # type: ignore[method-assign]
    lane.go_on(measured=100_000)
    assert [1, 100, 50] == trips[:3], "one key is tried, then the census is read"
    assert 70 <= max(trips[3:]) <= 100


def test_common_groups_leave_room_for_rare_ones() -> None:
    """A round trip measures at most 70 keys of groups with enough measurements, and leaves the rest to rare groups."""
    common = {b"common:%d" % number: (number**2, -1) for number in range(3000)}
    lane = Lane(dict(common))
    lane.go_on(measured=100_000)
    lane.server.databases[0] |= {b"rare:%d" % number: (50, -1) for number in range(60)}
    lane.server.sent.clear()
    lane.go_on(measured=100_000)
    trips, measured = [0], set()
    for command in lane.server.sent:
        if command[0] == "SCAN":
            trips.append(0)
        elif command[0] == "MEMORY":
            trips[-1] += command[2] in common
            measured.add(command[2])
    assert 70 == max(trips)
    assert {b"rare:%d" % number for number in range(60)} <= measured


def test_part_of_the_budget_is_reserved_for_rare_groups() -> None:
    """Groups with few measurements may use 30 % of the budget at once; the rest is spread over the pass."""
    lane = Lane(KEYS)
    lane.go_on(measured=100)
    scans = [place for place, command in enumerate(lane.server.sent) if command[0] == "SCAN"]
    first = [command for command in lane.server.sent[scans[0] : scans[1]] if command[0] == "MEMORY"]
    assert 30 <= len(set(first)) <= 33  # the reserved keys and the first of the others


def test_a_crowd_of_rare_groups_does_not_use_the_whole_budget() -> None:
    """A group with enough measurements gets its part of the budget, however many groups are new."""
    users = {b"user:%d" % number: (100, -1) for number in range(38)}
    lane = Lane(dict(users))
    lane.go_on()
    lane.server.databases[0] |= {name.encode(): (50, -1) for name in GREEK}
    lane.server.sent.clear()
    lane.go_on(measured=10)
    measured = [command[2] in users for command in lane.server.commands("MEMORY")]
    assert (7, 3) == (measured.count(True), measured.count(False))


def test_a_single_key_is_measured_before_a_large_new_group() -> None:
    """The smallest of the groups with few measurements are measured first, as a single key is scanned once a sweep."""
    lane = Lane({b"user:%d" % number: (100, -1) for number in range(40)} | {name.encode(): (9, -1) for name in GREEK})
    lane.go_on(measured=30)
    assert {9} == {lane.estimates()[name].memory for name in GREEK}


def test_busy_time_is_the_sum_of_all_round_trips() -> None:
    """The busy time is the sum of the server's time for scans, the census and measured keys."""
    lane = Lane(KEYS | {b"orders": (10**6, -1)}, NAMES)
    lane.server.slowness |= {"SCAN": 0.003, "MEMORY": 0.0002}
    lane.go_on(names=150)
    assert "SCAN" != lane.server.sent[-1][0], "the last names are measured after the last scan"
    scans, measured = len(lane.server.commands("SCAN")), len(lane.server.commands("MEMORY")) - 1  # the first is a probe
    assert measured > 3
    assert 0.003 * scans + 0.0002 * measured == pytest.approx(lane.sweep.busy)


def test_pauses_end_with_the_pass() -> None:
    """The pauses between batches do not exceed the wall clock time of the pass."""
    lane = Lane(KEYS)
    rests: list[float] = []

    def wait(timeout: float | None = None) -> bool:
        rests.append(timeout or 0.0)
        lane.server.clock.advance(timeout or 0.0)
        return False

    lane.stop.wait = wait  # type: ignore[method-assign]
    lane.server.slowness["SCAN"] = 0.01
    assert "wall" == lane.go_on(wall=1.0, duty=0.001)
    assert 0 < sum(rests) <= 1.0


def test_the_server_is_left_alone_between_batches() -> None:
    """After each batch the sweep waits until the server's share of the time is kept."""
    lane = Lane(KEYS)
    waited: list[float] = []
    scans = [0]  # the number of scans until each wait; at the end of a segment a batch takes two

    def wait(timeout: float | None = None) -> bool:
        waited.append(timeout or 0.0)
        scans.append(len(lane.server.commands("SCAN")))
        return False

    lane.stop.wait = wait  # type: ignore[method-assign]
    lane.server.slowness["SCAN"] = 0.0005
    lane.go_on(duty=0.02, names=300)
    assert [pytest.approx(0.0005 * 49 * (after - before)) for before, after in pairwise(scans)] == waited
    assert len(waited) > 1


def test_stopping_ends_a_pass() -> None:
    """A stop of the exporter ends a sweep at once."""
    lane = Lane(KEYS)
    lane.stop.set()
    assert "wall" == lane.go_on()
    assert 1 == len(lane.server.commands("SCAN"))
    assert [] == lane.server.commands("MEMORY")


def test_the_census_is_read_in_each_pass_and_not_sampled() -> None:
    """A queue's size is exact after any pass, is updated by the next one, and is not counted twice."""
    lane = Lane(KEYS | {b"orders": (10**6, -1), b"orders\x06\x163": (500, -1)}, NAMES)
    lane.go_on(names=200)
    found = lane.estimates()["orders"]
    assert (2, 0.0, 1_000_500, 0.0, 1.0) == (
        found.keys,
        found.keys_error,
        found.memory,
        found.memory_error,
        found.without_ttl,
    )
    del lane.server.databases[0][b"orders"]
    while lane.go_on(names=1000) != "complete":
        pass
    assert (1, 500) == (lane.estimates()["orders"].keys, lane.estimates()["orders"].memory)
    assert {"orders", "user:*"} == lane.estimates().keys()
    assert 3000 == lane.sweep.total


def test_a_queue_that_becomes_known_leaves_the_sample() -> None:
    """A key that was counted as a group before its queue was known is not counted twice."""
    lane = Lane(KEYS | {b"orders": (10**6, -1)})
    lane.go_on()
    assert 1 == lane.estimates()["orders"].keys
    lane.sweep.call(NAMES)
    lane.go_on(names=100)
    assert (1, 10**6) == (lane.estimates()["orders"].keys, lane.estimates()["orders"].memory)


def test_a_flood_of_keys_shows_at_once() -> None:
    """If many keys are new since the last sweep, the next pass estimates their groups from a part of the key space."""
    lane = Lane(KEYS)
    lane.go_on()
    lane.go_on(names=1000)
    lane.server.databases[0] |= {b"flood:%d" % number: (50, -1) for number in range(30_000)}
    lane.go_on(names=3000)
    found = lane.estimates()
    assert 33_000 == pytest.approx(sum(each.keys for each in found.values()))
    assert abs(found["flood:*"].keys - 30_000) <= 2 * found["flood:*"].keys_error * 30_000
    assert 0 < found["flood:*"].keys_error < 0.05
    while lane.go_on(names=10_000) != "complete":
        pass
    assert (3000, 30_000) == (lane.estimates()["user:*"].keys, lane.estimates()["flood:*"].keys)


def test_the_census_is_bounded() -> None:
    """The keys of up to a thousand queues are read in each pass; those of further queues are part of the sample."""
    queues = [f"queue-{number}x" for number in range(1005)]
    names = KeyNames(celery_names(queues={queue: queue for queue in queues}), {}, tuple(queues))
    lane = Lane({queue.encode(): (70, -1) for queue in queues}, names)
    lane.go_on()
    assert 1000 == len(lane.sweep.groups.census)
    found = lane.estimates()
    assert {1} == {found[queue].keys for queue in queues[:150] if queue in found}
    assert 1005 == sum(each.keys for each in found.values())


def test_without_the_right_to_measure_counts_are_given() -> None:
    """Without MEMORY and PTTL all keys are counted, queues among them, and their memory is unknown."""
    lane = Lane(KEYS | {b"orders": (10**6, -1)}, NAMES)
    lane.server.refused = {"MEMORY": "ERR unknown command 'MEMORY'", "PTTL": "NOPERM no permissions to run 'pttl'"}
    lane.go_on()
    found = lane.estimates()
    assert (3000, 1) == (found["user:*"].keys, found["orders"].keys)
    assert {(None, None)} == {(each.memory, each.without_ttl) for each in found.values()}


def test_keys_that_may_not_be_read_are_asked_for_once() -> None:
    """A group with unreadable keys is left alone until the next sweep, as refusals fill the server's log."""
    lane = Lane(KEYS)
    lane.server.refused["MEMORY"] = "NOPERM No permissions to access a key"
    lane.go_on()
    refused = len(lane.server.commands("MEMORY"))
    assert refused <= 200
    lane.server.refused.clear()
    lane.go_on()
    assert len(lane.server.commands("MEMORY")) > refused
    assert 3000 == lane.estimates()["user:*"].keys


def test_only_sweeps_of_several_passes_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches end with their segment once a pass was interrupted, until a sweep takes one pass again."""
    lane, given = Lane(KEYS), list[int]()
    read = lane.reader.next_batch

    def note(walk: Walk, total: int, keys: Sequence[bytes], segments: int) -> Batch:
        given.append(segments)
        return read(walk, total, keys, segments)

    def go_on(**budget: float) -> tuple[str, set[int]]:
        given.clear()
        return lane.go_on(**budget), set(given)

    monkeypatch.setattr(lane.reader, "next_batch", note)
    lane.server.slowness["SCAN"] = 0.001
    assert [("complete", {1}), ("busy", {1})] == [go_on(), go_on(busy=0.005)]
    assert [("complete", {16}), ("complete", {16}), ("complete", {1})] == [go_on(), go_on(), go_on()]
    assert ("keys", {16}) == go_on(names=700)
