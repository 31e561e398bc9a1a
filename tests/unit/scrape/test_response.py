# SPDX-License-Identifier: Apache-2.0
"""The response to a scrape: both parts in one body, and the garbage collector restored afterwards."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax, negotiate
from celery_redis_exporter.exposition.families import SampleGrouper
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.scrape.response import LARGE_BYTES, Responder
from celery_redis_exporter.scrape.scrape import Scrape
from tests.support.waiting import eventually

TEXT = negotiate("", "")


class FakeScrape:
    """A scrape of one server that answers, or fails unexpectedly."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.collecting: list[bool] = []
        self.fails = False

    def request(self, deadline: float) -> "FakeScrape":
        """Record the request."""
        self.steps.append(f"request {deadline:g}")
        return self

    def wait(self) -> dict[str, list[Sample]]:
        """Record the wait for the servers."""
        self.steps.append("wait")
        return {"broker": [Sample(rows.UP, ("broker",), 1)]}

    def group(self, found: dict[str, Sequence[Sample]]) -> list[Family]:
        """Group the samples."""
        self.collecting.append(gc.isenabled())
        if self.fails:
            raise ZeroDivisionError
        return SampleGrouper().group(found["broker"])


class FakeSource:
    """A source whose events are one gauge, and whose text has the length ``length``."""

    def __init__(self, scrape: FakeScrape, length: float = 0.0) -> None:
        self._scrape = scrape
        self._length = length

    @property
    def scrape(self) -> Scrape:
        """Return the scrape."""
        return cast("Scrape", self._scrape)

    def families(self) -> list[Family]:
        """Record that the events are copied."""
        self._scrape.steps.append("events")
        return SampleGrouper().group([Sample(internals.STREAM_UP, (), 1)])

    def text_bytes(self) -> float:
        """Return the length."""
        return self._length


def responder(scrape: FakeScrape, renderer: Renderer | None = None, length: float = 0.0) -> Responder:
    """Return a responder of one source."""
    source = FakeSource(scrape, length)
    return Responder(lambda: [source], renderer or Renderer(ProcessMetrics({})), threading.Lock())


def test_events_are_rendered_while_the_servers_answer() -> None:
    """Events are rendered between the query and the wait for servers, and precede the servers in the body."""
    scrape = FakeScrape()
    body = responder(scrape).respond(TEXT, 1.5)
    assert ["request 1.5", "events", "wait"] == scrape.steps
    assert 0 < body.index(b"celery_exporter_event_stream_up 1.0") < body.index(b'redis_up{redis="broker"} 1.0')


@pytest.mark.parametrize("switch", [gc.enable, gc.disable])
def test_the_garbage_collector_is_off_meanwhile(switch: Callable[[], None]) -> None:
    """The garbage collector is off during a response and restored afterwards, even if the response failed."""
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


class SlowRenderer(Renderer):
    """Renders a body when ``let`` allows it; records how many are rendered at once."""

    def __init__(self) -> None:
        super().__init__(ProcessMetrics({}))
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.at_once: list[int] = []
        self._rendering = 0

    def render_process(self, syntax: Syntax) -> bytes:
        """Wait, and return the number of the body."""
        self._rendering += 1
        self.at_once.append(self._rendering)
        self.begun.release()
        assert self.let.acquire(timeout=20)
        self._rendering -= 1
        return f"# body {len(self.at_once)} {syntax.name}\n".encode()


def test_large_bodies_are_made_one_at_a_time_and_shared() -> None:
    """Of simultaneous large scrapes the first has its own body, and those that waited share one per format."""
    renderer = SlowRenderer()
    large = responder(FakeScrape(), renderer, 2.0 * LARGE_BYTES)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(large.respond, TEXT, 1.0)
        assert renderer.begun.acquire(timeout=20)
        others = [pool.submit(large.respond, TEXT, 1.0) for _ in range(6)]
        other_format = pool.submit(large.respond, negotiate("application/openmetrics-text; version=1.0.0", ""), 1.0)
        eventually(lambda: large._turns._waiting == 7)
        for _ in range(3):
            renderer.let.release()
        bodies = {id(waiting.result(20)) for waiting in others}
        assert 1 == len(bodies)
        assert len({first.result(20), others[0].result(20), other_format.result(20)}) == 3
    assert [1, 1, 1] == renderer.at_once
    assert {} == large._turns._shared


def test_small_bodies_are_made_at_once() -> None:
    """Scrapes with small bodies do not wait for each other."""
    renderer = SlowRenderer()
    small = responder(FakeScrape(), renderer)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(small.respond, TEXT, 1.0) for _ in range(2)]
        for _ in answers:
            assert renderer.begun.acquire(timeout=20)
            renderer.let.release()
        assert all(answer.result(20) for answer in answers)
