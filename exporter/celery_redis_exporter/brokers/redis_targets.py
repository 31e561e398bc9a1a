# SPDX-License-Identifier: Apache-2.0
"""Build the targets of scrapes from the Redis servers of the settings.

Input: settings. Output: targets, namely servers and their sentinels, and the clusters whose nodes are searched for.
Opens no connection.
"""

from collections.abc import Sequence
from functools import partial

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.cluster_nodes import Cluster
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.scrape.bounds import SampleBounds
from celery_redis_exporter.scrape.named_keys import NamedKeysRead
from celery_redis_exporter.scrape.redis_server import ServerRead, ServerScrape
from celery_redis_exporter.scrape.sentinel import SentinelRead
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.scrape.shared_server import SharedServerScrape
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.sources.redis_server import RedisServer, Wanted
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.state.series import Store


class RedisTargets:
    """Build targets from the settings."""

    def __init__(self, settings: Settings, endpoints: Endpoints, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._endpoints = endpoints
        self._clock = clock
        self._deadline = settings.scrape.deadline
        self._wanted = Wanted(settings.redis.metrics, latency_histogram=settings.redis.latency_histogram)

    def server(self, target: RedisTarget, parts: Sequence[ServerRead] = ()) -> ServerScrape:
        """Return the scrape of a server of the settings, on a dedicated connection.

        ``parts`` are read along with it.
        """
        server = self._reader(target.name, self._endpoints.session(target, timeout=self._deadline))
        return self._scrape(server, target.db, [*parts, *self._named_keys(target, server)])

    def shared(self, target: RedisTarget, parts: Sequence[ServerRead]) -> SharedServerScrape:
        """Return the scrape of an application's ``parts`` on a server that several applications use."""
        session = self._endpoints.session(target, timeout=self._deadline)
        server = RedisServer(target.name, session, self._clock, Wanted("off"))
        return SharedServerScrape(server, target.db, parts, self._clock, self._bounds())

    def sentinels(self) -> list[ServerScrape]:
        """Return the scrapes of the servers' sentinels."""
        found = []
        for target in self._settings.read_targets:
            for sentinel in self._endpoints.sentinels.get(target.name, ()):
                name = f"{target.name}/sentinel/{sentinel.shown}"
                server = self._reader(name, Session(sentinel.endpoint, self._clock))
                found.append(self._scrape(server, None, [SentinelRead(server.name)]))
        return found

    def cluster(self, target: RedisTarget, seed: ServerScrape) -> Cluster:
        """Return the cluster that a server may be a node of. ``seed`` is the server's scrape."""
        host, port = target.server_key
        return Cluster(
            seed,
            Address(host, port),
            lambda: seed.server.in_cluster,
            partial(self._session, target),
            partial(self._node, target),
            self._endpoints.addresses,
        )

    def may_be_cluster(self, target: RedisTarget) -> bool:
        """Return True if the nodes of a cluster are searched for.

        They are not behind sentinels, on a unix socket, or for Celery's broker.
        """
        wanted = self._settings.redis
        if not wanted.discovery_interval or target.name == "broker" or target.sentinels or not target.server_key[1]:
            return False
        return target.name not in wanted.servers or wanted.servers[target.name].discover

    def _session(self, target: RedisTarget, address: Address | None, name: str = "") -> Session:
        if address is None:
            return self._endpoints.session(target, timeout=self._deadline)
        return self._endpoints.session_at(target, address, timeout=self._deadline, name=name)

    def _node(self, target: RedisTarget, name: str, address: Address) -> Target:
        return self._scrape(self._reader(name, self._session(target, address, name)), 0, ())

    def _named_keys(self, target: RedisTarget, server: RedisServer) -> list[ServerRead]:
        redis = self._settings.redis
        keys = redis.keys.get(target.name)
        if not keys:
            return []
        return [
            NamedKeysRead(target.name, keys, target.db, lambda: server.in_cluster is False, values=redis.key_values)
        ]

    def _scrape(self, server: RedisServer, db: int | None, parts: Sequence[ServerRead]) -> ServerScrape:
        return ServerScrape(server, db, parts, self._clock, self._bounds())

    def _bounds(self) -> SampleBounds:
        return SampleBounds(self._settings.series.max_per_metric, self._store.refuse_samples)

    def _reader(self, name: str, session: Session) -> RedisServer:
        return RedisServer(name, session, self._clock, self._wanted)
