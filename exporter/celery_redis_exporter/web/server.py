"""A listening socket and an application in, an HTTP server in a thread of its own out.

``bind`` opens the socket. Never logs a request, never installs a signal handler, never waits for a client: one that
sends half a request costs a file descriptor until ``REQUEST_TIMEOUT`` and about ``MAX_HEAD_BYTES``, and no thread.
One that never ends its TLS handshake costs the same until ``HANDSHAKE_TIMEOUT``, and one that does not read its answer
that answer, for twice ``REQUEST_TIMEOUT`` at most.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
import threading
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from celery_redis_exporter.errors import ConfigError

BACKLOG = 256
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: past the usual scrape intervals, so that they share one."""
REQUEST_TIMEOUT = 30.0
"""Seconds in which a client must have sent a request that it began (or the first one, after connecting)."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake, and again for its farewell; asyncio would wait for 60 and 30."""
MAX_CONNECTIONS = 256
"""Open at once (under TLS, after the handshake); beyond them the one goes that was idle for longest."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a request, up to the empty line; the parser itself knows no limit."""
MAX_PIPELINED = 8
"""Requests of a connection that wait for the answers of earlier ones; reading pauses until there are fewer."""
READ_BYTES = 4096
"""Read of a connection at once, and so the most that it keeps unparsed; asyncio would read 256 kB."""
_SHUTDOWN_STEPS = 0.5  # seconds that uvicorn needs besides waiting for requests: two waits of 0.1, and closing


