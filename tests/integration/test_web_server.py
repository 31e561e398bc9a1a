# SPDX-License-Identifier: Apache-2.0
"""The real HTTP server on a real socket."""

import contextlib
import gc
import http.client
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from celery_redis_exporter.web import connections
from celery_redis_exporter.web.connections import MAX_HANDSHAKES
from celery_redis_exporter.web.listeners import bind
from celery_redis_exporter.web.routes import Handlers, MetricsReply, build_app
from celery_redis_exporter.web.server import WebServer
from tests.support.certificates import Authority
from tests.support.waiting import eventually

BODY = b"a 1.0\n" * 20_000


class Site:
    """A server whose scrapes wait for ``release``, which is set unless a test clears it."""

    def __init__(self, tls: ssl.SSLContext | None = None, request_timeout: float = 0.2) -> None:
        self.release = threading.Event()
        self.release.set()
        self.entered = threading.Semaphore(0)
        listener = bind("127.0.0.1:0")
        self.port: int = listener.getsockname()[1]
        handlers = Handlers(
            lambda *_: self._answer(),
            lambda: (True, "ok"),
            lambda _: (True, "ok"),
            lambda _: "<p>home</p>",
            lambda _: b"{}",
        )
        self.server = WebServer([listener], build_app(handlers, "/metrics", 10 * len(BODY)), tls, request_timeout)

    def _answer(self, *_: object) -> MetricsReply:
        self.entered.release()
        self.release.wait(20)
        return MetricsReply(BODY, "text/plain; version=0.0.4", None)

    def get(self, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, bytes, dict[str, str]]:
        """Send a request on a new connection."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, headers={"Accept": accept})
            reply = connection.getresponse()
            return reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()}

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return len(self.server._server.server_state.connections)

    @property
    def kept(self) -> int:
        """Return the number of connections of this server in memory."""
        found = gc.get_objects()
        states = [one for one in found if isinstance(one, connections.Connection)]
        handshakes = sum(isinstance(one, connections.TlsConnection) for one in found)
        return sum(one.server_state is self.server._server.server_state for one in states) + handshakes

    def open_half(self, data: bytes) -> socket.socket:
        """Send the beginning of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(data)
        return connection


@pytest.fixture
def site() -> Iterator[Site]:
    """Yield a running server, and stop it."""
    site = Site()
    site.server.start()
    yield site
    site.release.set()
    site.server.stop(5)


def test_fifty_scrapes_at_once(site: Site) -> None:
    """Fifty scrapes at the same time all receive the whole body."""
    with ThreadPoolExecutor(50) as clients:
        replies = list(clients.map(site.get, ["/metrics"] * 50))
    assert [(200, len(BODY))] * 50 == [(status, len(body)) for status, body, _ in replies]


def test_headers(site: Site) -> None:
    """Responses have a length and no server name, and HEAD receives the headers only."""
    status, body, headers = site.get("/metrics", "HEAD")
    assert (200, b"", str(len(BODY))) == (status, body, headers["content-length"])
    assert "server" not in headers


