"""The response to a scrape: both parts in one body, and the garbage collector as it was."""

import gc
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, negotiate
from celery_redis_exporter.exposition.families import SampleGrouper
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.scrape.response import Responder
from celery_redis_exporter.scrape.scrape import Scrape

TEXT = negotiate("", "")


class FakeScrape:
    """A scrape of one server that answers, or fails unexpectedly."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.collecting: list[bool] = []
        self.fails = False

    def request(self, deadline: float) -> "FakeScrape":
        """Note the request."""
        self.steps.append(f"request {deadline:g}")
        return self

    def wait(self) -> dict[str, list[Sample]]:
        """Note that the servers are waited for."""
        self.steps.append("wait")
        return {"broker": [Sample(rows.UP, ("broker",), 1)]}

    def group(self, found: dict[str, Sequence[Sample]]) -> list[Family]:
        """Group the samples."""
        self.collecting.append(gc.isenabled())
        if self.fails:
            raise ZeroDivisionError
        return SampleGrouper().group(found["broker"])


def responder(scrape: FakeScrape) -> Responder:
    """Return a responder whose events are one gauge."""

    def events() -> list[Family]:
        scrape.steps.append("events")
        return SampleGrouper().group([Sample(internals.STREAM_UP, (), 1)])

    return Responder(cast("Scrape", scrape), events, Renderer(ProcessMetrics({})))


def test_events_are_rendered_while_the_servers_answer() -> None:
    """The servers are queried first, waited for last, and both parts are in the body, events before servers."""
    scrape = FakeScrape()
    body = responder(scrape).respond(TEXT, 1.5)
    assert ["request 1.5", "events", "wait"] == scrape.steps
    assert 0 < body.index(b"celery_exporter_event_stream_up 1.0") < body.index(b'redis_up{redis="broker"} 1.0')


@pytest.mark.parametrize("switch", [gc.enable, gc.disable])
def test_the_garbage_collector_is_off_meanwhile(switch: Callable[[], None]) -> None:
    """It is off while a response is made, and afterwards as it was, also after a response that failed."""
    scrape = FakeScrape()
    switch()
    enabled = gc.isenabled()
    try:
        responder(scrape).respond(TEXT, 1.0)
        assert gc.isenabled() is enabled
        scrape.fails = True
        with pytest.raises(ZeroDivisionError):
            responder(scrape).respond(TEXT, 1.0)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert [False, False] == scrape.collecting
