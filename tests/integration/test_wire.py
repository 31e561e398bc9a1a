"""The one step behind redis-py's back, on real sockets: a real server, and ones that misbehave."""

import contextlib
import socket
from collections.abc import Iterator

import hiredis
import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.event_stream import EventStream
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command, Endpoint, Wire, pack
from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.support.options import topic
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SECONDS = 5.0


def replies(wire: Wire, count: int) -> list[object]:
    """Read until so many replies came; fail when the other side falls silent before."""
    found: list[object] = []
    while len(found) < count:
        received = wire.receive(SECONDS)
        assert received, f"only {found!r}"
        found += received
    return found


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """Give a wire and the other end of its socket."""
    ours, theirs = socket.socketpair()

    class Connection:
        """What Wire needs of redis-py's connection."""

        _sock = ours

        def disconnect(self) -> None:
            ours.close()

    wire = Wire(Connection())
    with contextlib.closing(theirs):
        yield wire, theirs
        wire.close()


def test_redis_py_still_gives_its_socket(programs: Programs) -> None:
    """After connect() redis-py's connection has a socket of which nothing was read ahead."""
    wire = Endpoint(programs.redis().url(), timeout=SECONDS).open()
    wire.send(pack([("PING",), ("ECHO", "a"), ("LLEN", "nothing")]), SECONDS)
    assert [b"PONG", b"a", 0] == replies(wire, 3)
    wire.close()


def test_options_of_the_url_hold(programs: Programs) -> None:
    """Password and database of the URL are in force on the socket that is taken over, and replies are RESP2."""
    server = programs.redis(password="word")
    wire = Endpoint(server.url(db=4), timeout=SECONDS).open()
    wire.send(pack([("SET", "a", 1), ("CONFIG", "GET", "databases")]), SECONDS)
    assert [b"OK", [b"databases", b"16"]] == replies(wire, 2)
    assert server.command("GET", "a", db=4) == b"1"
    wire.close()


def test_error_replies_are_values(programs: Programs) -> None:
    """A refused command is a reply in its place, and the connection goes on."""
    wire = Endpoint(programs.redis().url(), timeout=SECONDS).open()
    wire.send(pack([("NONSENSE",), ("PING",)]), SECONDS)
    error, pong = replies(wire, 2)
    assert isinstance(error, hiredis.ReplyError)
    assert pong == b"PONG"
    wire.close()


def test_half_replies_wait_for_their_rest(pair: tuple[Wire, socket.socket]) -> None:
    """A reply that comes in pieces is given once it is whole, and the beginning of the next one is kept."""
    wire, peer = pair
    peer.sendall(b"$5\r\nhel")
    assert [] == wire.receive(SECONDS)
    peer.sendall(b"lo\r\n:1")
    assert [b"hello"] == wire.receive(SECONDS)
    peer.sendall(b"\r\n")
    assert [1] == wire.receive(SECONDS)


def test_silence_is_no_reply(pair: tuple[Wire, socket.socket]) -> None:
    """Silence for the given time gives nothing, and harms nothing."""
    wire, peer = pair
    assert [] == wire.receive(0.01)
    peer.sendall(b"+OK\r\n")
    assert [b"OK"] == wire.receive(SECONDS)


@pytest.mark.parametrize(("data", "reason"), [(b"", "closed"), (b"HTTP/1.1 400 Bad Request\r\n", "protocol")])
def test_what_is_no_reply_ends_the_connection(pair: tuple[Wire, socket.socket], data: bytes, reason: str) -> None:
    """A closed connection and an answer that is not Redis's are failures with their reasons."""
    wire, peer = pair
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(SourceError) as caught:
        wire.receive(SECONDS)
    assert reason == caught.value.reason


def test_a_closed_wire_can_be_closed_again(pair: tuple[Wire, socket.socket]) -> None:
    """Closing twice is harmless, and a read afterwards is a SourceError."""
    wire, _ = pair
    wire.close()
    wire.close()
    with pytest.raises(SourceError):
        wire.receive(SECONDS)


def test_nobody_there_is_a_reason() -> None:
    """A port without a listener refuses."""
    with pytest.raises(SourceError) as caught:
        Endpoint(f"redis://127.0.0.1:{free_port()}/0", timeout=SECONDS).open()
    assert caught.value.reason == "refused"


