"""Read many replies at once from a Redis connection.

redis-py opens the connection (URL, TLS, ACL, unix socket, database). Its socket is then read here in bulk through
hiredis, which is several times cheaper than one reply at a time. RESP2 has the same reply shapes on every server. Sends
only AUTH and SELECT by itself, while opening.
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
from celery_redis_exporter.sources.replies import TOO_LONG, ReplyParser

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
_CLOCK = SystemClock()

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (redis.AuthenticationError, "auth"),
    (redis.exceptions.NoPermissionError, "noperm"),
    (redis.exceptions.BusyLoadingError, "loading"),
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (ConnectionRefusedError, "refused"),
    (FileNotFoundError, "refused"),
    (TimeoutError, "timeout"),
    (redis.TimeoutError, "timeout"),
    (redis.ResponseError, "protocol"),
    (redis.InvalidResponse, "protocol"),
)


def source_error(error: BaseException) -> SourceError:
    """Turn an error of redis-py or of the socket, or its cause, into a SourceError with its reason."""
    link: BaseException | None = error
    while link is not None:
        for kind, reason in _REASONS:
            if isinstance(link, kind):
                said = reason_of(str(error)) if reason == "protocol" else reason
                return SourceError(said, _shown(str(error)))
        link = link.__cause__ or link.__context__
    said = reason_of(str(error))
    return SourceError("closed" if said == "protocol" else said, _shown(str(error)) or type(error).__name__)


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

    ``timeout`` bounds connecting and each step of it, in seconds. ``db`` replaces the URL's database, ``master`` its
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
        self._master = master
        self._credentials = credentials
        try:
            self._pool = ConnectionPool.from_url(
                url,
                protocol=2,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                **({} if url.startswith("unix://") else {"socket_keepalive": True}),
            )
            if db is not None:
                self._pool.connection_kwargs["db"] = db
            verify = str(self._pool.connection_kwargs.get("ssl_cert_reqs", ""))
            if verify.startswith("CERT_"):  # CERT_ is Celery's spelling.
                self._pool.connection_kwargs["ssl_cert_reqs"] = verify.removeprefix("CERT_").lower()
            self._connection()
        except (TypeError, ValueError, redis.RedisError) as error:
            raise ConfigError(f"the Redis URL has an option that redis-py does not take: {error}") from None

    def open(self, within: float = math.inf, longest: int | None = None) -> "Wire":
        """Connect, authenticate and select the database. Raises SourceError.

        ``within`` bounds each step of it in seconds, if it is less than the endpoint's ``timeout``. Messages of more
        than ``longest`` bytes are dropped.
        """
        connection = self._connection()
        connection.socket_timeout = min(connection.socket_timeout, within)
        connection.socket_connect_timeout = min(connection.socket_connect_timeout, within)
        # CLIENT SETINFO would be one more permission for the user to have, which Redis before 7.2 can't even grant.
        connection.driver_info = connection.lib_name = connection.lib_version = None
        if self._credentials is not None:
            connection.username, connection.password = self._read_credentials(self._credentials)
        if self._master is not None:
            connection.host, connection.port = self._master.locate()
        try:
            connection.connect()
        except (redis.RedisError, OSError) as error:
            connection.disconnect()
            raise source_error(error) from None
        except MemoryError:  # This is raised by the reply to AUTH or SELECT, which redis-py parses.
            connection.disconnect()
            raise SourceError("protocol", TOO_LONG) from None
        # The cause is a key without certificate, or a file that contains neither.
        except (TypeError, ValueError) as error:
            connection.disconnect()
            raise SourceError("tls", str(error)) from None
        wire = Wire(connection, longest)
        if self._master is not None:
            self._master.follow(wire, (connection.host, connection.port))
        return wire

    def _connection(self) -> Any:  # noqa: ANN401 -- redis-py's connection classes share no public type
        # The pool's own connections are not used: it counts them, and redis-py 8 makes a hundred and then no more.
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def _read_credentials(self, credentials: Credentials) -> tuple[str | None, str | None]:
        try:
            user, password = credentials()
        except ConfigError as error:
            raise SourceError("auth", str(error)) from None
        return user or None, password or None


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
