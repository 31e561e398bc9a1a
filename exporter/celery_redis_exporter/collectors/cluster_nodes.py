# SPDX-License-Identifier: Apache-2.0
"""Find the nodes of Redis clusters, and keep the servers that scrapes read in step with them.

Connects sources.cluster and decode.cluster with ``scrape.server_reads``, in the background, at a dedicated interval. If
a configured server is a node of a cluster, it is replaced by all nodes of the cluster. Each node becomes a server
called ``<name>/<host>:<port>``. Nodes are added and removed as the cluster reports them. While no node answers, the
list stays as it is, and its nodes are shown as down.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.decode.cluster import decode_cluster_masters, decode_cluster_nodes
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.sources.addresses import AddressPolicy
from celery_redis_exporter.sources.cluster import read_nodes
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.state.series import Store

COLLECTOR = "redis_nodes"
MOST_SHOWN = 20
"""The maximum number of addresses in one log line."""
FIRST_INTERVAL = 1.0
"""Seconds between looks until a scrape has connected to every server."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Cluster:
    """A server that may be a node of a cluster, and how to connect to it and to the cluster's nodes.

    - ``seed``: the server of the settings, as a scrape reads it; ``address`` is its address.
    - ``in_cluster``: returns whether the seed is in a cluster, or None before a scrape has read it.
    - ``session``: makes a session for queries, to a node, or to the seed for None.
    - ``node``: makes the target of a scrape, from a node's name and address.
    - ``nodes``: the nodes that are read, by name.
    - ``masters``: the addresses of the nodes that serve slots.
    - ``refused``: the addresses that may not be connected to.
    """

    seed: Target
    address: Address
    in_cluster: Callable[[], bool | None]
    session: Callable[[Address | None], Session]
    node: Callable[[str, Address], Target]
    addresses: AddressPolicy
    nodes: dict[str, Address] = field(default_factory=dict)
    masters: frozenset[Address] = frozenset()
    refused: tuple[str, ...] = ()
    _connection: Session | None = None

    def connect(self, address: Address | None) -> Session:
        """Return the session for queries. A new one connects to ``address``, or to the seed for None."""
        if self._connection is None:
            self._connection = self.session(address)
        return self._connection

    def hang_up(self) -> None:
        """Close the session for queries. Thread-safe."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def divide(self, addresses: Sequence[Address]) -> tuple[list[Address], list[Address]]:
        """Return the addresses that may be connected to, and those that may not."""
        allowed, refused = [], []
        for address in addresses:
            try:
                self.addresses.check(address.host, [self.address.host])
            except SourceError:
                refused.append(address)
            else:
                allowed.append(address)
        return allowed, refused

    def replace_refused(self, refused: Sequence[Address]) -> bool:
        """Store the addresses that may not be connected to. Return True if there are any and they have changed."""
        before, self.refused = self.refused, tuple(str(address) for address in refused)
        return bool(self.refused) and self.refused != before

    def replace_nodes(self, nodes: dict[str, Address], masters: Iterable[Address]) -> dict[str, Address]:
        """Store the nodes and masters that the cluster reports. Return the nodes of before."""
        before, self.nodes, self.masters = self.nodes, nodes, frozenset(masters)
        return before


@dataclass(frozen=True, slots=True)
class ClusterNodesOptions:
    """Seconds between looks, the maximum number of nodes read per cluster, and seconds that a reply may take."""

    interval: float
    max_nodes: int
    deadline: float


class ClusterNodes:
    """Keep the servers that scrapes read in step with the nodes of ``clusters``."""

    def __init__(
        self, clusters: Sequence[Cluster], reads: ServerReads, store: Store, clock: Clock, options: ClusterNodesOptions
    ) -> None:
        self._clusters = clusters
        self._reads = reads
        self._store = store
        self._clock = clock
        self._options = options
        self._metrics = CollectorMetrics(store, clock, COLLECTOR)

    @property
    def is_needed(self) -> bool:
        """Return True if a server may be a node of a cluster."""
        return bool(self._clusters)

    def refused(self, name: str) -> tuple[str, ...]:
        """Return the addresses that the cluster of the seed ``name`` reports and that may not be connected to."""
        return next((cluster.refused for cluster in self._clusters if cluster.seed.name == name), ())

    def masters(self, name: str) -> dict[str, Address]:
        """Return the masters among the nodes that are read of the cluster of the seed ``name``, by node name.

        Thread-safe.
        """
        cluster = next((cluster for cluster in self._clusters if cluster.seed.name == name), None)
        if cluster is None:
            return {}
        return {node: address for node, address in cluster.nodes.items() if address in cluster.masters}

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Look for nodes until ``stop`` is set. Raises SourceError."""
        while not stop.is_set():
            self.look()
            works()
            met = all(cluster.in_cluster() is not None for cluster in self._clusters)
            stop.wait(self._options.interval if met else min(self._options.interval, FIRST_INTERVAL))

    def close(self) -> None:
        """Close the connections. Thread-safe."""
        for cluster in self._clusters:
            cluster.hang_up()

    def look(self) -> None:
        """Query each cluster for its nodes. Raises the SourceError of the last cluster that failed."""
        wanted = [cluster for cluster in self._clusters if cluster.nodes or cluster.in_cluster()]
        started, failure = self._clock.monotonic(), None
        for cluster in wanted:
            try:
                self._follow(cluster, *self._ask(cluster))
            except SourceError as error:
                failure = error
        with self._store.lock:
            if failure is not None:
                self._metrics.failed(started)
            elif wanted:
                self._metrics.succeeded(started)
        if failure is not None:
            raise failure

    def _ask(self, cluster: Cluster) -> tuple[list[Address], list[Address]]:
        """Return the nodes and the masters. They are empty if the server is not in a cluster.

        The seed is queried first, and after it the known nodes, until one of them answers. Raises the first SourceError
        if none does.
        """
        failure: SourceError | None = None
        for address in (None, *cluster.nodes.values()):
            try:
                return self._ask_one(cluster, address)
            except SourceError as error:
                failure = failure or SourceError(error.reason, f"{cluster.seed.name}: {error}")
                cluster.hang_up()
        raise failure or SourceError("closed", "no node can be queried")

    def _ask_one(self, cluster: Cluster, address: Address | None) -> tuple[list[Address], list[Address]]:
        text = read_nodes(cluster.connect(address), self._options.deadline) or b""
        asked = address or cluster.address
        try:
            return decode_cluster_nodes(text, asked), decode_cluster_masters(text, asked)
        except DecodeError as error:
            raise SourceError("protocol", str(error)) from None

    def _follow(self, cluster: Cluster, addresses: list[Address], masters: list[Address]) -> None:
        name = cluster.seed.name
        allowed, refused = cluster.divide(addresses)
        kept = allowed[: self._options.max_nodes]
        nodes = {f"{name}/{address}": address for address in kept}
        before = cluster.replace_nodes(nodes, masters)
        come, gone = nodes.keys() - before.keys(), before.keys() - nodes.keys()
        if come or gone:
            # The seed and its node are the same server, which no scrape may read twice. Both change in one step.
            seed_comes, seed_goes = before and not nodes, nodes and not before
            self._reads.change(
                [*(cluster.node(node, nodes[node]) for node in sorted(come)), *([cluster.seed] if seed_comes else [])],
                [*sorted(gone), *([name] if seed_goes else [])],
            )
            dropped = len(allowed) - len(kept)
            log.info("topology.nodes_changed", redis=name, come=sorted(come), gone=sorted(gone), dropped=dropped)
        _report_refused(cluster, refused)
        with self._store.lock:
            self._store.scalar(internals.REDIS_NODES, name).value = len(addresses)
            self._store.scalar(internals.REDIS_NODES_DROPPED, name).value = len(allowed) - len(kept)
            self._store.scalar(internals.REDIS_NODES_REFUSED, name).value = len(refused)


def _report_refused(cluster: Cluster, refused: Sequence[Address]) -> None:
    """Log the refused addresses when they change."""
    if cluster.replace_refused(refused):
        log.warning(
            "topology.addresses_refused",
            redis=cluster.seed.name,
            addresses=list(cluster.refused[:MOST_SHOWN]),
            count=len(refused),
            cure="if they are right, name their network in redis.allowed_addresses",
        )
