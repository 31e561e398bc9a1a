"""Listening sockets and an application in, an HTTP server in a thread of its own out.

Never logs a request, never installs a signal handler, never waits for a client: see
``web/connections.py``.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import Server

from celery_redis_exporter.web.connections import REQUEST_TIMEOUT, Connection, ConnectionLimit, TlsConnection
from celery_redis_exporter.web.listeners import BACKLOG

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: past the usual scrape intervals, so that they share one."""
_SHUTDOWN_STEPS = 0.5  # seconds that uvicorn needs besides waiting for requests: two waits of 0.1, and closing


class WebServer:
    """Serves ``app`` on ``listeners`` (bound and listening), from ``start`` to ``stop``; usable once.

    ``tls`` makes it HTTPS. ``request_timeout`` is in seconds, see ``REQUEST_TIMEOUT``.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        app: ASGIApp,
        tls: ssl.SSLContext | None = None,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self._listeners = list(listeners)
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
            for listener in self._listeners:
                listener.close()
            return True
        # uvicorn hands the value to asyncio, which takes fractions; only the annotation says int.
        self._server.config.timeout_graceful_shutdown = cast("int", max(0.0, timeout - _SHUTDOWN_STEPS))
        self._server.should_exit = True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=partial(_Loop, self._limit)) as runner:
            runner.run(self._server.serve(sockets=self._listeners))


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose servers count TLS connections from the moment they are accepted; asyncio would count none."""

    def __init__(self, limit: ConnectionLimit) -> None:
        super().__init__()
        self._limit = limit

    async def create_server(self, protocol_factory: Any, *arguments: Any, ssl: Any = None, **keywords: Any) -> Any:  # noqa: ANN401 -- uvicorn's arguments, handed through
        """Listen, as asyncio does."""
        factory = protocol_factory if ssl is None else partial(TlsConnection, self._limit, self, protocol_factory, ssl)
        return await super().create_server(factory, *arguments, **keywords)
