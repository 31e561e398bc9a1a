# SPDX-License-Identifier: Apache-2.0
"""The sampler of a server: when it reads, its samples, and the effects of a failure."""

import threading
from itertools import pairwise
from typing import Any, cast

import pytest

from celery_redis_exporter.catalog import Metric, internals
from celery_redis_exporter.catalog import key_space as rows
from celery_redis_exporter.collectors.key_space import KEPT_SECONDS, OUTCOMES, KeySamplingOptions, KeySpace, pause
from celery_redis_exporter.collectors.key_sweep import KeyNames
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.key_space import KeySpaceReader
from celery_redis_exporter.sources.session import Session
from tests.support.key_server import KeyServer
from tests.support.lab import Lab
from tests.support.options import celery_names, key_budget
from tests.support.sizes import scaled

USERS = {b"user:%d" % number: (100, -1) for number in range(100)}
CARTS = {b"cart:%d" % number: (1000, 60_000) for number in range(30)}
NAMES = KeyNames(celery_names(), {})


class Site:
    """A sampler of a server in memory with two databases."""

    def __init__(self, *, names: int = 10_000, max_groups: int = 50, seed: int = 1, in_cluster: bool = False) -> None:
        self.lab = Lab()
        self.server = KeyServer(self.lab.clock, seed, in_cluster=in_cluster, db0=dict(USERS), db2=dict(CARTS))
        reader = KeySpaceReader(cast("Session", self.server), self.lab.clock, 1.0, select=True)
        databases = {0: lambda: NAMES, 2: lambda: NAMES}
        budget = key_budget(names=names, duty=1.0)
        options = KeySamplingOptions(databases, 60.0, budget, max_groups)
        self.key_space = KeySpace("broker", reader, options, self.lab.store, self.lab.clock)
        self.stop = threading.Event()

    def cycle(self) -> str:
        """Run one cycle."""
        return self.key_space.cycle(self.stop)

    def values(self, metric: Metric) -> dict[tuple[str, ...], Any]:
        """Return the samples of a metric by the labels after ``redis``."""
        found = [sample for sample in self.key_space.samples() if sample.metric is metric]
        assert {"broker"} >= {sample.labels[0] for sample in found}
        return {sample.labels[1:]: sample.value for sample in found}


def test_every_database_is_shown() -> None:
    """A cycle reads each database, and shows its groups under its name."""
    site = Site()
    assert {} == site.values(rows.GROUP_COUNT)
    assert "complete" == site.cycle()
    assert {("db0", "user:*"): 100, ("db2", "cart:*"): 30} == site.values(rows.GROUP_COUNT)
    assert {("db0", "user:*"): 10_000, ("db2", "cart:*"): 30_000} == site.values(rows.GROUP_MEMORY)
    assert {("db0", "user:*"): 1, ("db2", "cart:*"): 0} == site.values(rows.GROUP_WITHOUT_TTL)
    assert {0.0} == set(site.values(rows.GROUP_ERROR).values())
    assert {("db0",): 1, ("db2",): 1} == site.values(rows.COVERAGE) == site.values(rows.DISTINCT_GROUPS)
    assert site.lab.clock.epoch == pytest.approx(site.values(rows.LAST_SWEEP)["db2",], abs=0.01)
    assert {(): 130} == site.values(rows.KEYS_SCANNED)
    assert {(outcome,): 2 if outcome == "complete" else 0 for outcome in OUTCOMES} == site.values(rows.CYCLES)
    assert 1 == site.lab.value(internals.COLLECTOR_SUCCESS, "key_space_broker")


def test_part_of_a_sweep_is_shown_as_such() -> None:
    """Before the first full sweep the coverage is less than 1, and there is no time of a last sweep."""
    site = Site(names=100)
    assert "complete" == site.cycle()
    assert 50 <= site.values(rows.KEYS_SCANNED)[()] < 130
    assert 0.5 <= site.values(rows.COVERAGE)["db0",] < 1
    assert {("db2",)} == site.values(rows.LAST_SWEEP).keys()
    assert 0 < site.values(rows.GROUP_ERROR)["db0", "user:*", "count"]
    assert 100 == site.values(rows.GROUP_COUNT)["db0", "user:*"]


def test_groups_beyond_the_limit_are_added_up() -> None:
    """The largest groups are shown one by one, the others together as overflow."""
    site = Site(max_groups=1)
    site.server.databases[0] |= {b"few%d" % number: (1, -1) for number in range(3)} | {b"other": (2, -1)}
    site.cycle()
    assert {("db0", "user:*"): 100, ("db0", "overflow"): 4, ("db2", "cart:*"): 30} == site.values(rows.GROUP_COUNT)


@pytest.mark.parametrize(("fields", "delay", "reason"), [
    ({"loading": "1"}, 0, "loading"),
    ({"rdb_bgsave_in_progress": "1"}, 0, "forking"),
    ({"aof_rewrite_in_progress": "1"}, 0, "forking"),
    ({"maxmemory": "100", "used_memory": "96"}, 0, "memory"),
    ({"maxmemory": "100", "used_memory": "96", "maxmemory_policy": "noeviction"}, 0, "memory"),
    ({"maxmemory": "100", "used_memory": "99", "maxmemory_policy": "allkeys-lru"}, 0, ""),
    ({"maxmemory": "0", "used_memory": "99"}, 0, ""),
    ({"maxmemory": "100", "used_memory": "94"}, 0, ""),
    ({}, 0.2, "slow"),
    ({"loading": "0", "rdb_bgsave_in_progress": "0"}, 0.01, ""),
])  # fmt: skip
def test_a_server_with_other_worries_is_left_alone(fields: dict[str, str], delay: float, reason: str) -> None:
    """Nothing is read while the server loads, forks, runs out of memory or is slow; the reason is returned."""
    assert reason == pause(fields, delay)


