# SPDX-License-Identifier: Apache-2.0
"""The event queue: its messages, their order, and its end."""

import threading
from collections.abc import Callable
from typing import cast

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.events import EventMessage
from celery_redis_exporter.sources.kombu_events import MEASURE_SECONDS, EventQueue, Subscription
from celery_redis_exporter.sources.kombu_link import KombuEndpoint
from tests.support.fakes import FakeClock


class FakeMessage:
    """A message of kombu."""

    def __init__(self, body: bytes | str, content_type: str | None = "application/json") -> None:
        self.body = body
        self.content_type = content_type


class FakeBroker:
    """A fake of endpoint, link, channel and broker; ``coming`` contains messages or an error for each drain."""

    driver, is_amqp = "amqp", True
    errors = channel_errors = (OSError,)

    def __init__(self) -> None:
        self.coming: list[list[FakeMessage | SourceError]] = []
        self.declared: list[dict[str, object]] = []
        self.message_count = 0
        self.beats = 0
        self.closed = 0
        self.connection = self
        self._callback: Callable[[FakeMessage], None] = lambda _: None

    def open(self) -> "FakeBroker":
        """Connect."""
        return self

    def channel(self) -> "FakeBroker":
        """Open a channel."""
        return self

    def close(self) -> None:
        """Count the call."""
        self.closed += 1

    def beat(self) -> None:
        """Count the call."""
        self.beats += 1

    def drain(self, *_: object) -> None:
        """Deliver the next messages, or raise the next error."""
        for message in self.coming.pop(0) if self.coming else []:
            if isinstance(message, SourceError):
                raise message
            self._callback(message)

    def exchange_declare(self, **_: object) -> None:
        """Accept any exchange."""

    def prepare_queue_arguments(self, arguments: dict[str, object], **limits: object) -> dict[str, object]:
        """Return the limits as arguments."""
        return {**arguments, **limits}

    def queue_declare(self, **options: object) -> "FakeBroker":
        """Record the options; return the broker, which has a message_count."""
        self.declared.append(options)
        return self

    def queue_bind(self, **_: object) -> None:
        """Accept the binding."""

    def basic_consume(self, *, callback: Callable[[FakeMessage], None], **_: object) -> None:
        """Keep the callback."""
        self._callback = callback

    def message_to_python(self, raw: FakeMessage) -> FakeMessage:
        """Return the message unchanged."""
        return raw


@pytest.fixture
def broker() -> FakeBroker:
    """Return a broker without messages."""
    return FakeBroker()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock."""
    return FakeClock()


@pytest.fixture
def queue(broker: FakeBroker, clock: FakeClock) -> EventQueue:
    """Return an open event queue on that broker."""
    queue = EventQueue(cast("KombuEndpoint", broker), Subscription("celeryev", 60, 500), clock)
    queue.open()
    return queue


def test_the_queue_is_our_own_and_bounded(broker: FakeBroker, queue: EventQueue) -> None:
    """The queue is exclusive, is deleted with its connection, and is limited in messages and in their age."""
    (declared,) = broker.declared
    assert (True, True, False) == (declared["exclusive"], declared["auto_delete"], declared["durable"])
    assert {"message_ttl": 60, "expires": 60, "max_length": 500} == declared["arguments"]
    assert str(declared["queue"]).startswith("celery-redis-exporter.events.")


def test_messages_are_given_as_bytes_with_their_type(broker: FakeBroker, queue: EventQueue) -> None:
    """Text, which some transports return, is converted to bytes; without a type a message is JSON."""
    broker.coming = [[FakeMessage(b"[1]", "application/x-msgpack"), FakeMessage("\u00fc", None)]]
    expected = [EventMessage(b"[1]", "application/x-msgpack"), EventMessage(b"\xc3\xbc", "application/json")]
    assert expected == queue.read()
    assert [] == queue.read()


def test_what_came_before_a_loss_is_given_first(broker: FakeBroker, queue: EventQueue) -> None:
    """Messages that arrived before the connection broke in the same read are returned."""
    broker.coming = [[FakeMessage(b"1"), SourceError("closed", "gone")]]
    assert [EventMessage(b"1", "application/json")] == queue.read()
    with pytest.raises(SourceError, match="gone"):
        queue.read()
    queue.open()
    assert [] == queue.read()


def test_heartbeats_and_length_in_their_time(broker: FakeBroker, queue: EventQueue, clock: FakeClock) -> None:
    """A heartbeat is sent each second, and the queue's length is read every five, by a passive declare."""
    queue.read()
    assert (0, None) == (broker.beats, queue.backlog)
    broker.message_count = 7
    clock.advance(MEASURE_SECONDS)
    queue.read()
    assert (1, 7) == (broker.beats, queue.backlog)
    assert broker.declared[-1]["passive"]


def test_closing_ends_it(broker: FakeBroker, queue: EventQueue) -> None:
    """The reading thread closes the connection; a close by another thread takes effect at the next read."""
    other = threading.Thread(target=queue.close)
    other.start()
    other.join()
    assert 0 == broker.closed
    with pytest.raises(SourceError, match="closed"):
        queue.read()
    queue.close()
    assert 1 == broker.closed
