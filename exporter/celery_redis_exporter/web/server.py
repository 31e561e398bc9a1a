# SPDX-License-Identifier: Apache-2.0
"""Run the HTTP server in a dedicated thread.

Input: listening sockets and an application. Requests are never logged, no signal handler is installed, and the server
never waits for a client: see ``web/connections.py``.
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
from celery_redis_exporter.web.listeners import BACKLOG, QUEUE

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than usual scrape intervals, so that scrapes reuse it."""
_SHUTDOWN_STEPS = 0.5  # seconds that uvicorn needs besides waiting for requests: two waits of 0.1, and closing


class WebServer:
    """Serves ``app`` on ``listeners`` (bound and listening), from ``start`` to ``stop``. Can be used once.

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
            http=cast("Any", partial(Connection, self._limit)),  # uvicorn only calls it
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
        # load() overwrites ``ssl``, so it runs before the context is set. Only new versions take a context as an
        # argument.
        config.load()
        config.ssl = tls
        self._server = Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Start the thread. Clients that connected earlier wait in the socket's queue."""
        # Without a handler on this logger or the root logger, Python would print the warnings to stderr.
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop listening, wait for requests to end, and cut off those that don't.

        Return True if all that took at most ``timeout`` seconds.
        """
        if not self._thread.is_alive():
            for listener in self._listeners:
                listener.close()
            return True
        # uvicorn passes the value to asyncio, which accepts fractions; only the annotation is int.
        self._server.config.timeout_graceful_shutdown = cast("int", max(0.0, timeout - _SHUTDOWN_STEPS))
        self._server.should_exit = True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=partial(_Loop, self._limit)) as runner:
            runner.run(self._server.serve(sockets=self._listeners))


class _Loop(asyncio.SelectorEventLoop):
    """A loop whose servers limit TLS connections from the moment they are accepted. asyncio would not count them."""

    def __init__(self, limit: ConnectionLimit) -> None:
        super().__init__()
        self._limit = limit

    async def create_server(self, protocol_factory: Any, *arguments: Any, ssl: Any = None, **keywords: Any) -> Any:  # noqa: ANN401 -- of uvicorn
        """Listen, as asyncio does."""
        factory = protocol_factory if ssl is None else partial(TlsConnection, self._limit, self, protocol_factory, ssl)
        server = await super().create_server(factory, *arguments, **keywords)
        keywords["sock"].listen(QUEUE)  # asyncio has one number for this and for how many it accepts at once.
        return server