def test_a_pause_is_counted_and_costs_nothing() -> None:
    """A skipped cycle is counted by its reason; known values stay, and the sweep continues afterwards."""
    site = Site()
    site.cycle()
    site.server.info["rdb_bgsave_in_progress"] = 1
    scans = len(site.server.commands("SCAN"))
    assert "forking" == site.cycle()
    assert scans == len(site.server.commands("SCAN"))
    assert 1 == site.values(rows.CYCLES)["forking",]
    assert 100 == site.values(rows.GROUP_COUNT)["db0", "user:*"]
    site.server.info["rdb_bgsave_in_progress"] = 0
    assert "complete" == site.cycle()


def test_a_server_that_loads_is_no_failure() -> None:
    """A server that replies that it is loading is left alone, as if INFO had reported it."""
    site = Site()
    site.server.failure = SourceError("loading", "LOADING Redis is loading the dataset in memory")
    assert "loading" == site.cycle()
    assert 1 == site.values(rows.CYCLES)["loading",]
    assert site.lab.value(internals.COLLECTOR_SUCCESS, "key_space_broker") is None


def test_another_process_of_the_server_is_looked_at_anew() -> None:
    """A restart or failover changes the order of names, so known values are dropped; counters stay."""
    site = Site(names=800)
    site.server.databases[0] |= {b"user:0:%d" % number: (100, -1) for number in range(2000)}
    while len(site.values(rows.LAST_SWEEP)) < 2:
        site.cycle()
    scanned = site.values(rows.KEYS_SCANNED)[()]
    site.server.info["run_id"] = "r2"
    site.cycle()
    assert {("db2",)} == site.values(rows.LAST_SWEEP).keys()
    assert site.values(rows.COVERAGE)["db0",] < 1
    assert site.values(rows.KEYS_SCANNED)[()] > scanned


def test_a_failure_is_shown_and_costs_nothing_else() -> None:
    """A failed cycle is counted and raised; known values are shown for some time, then they are dropped."""
    site = Site()
    site.cycle()
    site.server.failure = SourceError("closed", "gone")
    with pytest.raises(SourceError):
        site.cycle()
    assert 1 == site.values(rows.CYCLES)["error",]
    assert 0 == site.lab.value(internals.COLLECTOR_SUCCESS, "key_space_broker")
    assert 100 == site.values(rows.GROUP_COUNT)["db0", "user:*"]
    site.lab.clock.advance(KEPT_SECONDS + 1)
    assert {} == site.values(rows.GROUP_COUNT)
    assert 1 == site.values(rows.CYCLES)["error",]


def test_a_failing_server_is_not_asked_at_once_again() -> None:
    """After a failure there is a pause, even if the thread is started again."""
    site = Site()
    waited: list[float] = []

    def wait(timeout: float | None = None) -> bool:
        waited.append(timeout or 0.0)
        site.lab.clock.advance(timeout or 0.0)
        return len(waited) > 3

    site.stop.wait = wait  # type: ignore[method-assign]
    site.server.failure = SourceError("closed", "gone")
    worked: list[None] = []
    for _ in range(3):
        with pytest.raises(SourceError):
            site.key_space.run(site.stop, lambda: worked.append(None))
    assert [1, 10, 10] == [round(seconds) for seconds in waited]
    assert [] == worked


def test_cycles_keep_their_interval() -> None:
    """The time between the starts of two cycles is the interval, however long a cycle takes."""
    site = Site()
    begun: list[float] = []

    def works() -> None:
        begun.append(site.lab.clock.monotonic())
        if len(begun) == 3:
            site.stop.set()

    def wait(timeout: float | None = None) -> bool:
        site.lab.clock.advance(timeout or 0.0)
        return site.stop.is_set()

    site.stop.wait = wait  # type: ignore[method-assign]
    site.key_space.run(site.stop, works)
    assert [60, 60] == [pytest.approx(later - earlier, abs=0.1) for earlier, later in pairwise(begun)]


def test_closing_closes_the_connection() -> None:
    """The sampler closes its connection when it is closed."""
    site = Site()
    site.key_space.close()
    assert site.server.closed


# With the first seed batches end in such places that the heavy key was in another segment in the second sweep.
@pytest.mark.parametrize("in_cluster", [False, True], ids=["alone", "cluster"])
@pytest.mark.parametrize("seed", [4, *range(scaled(3, 100))])
def test_estimates_are_no_more_than_the_server_uses(seed: int, in_cluster: bool) -> None:  # noqa: FBT001 -- a table
    """One heavy key among many small ones counts as one key, and all groups together fit into the memory used."""
    site = Site(names=200, seed=seed, in_cluster=in_cluster)
    site.server.databases[0] |= {b"user:%d" % number: (100, -1) for number in range(3000)} | {b"bigz": (5_000_000, -1)}
    site.server.databases[0] |= {b"blob:%d" % number: (40_000, -1) for number in range(100)}
    site.server.info["used_memory"] = used = 9_500_000
    swept = False
    for _ in range(40):
        site.cycle()
        swept = site.values(rows.COVERAGE)["db0",] == 1
        sizes = site.values(rows.GROUP_MEMORY)
        assert used + len(sizes) >= sum(sizes.values())
        if swept or ("db0", "bigz") in sizes:  # After the first sweep the key is there in every cycle.
            assert 1 == site.values(rows.GROUP_COUNT)["db0", "bigz"]
            assert used >= sizes["db0", "bigz"]
        if swept:
            assert 5_000_000 == sizes["db0", "bigz"]
    assert swept
