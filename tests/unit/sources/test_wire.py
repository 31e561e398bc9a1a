# SPDX-License-Identifier: Apache-2.0
"""Reading and writing on a non-blocking socket; this process is also the other end."""

import socket
import ssl
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.wire import RECEIVE_BYTES, Wire

LARGE = b"x" * 8_000_000
"""More bytes than the buffers of two sockets contain."""


class Ends:
    """A wire, and the other end of its socket."""

    def __init__(self) -> None:
        self._sock, self.other = socket.socketpair()
        self.wire = Wire(self)

    def disconnect(self) -> None:
        """Close the socket, as redis-py's connection does."""
        self._sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Yield both ends, and close them afterwards."""
    ends = Ends()
    yield ends
    ends.wire.close()
    ends.other.close()


def test_replies_are_given_as_they_come(ends: Ends) -> None:
    """Complete replies are returned at once, the rest with the bytes that complete it, and nothing if nothing came."""
    assert [] == ends.wire.receive(0)
    ends.other.sendall(b":1\r\n:2\r\n:")
    assert [1, 2] == ends.wire.receive(1)
    assert [] == ends.wire.receive(0.001)
    ends.other.sendall(b"3\r\n")
    assert [3] == ends.wire.receive(1)


def test_it_is_known_whether_more_arrived(ends: Ends) -> None:
    """Only a receive that filled the buffer may have left bytes in the socket."""
    ends.other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * RECEIVE_BYTES)
    ends.other.sendall(b":1\r\n" * (RECEIVE_BYTES // 4 + 1))
    seen = []
    for _ in range(3):
        size = len(ends.wire.receive(0))
        seen.append((size, ends.wire.is_drained))
    assert [(RECEIVE_BYTES // 4, False), (1, True), (0, True)] == seen


def test_more_than_the_socket_takes_is_sent_in_parts(ends: Ends) -> None:
    """A server that reads slowly receives every byte, once and in order."""
    got = bytearray()

    def read() -> None:
        while len(got) < len(LARGE):
            got.extend(ends.other.recv(100_000))

    reader = threading.Thread(target=read)
    reader.start()
    ends.wire.send(LARGE, 10)
    reader.join(10)
    assert LARGE == got


def test_a_server_that_does_not_read_times_out(ends: Ends) -> None:
    """Bytes that the server does not read in time cause a timeout, and no hang."""
    with pytest.raises(SourceError) as caught:
        ends.wire.send(LARGE, 0.05)
    assert "timeout" == caught.value.reason


def test_a_wait_ends_with_the_connection(ends: Ends) -> None:
    """A thread that waits for replies gets an error if the connection is closed at either end."""
    reasons: list[str] = []

    def wait() -> None:
        try:
            ends.wire.receive(30)
        except SourceError as error:
            reasons.append(error.reason)

    waiting = threading.Thread(target=wait)
    waiting.start()
    ends.wire.close()
    waiting.join(5)
    assert ["closed"] == reasons
    assert ends.wire.closed


def test_a_server_that_hangs_up(ends: Ends) -> None:
    """A closed connection and bytes that are not Redis's protocol have their reasons."""
    ends.other.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(SourceError) as caught:
        ends.wire.receive(1)
    assert "protocol" == caught.value.reason
    ends.other.close()
    with pytest.raises(SourceError) as caught:
        ends.wire.receive(1)
    assert "closed" == caught.value.reason


def test_send_to_nobody(ends: Ends) -> None:
    """A broken connection raises an error when it is written to."""
    ends.other.close()
    failures: list[Any] = []
    for _ in range(2):
        try:
            ends.wire.send(b"PING\r\n", 1)
        except SourceError as error:
            failures.append(error.reason)
    assert "closed" in failures


def test_bytes_that_complete_no_reply_are_told_from_silence(ends: Ends) -> None:
    """``arrived`` grows with each read that brings bytes, and stays unchanged in silence and at the end."""
    assert [] == ends.wire.receive(0.001)
    assert 0 == ends.wire.arrived
    ends.other.sendall(b"$5\r\nhel")
    assert [] == ends.wire.receive(1)
    assert 7 == ends.wire.arrived
    ends.other.close()
    with pytest.raises(SourceError):
        ends.wire.receive(1)
    assert 7 == ends.wire.arrived


def test_a_part_of_a_tls_record_has_arrived(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of an incomplete TLS record, which can't be decrypted yet, are no silence."""

    def want_more(*_: object) -> int:
        raise ssl.SSLWantReadError

    monkeypatch.setattr(ends.wire, "_socket", SimpleNamespace(recv_into=want_more, shutdown=ends.other.shutdown))
    ends.other.sendall(b"a part")
    assert [] == ends.wire.receive(1)
    assert 1 == ends.wire.arrived


REFUSED = (
    (b"-ERR max number of clients reached\r\n", "maxclients"),
    (b"-ERR max number of clients + cluster connections reached\r\n", "maxclients"),
    (b"-DENIED Redis is running in protected mode because\r\n", "denied"),
    (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
    (b"-ERR go away\r\n", "protocol"),
)


@pytest.mark.parametrize(("line", "reason"), REFUSED)
@pytest.mark.parametrize("step", ["receive", "send"])
def test_a_refused_connection_ends_for_the_reason_that_the_server_said(
    ends: Ends, line: bytes, reason: str, step: str
) -> None:
    """The error that a server sends when it refuses a client is the reason, whichever step finds the end."""
    ends.other.sendall(line)
    ends.other.close()
    with pytest.raises(SourceError) as raised:  # noqa: PT012 -- either step may notice the end
        if step == "send":
            ends.wire.send(b"x" * 100, 1)
        assert isinstance(ends.wire.receive(1)[0], Exception)
        ends.wire.receive(1)
    assert reason == raised.value.reason
    assert line[1:-2].decode() == str(raised.value)


def test_an_error_on_a_connection_that_works_is_no_reason(ends: Ends) -> None:
    """The refusal of a command is not the reason of a later end of the connection."""
    ends.other.sendall(b"-NOPERM no\r\n")
    ends.wire.receive(1)
    ends.wire.send(b"PING", 1)
    ends.other.recv(10)
    ends.other.shutdown(socket.SHUT_RDWR)
    with pytest.raises(SourceError) as raised:
        ends.wire.receive(1)
    assert "closed" == raised.value.reason
