# SPDX-License-Identifier: Apache-2.0
"""The Redis servers of the report, from the samples of scrapes."""

from collections.abc import Sequence

from msgspec.structs import replace

from celery_redis_exporter.catalog import CATALOG, internals
from celery_redis_exporter.records.report import ServerStatus
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.servers import Servers
from tests.support.fakes import FakeClock


def scraped(name: str, hits: float, misses: float, role: str = "master") -> list[Sample]:
    """Return the samples of one scrape of a server."""
    values = {"up": 1, "memory_used_bytes": 5, "keyspace_hits_total": hits, "keyspace_misses_total": misses}
    samples = [Sample(CATALOG[f"redis_{metric}"], (name,), value) for metric, value in values.items()]
    info = CATALOG["redis_instance_info"]
    labels = tuple(
        {"redis": name, "role": role, "redis_version": "7.0.15"}.get(label, "") for label in info.label_names
    )
    return [*samples, Sample(info, labels, 1)]


def read_twice(name: str, first: Sequence[Sample], second: Sequence[Sample]) -> ServerStatus:
    """Return a server after two scrapes, ten seconds apart."""
    clock = FakeClock()
    servers = Servers(clock, 0)
    servers.note({name: first})
    clock.advance(10)
    servers.note({name: second})
    (status,) = servers.describe({name: second}, Numbers())
    return status


def test_the_hit_rate_of_a_broker_says_nothing() -> None:
    """The hit rate is shown of every server but the broker, where reads of empty queues count as misses."""
    hit_ratios = {
        name: read_twice(name, scraped(name, 0, 0), scraped(name, 75, 25)).hit_ratio for name in ("broker", "results")
    }
    assert {"broker": None, "results": 0.75} == hit_ratios


def test_the_exporters_look_ups_are_no_part_of_the_hit_rate() -> None:
    """The exporter's lookups are subtracted; if they are the larger part, the rest is inexact and not shown."""

    def hit_ratio(hits: float, misses: float, own_hits: int, own_misses: int) -> float | None:
        own = [Sample(internals.REDIS_LOOKUPS, ("cache", found), 0) for found in ("hit", "miss")]
        later = [replace(own[0], value=own_hits), replace(own[1], value=own_misses)]
        first, second = scraped("cache", 0, 0), scraped("cache", hits, misses)
        return read_twice("cache", [*first, *own], [*second, *later]).hit_ratio

    assert 0.25 == hit_ratio(1030, 3000, 30, 0)
    assert 0.75 == hit_ratio(300, 200, 0, 100)
    assert None is hit_ratio(1000, 20, 1000, 0)
    assert None is hit_ratio(900, 0, 1000, 0)


def test_a_replica_that_takes_no_writes_is_read_only() -> None:
    """A replica is read-only unless it reports that it accepts writes; a master is not."""

    def read_only(role: str, setting: str | None) -> bool | None:
        samples = scraped("broker", 0, 0, role)
        if setting is not None:
            samples.append(Sample(CATALOG["redis_slave_info"], ("broker", "h", "6379", setting), 1))
        return read_twice("broker", samples, samples).read_only

    assert [False, True, True, False] == [
        read_only("master", None), read_only("slave", "1"), read_only("slave", ""), read_only("slave", "0"),
    ]  # fmt: skip
