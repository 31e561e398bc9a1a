# SPDX-License-Identifier: Apache-2.0
"""Subscribe to events on RabbitMQ and other kombu transports: a dedicated queue, bound to Celery's event exchange.

The queue is exclusive, so that no one else can declare it in another way, and is deleted with its connection. Messages
stay in it for ``ttl`` seconds (5 in Celery's own receivers), so that nothing is lost while the exporter is stalled. It
contains at most ``max_length`` messages, of which the oldest are dropped first, so that it can't fill the broker. They
are not acknowledged: the broker sends as fast as the connection takes them.

Sends queue.declare, queue.bind and basic.consume once, a passive queue.declare for the length every five seconds, and
heartbeats. Needs the permission to configure, write and read ``celery-redis-exporter.*`` and to read the exchange (and
to configure it, if no worker has created it yet). Runs in the caller's thread. A failure raises SourceError. Events
published meanwhile are lost, and the caller counts the gap.
"""

import threading
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.events import LONGEST_MESSAGE, EventMessage
from celery_redis_exporter.sources.kombu_link import QUEUE_PREFIX, KombuEndpoint, Link, is_missing, source_error

POLL_SECONDS = 0.5
BEAT_SECONDS = 1.0
MEASURE_SECONDS = 5.0
READ_AT_ONCE = 500
"""The maximum number of messages of one read, so that other threads can use the state in between."""
FANOUT_DRIVERS = frozenset({"gcpubsub"})
"""Transports on which Celery's event exchange is a fanout exchange instead of a topic exchange."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Celery's event exchange, and the limits of the queue: seconds per message, and number of messages."""

    exchange: str
    ttl: float
    max_length: int


class EventQueue:
    """Read one subscription at a time.

    - ``backlog``: the number of messages in the queue on the broker, or None if unknown.
    - ``transport``: the name of the transport in kombu.
    - ``is_drained``: the last read returned everything that had arrived when it began.
    """

    def __init__(self, endpoint: KombuEndpoint, subscription: Subscription, clock: Clock) -> None:
        self.backlog: int | None = None
        self.is_drained = True
        self.transport = endpoint.driver
        self._endpoint = endpoint
        self._subscription = subscription
        self._clock = clock
        self._queue = f"{QUEUE_PREFIX}events.{uuid4()}"
        self._link: Link | None = None
        self._channel: Any = None
        self._inbox: list[EventMessage] = []
        self._dropped = 0
        self._failure: SourceError | None = None
        self._closing = False
        self._owner = 0
        self._beaten = self._measured = 0.0

    def open(self) -> None:
        """Connect and subscribe. Raises SourceError. On return the broker has confirmed the subscription."""
        self._end()
        self._closing, self._owner = False, threading.get_ident()
        self._inbox, self._failure = [], None
        link = self._link = self._endpoint.open()
        try:
            self._subscribe(link)
        except link.errors as error:
            raise source_error(error) from None
        self._beaten = self._measured = self._clock.monotonic()

    def read(self) -> list[EventMessage]:
        """Return the messages that arrived, or none after POLL_SECONDS without any.

        Raises SourceError if the connection is lost.
        """
        link = self._link
        if link is None or self._closing:
            raise SourceError("closed", "the event stream is closed")
        if self._failure is not None:
            raise self._failure
        try:
            self.is_drained = link.drain(POLL_SECONDS, READ_AT_ONCE)
            self._tend(link)
        except SourceError as error:
            if not self._inbox:
                raise
            self._failure = error  # The messages that arrived before the error are returned first.
        messages, self._inbox = self._inbox, []
        return messages

    def take_dropped(self) -> int:
        """Return how many messages longer than LONGEST_MESSAGE were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def close(self) -> None:
        """End the subscription. Thread-safe: a read in another thread ends with a SourceError within POLL_SECONDS."""
        self._closing = True
        if threading.get_ident() == self._owner:
            self._end()

    def _end(self) -> None:
        link, self._link = self._link, None
        self.backlog = None
        if link is not None:
            link.close()

    def _subscribe(self, link: Link) -> None:
        channel = self._channel = link.channel()
        kind = "fanout" if self._endpoint.driver in FANOUT_DRIVERS else "topic"
        declare_exchange(channel, self._subscription.exchange, kind, durable=True)
        arguments = channel.prepare_queue_arguments(
            {},
            message_ttl=self._subscription.ttl,
            expires=max(self._subscription.ttl, 60.0),
            max_length=self._subscription.max_length,
        )
        channel.queue_declare(
            queue=self._queue, exclusive=True, auto_delete=True, durable=False, arguments=arguments or {}
        )
        channel.queue_bind(queue=self._queue, exchange=self._subscription.exchange, routing_key="#")
        channel.auto_decode = False  # Bodies are needed as bytes.
        channel.basic_consume(queue=self._queue, no_ack=True, callback=self._take, consumer_tag=self._queue)

    def _take(self, raw: Any) -> None:  # noqa: ANN401 -- a message of any transport
        message = self._channel.message_to_python(raw)
        body = message.body
        body = body if isinstance(body, bytes) else str(body).encode()
        if len(body) > LONGEST_MESSAGE:
            self._dropped += 1
            return
        self._inbox.append(EventMessage(body, message.content_type or "application/json"))

    def _tend(self, link: Link) -> None:
        """Do what depends on time: heartbeats, and reading the length of the queue."""
        now = self._clock.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            link.beat()
        if self._endpoint.is_amqp and now - self._measured >= MEASURE_SECONDS:
            self._measured = now
            try:
                self.backlog = self._channel.queue_declare(queue=self._queue, passive=True).message_count
            except link.errors as error:
                raise source_error(error) from None


def declare_exchange(channel: Any, name: str, kind: str, *, durable: bool) -> None:  # noqa: ANN401 -- as above
    """Declare an exchange as Celery does, unless it exists. The check needs no permission."""
    try:
        channel.exchange_declare(exchange=name, type=kind, durable=durable, auto_delete=False, passive=True)
    except channel.connection.channel_errors as error:
        if not is_missing(error):
            raise
        channel.exchange_declare(exchange=name, type=kind, durable=durable, auto_delete=False)
