# SPDX-License-Identifier: Apache-2.0
"""Batches of commands on a connection that fails during a batch, or was closed before it."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import ReplyTooLargeError, SourceError
from celery_redis_exporter.sources import session as sessions
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint, Wire
from tests.support.fakes import FakeClock
from tests.support.garbage import Body, frees_at_once
from tests.unit.sources.test_wire_faults import Connection

PING = [("PING",)]
PONG = b"+PONG\r\n"


class Server:
    """An endpoint whose connections are pairs of sockets; ``ends`` are the server's.

    Each connection has the next of ``answers`` to read. When there are none left, the endpoint raises
    ``failure``.
    """

    def __init__(self, *answers: bytes) -> None:
        self.ends: list[socket.socket] = []
        self.within: list[float] = []
        self.failure = SourceError("refused", "connection refused")
        self._answers = list(answers)

    def open(self, within: float) -> Wire:
        """Connect."""
        self.within.append(within)
        if not self._answers:
            raise self.failure
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        theirs.sendall(self._answers.pop(0))
        return Wire(Connection(ours))

    def hang_up(self) -> None:
        """Close the server's direction of the last connection, which still accepts bytes."""
        self.ends[-1].shutdown(socket.SHUT_WR)


def connected(server: Server, clock: FakeClock | None = None) -> Session:
    """Return a session that has used its first connection once."""
    session = Session(cast("Endpoint", server), clock or SystemClock())
    assert [b"PONG"] == session.exchange(PING, 1.0)
    return session


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a server that answers one PING on each of two connections."""
    server = Server(PONG, PONG)
    yield server
    for end in server.ends:
        end.close()


def hang_up_while_waiting(session: Session, server: Server, meanwhile: Callable[[], None]) -> None:
    """Let the server close the connection after the next batch was sent, and call ``meanwhile``."""
    wire = session._wire
    assert wire is not None
    receive = wire.receive

    def fail(timeout: float) -> list[Any]:
        server.hang_up()
        meanwhile()
        return receive(timeout)

    wire.receive = fail  # type: ignore[method-assign]  # for one batch


def test_a_batch_that_failed_holds_nothing_of_its_caller() -> None:
    """A server that closes within its reply is reported, and the caller's objects are freed at once."""
    session = Session(Endpoint("redis://127.0.0.1:1", timeout=1.0), SystemClock())

    def scrape(_body: Body) -> None:
        ours, theirs = socket.socketpair()
        session._wire = Wire(Connection(ours))
        with closing(theirs):
            theirs.sendall(b"+PO")
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(SourceError) as caught:
                session.ask(PING, 1.0)
        assert "closed" == caught.value.reason
        del caught

    assert frees_at_once(scrape)
    session.close()


def test_a_batch_is_sent_again_if_its_connection_was_closed_while_idle(server: Server) -> None:
    """If a used connection ends before any reply, the batch is sent on one new connection without a failure."""
    session = connected(server)
    server.hang_up()
    assert [b"PONG"] == session.exchange(PING, 1.0)
    assert 2 == session.opened
    session.close()


def test_a_batch_is_sent_again_if_its_connection_is_reset_while_it_is_sent(server: Server) -> None:
    """A broken pipe on a used connection is no failure."""
    session = connected(server)
    server.ends[-1].close()
    assert [b"PONG"] == session.ask(PING, 1.0)
    assert 2 == session.opened
    session.close()


def test_a_batch_is_sent_again_once(server: Server) -> None:
    """A server that closes the new connection too is down."""
    session = connected(server)
    server.hang_up()
    server._answers = [b"", PONG]
    opened = server.open

    def open_and_hang_up(within: float) -> Wire:
        wire = opened(within)
        server.hang_up()
        return wire

    server.open = open_and_hang_up  # type: ignore[method-assign]  # for this test only
    with pytest.raises(SourceError) as caught:
        session.exchange(PING, 1.0)
    assert "closed" == caught.value.reason
    assert 2 == session.opened


def test_a_new_connection_that_is_closed_is_a_failure(server: Server) -> None:
    """A server that closes a connection before its first reply is down."""
    server._answers = [b""]
    session = Session(cast("Endpoint", server), SystemClock())
    opened = server.open
    server.open = lambda within: (opened(within), server.hang_up())[0]  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(SourceError) as caught:
        session.exchange(PING, 1.0)
    assert "closed" == caught.value.reason
    assert 1 == session.opened


