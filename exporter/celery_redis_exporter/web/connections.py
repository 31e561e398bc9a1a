"""Connections of the web server: what a client can cost, whatever it sends or does not read.

Takes sockets that were accepted, gives requests to uvicorn. A client that sends half a request costs a file descriptor
until ``REQUEST_TIMEOUT`` and about ``MAX_HEAD_BYTES``, and no thread. One that never ends its TLS handshake costs the
same until ``HANDSHAKE_TIMEOUT``, and one that does not read its answer that answer, for twice ``REQUEST_TIMEOUT`` at
most. Never logs anything.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections import Counter
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from celery_redis_exporter.web.bodies import GIVE_UP, PIECE_BYTES

REQUEST_TIMEOUT = 30.0
"""Seconds in which a client must have sent a request that it began (or the first one, after connecting)."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake, and again for its farewell; asyncio would wait for 60 and 30."""
MAX_HANDSHAKES = 256
"""Of TLS, at once."""
TLS_BYTES = 16 * 1024
"""Read of a TLS connection at once, the longest record; asyncio would keep 256 kB for each connection."""
MAX_CONNECTIONS = 256
"""Open at once, after the handshake; beyond them the one goes that was idle for longest."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a request, up to the empty line; the parser itself knows no limit."""
MAX_PIPELINED = 8
"""Requests of a connection that wait for the answers of earlier ones; reading pauses until there are fewer."""
READ_BYTES = 4096
"""Read of a connection at once, and so the most that it keeps unparsed; asyncio would read 256 kB."""


class ConnectionLimit:
    """Limits the open connections, which it keeps in the order in which they were last busy; in one event loop.

    Handshakes of TLS are limited apart, so that half ones take no place from connections that are in use.
    """

    def __init__(self, request_timeout: float) -> None:
        self.request_timeout = request_timeout
        self.buffer = bytearray(READ_BYTES)  # of all connections: what was read is taken out before the next read
        self._open: dict[Connection, None] = {}
        self._handshakes: dict[object, tuple[str, asyncio.Transport]] = {}  # by socket: address, and what is below TLS

    def begin_handshake(self, transport: asyncio.Transport) -> None:
        """Add a handshake; if there are too many, the oldest one goes of the address that has most."""
        address = (transport.get_extra_info("peername") or ("",))[0]
        self._handshakes[transport.get_extra_info("socket")] = address, transport
        if len(self._handshakes) > MAX_HANDSHAKES:
            ((most, _),) = Counter(address for address, _ in self._handshakes.values()).most_common(1)
            oldest = next(transport for address, transport in self._handshakes.values() if address == most)
            self.end_handshake(oldest)
            oldest.abort()

    def end_handshake(self, transport: asyncio.Transport) -> None:
        """Forget a handshake, which succeeded or not; ``transport`` may be the one above TLS or the one below."""
        self._handshakes.pop(transport.get_extra_info("socket"), None)

    def enter(self, protocol: "Connection") -> None:
        """Add a connection, or note that it was busy; an idle one is closed if there are too many."""
        self._open.pop(protocol, None)
        self._open[protocol] = None
        if len(self._open) > MAX_CONNECTIONS:
            idle = next((one for one in self._open if not one.is_answering), protocol)
            self.leave(idle)
            idle.transport.abort()

    def leave(self, protocol: "Connection") -> None:
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


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection, under TLS from the end of the handshake on, which can't hoard.

    httptools is a parser in C: a request costs it a third of what h11, written in Python, takes. It parses all requests
    in what it is given, and each becomes objects of about 4 kB. So it is given a line at a time, and none while
    ``MAX_PIPELINED`` requests wait.
    """

    def __init__(self, limit: ConnectionLimit, **arguments: Any) -> None:  # noqa: ANN401 -- uvicorn's own arguments, handed through
        super().__init__(**arguments)
        self._limit = limit
        self._head_bytes = 0
        self._unparsed = b""
        self.watch: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether a request came that is not answered yet."""
        request: Any = self.cycle  # None until the first, whatever its annotation says
        return request is not None and not request.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for a request."""
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
        """Forget the connection, and end its timers: each would keep it in memory for as long as it runs."""
        super().connection_lost(exc)
        self._limit.leave(self)
        for timer in (self.watch, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

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
        cast("dict[str, Any]", self.scope)[GIVE_UP] = self.transport.abort
        super().on_headers_complete()
        self._head_bytes = 0
        self._limit.enter(self)

    def on_body(self, _body: bytes) -> None:
        """Drop it: no path takes one."""
        self._head_bytes = 0

    def _unsupported_upgrade_warning(self) -> None:
        """Close after the answer, in the place of uvicorn's lines that name packages to install."""
        self.cycle.keep_alive = False

    def _close_if_stalled(self, last_request: object) -> None:
        """Close if a request was begun and not finished since the last look, or an answer not read.

        uvicorn times idle connections only between requests, and stops that timer at the first byte of one. Closing
        waits for what was not read yet, without end.
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
    """TLS between a socket and a Connection, which is limited from the moment it was accepted."""

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
        waiter: Any = None  # for the end of the handshake; none is needed
        seconds: Any = HANDSHAKE_TIMEOUT  # fractions are right, whatever the annotation says
        timeouts = {"ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": seconds}
        super().__init__(loop, inside(), context, waiter, server_side=True, **timeouts)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._below = cast("asyncio.Transport", transport)
        self._limit.begin_handshake(self._below)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        if self._below is not None:
            self._limit.end_handshake(self._below)
        super().connection_lost(exc)
