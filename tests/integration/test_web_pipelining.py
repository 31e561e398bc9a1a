# SPDX-License-Identifier: Apache-2.0
"""Clients that send requests without waiting for responses (HTTP pipelining)."""

import asyncio
import contextlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bcrypt
import psutil
import pytest
from starlette.types import Receive, Scope, Send

from celery_redis_exporter.web.connections import MAX_PIPELINED
from celery_redis_exporter.web.listeners import bind
from celery_redis_exporter.web.server import WebServer
from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

REQUESTS = 2_000
FLOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (512 * 1024 // 27)
MEMORY = 100 * 2**20


class Site:
    """A server that responds with the path and the number of bytes of each request, once ``released``."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        context = None
        self._client: ssl.SSLContext | None = None
        if tls:
            authority = Authority(folder, "authority")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("server"))
            self._client = ssl.create_default_context(cafile=authority.certificate)
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        listener = bind("127.0.0.1:0")
        self._port: int = listener.getsockname()[1]
        self.server = WebServer([listener], self._answer, context)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self.server.stop(5)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered.release()
        await asyncio.to_thread(self.released.wait, 20)
        await receive()
        body = scope["path"].encode()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    def connect(self) -> socket.socket:
        """Open a connection."""
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        return self._client.wrap_socket(plain, server_hostname="localhost") if self._client else plain

    @property
    def queued(self) -> int:
        """Return the number of parsed requests that wait for the responses of earlier ones."""
        connections: set[Any] = self.server._server.server_state.connections
        return sum(len(connection.pipeline) for connection in connections)


@pytest.fixture(params=[False, True], ids=["http", "https"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Yield a running server."""
    with Site(tmp_path, tls=request.param) as site:
        yield site


def paths(replies: bytes) -> list[int]:
    """Return the numbers that the responses contain, in order."""
    return [int(reply.rpartition(b"/")[2]) for reply in replies.split(b"HTTP/1.1 200 OK\r\n")[1:]]


def exchange(client: socket.socket, requests: bytes, replies: bytearray) -> None:
    """Send requests and collect the replies until all are there, or none comes for 20 s.

    One thread does both, because OpenSSL does not allow two threads to use one connection.
    """
    client.setblocking(False)  # noqa: FBT003 -- as in C
    later = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    rest = memoryview(requests)
    while replies.count(b"/") < 2 * REQUESTS:  # HTTP/1.1, and a path
        if not any(select.select([client], [client] if rest else [], [], 20)):
            return
        with contextlib.suppress(*later):
            if rest:
                rest = rest[client.send(rest[:16_384]) :]
        with contextlib.suppress(*later):
            while received := client.recv(65536):
                replies += received
            return  # The connection was closed.


@pytest.mark.parametrize("body", [b"", b"GET /-1\n" * 20], ids=["without a body", "with a body"])
def test_few_requests_of_a_connection_are_queued(site: Site, body: bytes) -> None:
    """A few of many requests are parsed before the first response, and all receive a response, in order."""
    head = b"Host: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    requests = b"".join(b"GET /%d HTTP/1.1\r\n" % number + head + body for number in range(REQUESTS))
    replies = bytearray()
    with site.connect() as client:
        exchanging = threading.Thread(target=exchange, args=(client, requests, replies), daemon=True)
        exchanging.start()
        assert site.entered.acquire(timeout=20)
        eventually(lambda: site.queued >= MAX_PIPELINED)
        assert MAX_PIPELINED == site.queued
        site.released.set()
        exchanging.join(60)
    assert list(range(REQUESTS)) == paths(bytes(replies))


def flood(exporter_port: int, ending: ExitStack) -> list[socket.socket]:
    """Open connections and send requests as long as the server accepts them, without reading a response."""
    clients = []
    for _ in range(20):
        client = ending.enter_context(socket.create_connection(("127.0.0.1", exporter_port), timeout=20))
        client.setblocking(False)  # noqa: FBT003 -- as in C
        with contextlib.suppress(BlockingIOError):
            rest = memoryview(FLOOD)
            while rest:
                rest = rest[client.send(rest) :]
        clients.append(client)
    return clients


@pytest.mark.parametrize("protected", [False, True], ids=["open", "no password"])
def test_unread_answers_cost_little_memory(programs: Programs, protected: bool) -> None:  # noqa: FBT001 -- a parameter
    """Twenty clients that each send half a megabyte of requests and read nothing affect neither memory nor health."""
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    file = programs.folder / "web.yml"
    file.write_text(json.dumps({"basic_auth_users": {"alice": hashed}} if protected else {}), encoding="utf-8")
    broker = f"redis://127.0.0.1:{free_port()}/0"
    exporter = programs.exporter("--broker-url", broker, "--web.config.file", str(file), "--web.open-health")
    process = psutil.Process(exporter.process.pid)
    assert 200 == exporter.get("/-/healthy").status
    before = process.memory_info().rss
    with ExitStack() as ending:
        clients = flood(exporter.port, ending)
        eventually(lambda: len(select.select(clients, [], [], 1)[0]) == len(clients))
        for _ in range(5):
            assert 200 == exporter.get("/-/healthy").status
        assert process.memory_info().rss - before < MEMORY
    assert 200 == exporter.get("/-/healthy").status
