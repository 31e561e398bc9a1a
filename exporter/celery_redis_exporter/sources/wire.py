# SPDX-License-Identifier: Apache-2.0
"""Read many replies at once from a Redis connection.

redis-py reads the URL and opens the socket (TCP, unix, TLS). The socket is then read here in bulk through hiredis,
which is several times cheaper than one reply at a time. RESP2 has the same reply shapes on every server. Sends only
AUTH and SELECT by itself, while opening, so that one deadline and the limits of the parser hold for them too.
"""

import contextlib
import math
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.errors import ConfigError, SourceError
from celery_redis_exporter.sources.reasons import reason_of
from celery_redis_exporter.sources.replies import ReplyParser

Command = tuple[str | bytes | int | float, ...]
LIBRARY_VERSION = redis.__version__
CLIENT_NAME = "celery-redis-exporter"
"""The name of the connections in CLIENT LIST."""
RECEIVE_BYTES = 128 * 1024
LONGEST_TEXT = 200
"""The maximum number of characters kept of a server's error message."""
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""The exceptions of a non-blocking socket that has to be tried again later."""
_ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""The exceptions of OpenSSL on a connection that the server closed, with or without a close message."""
_ONE_ARGUMENT = "ERR wrong number of arguments"
"""The answer of Redis before 6, which has no users, to AUTH with a user."""
_CLOCK = SystemClock()

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (ConnectionRefusedError, "refused"),
    (FileNotFoundError, "refused"),
    (TimeoutError, "timeout"),
    (redis.TimeoutError, "timeout"),
)


def source_error(error: BaseException) -> SourceError:
    """Turn an error of redis-py or of the socket, or its cause, into a SourceError with its reason."""
    link: BaseException | None = error
    while link is not None:
        for kind, reason in _REASONS:
            if isinstance(link, kind):
                return SourceError(reason, _shown(str(error)))
        link = link.__cause__ or link.__context__
    return SourceError("closed", _shown(str(error)) or type(error).__name__)


def _shown(text: str) -> str:
    """Remove the arguments of an unknown command, which Redis repeats in its error: those of AUTH are secrets."""
    return text.partition(", with args beginning with")[0][:LONGEST_TEXT]


def pack(commands: Iterable[Command]) -> bytes:
    """Return the bytes that request the commands, in their order."""
    return b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]  # its stub takes 1-tuples only


Credentials = Callable[[], tuple[str, str]]
"""Returns the current user and password. Raises ConfigError if they can't be read."""


class Master(Protocol):
    """Finds the current address of a server: ``sources.sentinel.MasterFinder``."""

    def locate(self) -> tuple[str, int]:
        """Return the host and port of the server. Raises SourceError."""

    def follow(self, wire: "Wire", address: tuple[str, int]) -> None:
        """Close a connection as soon as the server no longer has its address."""


