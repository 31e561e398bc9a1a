"""For every test: no connection leaves this machine. For those that ask: memory has a bound while bytes are parsed."""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from celery_redis_exporter.sources import wire as wires
from celery_redis_exporter.sources.headroom import Headroom

# Hypothesis would fail an example that takes 0.2 s, as one may on a machine that does something else.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a unix socket
    try:
        return ipaddress.ip_address(str(address[0])).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines."""

    def guard(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: object) -> Any:  # noqa: ANN401 -- as the original
            if not _is_local(address):
                raise AssertionError(f"a test connects to {address!r}")
            return original(self, address)

        return connect

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guard(getattr(socket.socket, name)))


@pytest.fixture(scope="module")
def limited_parsing() -> Iterator[None]:
    """Limit memory while bytes are parsed, as in a process of the exporter's own."""
    room = Headroom()
    room.enable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wires, "HEADROOM", room)
        yield
