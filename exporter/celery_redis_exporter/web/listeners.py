# SPDX-License-Identifier: Apache-2.0
"""Open listening sockets: bound to an address, or taken over from systemd.

Output: sockets that listen. Raises ConfigError, whose message is one line. Never accepts a connection.
"""

import errno
import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from celery_redis_exporter.errors import ConfigError

BACKLOG = 128
"""Connections that asyncio accepts at once, before it closes any."""
QUEUE = 512
"""Connections that wait to be accepted. Linux drops a further one, whose client tries again after a second.

With more, a scraper would wait behind all of a flood.
"""
FIRST_DESCRIPTOR = 3
"""The number of the first descriptor that systemd passes on, see sd_listen_fds(3)."""
_UNIX = "unix:"


def bind(listen_address: str) -> socket.socket:
    """Listen on HOST:PORT, e.g. ``:9808``, ``127.0.0.1:0``, ``[::1]:9808``, ``localhost:9808``, or on ``unix:PATH``.

    Without a host, or with ``[::]``, both IPv6 and IPv4 are accepted where the machine has both. If a name has several
    addresses, one of them is used, and an IPv4 one is preferred, as in every exporter written in Go. A unix socket on
    which no process listens any more is replaced. Raises ConfigError, with a message of one line, if the address is not
    valid or listening fails.
    """
    path = unix_path(listen_address)
    host, port = ("", 0) if path else _split(listen_address)
    try:
        if path:
            return _bind_unix(path)
        if host in {"", "::"}:
            listener = _bind_wildcard(port)
        else:
            family, address = _resolve(host, port)
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"web.listen-address {listen_address}: {_cause(error)}; choose another with --web.listen-address"
        ) from error
    _send_at_once(listener)
    return listener


def adopt_systemd_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets on which systemd listens for this process (socket activation). Raises ConfigError.

    The variables LISTEN_* are removed from ``environ``, because they are not meant for processes that this one starts.
    """
    variables = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    count = variables["LISTEN_FDS"]
    if variables["LISTEN_PID"] != str(os.getpid()) or not count.isascii() or not count.isdigit() or not int(count):
        raise ConfigError(
            "web.systemd_socket: systemd handed no socket over; add a unit that ends in .socket, or leave it out"
        )
    found = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        try:
            listener = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ConfigError(f"web.systemd_socket: descriptor {descriptor} is no socket: {_cause(error)}") from None
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError(f"web.systemd_socket: descriptor {descriptor} does not listen; write ListenStream=")
        os.set_inheritable(descriptor, False)  # noqa: FBT003 -- as in C
        if listener.family != socket.AF_UNIX:
            _send_at_once(listener)
        found.append(listener)
    return found


def unix_path(listen_address: str) -> str:
    """Return the path of ``unix:PATH`` or ``unix://PATH``, or an empty string for another address."""
    return listen_address.removeprefix(_UNIX).removeprefix("//") if listen_address.startswith(_UNIX) else ""


def address_of(listener: socket.socket) -> str:
    """Return the address on which a socket listens: HOST:PORT, [HOST]:PORT for IPv6, or ``unix:PATH``."""
    name: Any = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"{_UNIX}{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{host}:{name[1]}"


def _bind_unix(path: str) -> socket.socket:
    if _is_left_over(path):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _is_left_over(path: str) -> bool:
    """Return whether a path is a socket on which no process listens, as after a kill."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _send_at_once(listener: socket.socket) -> None:
    # Connections inherit this option. asyncio sets it only if the socket reports its protocol, which accepted sockets
    # don't do. Without it a short body waits some 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
            # IPv6 is compiled in but switched off. A port that is in use is another error and must stay visible.
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return socket.create_server(("0.0.0.0", port), family=socket.AF_INET, backlog=BACKLOG)  # noqa: S104 -- all addresses is what :PORT asks for


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address


def _cause(error: OSError) -> str:
    # create_server() puts the address into strerror; a failed look-up has its own error numbers.
    text = error.strerror if isinstance(error, socket.gaierror) or error.errno is None else os.strerror(error.errno)
    return (text or str(error)).lower()
