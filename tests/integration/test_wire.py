# SPDX-License-Identifier: Apache-2.0
"""The step that takes redis-py's socket, on real sockets: a real server, and servers that misbehave."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
from tests.support.certificates import Authority
from tests.support.options import topic
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SECONDS = 5.0


def replies(wire: Wire, count: int) -> list[object]:
    """Read until ``count`` replies arrived; fail if the other side stops sending before."""
    found: list[object] = []
    while len(found) < count:
        received = wire.receive(SECONDS)
        assert received, f"only {found!r}"
        found += received
    return found


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """Yield a wire and the other end of its socket."""
    ours, theirs = socket.socketpair()

    class Connection:
        """The parts of redis-py's connection that Wire uses."""

        _sock = ours

        def disconnect(self) -> None:
            ours.close()

    wire = Wire(Connection())
    with contextlib.closing(theirs):
        yield wire, theirs
        wire.close()


def test_redis_py_still_gives_its_socket(programs: Programs) -> None:
    """After connect() redis-py's connection has a socket, and has read no data ahead."""
    wire = Endpoint(programs.redis().url(), timeout=SECONDS).open()
    wire.send(pack([("PING",), ("ECHO", "a"), ("LLEN", "nothing")]), SECONDS)
    assert [b"PONG", b"a", 0] == replies(wire, 3)
    wire.close()


def test_options_of_the_url_hold(programs: Programs) -> None:
    """Password and database of the URL apply to the socket that is taken over, and replies are RESP2."""
    server = programs.redis(password="word")
    wire = Endpoint(server.url(db=4), timeout=SECONDS).open()
    wire.send(pack([("SET", "a", 1), ("CONFIG", "GET", "databases")]), SECONDS)
    assert [b"OK", [b"databases", b"16"]] == replies(wire, 2)
    assert server.command("GET", "a", db=4) == b"1"
    wire.close()


def test_error_replies_are_values(programs: Programs) -> None:
    """A refused command is a reply at its position, and the connection continues."""
    wire = Endpoint(programs.redis().url(), timeout=SECONDS).open()
    wire.send(pack([("NONSENSE",), ("PING",)]), SECONDS)
    error, pong = replies(wire, 2)
    assert isinstance(error, hiredis.ReplyError)
    assert pong == b"PONG"
    wire.close()


def test_half_replies_wait_for_their_rest(pair: tuple[Wire, socket.socket]) -> None:
    """A reply that arrives in pieces is returned once complete, and the start of the next one is kept."""
    wire, peer = pair
    peer.sendall(b"$5\r\nhel")
    assert [] == wire.receive(SECONDS)
    peer.sendall(b"lo\r\n:1")
    assert [b"hello"] == wire.receive(SECONDS)
    peer.sendall(b"\r\n")
    assert [1] == wire.receive(SECONDS)


def test_silence_is_no_reply(pair: tuple[Wire, socket.socket]) -> None:
    """If nothing arrives within the given time an empty list is returned, and the connection still works."""
    wire, peer = pair
    assert [] == wire.receive(0.01)
    peer.sendall(b"+OK\r\n")
    assert [b"OK"] == wire.receive(SECONDS)


@pytest.mark.parametrize(("data", "reason"), [(b"", "closed"), (b"HTTP/1.1 400 Bad Request\r\n", "protocol")])
def test_what_is_no_reply_ends_the_connection(pair: tuple[Wire, socket.socket], data: bytes, reason: str) -> None:
    """A closed connection and a reply that is not Redis's are failures with their reasons."""
    wire, peer = pair
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(SourceError) as caught:
        wire.receive(SECONDS)
    assert reason == caught.value.reason


def test_a_closed_wire_can_be_closed_again(pair: tuple[Wire, socket.socket]) -> None:
    """Closing twice is allowed, and a read afterwards raises a SourceError."""
    wire, _ = pair
    wire.close()
    wire.close()
    with pytest.raises(SourceError):
        wire.receive(SECONDS)


def test_nobody_there_is_a_reason() -> None:
    """A port without a listener has the reason refused."""
    with pytest.raises(SourceError) as caught:
        Endpoint(f"redis://127.0.0.1:{free_port()}/0", timeout=SECONDS).open()
    assert caught.value.reason == "refused"


