# SPDX-License-Identifier: Apache-2.0
"""One read for all concurrent scrapes, each of which has a deadline."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import cast

import pytest

from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.read_pool import ReadPool
from celery_redis_exporter.scrape.shared_read import Outcome, SharedRead, Target
from tests.support.garbage import Body, frees_at_once
from tests.support.waiting import eventually

CLOCK = SystemClock()
PATIENCE = 5.0


class Server:
    """A target that counts its reads and hangs while ``gate`` is closed."""

    name = "broker"

    def __init__(self) -> None:
        self.reads = 0
        self.deadlines: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def read(self, deadline: float) -> list[Sample]:
        """Return one sample with the number of the read."""
        self.reads += 1
        self.deadlines.append(deadline)
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return [Sample(rows.UP, ("broker",), self.reads)]


def attempt(call: Callable[[], list[Sample]]) -> list[Sample]:
    """Turn a bug into a SourceError, as the supervisor does."""
    try:
        return call()
    except ZeroDivisionError:
        raise SourceError("bug", "see the log") from None


class Reading:
    """A read and its thread."""

    def __init__(self, server: Server, freshness: float) -> None:
        self.read = SharedRead(cast("Target", server), CLOCK, freshness, attempt)
        self._pool = ReadPool(
            lambda name, work: Thread(target=work, args=(lambda: None,), name=name, daemon=True).start()
        )
        self._pool.serve(1)

    def request(self, deadline: float) -> Future[Outcome]:
        """Request a result, and put the read into the pool if it is new."""
        future, is_new = self.read.request(deadline)
        self._pool.put([self.read] if is_new else [])
        return future

    def stop(self) -> None:
        """Stop reading."""
        self._pool.stop()
        self.read.stop()


def start(server: Server, freshness: float = 0) -> Reading:
    """Return a read with its thread."""
    return Reading(server, freshness)


def number(outcome: Outcome) -> float | str:
    """Return the number of the read of an outcome, or the reason of its failure."""
    if isinstance(outcome, SourceError):
        return outcome.reason
    return cast("float", outcome[0].value)


def result(read: Reading) -> float | str:
    """Request and wait."""
    return number(read.request(PATIENCE).result(PATIENCE))


@pytest.fixture
def server() -> Server:
    """Return a server that answers at once."""
    return Server()


def test_concurrent_requests_share_a_read(server: Server) -> None:
    """Requests during a read share its Future."""
    read = start(server)
    server.gate.clear()
    futures: list[Future[Outcome]] = [read.request(PATIENCE) for _ in range(3)]
    eventually(lambda: server.reads == 1)
    futures += [read.request(PATIENCE) for _ in range(3)]
    server.gate.set()
    assert [1] * 6 == [number(future.result(PATIENCE)) for future in futures]
    assert 1 == server.reads
    read.stop()


def test_a_fresh_result_is_used_again(server: Server) -> None:
    """A result within its freshness is used again; an older one causes a new read."""
    fresh = start(server, 60)
    assert [1, 1] == [result(fresh), result(fresh)]
    fresh.stop()
    stale = start(server, 0)
    assert [2, 3] == [result(stale), result(stale)]
    stale.stop()


def test_the_read_has_the_deadline_of_its_request(server: Server) -> None:
    """The target receives the deadline of the scrape that caused the read."""
    read = start(server)
    read.request(1.5).result(PATIENCE)
    assert [pytest.approx(1.5, abs=0.5)] == server.deadlines
    read.stop()


def test_a_server_that_hangs_holds_up_no_scrape(server: Server) -> None:
    """Requests time out while the server hangs, and have the result once it answers."""
    read = start(server, 60)
    server.gate.clear()
    future = read.request(PATIENCE)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    server.gate.set()
    assert 1 == number(future.result(PATIENCE)) == result(read)
    read.stop()


def test_a_failure_is_shared_and_not_remembered_for_ever(server: Server) -> None:
    """A failed read returns its reason, and the next read may succeed."""
    read = start(server)
    server.error = SourceError("refused", "no")
    assert "refused" == result(read)
    server.error = None
    assert 2 == result(read)
    read.stop()


def test_a_bug_is_the_failure_of_one_read(server: Server) -> None:
    """An unexpected error does not end the thread."""
    read = start(server)
    server.error = ZeroDivisionError()
    assert "bug" == result(read)
    server.error = None
    assert 2 == result(read)
    read.stop()


def test_stopping_releases_every_scrape(server: Server) -> None:
    """Pending and later requests fail at once when the read is stopped, whatever the server does."""
    read = start(server)
    server.gate.clear()
    future = read.request(PATIENCE)
    eventually(lambda: server.reads == 1)
    read.stop()
    assert read.read.stopped
    assert "closed" == number(future.result(PATIENCE)) == result(read)
    server.gate.set()


def test_a_failure_holds_nothing_of_its_caller(server: Server) -> None:
    """Objects of a caller are freed when it returns, not when the garbage collector runs."""
    read = start(server)
    server.error = SourceError("closed", "as always")

    def scrape(_body: Body) -> None:
        for _ in range(2):
            assert "closed" == result(read)

    assert frees_at_once(scrape)
    read.stop()
