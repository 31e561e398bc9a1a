# SPDX-License-Identifier: Apache-2.0
"""Where the master is: who is asked, what is believed, which connections are given up."""

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
    """A connection to a sentinel, or to a master, that answers one thing."""

    def __init__(self, reply: object = None) -> None:
        self.closed = False
        self.arrived = 0
        self._reply = reply

    def send(self, packed: bytes, timeout: float) -> None:
        """Take anything."""

    def receive(self, timeout: float) -> list[Any]:  # noqa: ARG002 -- as Wire's
        """Answer."""
        return [self._reply]

    def close(self) -> None:
        """Note it."""
        self.closed = True


class FakeSentinel:
    """A sentinel's endpoint; a SourceError as reply means that it can't be reached."""

    def __init__(self, reply: object) -> None:
        self.reply = reply
        self.asked = 0

    def open(self, _within: float) -> FakeWire:
        """Connect."""
        self.asked += 1
        if isinstance(self.reply, SourceError):
            raise self.reply
        return FakeWire(self.reply)


def finder(fakes: Sequence[FakeSentinel], *allowed: str) -> MasterFinder:
    """Give a finder that asks these."""
    sentinels = [Sentinel("10.9.9.9", f"s{number}:26379", cast("Endpoint", fake)) for number, fake in enumerate(fakes)]
    return MasterFinder(sentinels, "orders", "broker_transport_options", FakeClock(), AddressPolicy(allowed))


AWAY = SourceError("refused", "connection refused")


def test_the_first_sentinel_that_answers_is_believed() -> None:
    """Sentinels that are away or do not know are passed over, and the one that answered is asked first next time."""
    fakes = [FakeSentinel(AWAY), FakeSentinel(None), FakeSentinel(HERE), FakeSentinel(THERE)]
    asked = finder(fakes)
    for _ in range(3):
        assert ("10.0.0.1", 6379) == asked.locate()
    assert [1, 1, 3, 0] == [fake.asked for fake in fakes]


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
def test_the_most_telling_failure_is_told(replies: list[object], reason: str, words: str) -> None:
    """If none gives an address, the error names each sentinel, and the setting that may be wrong."""
    with pytest.raises(SourceError) as caught:
        finder([FakeSentinel(reply) for reply in replies]).locate()
    assert reason == caught.value.reason
    assert words in str(caught.value)


def test_connections_to_a_former_master_are_closed() -> None:
    """Once the sentinels name another server, what leads to the former is closed, and nothing else."""
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
    """That no sentinel answers cuts nothing: Redis works without them."""
    watched = finder([FakeSentinel(AWAY)])
    wire = FakeWire()
    watched.follow(cast("Wire", wire), ("10.0.0.1", 6379))
    with pytest.raises(SourceError, match="no sentinel reports the master"):
        watched.watch(threading.Event(), lambda: None)
    assert not wire.closed


def test_a_master_elsewhere_can_be_allowed() -> None:
    """A master in another kind of network is connected to where the settings allow it."""
    assert ("8.8.8.8", 6379) == finder([FakeSentinel([b"8.8.8.8", b"6379"])], "8.8.8.0/24").locate()
