# SPDX-License-Identifier: Apache-2.0
"""For every test: no connection leaves this machine. For those that request it: the process has a memory limit."""

import ipaddress
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from celery_redis_exporter.daemon.tuning import limit_memory
from tests.support.outcomes import count_reasons

# Hypothesis would fail an example that takes 0.2 s, as one may on a machine that does something else.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tests that could not run, and how many there are: they are no passed ones."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    found = count_reasons(reasons)
    if found:
        terminalreporter.section(f"{sum(found.values())} tests could not run")
        for reason, count in found.items():
            terminalreporter.line(f"{count} x {reason}")


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
def limited_memory() -> Iterator[None]:
    """Limit the memory of this process as the exporter limits its own."""
    usual = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory()
    yield
    resource.setrlimit(resource.RLIMIT_AS, usual)
