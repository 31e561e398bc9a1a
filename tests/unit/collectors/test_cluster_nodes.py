# SPDX-License-Identifier: Apache-2.0
"""The nodes of clusters: the servers that are queried, the nodes that are read, and the seed."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.collectors.cluster_nodes import COLLECTOR, Cluster, ClusterNodes, ClusterNodesOptions
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.sources.addresses import AddressPolicy
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.lab import Lab

SEED = Address("10.0.0.9", 7000)
AWAY = SourceError("refused", "connection refused")


class Named:
    """A target that has only a name."""

    def __init__(self, name: str) -> None:
        self.name = name


class FakeReads:
    """A fake that records which servers are read, now and after each step."""

    def __init__(self) -> None:
        self.read = {"cache"}
        self.steps: list[set[str]] = []

    def change(self, come: Iterable[Target], gone: Iterable[str]) -> None:
        """Change the servers that are read, in one step."""
        added, left = {target.name for target in come}, set(gone)
        assert left <= self.read
        assert not added & self.read
        self.read = self.read - left | added
        self.steps.append(self.read)


class FakeCluster:
    """A cluster as its nodes report it; if ``nodes`` is None, the server is in no cluster."""

    def __init__(self, *ports: int) -> None:
        self.nodes: tuple[int, ...] | None = ports
        self.away: set[Address] = set()
        self.elsewhere: tuple[str, ...] = ()
        self.queried: list[Address] = []
        self.met: bool | None = True

    def session(self, address: Address | None) -> Session:
        """Connect to a node."""
        return cast("Session", FakeSession(self, address or SEED))

    def answer(self, address: Address, command: Command) -> bytes:
        """Return a node's reply."""
        if command[0] == "INFO":
            self.queried.append(address)
        if address in self.away:
            raise AWAY
        if command[0] == "INFO":
            return b"redis_mode:standalone" if self.nodes is None else b"redis_mode:cluster"
        lines = [f"id 10.0.0.1:{port}@1 master - 0 0 1 connected\n" for port in self.nodes or ()]
        return "".join([*lines, *(f"id {host}:1@1 master - 0 0 1 connected\n" for host in self.elsewhere)]).encode()


class FakeSession:
    """A connection to one node."""

    def __init__(self, cluster: FakeCluster, address: Address) -> None:
        self._cluster = cluster
        self._address = address

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:  # noqa: ARG002 -- as Session's
        """Return the replies."""
        return [self._cluster.answer(self._address, command) for command in commands]

    def close(self) -> None:
        """Close the connection."""


class Trial:
    """A topology over a fake cluster with the name ``cache``."""

    def __init__(self, cluster: FakeCluster, max_nodes: int = 10) -> None:
        self.lab = Lab()
        self.reads = FakeReads()
        self.cluster = Cluster(
            cast("Target", Named("cache")),
            SEED,
            lambda: cluster.met,
            cluster.session,
            lambda name, _: cast("Target", Named(name)),
            AddressPolicy(()),
        )
        options = ClusterNodesOptions(30, max_nodes, 1)
        reads = cast("ServerReads", self.reads)
        self.topology = ClusterNodes([self.cluster], reads, self.lab.store, self.lab.clock, options)


def names(*ports: int) -> set[str]:
    """Return the names of nodes."""
    return {f"cache/10.0.0.1:{port}" for port in ports}


def test_a_cluster_takes_the_place_of_its_seed() -> None:
    """All nodes are read instead of the seed, and they follow the replies of the cluster."""
    fake = FakeCluster(1, 2)
    trial = Trial(fake)
    trial.topology.look()
    assert names(1, 2) == trial.reads.read
    fake.nodes = (2, 3)
    trial.topology.look()
    assert names(2, 3) == trial.reads.read
    assert 2 == trial.lab.value(internals.REDIS_NODES, "cache")
    assert 1 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)


def test_the_seed_and_its_node_are_never_read_together() -> None:
    """The seed and its nodes are swapped in one step, so that no scrape finds duplicates or nothing."""
    fake = FakeCluster(1, 2)
    trial = Trial(fake)
    trial.topology.look()
    fake.nodes = None
    trial.topology.look()
    assert [names(1, 2), {"cache"}] == trial.reads.steps


def test_a_single_server_stays_as_it_is() -> None:
    """A server that is in no cluster, or was never connected, is not queried for nodes."""
    for met in (False, None):
        fake = FakeCluster(1, 2)
        fake.met = met
        trial = Trial(fake)
        trial.topology.look()
        assert ({"cache"}, []) == (trial.reads.read, fake.queried)
        assert trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR) is None


def test_any_node_tells_the_nodes() -> None:
    """If the seed can't be reached, another node is queried, also the next time."""
    fake = FakeCluster(1, 2)
    trial = Trial(fake)
    trial.topology.look()
    fake.away, fake.queried = {SEED}, []
    fake.nodes = (2,)
    trial.topology.look()
    trial.topology.look()
    assert names(2) == trial.reads.read
    assert [SEED, Address("10.0.0.1", 1), Address("10.0.0.1", 1)] == fake.queried


def test_a_cluster_that_is_away_keeps_its_nodes() -> None:
    """While no node answers, the nodes are kept, so that they are shown as down, and the failure is reported."""
    fake = FakeCluster(1, 2)
    trial = Trial(fake)
    trial.topology.look()
    fake.away = {SEED, Address("10.0.0.1", 1), Address("10.0.0.1", 2)}
    with pytest.raises(SourceError, match="cache: connection refused"):
        trial.topology.look()
    assert names(1, 2) == trial.reads.read
    assert 0 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)


def test_nodes_are_bounded() -> None:
    """The number of nodes that are read is limited by the settings, and the rest is counted."""
    trial = Trial(FakeCluster(1, 2, 3), max_nodes=2)
    trial.topology.look()
    assert names(1, 2) == trial.reads.read
    dropped = (trial.lab.value(internals.REDIS_NODES, "cache"), trial.lab.value(internals.REDIS_NODES_DROPPED, "cache"))
    assert (3, 1) == dropped


def test_a_cluster_can_become_a_single_server() -> None:
    """A server that left cluster mode is read under its own name again."""
    fake = FakeCluster(1, 2)
    trial = Trial(fake)
    trial.topology.look()
    fake.nodes = None
    trial.topology.look()
    assert {"cache"} == trial.reads.read


def test_addresses_elsewhere_are_not_connected_to() -> None:
    """Nodes in another kind of network than the seed are not read; they are counted, and named once in the log."""
    fake = FakeCluster(1, 2)
    fake.elsewhere = ("8.8.8.8", "127.0.0.1")
    trial = Trial(fake)
    with capture_logs() as lines:
        for _ in range(2):
            trial.topology.look()
    assert names(1, 2) == trial.reads.read
    assert 4 == trial.lab.value(internals.REDIS_NODES, "cache")
    assert 2 == trial.lab.value(internals.REDIS_NODES_REFUSED, "cache")
    assert 0 == trial.lab.value(internals.REDIS_NODES_DROPPED, "cache")
    refused = [line["addresses"] for line in lines if line["event"] == "topology.addresses_refused"]
    assert [["127.0.0.1:1", "8.8.8.8:1"]] == refused