def test_a_batch_that_was_answered_in_part_is_not_sent_again(server: Server) -> None:
    """A server that closes within its reply is a failure, because the batch may be the cause."""
    session = connected(server)
    server.ends[-1].sendall(b"+PO")
    server.hang_up()
    with pytest.raises(SourceError) as caught:
        session.exchange(PING, 1.0)
    assert "closed" == caught.value.reason
    assert 1 == session.opened


def test_a_server_that_can_not_be_reached_again_has_its_own_reason(server: Server) -> None:
    """If connecting again fails, its reason is reported, not the end of the old connection."""
    session = connected(server)
    server.hang_up()
    server._answers = []
    with pytest.raises(SourceError) as caught:
        session.exchange(PING, 1.0)
    assert "refused" == caught.value.reason


def test_connecting_again_has_what_is_left_of_the_deadline(server: Server) -> None:
    """The second attempt has the rest of the first one's deadline."""
    clock = FakeClock()
    session = connected(server, clock)
    hang_up_while_waiting(session, server, lambda: clock.advance(4.0))
    assert [b"PONG"] == session.ask(PING, 10.0)
    assert 6.0 == server.within[-1]
    hang_up_while_waiting(session, server, lambda: clock.advance(11.0))
    with pytest.raises(SourceError) as caught:
        session.ask(PING, 10.0)
    assert "timeout" == caught.value.reason
    assert 2 == session.opened


def test_a_session_that_was_closed_stays_closed(server: Server) -> None:
    """A batch does not open a session again that another thread closed, as at the end of the program."""
    session = connected(server)
    hang_up_while_waiting(session, server, session.close)
    with pytest.raises(SourceError) as caught:
        session.ask(PING, 1.0)
    assert "closed" == caught.value.reason
    assert 1 == session.opened


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_a_closed_tls_connection_is_closed(server: Server, kind: type[ssl.SSLError]) -> None:
    """OpenSSL's errors for a connection that the server closed have the reason closed, not tls."""
    session = connected(server)

    def fail(*_: object) -> int:
        raise kind

    wire = session._wire
    assert wire is not None
    wire._socket = cast("socket.socket", SimpleNamespace(send=fail, recv_into=fail, shutdown=lambda _: None))
    for attempt in (lambda: wire.send(b"a", 1.0), lambda: wire.receive(1.0)):
        with pytest.raises(SourceError) as caught:
            attempt()
        assert "closed" == caught.value.reason
    assert [b"PONG"] == session.exchange(PING, 1.0)
    session.close()


def test_all_replies_together_have_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies that are together above the limit are refused, even if each one is within it."""
    monkeypatch.setattr(sessions, "MOST_ROUND_TRIP", 3000)
    reply = b"$1000\r\n" + b"x" * 1000 + b"\r\n"
    server._answers = [reply, reply * 3]
    session = Session(cast("Endpoint", server), SystemClock())
    assert [b"x" * 1000] == session.exchange(PING, 1.0)
    session.close()
    with pytest.raises(SourceError, match="replies of more than 3,000 bytes together"):
        session.exchange(PING * 4, 1.0)
    session.close()


@pytest.mark.parametrize(("size", "kind"), [(2000, ReplyTooLargeError), (10, SourceError)])
def test_a_deadline_that_ends_while_much_arrives(
    server: Server, monkeypatch: pytest.MonkeyPatch, size: int, kind: type[SourceError]
) -> None:
    """Only a timeout after many bytes is one of a large reply, which the caller can leave out."""
    monkeypatch.setattr(sessions, "LARGE", 1000)
    clock = FakeClock()
    session = connected(server, clock)
    wire = session._wire
    assert wire is not None
    receive = wire.receive

    def receive_slowly(timeout: float) -> list[Any]:
        clock.advance(0.6)
        return receive(min(timeout, 0.1))

    monkeypatch.setattr(wire, "receive", receive_slowly)
    server.ends[-1].sendall(b"$9000\r\n" + b"x" * size)
    with pytest.raises(SourceError) as caught:
        session.exchange(PING, 1.0)
    assert (kind, "timeout") == (type(caught.value), caught.value.reason)
