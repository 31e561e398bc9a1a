"""A listening socket and an application in, an HTTP server in a thread of its own out.

``bind`` opens the socket. Never logs a request, never installs a signal handler, never waits for a client: see
``web/connections.py``.
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
from uvicorn.server import Server

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.web.connections import REQUEST_TIMEOUT, Connection, ConnectionLimit, TlsConnection

BACKLOG = 128
"""Connections that wait to be accepted; asyncio accepts so many at once, before it closes any."""
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: past the usual scrape intervals, so that they share one."""
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
        self._limit = ConnectionLimit(request_timeout)
        config = Config(
            app,
            http=cast("Any", partial(Connection, self._limit)),  # uvicorn only ever calls it
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
            backlog=BACKLOG,
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
        with asyncio.Runner(loop_factory=partial(_Loop, self._limit)) as runner:
            runner.run(self._server.serve(sockets=[self._listener]))


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose servers count TLS connections from the moment they are accepted; asyncio would count none."""

    def __init__(self, limit: ConnectionLimit) -> None:
        super().__init__()
        self._limit = limit

    async def create_server(self, protocol_factory: Any, *arguments: Any, ssl: Any = None, **keywords: Any) -> Any:  # noqa: ANN401 -- uvicorn's arguments, handed through
        """Listen, as asyncio does."""
        factory = protocol_factory if ssl is None else partial(TlsConnection, self._limit, self, protocol_factory, ssl)
        return await super().create_server(factory, *arguments, **keywords)


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
