"""Listening sockets: bound to an address, or taken over from systemd.

Gives sockets that listen; raises ConfigError in one line. Never accepts a connection.
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
"""Connections that wait to be accepted; asyncio accepts so many at once, before it closes any."""
FIRST_DESCRIPTOR = 3
"""Of those that systemd hands over, see sd_listen_fds(3)."""
_UNIX = "unix:"


def bind(listen_address: str) -> socket.socket:
    """Listen on HOST:PORT, e.g. ``:9808``, ``127.0.0.1:0``, ``[::1]:9808``, ``localhost:9808``, or on ``unix:PATH``.

    Without a host, or with ``[::]``, IPv6 and IPv4 are both accepted where the machine has both. A name that has
    several addresses stands for one of them, an IPv4 one if there is any, as in every exporter written in Go. A unix
    socket that nobody listens on any more is replaced. Raises ConfigError, in one line, for what is no address or can't
    be listened on.
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
    """Take the sockets over that systemd listens on for this process (socket activation); raise ConfigError.

    Their variables are removed from ``environ``, as they concern no process that is started from here.
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
    """Return the path of ``unix:PATH`` or ``unix://PATH``; empty for another address."""
    return listen_address.removeprefix(_UNIX).removeprefix("//") if listen_address.startswith(_UNIX) else ""


def address_of(listener: socket.socket) -> str:
    """Return where a socket listens: HOST:PORT, or ``unix:PATH``."""
    name: Any = listener.getsockname()
    return f"{_UNIX}{name}" if listener.family == socket.AF_UNIX else f"{name[0]}:{name[1]}"


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
    """Return whether there is a socket at a path that nobody listens on, as after a kill."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _send_at_once(listener: socket.socket) -> None:
    # Inherited by connections. asyncio sets it only where the socket tells its protocol, which accepted ones do not:
    # without it a short body waits some 40 ms for the client to acknowledge the headers.
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
