# SPDX-License-Identifier: Apache-2.0
"""Finding the master: the sentinels that are queried, the accepted addresses, and the connections that are closed."""

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.addresses import AddressPolicy
from celery_redis_exporter.sources.sentinel import MasterFinder, Sentinel
from celery_redis_exporter.sources.wire import Endpoint, Wire
from tests.support.fakes import FakeClock

HERE, THERE = [b"10.0.0.1", b"6379"], [b"10.0.0.2", b"6380"]


class FakeWire:
    """A connection to a sentinel or a master with one reply."""

    def __init__(self, reply: object = None) -> None:
        self.closed = False
        self.arrived = 0
        self._reply = reply

    def send(self, packed: bytes, timeout: float) -> None:
        """Accept any bytes."""

    def receive(self, timeout: float) -> list[Any]:  # noqa: ARG002 -- as Wire's
        """Return the reply."""
        return [self._reply]

    def close(self) -> None:
        """Record the call."""
        self.closed = True


class FakeSentinel:
    """A sentinel's endpoint; with a SourceError as reply it can't be reached."""

    def __init__(self, reply: object) -> None:
        self.reply = reply
        self.queried = 0

    def open(self, _within: float) -> FakeWire:
        """Connect."""
        self.queried += 1
        if isinstance(self.reply, SourceError):
            raise self.reply
        return FakeWire(self.reply)


def finder(fakes: Sequence[FakeSentinel], *allowed: str) -> MasterFinder:
    """Return a finder that queries these sentinels."""
    sentinels = [Sentinel("10.9.9.9", f"s{number}:26379", cast("Endpoint", fake)) for number, fake in enumerate(fakes)]
    return MasterFinder(sentinels, "orders", "broker_transport_options", FakeClock(), AddressPolicy(allowed))


AWAY = SourceError("refused", "connection refused")


def test_the_first_sentinel_that_answers_is_believed() -> None:
    """Unreachable and ignorant sentinels are skipped, and the sentinel that answered is queried first next time."""
    fakes = [FakeSentinel(AWAY), FakeSentinel(None), FakeSentinel(HERE), FakeSentinel(THERE)]
    queried = finder(fakes)
    for _ in range(3):
        assert ("10.0.0.1", 6379) == queried.locate()
    assert [1, 1, 3, 0] == [fake.queried for fake in fakes]


@pytest.mark.parametrize(
    ("replies", "reason", "words"),
    [
        ([AWAY, AWAY], "refused", "s0:26379: refused: connection refused; s1:26379"),
        ([AWAY, None], "nomaster", "s1:26379: nomaster: knows no master called 'orders'"),
        ([SourceError("auth", "WRONGPASS"), AWAY], "auth", "check sentinel_kwargs.username and .password"),
        ([None, SourceError("auth", "WRONGPASS")], "nomaster", "broker_transport_options: check master_name"),
        ([[b"host"], [b"h", b"port"]], "protocol", "no address in the answer"),
        ([7], "protocol", "no address in the answer"),
        ([[b"10.0.0.1", 6379]], "protocol", "no address in the answer"),
        ([[b"10.0.0.1", b"0"]], "protocol", "no address in the answer"),
        ([[b"10.0.0.1", b"65536"]], "protocol", "no address in the answer"),
        ([[b"10.0.0.1", b"9" * 5000]], "protocol", "no address in the answer"),
        ([[b"10.0.0.1", "\u00b2".encode()]], "protocol", "no address in the answer"),
        ([[b"\xff\xfe", b"6379"]], "protocol", "no address in the answer"),
        ([[b"h" * 10_000, b"6379"]], "protocol", "no address in the answer"),
        ([[None, b"6379"]], "protocol", "no address in the answer"),
        ([[b"8.8.8.8", b"6379"], AWAY], "address", "8.8.8.8 is not among redis.allowed_addresses"),
    ],
)
def test_the_most_telling_failure_is_reported(replies: list[object], reason: str, words: str) -> None:
    """If no sentinel reports an address, the error names each sentinel, and the setting that may be wrong."""
    with pytest.raises(SourceError) as caught:
        finder([FakeSentinel(reply) for reply in replies]).locate()
    assert reason == caught.value.reason
    assert words in str(caught.value)


def test_connections_to_a_former_master_are_closed() -> None:
    """If the sentinels report another master, connections to the former one are closed, and no others."""
    fake = FakeSentinel(HERE)
    watched = finder([fake])
    former, latter = FakeWire(), FakeWire()
    watched.follow(cast("Wire", former), ("10.0.0.1", 6379))
    watched.follow(cast("Wire", latter), ("10.0.0.2", 6380))
    fake.reply = THERE
    stop = threading.Event()
    watched.watch(stop, stop.set)
    assert (True, False) == (former.closed, latter.closed)


def test_without_sentinels_connections_stay() -> None:
    """If no sentinel answers, connections stay open, because Redis works without them."""
    watched = finder([FakeSentinel(AWAY)])
    wire = FakeWire()
    watched.follow(cast("Wire", wire), ("10.0.0.1", 6379))
    with pytest.raises(SourceError, match="no sentinel reports the master"):
        watched.watch(threading.Event(), lambda: None)
    assert not wire.closed


def test_a_master_elsewhere_can_be_allowed() -> None:
    """A master in another kind of network is connected to if the settings allow it."""
    assert ("8.8.8.8", 6379) == finder([FakeSentinel([b"8.8.8.8", b"6379"])], "8.8.8.0/24").locate()
