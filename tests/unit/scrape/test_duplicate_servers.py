# SPDX-License-Identifier: Apache-2.0
"""A server that has two names is read once."""

from typing import cast

from structlog.testing import capture_logs

from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.duplicate_servers import AGAIN_SECONDS, DuplicateServers
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from tests.support.fakes import FakeClock


class Named:
    """A target with only a name."""

    def __init__(self, name: str) -> None:
        self.name = name


class FakeReads:
    """Records which servers are read, and returns their run ids."""

    def __init__(self, **run_ids: str) -> None:
        self.run_ids = run_ids
        self.targets = [cast("Target", Named(name)) for name in run_ids]

    def add(self, target: Target) -> None:
        """Add a target."""
        self.targets.append(target)

    def remove(self, name: str) -> None:
        """Remove a target."""
        self.targets = [target for target in self.targets if target.name != name]

    @property
    def read(self) -> list[str]:
        """Return the names of the targets that are read."""
        return [target.name for target in self.targets]

    def found(self) -> dict[str, list[Sample]]:
        """Return the samples of a scrape."""
        names = rows.INSTANCE_INFO.label_names
        return {
            name: [Sample(rows.INSTANCE_INFO, tuple(self.run_ids[name] if n == "run_id" else n for n in names), 1)]
            for name in self.read
        }


def test_the_second_name_is_not_read() -> None:
    """Only the first of two names of one server is read, which is logged once; names without a run id are kept."""
    reads = FakeReads(broker="a", results="a", cache="b", first="", second="")
    duplicates = DuplicateServers(cast("ServerReads", reads), FakeClock())
    with capture_logs() as lines:
        for _ in range(3):
            duplicates.note(reads.found())
    assert ["broker", "cache", "first", "second"] == reads.read
    assert [("results", "broker")] == [(line["redis"], line["same_as"]) for line in lines]


def test_a_name_that_leads_elsewhere_comes_back() -> None:
    """A removed name is read again after a while, and is kept if it belongs to another server by then."""
    clock, reads = FakeClock(), FakeReads(broker="a", results="a")
    duplicates = DuplicateServers(cast("ServerReads", reads), clock)
    duplicates.note(reads.found())
    assert ["broker"] == reads.read
    reads.run_ids["results"] = "c"
    clock.advance(AGAIN_SECONDS - 1)
    duplicates.note(reads.found())
    assert ["broker"] == reads.read, "not before its time"
    reads.run_ids["results"] = "a"
    clock.advance(1)
    duplicates.note(reads.found())
    duplicates.note(reads.found())
    assert ["broker"] == reads.read
    reads.run_ids["results"] = "c"
    clock.advance(AGAIN_SECONDS)
    for _ in range(3):
        duplicates.note(reads.found())
    assert ["broker", "results"] == reads.read
