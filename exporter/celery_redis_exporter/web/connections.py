# SPDX-License-Identifier: Apache-2.0
"""Limit what a client's connection can cost, whatever the client sends or does not read.

Input: accepted sockets. Output: requests to uvicorn. A client that sends half a request costs a file descriptor and
about ``MAX_HEAD_BYTES`` until ``REQUEST_TIMEOUT``, and no thread. One that never completes its TLS handshake costs the
same until ``HANDSHAKE_TIMEOUT``. One that does not read its response costs the memory of that response, for at most
twice ``REQUEST_TIMEOUT``. Nothing is logged.
"""

import asyncio
import re
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from celery_redis_exporter.web.bodies import GIVE_UP, PIECE_BYTES

REQUEST_TIMEOUT = 30.0
"""Seconds in which a client must complete a request that it began, or its first request after connecting."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake, and again for the TLS shutdown. asyncio would wait 60 and 30 seconds."""
MAX_HANDSHAKES = 256
"""Number of TLS handshakes at the same time."""
TLS_BYTES = 16 * 1024
"""Bytes read from a TLS connection at once: the longest record. asyncio would keep 256 kB for each connection."""
MAX_CONNECTIONS = 256
"""Number of open connections after the handshake. One more closes the connection that was idle for longest."""
MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request up to the empty line. The parser itself has no limit."""
MAX_PIPELINED = 8
"""Requests of a connection that wait for earlier responses. Reading pauses until there are fewer."""
READ_BYTES = 4096
"""Bytes read from a connection at once, and so the most that it keeps unparsed. asyncio would read 256 kB."""
_EMPTY_LINE = re.compile(rb"\A\r?\n|\n\r?\n").search
"""The end of a request's head, which a read may begin with."""


class ConnectionLimit:
    """Limits the open connections and orders them by when they were last busy; in one event loop.

    TLS handshakes have a separate limit, so that incomplete ones take no place from connections in use.
    """

    def __init__(self, request_timeout: float) -> None:
        self.request_timeout = request_timeout
        self.buffer = bytearray(READ_BYTES)  # shared by all connections: its content is parsed before the next read
        self._open: dict[Connection, None] = {}
        self._handshakes: dict[object, tuple[str, asyncio.Transport]] = {}  # by socket: address, transport below TLS

    def begin_handshake(self, transport: asyncio.Transport) -> None:
        """Add a handshake. If there are too many, abort the oldest one of the address that has the most."""
        address = (transport.get_extra_info("peername") or ("",))[0]
        self._handshakes[transport.get_extra_info("socket")] = address, transport
        if len(self._handshakes) > MAX_HANDSHAKES:
            ((most, _),) = Counter(address for address, _ in self._handshakes.values()).most_common(1)
            oldest = next(transport for address, transport in self._handshakes.values() if address == most)
            self.end_handshake(oldest)
            oldest.abort()

    def end_handshake(self, transport: asyncio.Transport) -> None:
        """Remove a handshake that succeeded or failed. ``transport`` may be the one above TLS or the one below."""
        self._handshakes.pop(transport.get_extra_info("socket"), None)

    def enter(self, protocol: "Connection") -> None:
        """Add a connection, or record that it was busy. If there are too many, close the oldest idle one."""
        self._open.pop(protocol, None)
        self._open[protocol] = None
        if len(self._open) > MAX_CONNECTIONS:
            idle = next((one for one in self._open if not one.is_answering), protocol)
            self.leave(idle)
            idle.transport.abort()

    def leave(self, protocol: "Connection") -> None:
        """Remove a connection."""
        self._open.pop(protocol, None)


