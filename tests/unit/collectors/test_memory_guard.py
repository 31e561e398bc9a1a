# SPDX-License-Identifier: Apache-2.0
"""The conditions for MEMORY PURGE, and how it is reported."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.collectors.memory_guard import GuardOptions, MemoryGuard
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.lab import Lab


class FakeServer:
    """A session with a server whose memory is set by hand; it records the commands."""

    def __init__(self, used: int, limit: int) -> None:
        self.used = used
        self.limit = limit
        self.purge: object = b"OK"
        self.sent: list[Command] = []

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:  # noqa: ARG002 -- as Session's
        """Return the replies."""
        self.sent += commands
        info = f"used_memory:{self.used}\r\nused_memory_rss:99\r\nmaxmemory:{self.limit}\r\nmem_allocator:x\r\n"
        return [info.encode() if command[0] == "INFO" else self.purge for command in commands]


def guard(lab: Lab, server: FakeServer, assumed: int = 0) -> MemoryGuard:
    """Return a guard with a threshold of 90 % and a pause of ten minutes."""
    options = GuardOptions(0.9, assumed, 30, 600, 1)
    return MemoryGuard("broker", cast("Session", server), lab.store, lab.clock, options)


def purges(server: FakeServer) -> int:
    """Count the purges that were sent."""
    return server.sent.count(("MEMORY", "PURGE"))


def test_a_purge_needs_a_reason_and_a_pause() -> None:
    """Above the threshold a purge is sent and logged, and the next one only after the pause."""
    lab, server = Lab(), FakeServer(90, 100)
    watched = guard(lab, server)
    watched.look()
    assert 0 == purges(server)
    assert 0 == lab.value(internals.MEMORY_PURGES, "broker", "done")
    server.used = 91
    with capture_logs() as lines:
        watched.look()
        watched.look()
    assert 1 == purges(server)
    (line,) = lines
    assert ("memory_guard.purged", 91, 100, 99) == (
        line["event"], line["used_memory_before"], line["limit_bytes"], line["used_memory_rss_after"],
    )  # fmt: skip
    lab.clock.advance(600)
    watched.look()
    assert (2, 2) == (purges(server), lab.value(internals.MEMORY_PURGES, "broker", "done"))


def test_without_a_limit_there_is_no_purge() -> None:
    """A server without maxmemory is left alone, unless a limit is assumed."""
    lab, server = Lab(), FakeServer(10**12, 0)
    guard(lab, server).look()
    assert 0 == purges(server)
    guard(lab, server, assumed=10**6).look()
    assert 1 == purges(server)


def test_a_refused_purge_is_counted_and_not_repeated() -> None:
    """A server that refuses is logged and counted, and is tried again only after the pause."""
    lab, server = Lab(), FakeServer(99, 100)
    server.purge = Refusal("NOPERM no")
    watched = guard(lab, server)
    with pytest.raises(SourceError) as caught:
        watched.look()
    watched.look()
    assert ("noperm", 1) == (caught.value.reason, purges(server))
    assert 1 == lab.value(internals.MEMORY_PURGES, "broker", "failed")
