# SPDX-License-Identifier: Apache-2.0
"""Connect to a broker other than Redis through kombu: RabbitMQ by py-amqp, the others by kombu's own transports.

Input: URLs. Output: a connection whose waits are bounded. kombu's own way to connect is not used, since it pauses and
retries by itself. The supervisor does that, and the next attempt uses the next URL. This module is imported only if
such a broker is configured, because kombu costs memory. One thread at a time uses a link. A failure raises SourceError.
"""

import contextlib
import re
import select
import shlex
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from kombu.connection import Connection
from kombu.exceptions import KombuError
from kombu.transport import get_transport_cls

from celery_redis_exporter.errors import ConfigError, SourceError

CLIENT_NAME = "celery-redis-exporter"
QUEUE_PREFIX = f"{CLIENT_NAME}."
"""The prefix of the names of the exporter's queues, so that permissions can be granted for them."""
GOODBYE_SECONDS = 0.3
FRAME_SECONDS = 0.5
"""Seconds for the rest of a message whose beginning has arrived. py-amqp would spin with a wait of 0."""
_CODES = {403: "noperm", 530: "noperm", 404: "protocol", 405: "protocol", 406: "protocol"}
"""Reasons by AMQP's reply codes. A refused connection has code 403 too: see ``source_error``."""
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
)


@dataclass(frozen=True, slots=True)
class KombuAddress:
    """The address of a broker: ``urls`` of one transport. The next one is used when one fails.

    ``tls`` has redis-py's names and is for AMQP. ``options`` are kombu's transport options.
    """

    urls: Sequence[str] = field(repr=False)
    tls: Mapping[str, str] = field(default_factory=dict)
    login_method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


class KombuEndpoint:
    """Where and how to connect. Opens nothing.

    ``timeout`` bounds connecting and each step of it. AMQP tests the connection after ``heartbeat`` seconds without
    data (0: never). Both are in seconds. ``driver`` is kombu's name for the kind of transport, ``amqp`` for RabbitMQ.
    Raises ConfigError if kombu lacks a library, or if the transport can't carry events.
    """

    def __init__(self, address: KombuAddress, *, timeout: float, heartbeat: float = 0.0) -> None:
        scheme = urlsplit(address.urls[0]).scheme
        try:
            transport: Any = get_transport_cls(scheme)
        except ImportError as error:
            raise ConfigError(f"broker_url: kombu needs a library for {scheme}:// brokers: {error}") from None
        if "fanout" not in transport.implements.exchange_type:
            raise ConfigError(f"broker_url: kombu's transport for {scheme}:// carries no events to several consumers")
        self.driver: str = transport.driver_type
        self._errors = (*transport.connection_errors, *transport.channel_errors, OSError, KombuError)
        self._address = address
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._next = 0

    @property
    def is_amqp(self) -> bool:
        """Return True for AMQP: it has heartbeats, counts consumers, and deletes queues with their connection."""
        return self.driver == "amqp"

    def open(self) -> "Link":
        """Connect and authenticate. Raises SourceError."""
        url = self._address.urls[self._next % len(self._address.urls)]
        client = Connection(  # type: ignore[no-untyped-call]  # kombu has few types
            url,
            ssl=_amqp_tls(self._address.tls, url) if url.startswith("amqps:") else False,
            login_method=self._address.login_method or None,
            connect_timeout=self._timeout,
            heartbeat=self._heartbeat,
            transport_options=self._options(),
        )
        transport: Any = client.create_transport()  # type: ignore[no-untyped-call]  # as above
        try:
            return Link(transport, transport.establish_connection(), self._errors, self._timeout)
        except self._errors as error:
            self._next += 1
            raise source_error(error, connecting=True) from None

    def _options(self) -> dict[str, Any]:
        if not self.is_amqp:
            return dict(self._address.options)
        return {"client_properties": {"connection_name": CLIENT_NAME, "product": CLIENT_NAME}}