class _Flow(FlowControl):
    """The flow control of a connection. While it is ``held``, uvicorn does not resume reading after each response."""

    held = False

    def hold(self) -> None:
        """Pause reading until ``release``, because parsed requests wait."""
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        """Resume reading."""
        self.held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless parsed requests wait."""
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection with bounded memory. Under TLS it begins at the end of the handshake.

    The parser is httptools, written in C: a request costs a third of what it costs with h11, which is written in
    Python. httptools parses all requests in its input, and each of them becomes objects of about 4 kB. So it receives
    one head at a time, and nothing while ``MAX_PIPELINED`` requests wait.
    """

    def __init__(self, limit: ConnectionLimit, **arguments: Any) -> None:  # noqa: ANN401 -- uvicorn's own arguments, handed through
        super().__init__(**arguments)
        self._limit = limit
        self._head_bytes = 0
        self._unparsed = b""
        self.watch: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Return whether a request has arrived that is not answered yet."""
        request: Any = self.cycle  # None before the first request, in spite of the annotation
        return request is not None and not request.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start to wait for a request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=PIECE_BYTES)
        self.flow: _Flow = _Flow(transport)
        self._limit.end_handshake(transport)
        admits = getattr(transport.get_extra_info("sslcontext"), "admits", None)
        if admits is not None and not admits(transport.get_extra_info("peercert")):
            transport.abort()
        self._limit.enter(self)
        self.watch = self.loop.call_later(self._limit.request_timeout, self._close_if_stalled, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection and cancel its timers. Each timer would keep it in memory until it fires."""
        super().connection_lost(exc)
        self._limit.leave(self)
        for timer in (self.watch, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    def discard_parser(self) -> None:
        """Free the parser. uvicorn does so at the end of a connection, but not if the connection never began."""
        self.parser: Any = None

    def get_buffer(self, _sizehint: int) -> bytearray:
        """Return the buffer to read into."""
        return self._limit.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, up to the limit of waiting requests."""
        self._unparsed += self._limit.buffer[:nbytes]
        self._parse()

    def on_response_complete(self) -> None:
        """Start the next response, and continue parsing."""
        super().on_response_complete()
        self._parse()

    def _parse(self) -> None:
        """Parse head by head until too many requests wait, or the head of a request is too long."""
        while self._unparsed and not self.transport.is_closing():
            if len(self.pipeline) >= MAX_PIPELINED:
                self.flow.hold()
                return
            found = _EMPTY_LINE(self._unparsed)
            end = found.end() if found else len(self._unparsed)
            head, self._unparsed = self._unparsed[:end], self._unparsed[end:]
            self._head_bytes += len(head)
            self.data_received(head)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("the head of the request is too long")
        self.flow.release()

    def on_headers_complete(self) -> None:
        """Start to answer: the head was short enough."""
        cast("dict[str, Any]", self.scope)[GIVE_UP] = self.transport.abort
        super().on_headers_complete()
        self._head_bytes = 0
        self._limit.enter(self)

    def on_body(self, _body: bytes) -> None:
        """Drop the body, because no path uses one."""
        self._head_bytes = 0

    def _unsupported_upgrade_warning(self) -> None:
        """Close after the response. uvicorn would log lines that name packages to install."""
        self.cycle.keep_alive = False

    def _close_if_stalled(self, last_request: object) -> None:
        """Close if a request is still incomplete or a response still unread since the last check.

        uvicorn times idle connections between requests only, and stops that timer at the first byte of a request.
        Closing an asyncio transport waits without limit for the client to read the rest, so unread responses are
        aborted.
        """
        request = self.cycle
        is_old = request is last_request
        if is_old and self.transport.get_write_buffer_size():
            self.transport.abort()
        elif is_old and not self.is_answering and self.timeout_keep_alive_task is None:
            self.transport.close()
        else:
            self.watch = self.loop.call_later(self._limit.request_timeout, self._close_if_stalled, request)


class TlsConnection(SSLProtocol):
    """TLS between a socket and a Connection. It is limited from the moment when the socket was accepted."""

    max_size = TLS_BYTES

    def __init__(
        self,
        limit: ConnectionLimit,
        loop: asyncio.AbstractEventLoop,
        inside: Callable[[], Connection],
        context: SSLContext,
    ) -> None:
        self._limit = limit
        self._below: asyncio.Transport | None = None
        waiter: Any = None  # a future for the end of the handshake, which is not needed
        seconds: Any = HANDSHAKE_TIMEOUT  # fractions are accepted, in spite of the annotation
        timeouts = {"ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": seconds}
        super().__init__(loop, inside(), context, waiter, server_side=True, **timeouts)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the handshake and begin it."""
        self._below = cast("asyncio.Transport", transport)
        self._limit.begin_handshake(self._below)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the handshake, if it has not ended yet, and everything that would need the garbage collector.

        The collector hardly ever looks at objects that lived for a while (see ``daemon.tuning``).
        """
        if self._below is not None:
            self._limit.end_handshake(self._below)
        inside = cast("Connection", self._app_protocol)
        super().connection_lost(exc)
        inside.discard_parser()
        self._app_protocol_get_buffer = self._app_protocol_buffer_updated = None

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        """End the connection after an error, whose frames refer to it."""
        super()._fatal_error(exc, message)
        exc.with_traceback(None)