def test_a_silent_server_is_a_timeout(programs: Programs) -> None:
    """A server that accepts and never answers ends in the reason timeout, within the deadline."""
    server = programs.redis()
    session = Session(Endpoint(server.url(), timeout=0.2), SystemClock())
    assert [b"PONG"] == session.exchange([("PING",)], SECONDS)
    server.freeze()
    with pytest.raises(SourceError) as caught:
        session.exchange([("PING",)], 0.2)
    assert caught.value.reason == "timeout"
    server.thaw()
    assert [b"PONG"] == session.exchange([("PING",)], SECONDS)
    assert session.opened == 2
    session.close()


def test_sessions_forget_refusals_with_their_connection(programs: Programs) -> None:
    """A command refused for want of rights is not sent again until the connection is a new one."""
    server = programs.redis()
    server.command("ACL", "SETUSER", "narrow", "on", ">word", "~*", "+ping")
    session = Session(Endpoint(server.url(user="narrow", password="word"), timeout=SECONDS), SystemClock())
    for _ in range(3):
        refused, again, pong = session.exchange([("LLEN", "q"), ("LLEN", "q"), ("PING",)], SECONDS)
        assert isinstance(refused, Refusal)
        assert isinstance(again, Refusal)
        assert pong == b"PONG"
    assert ("llen",) == session.refused
    entries = [entry for entry in server.command("ACL", "LOG") if b"llen" in entry]
    assert 1 == len(entries)  # entries of the same kind are counted in one
    server.command("ACL", "SETUSER", "narrow", "+llen")
    session.close()
    assert [0, b"PONG"] == session.exchange([("LLEN", "q"), ("PING",)], SECONDS)
    session.close()


def test_a_silent_subscription_is_tested_and_given_up(programs: Programs) -> None:
    """After silence the stream asks for a sign of life, and without one it is a timeout."""
    server = programs.redis()
    stream = EventStream(Endpoint(server.url(), timeout=SECONDS, db=0), topic(), 1.0, SystemClock())
    stream.open()
    for _ in range(4):  # twice the idle timeout: answered pings keep it alive
        assert [] == stream.read()
    server.freeze()

    def read_on() -> None:
        for _ in range(10):
            stream.read()

    with pytest.raises(SourceError) as caught:
        read_on()
    assert caught.value.reason == "timeout"
    stream.close()
    server.thaw()


def test_a_message_of_megabytes_is_received(programs: Programs) -> None:
    """A message that takes many reads of the socket does not cut the subscription, however short its idle timeout."""
    server = programs.redis()
    stream = EventStream(Endpoint(server.url(), timeout=SECONDS, db=0), topic(), 1.0, SystemClock())
    stream.open()
    body = b"x" * 3_000_000
    received: list[bytes] = []
    for _ in range(3):
        assert 1 == server.command("PUBLISH", "/0.celeryev/task.multi", body)
        while not received:
            received += stream.read()
        assert [body] == received
        received.clear()
    stream.close()


def test_a_connection_that_was_closed_while_idle_is_opened_again(programs: Programs) -> None:
    """Connections that a real server closes, for idleness (``timeout``) or by CLIENT KILL, cost no failed exchange."""
    server = programs.redis(options=("--timeout", "1"))
    session = Session(Endpoint(server.url(), timeout=SECONDS), SystemClock())
    asked: list[Command] = [("CLIENT", "ID")]
    (first,) = session.exchange(asked, SECONDS)
    eventually(lambda: not server.command("CLIENT", "LIST", "ID", first))
    (second,) = session.exchange(asked, SECONDS)
    assert first != second
    assert 1 == server.command("CLIENT", "KILL", "ID", second)
    (third,) = session.ask(asked, SECONDS)
    assert third not in {first, second}
    assert 3 == session.opened
    session.close()
    eventually(lambda: not server.command("CLIENT", "LIST", "ID", third))


def test_a_server_that_went_while_idle_refuses(programs: Programs) -> None:
    """A server that ended since the last exchange is refused at the attempt to connect again, and reported so."""
    server = programs.redis()
    session = Session(Endpoint(server.url(), timeout=SECONDS), SystemClock())
    assert [b"PONG"] == session.exchange([("PING",)], SECONDS)
    server.stop()
    with pytest.raises(SourceError) as caught:
        session.exchange([("PING",)], SECONDS)
    assert "refused" == caught.value.reason
    assert 1 == session.opened