class Endpoint:
    """Where and how to connect. Checks the URL and opens nothing.

    ``timeout`` bounds opening, all steps together, in seconds. ``db`` replaces the URL's database, ``master`` its
    host and port, and ``credentials`` its user and password. Raises ConfigError for options that redis-py does not
    support.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        db: int | None = None,
        master: Master | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._timeout = timeout
        self._master = master
        self._credentials = credentials
        try:
            self._pool = ConnectionPool.from_url(
                url,
                protocol=2,
                redis_connect_func=lambda _: None,  # AUTH and SELECT are sent by ``_introduce``.
                retry=Retry(NoBackoff(), 0),
                **({} if url.startswith("unix://") else {"socket_keepalive": True}),
            )
            if db is not None:
                self._pool.connection_kwargs["db"] = db
            verify = str(self._pool.connection_kwargs.get("ssl_cert_reqs", ""))
            if verify.startswith("CERT_"):  # CERT_ is Celery's spelling.
                self._pool.connection_kwargs["ssl_cert_reqs"] = verify.removeprefix("CERT_").lower()
            # The pool's own connections are not used: it counts them, and redis-py 8 makes a hundred and then no more.
            self._kind = type("BoundedConnection", (_Bounded, self._pool.connection_class), {})
            self._connection(0.0)
        except (TypeError, ValueError, redis.RedisError) as error:
            raise ConfigError(f"the Redis URL has an option that redis-py does not take: {error}") from None

    def open(self, within: float = math.inf, longest: int | None = None) -> "Wire":
        """Connect, authenticate and select the database. Raises SourceError.

        ``within`` bounds all steps together in seconds, if it is less than the endpoint's ``timeout``. Looking up a
        host name is bounded by the resolver only. Messages of more than ``longest`` bytes are dropped.
        """
        until = _CLOCK.monotonic() + min(self._timeout, within)
        connection = self._connection(until)
        if self._credentials is not None:
            connection.username, connection.password = self._read_credentials(self._credentials)
        if self._master is not None:
            connection.host, connection.port = self._master.locate()
        try:
            connection.connect()
        except (redis.RedisError, OSError) as error:
            connection.disconnect()
            raise source_error(error) from None
        # The cause is a key without certificate, or a file that contains neither.
        except (TypeError, ValueError) as error:
            connection.disconnect()
            raise SourceError("tls", str(error)) from None
        wire = Wire(connection, longest)
        try:
            _introduce(wire, connection, until)
        except SourceError:
            wire.close()
            raise
        if self._master is not None:
            self._master.follow(wire, (connection.host, connection.port))
        return wire

    def _connection(self, until: float) -> Any:  # noqa: ANN401 -- redis-py's connection classes share no public type
        return self._kind(until, **self._pool.connection_kwargs)

    def _read_credentials(self, credentials: Credentials) -> tuple[str | None, str | None]:
        try:
            user, password = credentials()
        except ConfigError as error:
            raise SourceError("auth", str(error)) from None
        return user or None, password or None


class _Bounded:
    """What a connection of redis-py is mixed with, so that its timeouts end at the time ``until``.

    redis-py uses ``socket_connect_timeout`` for each address of a host, and ``socket_timeout`` for the TLS handshake.
    """

    def __init__(self, until: float, **options: Any) -> None:  # noqa: ANN401 -- redis-py's options
        self._until = until
        super().__init__(**options)

    @property
    def socket_connect_timeout(self) -> float:
        """Return half of the time that is left: an address that does not answer leaves time for a further one."""
        return self.socket_timeout / 2

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, _: object) -> None:
        """Ignore what redis-py's constructor sets."""

    @property
    def socket_timeout(self) -> float:
        """Return the time that is left. 0 would make the socket non-blocking."""
        return max(self._until - _CLOCK.monotonic(), 0.001)

    @socket_timeout.setter
    def socket_timeout(self, _: object) -> None:
        """Ignore what redis-py's constructor sets."""


def _introduce(wire: "Wire", connection: Any, until: float) -> None:  # noqa: ANN401 -- redis-py's connection classes share no public type
    """Authenticate, and select the database. Raises SourceError."""
    user, password = connection.username, connection.password
    if user or password:
        answer = _ask(wire, ("AUTH", user, password or "") if user else ("AUTH", password), until)
        if user and isinstance(answer, hiredis.ReplyError) and str(answer).startswith(_ONE_ARGUMENT):
            answer = _ask(wire, ("AUTH", password or ""), until)
        _expect_ok(answer)
    if connection.db:
        _expect_ok(_ask(wire, ("SELECT", connection.db), until))


def _ask(wire: "Wire", command: Command, until: float) -> Any:  # noqa: ANN401 -- replies have any shape
    wire.send(pack([command]), until - _CLOCK.monotonic())
    replies: list[Any] = []
    while not replies:
        left = until - _CLOCK.monotonic()
        if left <= 0:
            raise SourceError("timeout", "no complete answer while the connection was opened")
        replies = wire.receive(left)
    if len(replies) > 1:
        raise SourceError("protocol", "more replies than commands")
    return replies[0]


def _expect_ok(answer: object) -> None:
    """Raise SourceError unless the answer is OK."""
    if isinstance(answer, hiredis.ReplyError):
        raise SourceError(reason_of(str(answer)), _shown(str(answer)))
    if answer != b"OK":
        raise SourceError("protocol", f"answered {repr(answer)[:LONGEST_TEXT]} instead of OK")


