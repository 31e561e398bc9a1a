# SPDX-License-Identifier: Apache-2.0
"""The addresses in servers' replies to which connections are allowed."""

import ipaddress
from collections.abc import Collection

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.addresses import AddressPolicy, IPAddress, kind_of

HOSTS = {
    "seed.internal": ["10.0.0.1"],
    "node.internal": ["10.0.0.2"],
    "mixed.internal": ["10.0.0.2", "8.8.8.8"],
    "redis.example.com": ["203.0.114.9"],
    "localhost": ["127.0.0.1", "::1"],
}


def resolve(host: str) -> Collection[IPAddress]:
    """Look a host up in HOSTS."""
    if host not in HOSTS:
        raise OSError(host)
    return [ipaddress.ip_address(text) for text in HOSTS[host]]


def passes(host: str, *origins: str, allowed: tuple[str, ...] = ()) -> bool:
    """Return whether a host may be connected to."""
    try:
        AddressPolicy(allowed, resolve).check(host, origins)
    except SourceError as error:
        return (error.reason, host in str(error)) != ("address", True)
    return True


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("10.0.0.2", "10.0.0.1", True),
        ("192.168.1.1", "10.0.0.1", True),
        ("fd00::2", "10.0.0.1", True),
        ("10.0.0.2", "seed.internal", True),
        ("node.internal", "seed.internal", True),
        ("seed.internal", "seed.internal", True),
        ("8.8.8.8", "10.0.0.1", False),
        ("::ffff:8.8.8.8", "10.0.0.1", False),
        ("redis.example.com", "seed.internal", False),
        ("mixed.internal", "seed.internal", False),
        ("unknown.internal", "seed.internal", False),
        ("127.0.0.1", "10.0.0.1", False),
        ("169.254.169.254", "10.0.0.1", False),
        ("169.254.169.254", "127.0.0.1", False),
        ("127.0.0.1", "localhost", True),
        ("10.0.0.2", "localhost", True),
        ("8.8.8.8", "localhost", False),
        ("8.8.4.4", "8.8.8.8", True),
        ("10.0.0.2", "8.8.8.8", False),
        ("127.0.0.1", "redis.example.com", False),
        ("0.0.0.0", "10.0.0.1", False),
        ("224.0.0.1", "10.0.0.1", False),
        ("10.0.0.2", "unknown.internal", False),
    ],
)
def test_without_settings_the_kind_of_network_decides(host: str, origin: str, *, expected: bool) -> None:
    """An address is allowed in the same kind of network as the server that reports it, by number or by name."""
    assert expected == passes(host, origin)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("8.8.8.8", True),
        ("node.internal", True),
        ("NODE.Internal.", True),
        ("internal", True),
        ("badinternal", False),
        ("redis.example.com", False),
        ("10.0.0.1", True),
    ],
)
def test_with_settings_they_decide(host: str, *, expected: bool) -> None:
    """If networks and ends of names are set, only they are allowed, except for the host of the settings itself."""
    allowed = ("10.1.0.0/16", "8.8.8.8", ".internal")
    assert expected == passes(host, "10.0.0.1", allowed=allowed)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("::1", "loopback"), ("fe80::1", "special"), ("fd12::1", "private"), ("2001:4860:4860::8888", "internet"),
     ("100.64.0.1", "private"), ("::ffff:127.0.0.1", "loopback")],
)  # fmt: skip
def test_kinds_of_networks(text: str, kind: str) -> None:
    """IPv6 has the same kinds of networks, and an IPv4 address in an IPv6 one counts as IPv4."""
    assert kind == kind_of(ipaddress.ip_address(text))
