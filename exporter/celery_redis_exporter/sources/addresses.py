# SPDX-License-Identifier: Apache-2.0
"""Decide which of the addresses that servers report may be connected to.

These are nodes of a cluster, and masters that sentinels report. Such an address receives the user and password of the
server that it belongs to. Input: the address, and the hosts of the settings that report it. Output: nothing, or
SourceError with the reason ``address``. Sends only look-ups of names.

Without ``allowed`` an address must be in the same kind of network as a host that reports it: a server on a private
address can't send credentials to the internet, and one on the internet can't point into a private network. A server on
a loopback address may report private ones too.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable, Sequence

from celery_redis_exporter.errors import SourceError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], Collection[IPAddress]]
"""Returns the addresses of a host. Raises OSError."""
_ALLOWED_FROM = {
    "loopback": frozenset({"loopback", "private"}),
    "private": frozenset({"private"}),
    "internet": frozenset({"internet"}),
    "special": frozenset[str](),
}
"""The kinds of networks whose addresses a host of each kind may report."""


class AddressPolicy:
    """Decide by ``allowed``: networks (``10.0.0.0/8``) and ends of host names (``.redis.internal``).

    ``resolve`` replaces the system's resolver.
    """

    def __init__(self, allowed: Sequence[str], resolve: Resolve | None = None) -> None:
        self._networks, self._names = [], list[str]()
        for entry in allowed:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                self._names.append(entry.lower())
        self._resolve = resolve or resolve_host

    def check(self, host: str, origins: Iterable[str]) -> None:
        """Raise SourceError (``address``) unless ``host`` may be connected to.

        ``origins`` are the hosts of the settings whose servers report it. Such a host itself is always allowed.
        """
        named = set(origins)
        if host in named or self._has_allowed_name(host):
            return
        found = self._addresses(host)
        if self._networks or self._names:
            passes = bool(found) and all(any(address in network for network in self._networks) for address in found)
        else:
            kinds = {kind for origin in named for address in self._addresses(origin) for kind in _allowed_from(address)}
            passes = bool(found) and {kind_of(address) for address in found} <= kinds
        if not passes:
            raise SourceError("address", f"{host} is not among redis.allowed_addresses; {_cure(host)}")

    def _has_allowed_name(self, host: str) -> bool:
        name = host.lower().rstrip(".")
        return any(name == end.lstrip(".") or name.endswith(f".{end.lstrip('.')}") for end in self._names)

    def _addresses(self, host: str) -> Collection[IPAddress]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        try:
            return self._resolve(host)
        except OSError:
            return []


def kind_of(address: IPAddress) -> str:
    """Return the kind of network of an address: loopback, private, internet or special.

    Special is link-local, where clouds serve their secrets, multicast, and the unspecified address.
    """
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return kind_of(mapped)
    if address.is_loopback:
        return "loopback"
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "special"
    return "internet" if address.is_global else "private"


def resolve_host(host: str) -> Collection[IPAddress]:
    """Return the addresses of a host by the system's resolver. Raises OSError."""
    found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return [ipaddress.ip_address(text) for text in sorted(found)]


def _allowed_from(address: IPAddress) -> frozenset[str]:
    return _ALLOWED_FROM[kind_of(address)]


def _cure(host: str) -> str:
    return f"if it is right, add it, its network, or the end of its name: --redis.allowed-addresses={host}"