def test_bodies_follow_their_headers_at_once(site: Site) -> None:
    """A connection sends its data at once: otherwise a short body waits for the client's delayed acknowledgement."""
    with site.open_half(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        (connection,) = site.server._server.server_state.connections
        inner: socket.socket = connection.transport.get_extra_info("socket")
        assert inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_head_of_a_request_has_a_limit(site: Site) -> None:
    """A client that sends headers endlessly is disconnected, and a client with many headers is not."""
    many = b"".join(b"x-header-%d: %s\r\n" % (number, b"a" * 50) for number in range(100))
    with site.open_half(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n") as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    with site.open_half(b"GET /metrics HTTP/1.1\r\n") as endless:
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                endless.sendall(many)
            answer = endless.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
        assert [200] == [site.get("/-/healthy")[0]]


def test_a_long_head_in_one_piece_is_refused(site: Site) -> None:
    """A request head of 100 kB is refused even if it arrives whole, with its end."""
    with site.open_half(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n") as client:
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = client.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_a_body_is_ignored(site: Site) -> None:
    """A request with a body receives the same response as one without, and so does the next one on its connection."""
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    with site.open_half(request) as client, client.makefile("rb") as replies:
        for _ in range(2):
            assert replies.readline().startswith(b"HTTP/1.1 200")
            while replies.readline().strip():
                pass
            assert BODY == replies.read(len(BODY))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")


def test_connections_are_kept(site: Site) -> None:
    """A second request on the same connection receives a response."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)) as connection:
        sockets = set()
        for _ in range(3):
            connection.request("GET", "/-/healthy")
            assert b"ok\n" == connection.getresponse().read()
            sockets.add(connection.sock.getsockname())
    assert 1 == len(sockets)


def test_half_a_request_blocks_nobody(site: Site) -> None:
    """Clients that never finish their request delay no other scrape."""
    halves = [site.open_half(b"GET /metrics HTTP/1.1\r\nHost: x\r\n") for _ in range(30)]
    assert 200 == site.get("/metrics")[0]
    for half in halves:
        half.close()


@pytest.mark.parametrize("data", [b"", b"GET /metrics HT"])
def test_half_a_request_ends(site: Site, data: bytes) -> None:
    """A connection without a request, or with an incomplete one, is closed by the server."""
    with site.open_half(data) as half:
        assert b"" == half.recv(1)


def test_half_of_a_second_request_ends(site: Site) -> None:
    """A keep-alive connection is closed as well if its next request never ends."""
    with site.open_half(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /")
        assert b"" == b"".join(iter(lambda: connection.recv(65536), b"")).removeprefix(b"ok\n")


def test_half_a_request_ends_after_a_slow_handshake(tmp_path: Path) -> None:
    """After a slow TLS handshake a client has the same time for its request as any other."""
    authority = Authority(tmp_path, "authority")
    context, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(*authority.issue("server"))
    site = Site(context)
    site.server.start()
    slow, quick = site.open_half(b""), client.wrap_socket(site.open_half(b""), server_hostname="localhost")
    with quick:
        # Its end shows that the slow client's time for a request is over as well.
        assert b"" == quick.recv(1)
    with client.wrap_socket(slow, server_hostname="localhost") as late:
        late.sendall(b"GET /")
        assert b"" == late.recv(1)
    site.server.stop(5)


def test_a_stalled_handshake_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS handshake that never ends is closed after its time, and delays no scrape until then."""
    monkeypatch.setattr(connections, "HANDSHAKE_TIMEOUT", 0.5)
    authority = Authority(tmp_path, "authority")
    context, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(*authority.issue("server"))
    site = Site(context)
    site.server.start()
    stalled = [site.open_half(data) for data in (b"", b"\x16\x03\x01\x02\x00\x01")]
    with client.wrap_socket(site.open_half(b""), server_hostname="localhost") as quick:
        quick.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        assert quick.recv(65536).startswith(b"HTTP/1.1 200")
    for connection in stalled:
        with connection:
            assert b"" == connection.recv(1)
    site.server.stop(5)


def tls_site(folder: Path) -> tuple[Site, ssl.SSLContext]:
    """Start a site with TLS; return it and a client that trusts it."""
    authority = Authority(folder, "authority")
    context, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(*authority.issue("server"))
    site = Site(context, request_timeout=30)
    site.server.start()
    return site, client


def is_open(client: socket.socket) -> bool:
    """Return whether the server has not closed a connection on which it sends nothing."""
    client.setblocking(False)  # noqa: FBT003 -- as in C
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_half_handshakes_are_bounded(tmp_path: Path) -> None:
    """Of a thousand clients that only start a handshake few stay open, with little memory, and others are served."""
    site, client = tls_site(tmp_path)
    before = psutil.Process().memory_info().rss
    with ExitStack() as open_ones:
        halves = []
        for number in range(1000):
            halves.append(open_ones.enter_context(site.open_half(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")))
            if number % 100 == 0:
                with client.wrap_socket(site.open_half(b""), server_hostname="localhost") as quick:
                    quick.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert quick.recv(65536).startswith(b"HTTP/1.1 200")
        eventually(lambda: sum(map(is_open, halves)) <= MAX_HANDSHAKES)
        assert psutil.Process().memory_info().rss - before < 50 * 2**20
    site.server.stop(5)


def test_a_flood_of_half_handshakes_leaves_those_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the server closes the oldest handshake of the address that has the most."""
    monkeypatch.setattr(connections, "MAX_HANDSHAKES", 5)
    site, _ = tls_site(tmp_path)
    with ExitStack() as open_ones:
        slow = socket.create_connection(("127.0.0.1", site.port), timeout=10, source_address=("127.0.0.2", 0))
        open_ones.enter_context(slow)
        flood = [open_ones.enter_context(site.open_half(b"")) for _ in range(20)]
        eventually(lambda: sum(map(is_open, flood)) == 4)
        assert all(map(is_open, [slow, *flood[-4:]]))
    site.server.stop(5)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_closed_connections_leave_nothing(site: Site, reset: bool) -> None:  # noqa: FBT001 -- a parameter
    """A closed connection is freed at once; no timer and no reference cycle keeps it."""
    site = Site(request_timeout=3600)
    site.server.start()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            with site.open_half(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n") as client:
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                assert client.recv(65536).startswith(b"HTTP/1.1 200")
        eventually(lambda: site.connections == 0)
        eventually(lambda: site.kept == 0, 10)
    finally:
        gc.enable()
        site.server.stop(5)


@pytest.mark.parametrize("ending", ["half", "whole", "wrong"])
def test_tls_connections_leave_nothing(tmp_path: Path, ending: str) -> None:
    """A TLS connection is freed without the garbage collector, even if its handshake failed or was abandoned."""
    site, trusting = tls_site(tmp_path)
    wrong = ssl.create_default_context()
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            with (
                contextlib.suppress(OSError),
                site.open_half(b"\x16\x03\x01\x02" if ending == "half" else b"") as client,
            ):
                if ending != "half":
                    context = trusting if ending == "whole" else wrong
                    with context.wrap_socket(client, server_hostname="localhost") as secure:
                        secure.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
                        assert secure.recv(65536).startswith(b"HTTP/1.1 200")
        eventually(lambda: site.kept == 0, 10)
    finally:
        gc.enable()
        site.server.stop(5)


def test_an_upgrade_is_refused_quietly(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket request receives a plain HTTP response, after which the connection ends, and nothing is logged."""
    head = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with site.open_half(
        head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ) as one:
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer.lower()
    assert [] == caplog.records


def test_an_answer_that_is_not_read_is_given_up(site: Site) -> None:
    """A client that sends requests and reads nothing is disconnected, and its unsent data is dropped."""
    request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    with site.open_half(request * 100):
        eventually(lambda: site.entered.acquire(timeout=5))
        eventually(lambda: site.connections == 0)
    assert 200 == site.get("/-/healthy")[0]


def test_a_client_that_reads_slowly_gets_its_answer(site: Site) -> None:
    """A client that reads slowly, within the allowed time, receives the whole body."""
    with site.open_half(b"GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n") as slow:
        pieces = list(iter(lambda: slow.recv(1000), b""))
    assert b"".join(pieces).endswith(BODY)


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the connection that was idle for longest is closed, and none that waits for its response."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    site = Site(request_timeout=30)
    site.server.start()
    site.release.clear()
    with ExitStack() as open_ones:
        busy = open_ones.enter_context(site.open_half(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert site.entered.acquire(timeout=10)
        idle = [open_ones.enter_context(site.open_half(b"")) for _ in range(10)]
        with contextlib.suppress(ConnectionResetError):
            assert [b""] * 8 == [gone.recv(1) for gone in idle[:8]]
        eventually(lambda: site.connections == 3)
        assert 200 == site.get("/-/healthy")[0]
        site.release.set()
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")
    eventually(lambda: site.connections == 0)
    site.server.stop(5)


def test_a_burst_waits_to_be_accepted(site: Site) -> None:
    """Hundreds of simultaneous connections wait while the server is busy, and none has to be retried a second later."""
    busy = threading.Event()
    with ExitStack() as open_ones:
        open_ones.enter_context(site.open_half(b""))
        eventually(lambda: site.connections == 1)
        (connection,) = site.server._server.server_state.connections
        connection.loop.call_soon_threadsafe(busy.wait, 10)
        for _ in range(400):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=0.9))
        busy.set()
    assert 200 == site.get("/-/healthy")[0]


def test_stuck_scrapes_do_not_block_health(site: Site) -> None:
    """Health and the status page respond while every scrape thread hangs."""
    site.release.clear()
    with ThreadPoolExecutor(20) as clients:
        # Scrapes with the same headers could share a response.
        scrapes = [clients.submit(site.get, "/metrics", accept=f"text/{number}") for number in range(20)]
        for _ in range(8):
            assert site.entered.acquire(timeout=10)
        assert [200, 200, 200] == [site.get(path)[0] for path in ("/-/healthy", "/-/ready", "/")]
        site.release.set()
        assert [200] * 20 == [scrape.result()[0] for scrape in scrapes]


def test_stop_while_requests_hang(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Within its timeout the stop ends a stuck scrape, a half-sent request and an idle client."""
    site.release.clear()
    half, idle = site.open_half(b"GET /metr"), site.open_half(b"")
    with ThreadPoolExecutor(1) as clients:
        scrape = clients.submit(site.get, "/metrics")
        assert site.entered.acquire(timeout=10)
        assert site.server.stop(1.5)
        assert 503 == scrape.result()[0]
        site.release.set()
    assert (b"", b"") == (half.recv(1), idle.recv(1))
    half.close()
    idle.close()
    assert [] == [record for record in caplog.records if record.exc_info]
    with pytest.raises(ConnectionRefusedError):
        site.get("/metrics")


def test_stop_lets_a_scrape_end(site: Site) -> None:
    """A scrape that is nearly done at the stop receives its response."""
    site.release.clear()
    with ThreadPoolExecutor(2) as pool:
        scrape = pool.submit(site.get, "/metrics")
        assert site.entered.acquire(timeout=10)
        stop = pool.submit(site.server.stop, 10)
        site.release.set()
        assert (200, BODY) == scrape.result()[:2]
        assert stop.result()


def test_stop_twice_and_before_start() -> None:
    """Stopping a server that never ran, or ran and ended, raises no error and frees the port."""
    site = Site()
    assert [True, True] == [site.server.stop(1), site.server.stop(1)]
    bind(f"127.0.0.1:{site.port}").close()


def test_uvicorn_prints_nothing(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """For an invalid request only the program's own logging writes to the terminal."""
    handlers, logging.root.handlers = logging.root.handlers, []
    try:
        with site.open_half(b"\x16\x03\x01 this is no HTTP\r\n\r\n") as client:
            assert client.recv(65536).startswith(b"HTTP/1.1 400")
        site.get("/metrics")
    finally:
        logging.root.handlers = handlers
    assert ("", "") == tuple(capfd.readouterr())