class Wire:
    """An open connection. One thread uses it. Any thread may close it, after which ``closed`` is True.

    ``arrived`` grows whenever bytes arrive, even if they complete no reply yet. ``is_drained`` is True if the last
    receive took everything that had arrived when it began. With TLS that is known only if nothing had arrived.

    The socket is non-blocking. Most sends are taken at once, and most replies are there at once, so that each is one
    system call instead of three. The thread waits only if they are not.

    A server that refuses a client sends the reason and closes the connection. Such an error reply, before any other
    reply, is the reason of the SourceError that follows.
    """

    def __init__(self, connection: Any, longest: int | None = None) -> None:  # noqa: ANN401 -- redis-py's connection classes share no public type
        self.closed = False
        self.arrived = 0
        self.is_drained = True
        self._connection = connection
        # This is the only use of a private attribute of redis-py. tests/integration fails if the attribute moves.
        self._socket = cast("socket.socket", connection._sock)  # noqa: SLF001 -- as said above
        self._is_encrypted = isinstance(self._socket, ssl.SSLSocket)
        self._socket.settimeout(0)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._writable.register(self._socket, select.POLLOUT)
        self._parser = ReplyParser(longest)
        self._answers = False
        self._refusal = ""
        self._buffer = bytearray(RECEIVE_BYTES)
        self._closing = threading.Lock()

    def send(self, packed: bytes, timeout: float) -> None:
        """Send packed commands within ``timeout`` seconds. Raises SourceError."""
        self._answers = self._answers or bool(self.arrived)
        sent = self._send(packed)
        if sent == len(packed):
            return
        until = _CLOCK.monotonic() + timeout
        while sent < len(packed):
            left = until - _CLOCK.monotonic()
            if left <= 0:
                raise SourceError("timeout", "the server takes no more of the commands")
            _wait(self._writable, left)
            sent += self._send(memoryview(packed)[sent:])

    def receive(self, timeout: float) -> list[Any]:
        """Return the replies that one read from the socket completes. Raises SourceError.

        The list is empty after a timeout, and also if the bytes that arrived complete no reply; ``arrived``
        distinguishes these cases. An error reply is a ``hiredis.ReplyError`` in the list.
        """
        size = self._receive()
        self.is_drained = size is None or (size < RECEIVE_BYTES and not self._is_encrypted)
        if size is None and timeout > 0:
            readable = _wait(self._readable, timeout)
            size = self._receive()
            if size is None and readable:  # Only a part of a TLS record has arrived.
                self.arrived += 1
        if size is None:
            return []
        if not size:
            raise self._end("the server closed the connection")
        self.arrived += size
        return self._replies(size)

    @property
    def dropped(self) -> int:
        """Return how many messages were dropped because they were too long."""
        return self._parser.dropped

    def close(self) -> None:
        """Close the connection. A receive in another thread ends with a SourceError. Never raises."""
        with self._closing:
            self.closed = True
            with contextlib.suppress(OSError):  # The socket may be closed already.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._connection.disconnect()

    def _send(self, packed: bytes | memoryview) -> int:
        """Return how many bytes the socket took."""
        try:
            return self._socket.send(packed)
        except _LATER:
            return 0
        except _ENDED as error:
            raise self._end(str(error)) from None
        except OSError as error:
            self._read_refusal()
            raise self._end(str(error), source_error(error)) from None

    def _receive(self) -> int | None:
        """Read into the buffer. Return the number of bytes, or None if none have arrived yet."""
        try:
            return self._socket.recv_into(self._buffer)
        except _LATER:
            return None
        except _ENDED as error:
            raise self._end(str(error)) from None
        except OSError as error:
            raise self._end(str(error), source_error(error)) from None

    def _read_refusal(self) -> None:
        """Read the server's reason if it closed the connection before anything could be sent."""
        with contextlib.suppress(OSError, SourceError):
            size = 0 if self._answers else self._socket.recv_into(self._buffer)
            if size:
                self._replies(size)

    def _end(self, text: str, error: SourceError | None = None) -> SourceError:
        """Return the error of a connection that ended. It is the server's reason if it sent one instead of a reply."""
        if self._refusal and not self._answers:
            return SourceError(reason_of(self._refusal), _shown(self._refusal))
        return error or SourceError("closed", text)

    def _replies(self, size: int) -> list[Any]:
        replies = self._parser.parse(self._buffer, size)
        if replies and not self._answers:
            self._answers = bool(self._refusal) or len(replies) > 1 or not isinstance(replies[0], hiredis.ReplyError)
            self._refusal = "" if self._answers else str(replies[0])
        return replies


def _wait(poll: select.poll, timeout: float) -> bool:
    """Wait up to ``timeout`` seconds until a socket is ready or closed. Return True if it is."""
    return bool(poll.poll(math.ceil(timeout * 1000)))
