# SPDX-License-Identifier: Apache-2.0
"""All servers are read at the same time under one deadline; a failure affects only its server."""

import threading
from collections.abc import Iterator

import pytest

from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.sources.refusals import Denial


class Server:
    """A target that answers once ``gate`` is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.denied: list[Denial] = []
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def read(self, _deadline: float) -> list[Sample]:
        """Return one sample."""
        self.gate.wait(10)
        return [Sample(rows.UP, (self.name,), 1)]

    def failure(self, error: SourceError) -> list[Sample]:
        """Return the reason."""
        return [Sample(rows.LAST_SCRAPE_ERROR, (self.name, error.reason), 1)]

    def close(self) -> None:
        """Record the close, and open the gate."""
        self.closed = True
        self.gate.set()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """Yield a supervisor of threads, and stop them."""
    stop = threading.Event()
    supervisor = Supervisor(SystemClock(), stop, lambda _: None)
    yield supervisor
    stop.set()
    assert [] == supervisor.join(5)


def reads_of(supervisor: Supervisor, *servers: Target) -> ServerReads:
    """Return started reads of these servers."""
    reads = ServerReads(servers, supervisor.clock, supervisor, 0.0)
    reads.start()
    return reads


def shown(found: dict[str, list[Sample]]) -> dict[str, tuple[str, ...]]:
    """Return the labels of each server's first sample."""
    return {name: samples[0].labels for name, samples in found.items()}


def test_a_server_that_hangs_costs_its_own_samples(supervisor: Supervisor) -> None:
    """At the deadline a server that hangs has timed out, and the samples of the others are returned."""
    quick, slow = Server("quick"), Server("slow")
    slow.gate.clear()
    reads = reads_of(supervisor, quick, slow)
    assert {"quick": ("quick",), "slow": ("slow", "timeout")} == shown(reads.request(0.2).wait())
    slow.gate.set()
    assert {"quick": ("quick",), "slow": ("slow",)} == shown(reads.request(5.0).wait())
    reads.stop()
    assert quick.closed
    assert slow.closed


def test_waiting_again_returns_the_same(supervisor: Supervisor) -> None:
    """The results of one request do not change, because two parts of a response use them."""
    reads = reads_of(supervisor, Server("broker"))
    pending = reads.request(5.0)
    assert pending.wait() is pending.wait()
    reads.stop()


@pytest.mark.parametrize("waiting", [True, False])
def test_servers_that_come_and_go(supervisor: Supervisor, waiting: bool) -> None:  # noqa: FBT001 -- a table's column
    """A removed server has no samples, even in a scrape that waits for it, and an added server is read."""
    old, new = Server("old"), Server("new")
    reads = reads_of(supervisor, old)
    if waiting:
        old.gate.clear()
    pending = reads.request(5.0)
    if not waiting:
        pending.wait()
    reads.change([new], ["old"])
    assert ["new"] == [target.name for target in reads.targets]
    assert {"new": ("new",)} == shown(reads.request(5.0).wait())
    assert ({} if waiting else {"old": ("old",)}) == shown(pending.wait())
    assert old.closed
    reads.stop()