def test_a_silent_server_is_a_timeout(programs: Programs) -> None:
    """A server that accepts and never replies fails with the reason timeout, within the deadline."""
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
    """A command refused for lack of permission is not sent again on the same connection."""
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
    """After a pause without messages the stream sends a ping, and without a reply it fails with a timeout."""
    server = programs.redis()
    stream = EventStream(Endpoint(server.url(), timeout=SECONDS, db=0), topic(), 1.0, SystemClock())
    stream.open()
    for _ in range(4):  # twice the idle timeout: replies to pings keep it alive
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
    """A message that takes many reads of the socket does not end the subscription, however short its idle timeout."""
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
    """Connections that a real server closes, for idleness (``timeout``) or by CLIENT KILL, fail no exchange."""
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
    """If the server stopped since the last exchange, the reconnect is refused, and that is the reported reason."""
    server = programs.redis()
    session = Session(Endpoint(server.url(), timeout=SECONDS), SystemClock())
    assert [b"PONG"] == session.exchange([("PING",)], SECONDS)
    server.stop()
    with pytest.raises(SourceError) as caught:
        session.exchange([("PING",)], SECONDS)
    assert "refused" == caught.value.reason
    assert 1 == session.opened


class SlowServer:
    """A server that takes ``pause`` seconds per step of opening: the TLS handshake, then each byte of its reply."""

    def __init__(self, answer: bytes, pause: float, tls: ssl.SSLContext | None = None) -> None:
        self._answer, self._pause, self._tls = answer, pause, tls
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the server."""
        self._over.set()
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the client hangs up
            end, _ = self._listener.accept()
            self._over.wait(self._pause)
            with self._tls.wrap_socket(end, server_side=True) if self._tls else end as client:
                while client.recv(65536):
                    for byte in self._answer:
                        self._over.wait(self._pause)
                        client.sendall(bytes([byte]))


@pytest.mark.parametrize(("url", "answer", "pause"), [
    ("redis://:password@127.0.0.1:{port}/3", b"+OK\r\n", 0.09), ("redis://127.0.0.1:{port}/3", b"+" * 1000, 0.2),
    ("rediss://:password@127.0.0.1:{port}/3?ssl_cert_reqs=none", b"+OK\r\n", 0.3),
], ids=["each step just in time", "an answer without an end", "TLS"])  # fmt: skip
def test_one_deadline_bounds_opening(tmp_path: Path, url: str, answer: bytes, pause: float) -> None:
    """Opening never takes longer than the deadline, however slowly a server sends its steps and bytes."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*Authority(tmp_path, "authority").issue("server"))
    clock, deadline = SystemClock(), 0.5
    server = SlowServer(answer, pause, tls if url.startswith("rediss") else None)
    with contextlib.closing(server):
        began = clock.monotonic()
        with pytest.raises(SourceError) as caught:
            Endpoint(url.format(port=server.port), timeout=deadline).open()
        assert "timeout" == caught.value.reason
        assert clock.monotonic() - began < 1.5 * deadline


def test_an_address_without_an_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a host does not respond, the second is reached before the deadline."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_server(("127.0.0.1", 0)) as alive:
        fillers = [
            socket.socket() for _ in range(4)
        ]  # The backlog is full, so that a further connection receives no response.
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003 -- as in C
            filler.connect_ex(full.getsockname())
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", end.getsockname()) for end in (full, alive)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        wire = Endpoint("redis://twice/0", timeout=2.0).open()
        accepted, address = alive.accept()
        assert address == wire._socket.getsockname()
        wire.close()
        for other in (accepted, *fillers):
            other.close()


def test_users_are_unknown_to_old_servers() -> None:
    """If AUTH accepts no user, as before Redis 6, only the password is sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        endpoint = Endpoint(f"redis://alice:secret@127.0.0.1:{listener.getsockname()[1]}/0", timeout=SECONDS)
        opened = pool.submit(endpoint.open)
        client, _ = listener.accept()
        with client:
            assert b"alice" in client.recv(65536)
            client.sendall(b"-ERR wrong number of arguments for 'auth' command\r\n")
            assert pack([("AUTH", "secret")]) == client.recv(65536)
            client.sendall(b"+OK\r\n")
            opened.result(SECONDS).close()


@pytest.mark.parametrize(("answer", "reason"), [
    (b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", "auth"),
    (b"-ERR invalid password\r\n", "auth"),
    (b"-ERR AUTH <password> called without any password configured for the default user.\r\n", "auth"),
    (b"-ERR unknown command 'AUTH'\r\n", "protocol"),
    (b"-ERR max number of clients reached\r\n", "maxclients"),
    (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
    (b"-DENIED Redis is running in protected mode\r\n", "denied"),
    (b":1\r\n", "protocol"), (b"+OK\r\n+OK\r\n", "protocol"), (b"*2\r\n+OK\r\n", "timeout"), (b"", "closed"),
])  # fmt: skip
def test_reasons_of_a_refusal_while_opening(answer: bytes, reason: str) -> None:
    """The server's reply to AUTH is the reason why opening failed."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        opened = pool.submit(Endpoint(f"redis://:pw@127.0.0.1:{listener.getsockname()[1]}/0", timeout=0.5).open)
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(answer)
            if not answer:
                client.close()
            with pytest.raises(SourceError) as caught:
                opened.result(SECONDS)
    assert reason == caught.value.reason
