# SPDX-License-Identifier: Apache-2.0
"""Use RabbitMQ, or another transport of kombu, as broker.

Connects the event queue, the counts of queues, and control commands. Input: settings. Output: a ``Broker``. This module
is imported only if such a broker is configured.
"""

from collections.abc import Callable, Sequence
from functools import partial

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.control import ControlClient
from celery_redis_exporter.collectors.events import Decode, Stream
from celery_redis_exporter.collectors.queue_discovery import QueueDiscovery
from celery_redis_exporter.decode.event_stream import decode_event_message
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.settings import KombuTarget, Settings
from celery_redis_exporter.sources.kombu_control import KombuControlClient
from celery_redis_exporter.sources.kombu_events import EventQueue, Subscription
from celery_redis_exporter.sources.kombu_link import KombuAddress, KombuEndpoint, permissions
from celery_redis_exporter.sources.kombu_queues import QueueCounter
from celery_redis_exporter.sources.refusals import Denial
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store

DECLARE = "queue.declare"
"""The AMQP command that counts a queue, as the metric of refused commands shows it."""


Grant = Callable[[Sequence[str]], str]
"""Returns the command that permits a user to count queues, from their names."""


class QueuesScrape:
    """Count the known queues during a scrape. This is a ``Target``.

    ``stream`` is the exporter's queue of events, whose length is counted too. ``grant`` returns the command that
    permits the user to count queues.
    """

    name = "broker"

    def __init__(  # noqa: PLR0913, PLR0917 -- it connects that much
        self, counter: QueueCounter, stream: EventQueue, grant: Grant, queues: Queues, store: Store, clock: Clock
    ) -> None:
        self._counter = counter
        self._stream = stream
        self._grant = grant
        self._transport = stream.transport
        self._queues = queues
        self._store = store
        self._clock = clock

    def read(self, deadline: float) -> list[Sample]:
        """Return every sample of the broker, within about ``deadline`` seconds. Raises SourceError."""
        started = self._clock.monotonic()
        with self._store.lock:
            names, consumed = self._queues.names_to_count(), self._queues.consumed()
        counts = self._counter.count(names, deadline, consumed)
        with self._store.lock:
            samples = self._queues.fold_counts(counts)
        backlog = self._stream.backlog
        transport = self._transport
        return [
            *samples,
            *([] if backlog is None else [Sample(internals.EVENT_BACKLOG_MESSAGES, (), backlog)]),
            Sample(internals.BROKER_UP, (transport,), 1),
            Sample(internals.BROKER_LAST_SCRAPE_ERROR, (transport, ""), 0),
            Sample(internals.BROKER_LAST_SCRAPE_DURATION, (transport,), self._clock.monotonic() - started),
        ]

    @property
    def denied(self) -> list[Denial]:
        """Return the refused commands: counting queues, or none."""
        queues = self._counter.refused
        return [Denial(DECLARE, self._grant(queues), queues)] if queues else []

    def failure(self, error: SourceError) -> list[Sample]:
        """Return the samples of a broker that could not be read: that it is down, and the reason."""
        return [
            Sample(internals.BROKER_UP, (self._transport,), 0),
            Sample(internals.BROKER_LAST_SCRAPE_ERROR, (self._transport, error.reason), 1),
        ]

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._counter.close()


class KombuBroker:
    """A ``Broker`` that is reached by kombu. ``target`` is its address."""

    def __init__(self, settings: Settings, target: KombuTarget, queues: Queues, store: Store, clock: Clock) -> None:
        self.target = target
        address = KombuAddress(target.urls, target.tls, target.login_method, target.options)
        deadline, idle = settings.scrape.deadline, settings.events.idle_timeout
        limits = settings.events
        subscription = Subscription(settings.event_exchange, limits.queue_ttl, limits.queue_max_length)
        events = KombuEndpoint(address, timeout=idle, heartbeat=idle)
        stream = EventQueue(events, subscription, clock)
        self.stream: Stream = stream
        self.decode: Decode = decode_event_message
        self.subscription = f"exchange {settings.event_exchange}"
        counting, grant = KombuEndpoint(address, timeout=deadline), partial(_permissions, settings)
        self._build_scrape: Callable[[], Target] = lambda: QueuesScrape(
            QueueCounter(counting, clock), stream, grant, queues, store, clock
        )
        self.control_client: ControlClient = KombuControlClient(
            KombuEndpoint(address, timeout=deadline), settings.control_exchange, settings.event_exchange
        )
        self.rights = self.control_client.rights
        self.discovery: QueueDiscovery | None = None
        self.counts_consumers = events.is_amqp

    def scrape(self, *, shared: bool) -> Target:  # noqa: ARG002 -- no more than the queues is read of any broker here
        """Return a new target that counts the queues."""
        return self._build_scrape()

    def close(self) -> None:
        """Close every connection that no other object closes. Thread-safe."""
        self.stream.close()


def _permissions(settings: Settings, queues: Sequence[str]) -> str:
    return permissions(f"{settings.control_exchange}.pidbox", [settings.event_exchange, *queues])
