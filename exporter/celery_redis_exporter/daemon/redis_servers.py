# SPDX-License-Identifier: Apache-2.0
"""Build what reads a set of Redis servers: scrapes, cluster nodes, key spaces, memory guards, and their recent history.

Input: settings, and the broker as a target of scrapes. Output: samples as families, and server states. The servers of
one Celery application are such a set, and those that several applications use are another one.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_targets import RedisTargets
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.cluster_nodes import ClusterNodes
from celery_redis_exporter.collectors.memory_guard import MemoryGuard
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.key_spaces import KeySpaces
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.scrape.denials import Denials
from celery_redis_exporter.scrape.duplicate_servers import DuplicateServers
from celery_redis_exporter.scrape.scrape import Background, Observer, Scrape
from celery_redis_exporter.scrape.server_reads import ServerReads
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.transport import Transport
from celery_redis_exporter.status.servers import Servers


class RedisServers:
    """A set of servers, built and not started.

    ``broker`` is the broker's target, or None if no application belongs to the set. ``queues`` are the broker's, whose
    keys are named. ``more`` returns further samples. ``on_bug`` is called with the name of work that crashed.
    """

    def __init__(  # noqa: PLR0913 -- it connects that much
        self,
        settings: Settings,
        endpoints: Endpoints,
        store: Store,
        clock: Clock,
        *,
        broker: Target | None,
        queues: Queues | None,
        transport: Transport,
        more: Iterable[Background],
        on_bug: Callable[[str], None],
        observe: Observer | None = None,
    ) -> None:
        self.settings = settings
        self._endpoints = endpoints
        self._store = store
        self._clock = clock
        self.stop = threading.Event()
        self.supervisor = Supervisor(clock, self.stop, on_bug, options.application_label(settings))
        redis = RedisTargets(settings, endpoints, store, clock)
        name = broker.name if broker else ""
        others = {target: redis.server(target) for target in settings.read_targets if target.name != name}
        read: list[Target] = [*([broker] if broker else ()), *others.values(), *redis.sentinels()]
        self.reads = ServerReads(read, clock, self.supervisor, settings.scrape.freshness)
        clusters = [redis.cluster(target, seed) for target, seed in others.items() if redis.may_be_cluster(target)]
        self.cluster_nodes = ClusterNodes(clusters, self.reads, store, clock, options.topology_options(settings))
        masters = self.cluster_nodes.masters
        self._key_spaces = KeySpaces(settings, endpoints, queues, transport, store, masters)
        self.history = Servers(clock, settings.redis.assumed_maxmemory)
        self.scrape = Scrape(
            self.reads,
            background=(self._key_spaces.samples, self.history.samples, Denials(self.reads).samples, *more),
            observers=(self.history.note, DuplicateServers(self.reads, clock).note, *([observe] if observe else ())),
            labels=options.static_labels(settings),
        )
        self._guards = self._build_guards() if settings.redis.memory_guard.enabled else {}

    def start(self) -> None:
        """Start every thread."""
        start, stop = self.supervisor.start, self.stop
        self.reads.start()
        for name, guard in self._guards.items():
            start(f"memory_guard_{name}", partial(guard.run, stop))
        if self.cluster_nodes.is_needed:
            start("redis_nodes", partial(self.cluster_nodes.run, stop))
        self._key_spaces.start(self.supervisor, stop)

    def close(self) -> None:
        """Let every thread end, and close every connection. Does not wait for the threads."""
        self.stop.set()
        self.reads.stop()
        self._key_spaces.close()
        self.cluster_nodes.close()
        for guard in self._guards.values():
            guard.close()

    def _build_guards(self) -> Mapping[str, MemoryGuard]:
        wanted, deadline = options.guard_options(self.settings), self.settings.scrape.deadline
        return {
            target.name: MemoryGuard(
                target.name, self._endpoints.session(target, timeout=deadline), self._store, self._clock, wanted
            )
            for target in self.settings.read_targets
        }