class Link:
    """An open connection. ``errors`` are the exceptions it can raise. ``patience`` bounds each reply, in seconds."""

    def __init__(self, transport: Any, native: Any, errors: tuple[type[Exception], ...], patience: float) -> None:  # noqa: ANN401 -- kombu has no types
        self.errors = errors
        self._transport = transport
        self._native = native
        self._is_amqp = transport.driver_type == "amqp"
        self.wait_at_most(patience)

    def channel(self) -> Any:  # noqa: ANN401 -- kombu's channels share no type
        """Open a channel. Raises the exceptions in ``errors``."""
        return self._transport.create_channel(self._native)

    def wait_at_most(self, seconds: float) -> None:
        """Bound each wait for the server from now on. A longer wait raises TimeoutError."""
        if self._is_amqp:
            self._socket().settimeout(max(seconds, 0.001))

    def drain(self, timeout: float, at_most: int) -> bool:
        """Call the consumers for what arrived, or wait for it up to ``timeout`` seconds. Raises SourceError.

        Return False if more than ``at_most`` messages and other frames had arrived.
        """
        try:
            for _ in range(at_most):
                if self._is_amqp and not self._is_readable(timeout):
                    return True
                self._transport.drain_events(self._native, timeout=FRAME_SECONDS if self._is_amqp else timeout)
                timeout = 0.0
        except TimeoutError:  # No message arrived, but perhaps a heartbeat.
            return True
        except self.errors as error:
            raise source_error(error) from None
        return False

    def beat(self) -> None:
        """Send a heartbeat, and check the server's. Raises SourceError. Call it about once a second."""
        if not self._is_amqp:
            return
        try:
            self._transport.heartbeat_check(self._native, rate=2)
        except TimeoutError:  # The server reads nothing at the moment. It is dead only if it sends nothing either.
            return
        except self.errors as error:
            missed = "heartbeats missed" in str(error)
            raise SourceError("timeout", "no heartbeat of the server's") if missed else source_error(error) from None

    def close(self) -> None:
        """Close the connection properly. Never raises."""
        with contextlib.suppress(*self.errors, AttributeError):  # py-amqp raises AttributeError if the server is gone.
            self.wait_at_most(GOODBYE_SECONDS)
            self._transport.close_connection(self._native)

    def _socket(self) -> Any:  # noqa: ANN401 -- plain or TLS
        if not self._native.connected:  # py-amqp would connect again if it were queried for its socket now.
            raise ConnectionResetError("the connection is closed")
        return self._native.sock

    def _is_readable(self, timeout: float) -> bool:
        waiting = self._socket()
        if isinstance(waiting, ssl.SSLSocket) and waiting.pending():
            return True
        poll = select.poll()
        poll.register(waiting, select.POLLIN)
        return bool(poll.poll(timeout * 1000))


def source_error(error: BaseException, *, connecting: bool = False) -> SourceError:
    """Turn an error of kombu into a SourceError with its reason.

    A 403 has the reason ``auth`` while ``connecting``, and noperm after that.
    """
    code = reply_code(error)
    if code == 403 and connecting:
        return SourceError("auth", str(error))
    link: BaseException | None = error
    while link is not None:
        for kind, reason in _REASONS:
            if isinstance(link, kind):
                return SourceError(reason, str(error) or reason)
        link = link.__cause__ or link.__context__
    return SourceError(_CODES.get(code, "closed"), str(error) or type(error).__name__)


def is_missing(error: BaseException) -> bool:
    """Return True if an error means that a queue or an exchange does not exist."""
    return reply_code(error) == 404


def permissions(written: str, read: Sequence[str]) -> str:
    """Return the command that permits a user to use the exporter's queues.

    It also permits to write to the exchange ``written``, and to read what ``read`` names.
    """
    own = _pattern(QUEUE_PREFIX)
    readable = "|".join([own, *(f"{_pattern(name)}$" for name in read)])
    words = f"^{own}", f"^({own}|{_pattern(written)}$)", f"^({readable})"
    return " ".join(["rabbitmqctl set_permissions <user>", *map(shlex.quote, words)])


def reply_code(error: BaseException) -> int:
    """Return AMQP's reply code, or 0 if there is none. kombu's own transports have it as text."""
    return int(getattr(error, "reply_code", 0) or 0)


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\-", "-")  # A dash needs no escape outside of brackets.


def _amqp_tls(tls: Mapping[str, str], url: str) -> dict[str, Any]:
    """Return the options of py-amqp. Certificates are verified unless configured otherwise."""
    reqs = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL}.get(tls.get("ssl_cert_reqs", ""), ssl.CERT_REQUIRED)
    names = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile", "ssl_ciphers": "ciphers"}
    named = tls.get("ssl_check_hostname", "true").lower() in {"1", "true", "yes"} and reqs != ssl.CERT_NONE
    host = unquote(urlsplit(url).hostname or "")
    options = {"cert_reqs": reqs, **{theirs: tls[ours] for ours, theirs in names.items() if ours in tls}}
    # If it were None, kombu would set it to the host, and py-amqp would compare it.
    return options | {"server_hostname": host} if named else options