def bind(listen_address: str) -> socket.socket:
    """Listen on HOST:PORT, e.g. ``:9808``, ``127.0.0.1:0``, ``[::1]:9808``, ``localhost:9808``.

    Without a host, or with ``[::]``, IPv6 and IPv4 are both accepted where the machine has both. A name that has
    several addresses stands for one of them, an IPv4 one if there is any, as in every exporter written in Go.
    Raises ConfigError, in one line, for what is no address or can't be listened on.
    """
    host, port = _split(listen_address)
    try:
        if host in {"", "::"}:
            listener = _bind_wildcard(port)
        else:
            family, address = _resolve(host, port)
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"web.listen-address {listen_address}: {_cause(error)}; choose another with --web.listen-address"
        ) from error
    # Inherited by connections. asyncio sets it only where the socket tells its protocol, which accepted ones do not:
    # without it a short body waits some 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class WebServer:
    """Serves ``app`` on ``listener`` (bound and listening), from ``start`` to ``stop``; usable once.

    ``tls`` makes it HTTPS. ``request_timeout`` is in seconds, see ``REQUEST_TIMEOUT``.
    """

    def __init__(
        self,
        listener: socket.socket,
        app: ASGIApp,
        tls: ssl.SSLContext | None = None,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self._listener = listener
        config = Config(
            app,
            http=cast("Any", partial(_Protocol, ConnectionLimit(request_timeout))),  # uvicorn only ever calls it
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        # Loaded here, because loading sets ``ssl``; a context of one's own is an argument in new versions only.
        config.load()
        config.ssl = tls
        self._server = Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Start the thread; clients that came before it wait in the socket's queue."""
        # Without a handler of its own or a root one, Python would print the warnings to stderr.
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop listening, let requests end, cut off those that don't; True if all that took at most ``timeout`` s."""
        if not self._thread.is_alive():
            self._listener.close()
            return True
        # uvicorn hands the value to asyncio, which takes fractions; only the annotation says int.
        self._server.config.timeout_graceful_shutdown = cast("int", max(0.0, timeout - _SHUTDOWN_STEPS))
        self._server.should_exit = True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._server.serve(sockets=[self._listener]))


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose servers wait for a TLS handshake no longer than they should; uvicorn can't be told to."""

    async def create_server(self, *arguments: Any, ssl: Any = None, **keywords: Any) -> asyncio.Server:  # noqa: ANN401 -- uvicorn's arguments, handed through
        """Listen, as asyncio does."""
        if ssl is not None:
            keywords |= {"ssl": ssl, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT}
            keywords |= {"ssl_shutdown_timeout": HANDSHAKE_TIMEOUT}
        return await super().create_server(*arguments, **keywords)


class ConnectionLimit:
    """Limits the open connections, which it keeps in the order in which they were last busy; in one event loop."""

    def __init__(self, request_timeout: float) -> None:
        self.request_timeout = request_timeout
        self.buffer = bytearray(READ_BYTES)  # of all connections: what was read is taken out before the next read
        self._open: dict[_Protocol, None] = {}

    def enter(self, protocol: "_Protocol") -> None:
        """Add a connection, or note that it was busy; an idle one is closed if there are too many."""
        self._open.pop(protocol, None)
        self._open[protocol] = None
        if len(self._open) > MAX_CONNECTIONS:
            idle = next((one for one in self._open if not one.is_answering), protocol)
            self.leave(idle)
            idle.transport.abort()

    def leave(self, protocol: "_Protocol") -> None:
        """Forget a connection."""
        self._open.pop(protocol, None)


class _Flow(FlowControl):
    """The flow control of a connection; while it is ``held``, uvicorn does not resume reading after each answer."""

    held = False

    def hold(self) -> None:
        """Pause reading until ``release``: parsed requests wait."""
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        """Resume reading."""
        self.held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Resume, unless parsed requests wait."""
        if not self.held:
            super().resume_reading()


class _Protocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection that is watched from its beginning (under TLS, from the end of the handshake) and can't hoard.

    httptools is a parser in C: a request costs it a third of what h11, written in Python, takes. It parses all requests
    in what it is given, and each becomes objects of about 4 kB. So it is given a line at a time, and none while
    ``MAX_PIPELINED`` requests wait.
    """

    def __init__(self, limit: ConnectionLimit, **arguments: Any) -> None:  # noqa: ANN401 -- uvicorn's own arguments, handed through
        super().__init__(**arguments)
        self._limit = limit
        self._head_bytes = 0
        self._unparsed = b""

    @property
    def is_answering(self) -> bool:
        """Whether a request came that is not answered yet."""
        request: Any = self.cycle  # None until the first, whatever its annotation says
        return request is not None and not request.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._limit.enter(self)
        self.loop.call_later(self._limit.request_timeout, _close_if_stalled, self, self._limit.request_timeout, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._limit.leave(self)

    def get_buffer(self, _sizehint: int) -> bytearray:
        """Return the buffer to read into."""
        return self._limit.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, as far as requests may wait."""
        self._unparsed += self._limit.buffer[:nbytes]
        self._parse()

    def on_response_complete(self) -> None:
        """Begin the next answer, and parse on."""
        super().on_response_complete()
        self._parse()

    def _parse(self) -> None:
        """Parse line by line until too many requests wait, or the head of a request has grown too long."""
        while self._unparsed and not self.transport.is_closing():
            if len(self.pipeline) >= MAX_PIPELINED:
                self.flow.hold()
                return
            line, end, self._unparsed = self._unparsed.partition(b"\n")
            self._head_bytes += len(line) + len(end)
            self.data_received(line + end)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("the head of the request is too long")
        self.flow.release()

    def on_headers_complete(self) -> None:
        """Begin to answer; the head was short enough."""
        super().on_headers_complete()
        self._head_bytes = 0
        self._limit.enter(self)

    def on_body(self, _body: bytes) -> None:
        """Drop it: no path takes one."""
        self._head_bytes = 0


def _close_if_stalled(protocol: _Protocol, request_timeout: float, last_request: object) -> None:
    """Close a connection on which a request was begun and not finished since the last look, or an answer not read.

    uvicorn times idle connections only between requests, and stops that timer at the first byte of one. Closing waits
    for what was not read yet, without end.
    """
    request = protocol.cycle
    if protocol not in protocol.connections:
        return
    is_old = request is last_request
    if is_old and protocol.transport.get_write_buffer_size():
        protocol.transport.abort()
    elif is_old and not protocol.is_answering and protocol.timeout_keep_alive_task is None:
        protocol.transport.close()
    else:
        protocol.loop.call_later(request_timeout, _close_if_stalled, protocol, request_timeout, request)


def _split(listen_address: str) -> tuple[str, int]:
    host, colon, port = listen_address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535
    if not colon or not is_port or (":" in host and not bracketed):
        raise ConfigError(
            f"web.listen-address {listen_address}: not HOST:PORT; write for example :9808, 127.0.0.1:9808 or [::1]:9808"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind_wildcard(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            # IPv6 is compiled in and switched off; a port that is in use must not be hidden by this.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return socket.create_server(("0.0.0.0", port), family=socket.AF_INET, backlog=BACKLOG)  # noqa: S104 -- all addresses is what :PORT asks for


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def _cause(error: OSError) -> str:
    # create_server() puts the address into strerror; a failed look-up has numbers of its own.
    text = error.strerror if isinstance(error, socket.gaierror) or error.errno is None else os.strerror(error.errno)
    return (text or str(error)).lower()
