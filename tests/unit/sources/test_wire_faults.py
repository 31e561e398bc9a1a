# SPDX-License-Identifier: Apache-2.0
"""Invalid replies of a server, on a pair of sockets in this process, and repeated attempts to connect."""

import socket
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources import replies
from celery_redis_exporter.sources.wire import Endpoint, Wire
from tests.support.sizes import scaled

pytestmark = pytest.mark.usefixtures("limited_memory")

CLOCK = SystemClock()
MOST_SECONDS, MOST_MEMORY = 1.0, 50 * 2**20
"""Limits for a false length; without them freeing the memory of the longest list takes more than 4 s."""


class Connection:
    """A stand-in for redis-py's connection: a socket, and how to close it."""

    def __init__(self, end: socket.socket) -> None:
        self._sock = end

    def disconnect(self) -> None:
        """Close the socket."""
        self._sock.close()


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    """Yield a wire and the server's end of it."""
    ours, theirs = socket.socketpair()
    wire = Wire(Connection(ours))
    with closing(theirs):
        yield wire, theirs
    wire.close()


@pytest.mark.parametrize("reply", [
    b"%1\r\n*1\r\n:1\r\n:2\r\n", b"?\r\n", b"*" + b"9" * 40 + b"\r\n", b"*" + b"*1\r\n" * 100, b"HTTP/1.1 400 Bad\r\n",
])  # fmt: skip
def test_what_is_no_reply_is_a_fault_of_the_protocol(ends: tuple[Wire, socket.socket], reply: bytes) -> None:
    """Bytes that Redis never sends, such as a map with a list as its key, raise a SourceError."""
    wire, server = ends
    server.sendall(reply)
    with pytest.raises(SourceError) as caught:
        wire.receive(1.0)
    assert "protocol" == caught.value.reason


def test_replies_before_a_fault_do_not_hide_it(ends: tuple[Wire, socket.socket]) -> None:
    """An invalid reply after valid ones raises the same error."""
    wire, server = ends
    server.sendall(b"+OK\r\n:1\r\n%1\r\n*0\r\n:1\r\n")
    with pytest.raises(SourceError):
        wire.receive(1.0)


def hear(sent: bytes) -> tuple[str, float, int]:
    """Receive these bytes; return the reason of an error, the seconds it took, and the bytes of memory that remain."""
    memory, started, reason = psutil.Process().memory_info().rss, CLOCK.monotonic(), ""
    ours, theirs = socket.socketpair()
    wire = Wire(Connection(ours))
    with closing(theirs):
        theirs.sendall(sent)
        try:
            wire.receive(1.0)
        except SourceError as error:
            reason = error.reason
        held = psutil.Process().memory_info().rss
        wire.close()
    del wire  # and the parser, which frees the memory that it reserved
    return reason, CLOCK.monotonic() - started, held - memory


@pytest.mark.parametrize("before", [b"", b"+OK\r\n", b"*4\r\n$8\r\npmessage\r\n", b"*1\r\n" * 7], ids=len)
@pytest.mark.parametrize("claim", [b"*2999999999", b"~2999999999", b">2999999999", b"*4294967295", b"*300000000"])
def test_the_claim_to_be_long_is_a_fault(before: bytes, claim: bytes) -> None:
    """A list whose header states gigabytes, alone or nested, is refused at once and takes no memory."""
    reason, seconds, memory = hear(before + claim + b"\r\n")
    assert "protocol" == reason
    assert seconds < MOST_SECONDS
    assert memory < MOST_MEMORY


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from([b"+OK\r\n", b":1\r\n", b"*1\r\n", b"~2\r\n:1\r\n", b"$2\r\n*9\r\n", b">3\r\n+x\r\n"]),
        max_size=7,
    ),
    st.sampled_from("*~>%|$="),
    st.integers(0, 2**64).map(str) | st.integers(0, 20).map(lambda power: f"{10**power}"),
    st.integers(0, 25),
)
def test_no_claim_costs_time_or_memory(before: list[bytes], kind: str, length: str, cut: int) -> None:
    """Any length in any header is waited for or refused, with little time and memory."""
    sent = b"".join(before) + f"{kind}{length}\r\n".encode()
    reason, seconds, memory = hear(sent[: len(sent) - cut] or b"+OK\r\n")
    assert reason in {"", "protocol"}
    assert seconds < MOST_SECONDS
    assert memory < MOST_MEMORY


def test_a_reply_without_an_end_is_given_up(ends: tuple[Wire, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless reply is an error above the limit on one reply; complete replies are not added up."""
    monkeypatch.setattr(replies, "MOST_REPLY", 30_000)
    wire, server = ends
    for _ in range(5):
        server.sendall(b"$9000\r\n" + b"x" * 9000 + b"\r\n")
        assert [b"x" * 9000] == wire.receive(1.0)
    server.sendall(b"$2999999999\r\n" + b"x" * 15_000)
    assert [] == wire.receive(1.0)
    server.sendall(b"x" * 15_000)
    with pytest.raises(SourceError, match="a reply of more than 30,000 bytes"):
        wire.receive(1.0)


def test_connecting_is_tried_without_end() -> None:
    """The last of many attempts to connect has the same error as the first, without redis-py's limit on a pool."""
    endpoint = Endpoint("unix:///nowhere/redis.sock", timeout=1.0)
    reasons = set()
    for _ in range(scaled(200, 1000)):
        with pytest.raises(SourceError) as caught:
            endpoint.open()
        reasons.add(caught.value.reason)
    assert {"refused"} == reasons


def test_what_redis_py_refuses_when_it_connects_is_a_fault_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS options that redis-py refuses only when it connects raise a SourceError, like every other failure."""

    def refuse(_: object) -> None:
        raise TypeError("certfile should be a valid filesystem path")

    monkeypatch.setattr(redis.connection.SSLConnection, "connect", refuse)
    with pytest.raises(SourceError) as caught:
        Endpoint("rediss://127.0.0.1:1/0", timeout=1.0).open()
    assert "tls" == caught.value.reason
