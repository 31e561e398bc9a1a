# SPDX-License-Identifier: Apache-2.0
"""Use Redis as broker.

Connects the event subscription, the scrape, the search for queues, and control commands. Input: settings. Output: a
``Broker``.
"""

from dataclasses import replace
from functools import partial

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.queue_reads import BacklogRead, QueuesRead, UnackedRead
from celery_redis_exporter.brokers.redis_targets import RedisTargets
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.control import ControlClient
from celery_redis_exporter.collectors.events import Decode, Stream
from celery_redis_exporter.collectors.queue_discovery import BindingRules, QueueDiscovery
from celery_redis_exporter.decode.event_stream import decode_message
from celery_redis_exporter.scrape.redis_server import ServerRead
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.sources.control import RedisControlClient
from celery_redis_exporter.sources.event_stream import EventStream, Topic
from celery_redis_exporter.sources.queues import QueueKeys, QueueScan
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.transport import Transport


def queue_keys(settings: Settings) -> QueueKeys:
    """Return the names of the keys of the application's kombu."""
    options = settings.broker_transport_options
    return QueueKeys(
        options.global_keyprefix, options.sep, options.priority_steps, options.unacked_key, options.unacked_index_key
    )


def current_keys(keys: QueueKeys, transport: Transport) -> QueueKeys:
    """Return ``keys`` with the current separator and priority steps."""
    options = transport.current
    return replace(keys, sep=options.sep, priority_steps=options.priority_steps)


class RedisBroker:
    """A ``Broker`` on Redis.

    ``target`` is its address. ``keys`` and ``topic`` are the names of Celery's keys and of its event channels there.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- it connects that much
        self,
        settings: Settings,
        endpoints: Endpoints,
        queues: Queues,
        transport: Transport,
        store: Store,
        clock: Clock,
    ) -> None:
        target = self.target = settings.redis_targets[0]
        options, deadline = settings.broker_transport_options, settings.scrape.deadline
        self.topic = Topic(
            settings.event_exchange, options.global_keyprefix, options.fanout_prefix, options.fanout_patterns, target.db
        )
        self.keys = queue_keys(settings)
        self.current_keys = partial(current_keys, self.keys, transport)
        idle = settings.events.idle_timeout
        stream = EventStream(endpoints.to(target, timeout=idle, db=0), self.topic, idle, clock)
        self.stream: Stream = stream
        self.decode: Decode = decode_message
        self.subscription = self.topic.pattern
        self.rights = f"ACL SETUSER <user> +psubscribe +ping &{self.topic.pattern}"
        self._scan = QueueScan(endpoints.session(target, timeout=deadline), self.keys, deadline)
        self.discovery: QueueDiscovery | None = QueueDiscovery(
            self._scan, queues, store, clock, BindingRules(settings.event_exchange, lambda: transport.current.sep)
        )
        control = replace(self.topic, event_exchange=f"{settings.control_exchange}.pidbox")
        session = Session(endpoints.to(target, timeout=deadline), clock)
        self.control_client: ControlClient = RedisControlClient(session, self.keys, control, deadline)
        self.counts_consumers = False
        parts: list[ServerRead] = [
            QueuesRead(queues, self.current_keys, store, clock, oldest=settings.queues.oldest_message),
            UnackedRead(self.keys, lambda: transport.current.visibility_timeout, clock),
            BacklogRead(lambda: stream.client_id),
        ]
        targets = RedisTargets(settings, endpoints, store, clock)
        self._build_own = partial(targets.server, target, parts)
        self._build_shared = partial(targets.shared, target, parts)

    def scrape(self, *, shared: bool) -> Target:
        """Return a new target: the server with the queues, or the queues only if the server is ``shared``."""
        return self._build_shared() if shared else self._build_own()

    def close(self) -> None:
        """Close every connection that no other object closes. Thread-safe."""
        self.stream.close()
        self._scan.close()
