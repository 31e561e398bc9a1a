"""What a server may send that is no reply, on a pair of sockets in this process; and reconnecting without end."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from exporter.errors import SourceError
from exporter.sources.wire import Endpoint, Wire


class Connection:
    """Stands in for redis-py's: a socket, and how to close it."""

    def __init__(self, end: socket.socket) -> None:
        self._sock = end

    def disconnect(self) -> None:
        """Close the socket."""
        self._sock.close()


@pytest.fixture
def ends() -> Iterator[tuple[Wire, socket.socket]]:
    """Give a wire, and the server's end of it."""
    ours, theirs = socket.socketpair()
    wire = Wire(Connection(ours))
    with closing(theirs):
        yield wire, theirs
    wire.close()


@pytest.mark.parametrize("reply", [
    b"%1\r\n*1\r\n:1\r\n:2\r\n", b"?\r\n", b"*" + b"9" * 40 + b"\r\n", b"*" + b"*1\r\n" * 100, b"HTTP/1.1 400 Bad\r\n",
])  # fmt: skip
def test_what_is_no_reply_is_a_fault_of_the_protocol(ends: tuple[Wire, socket.socket], reply: bytes) -> None:
    """Bytes that Redis never sends, a map with a list as its key among them, fail as a SourceError."""
    wire, server = ends
    server.sendall(reply)
    with pytest.raises(SourceError) as caught:
        wire.receive(1.0)
    assert "protocol" == caught.value.reason


def test_replies_before_a_fault_do_not_hide_it(ends: tuple[Wire, socket.socket]) -> None:
    """A fault behind good replies fails the same way."""
    wire, server = ends
    server.sendall(b"+OK\r\n:1\r\n%1\r\n*0\r\n:1\r\n")
    with pytest.raises(SourceError):
        wire.receive(1.0)


def test_connecting_is_tried_without_end() -> None:
    """The thousandth attempt to connect says what the first one said: redis-py's bound on a pool is none on us."""
    endpoint = Endpoint("unix:///nowhere/redis.sock", timeout=1.0)
    reasons = set()
    for _ in range(1000):
        with pytest.raises(SourceError) as caught:
            endpoint.open()
        reasons.add(caught.value.reason)
    assert {"refused"} == reasons


def test_what_redis_py_refuses_when_it_connects_is_a_fault_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of TLS that redis-py refuses only when it connects are a SourceError, like every other failure."""

    def refuse(_: object) -> None:
        raise TypeError("certfile should be a valid filesystem path")

    monkeypatch.setattr(redis.connection.SSLConnection, "connect", refuse)
    with pytest.raises(SourceError) as caught:
        Endpoint("rediss://127.0.0.1:1/0", timeout=1.0).open()
    assert "tls" == caught.value.reason
