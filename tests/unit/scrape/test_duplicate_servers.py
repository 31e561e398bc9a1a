"""One server under two names is read once."""

from typing import cast

from structlog.testing import capture_logs

from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.duplicate_servers import AGAIN_SECONDS, Twins
from celery_redis_exporter.scrape.scrape import Scrape, Target
from tests.fakes import FakeClock


class Named:
    """A target, by its name alone."""

    def __init__(self, name: str) -> None:
        self.name = name


class FakeScrape:
    """Notes which servers are read, and what they say they are."""

    def __init__(self, **run_ids: str) -> None:
        self.run_ids = run_ids
        self.targets = [cast("Target", Named(name)) for name in run_ids]

    def add(self, target: Target) -> None:
        """Read one more."""
        self.targets.append(target)

    def remove(self, name: str) -> None:
        """Read one less."""
        self.targets = [target for target in self.targets if target.name != name]

    @property
    def read(self) -> list[str]:
        """Names of those that are read."""
        return [target.name for target in self.targets]

    def found(self) -> dict[str, list[Sample]]:
        """What a scrape finds."""
        names = rows.INSTANCE_INFO.label_names
        return {
            name: [Sample(rows.INSTANCE_INFO, tuple(self.run_ids[name] if n == "run_id" else n for n in names), 1)]
            for name in self.read
        }


def test_the_second_name_is_not_read() -> None:
    """Of two names of one process the first stays, which is said once; names without a run id are let be."""
    scrape = FakeScrape(broker="a", results="a", cache="b", first="", second="")
    twins = Twins(cast("Scrape", scrape), FakeClock())
    with capture_logs() as lines:
        for _ in range(3):
            twins.note(scrape.found())
    assert ["broker", "cache", "first", "second"] == scrape.read
    assert [("results", "broker")] == [(line["redis"], line["same_as"]) for line in lines]


def test_a_name_that_leads_elsewhere_comes_back() -> None:
    """After a while the name is looked at again, and stays where it is another server by then."""
    clock, scrape = FakeClock(), FakeScrape(broker="a", results="a")
    twins = Twins(cast("Scrape", scrape), clock)
    twins.note(scrape.found())
    assert ["broker"] == scrape.read
    scrape.run_ids["results"] = "c"
    clock.advance(AGAIN_SECONDS - 1)
    twins.note(scrape.found())
    assert ["broker"] == scrape.read, "not before its time"
    scrape.run_ids["results"] = "a"
    clock.advance(1)
    twins.note(scrape.found())
    twins.note(scrape.found())
    assert ["broker"] == scrape.read
    scrape.run_ids["results"] = "c"
    clock.advance(AGAIN_SECONDS)
    for _ in range(3):
        twins.note(scrape.found())
    assert ["broker", "results"] == scrape.read
