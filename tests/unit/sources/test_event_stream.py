# SPDX-License-Identifier: Apache-2.0
"""The channels of events, and the time for which a subscription may be silent."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import cast

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources import event_stream
from celery_redis_exporter.sources.event_stream import EventStream, Topic
from celery_redis_exporter.sources.wire import Endpoint, Wire
from tests.support.fakes import FakeClock
from tests.support.options import topic
from tests.unit.sources.test_wire_faults import Connection

IDLE = 1.0
SEGMENT = 1448
"""Bytes of a TCP segment on Ethernet."""
SUBSCRIBED = b"+OK\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$13\r\n/0.celeryev/*\r\n:1\r\n"
BODY = b"x" * 40_000
FRAME = b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$40000\r\n" + BODY + b"\r\n"


class Subscription:
    """An open event stream on a real socket, the server's end of it, and the clock that measures silence."""

    def __init__(self, server: socket.socket, ours: socket.socket) -> None:
        self.server = server
        self.clock = FakeClock()
        self.stream = stream_on(lambda **_: Wire(Connection(ours)), self.clock)
        server.sendall(SUBSCRIBED)
        self.stream.open()
        server.recv(65_536)


def stream_on(connect: Callable[[], object], clock: FakeClock) -> EventStream:
    """Return an event stream whose endpoint opens the result of ``connect``."""
    return EventStream(cast("Endpoint", SimpleNamespace(open=connect)), topic(), IDLE, clock)


@pytest.fixture
def subscription(monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscription]:
    """Yield an open subscription over TCP."""
    monkeypatch.setattr(event_stream, "POLL_SECONDS", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        ours = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    server.settimeout(10)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with closing(server):
        subscription = Subscription(server, ours)
        yield subscription
        subscription.stream.close()


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (topic(), ("PSUBSCRIBE", "/0.celeryev/*")),
        (topic(db=3), ("PSUBSCRIBE", "/3.celeryev/*")),
        (topic(global_keyprefix="proj1:"), ("PSUBSCRIBE", "proj1:/0.celeryev/*")),
        (topic(global_keyprefix="a*[b]?\\"), ("PSUBSCRIBE", "a\\*\\[b\\]\\?\\\\/0.celeryev/*")),
        (topic(fanout_prefix=False), ("PSUBSCRIBE", "celeryev/*")),
        (topic(fanout_prefix="/mine."), ("PSUBSCRIBE", "/mine.celeryev/*")),
        (topic(fanout_patterns=False), ("SUBSCRIBE", "/0.celeryev")),
        (topic(event_exchange="ev2", db=1), ("PSUBSCRIBE", "/1.ev2/*")),
    ],
)
def test_channel(topic: Topic, expected: tuple[str, str]) -> None:
    """The subscription follows Celery's settings exactly, and quotes characters of patterns in names."""
    assert expected == topic.subscribe_command


def test_a_large_event_in_small_segments_is_received(subscription: Subscription) -> None:
    """An event of 40 kB that arrives segment by segment is one message, however many reads it needs."""
    received = []
    for start in range(0, len(FRAME), SEGMENT):
        subscription.server.sendall(FRAME[start : start + SEGMENT])
        received += subscription.stream.read()
    assert [BODY] == received


def test_bytes_without_a_whole_event_are_not_silence(subscription: Subscription) -> None:
    """An event that takes longer than the idle timeout to arrive is received, if no pause exceeds the timeout."""
    received = []
    for start in range(0, len(FRAME), SEGMENT):
        subscription.clock.advance(IDLE * 0.9)
        subscription.server.sendall(FRAME[start : start + SEGMENT])
        received += subscription.stream.read()
    assert [BODY] == received


def test_silence_in_the_middle_of_an_event_is_a_timeout(subscription: Subscription) -> None:
    """After half the idle timeout of silence within an event the server gets a PING, after all of it a timeout."""
    subscription.server.sendall(FRAME[:SEGMENT])
    assert [] == subscription.stream.read()
    subscription.clock.advance(IDLE / 2)
    assert [] == subscription.stream.read()
    assert b"PING" in subscription.server.recv(65_536)
    subscription.clock.advance(IDLE / 2)
    with pytest.raises(SourceError) as caught:
        subscription.stream.read()
    assert "timeout" == caught.value.reason


def test_a_process_that_was_stopped_pings_before_it_gives_up(subscription: Subscription) -> None:
    """Time in which the process was paused does not count as the server's silence: the server gets a PING first."""
    subscription.clock.advance(10 * IDLE)
    assert [] == subscription.stream.read()
    assert b"PING" in subscription.server.recv(65_536)
    subscription.server.sendall(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" + FRAME)
    received: list[bytes] = []
    while not received:
        received += subscription.stream.read()
    assert [BODY] == received


def test_a_subscription_that_is_never_confirmed_is_a_timeout() -> None:
    """A server that sends single bytes but no confirmation gets a timeout after the idle timeout."""
    clock = FakeClock()

    class Trickle:
        """A wire that receives one byte of an unfinished reply in each tenth of the idle timeout."""

        arrived = 0

        def send(self, packed: bytes, timeout: float) -> None:
            """Accept everything."""

        def receive(self, _timeout: float) -> list[object]:
            clock.advance(IDLE / 10)
            self.arrived += 1
            assert self.arrived < 20, "it waits for ever"
            return []

        def close(self) -> None:
            """Do nothing."""

    with pytest.raises(SourceError) as caught:
        stream_on(lambda **_: Trickle(), clock).open()
    assert "timeout" == caught.value.reason
