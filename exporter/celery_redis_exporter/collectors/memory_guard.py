# SPDX-License-Identifier: Apache-2.0
"""Purge a Redis server's memory: sources.memory -> decode.redis_server -> MEMORY PURGE, in the background.

Off by default. Besides reading and control commands, this is the only thing that the exporter does to a Redis server.
MEMORY PURGE returns pages that the allocator keeps without need. It lowers resident memory, but not the size of the
data.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode.redis_fields import read_whole
from celery_redis_exporter.decode.redis_server import parse_info
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.memory import purge_memory, read_memory
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.state.series import Store

RESULTS = ("done", "failed")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """The options of the memory guard.

    ``threshold`` is a share of maxmemory, or of ``assumed`` bytes if maxmemory is unset. The others are seconds.
    """

    threshold: float
    assumed: int
    check_interval: float
    pause: float
    deadline: float


class MemoryGuard:
    """Watch the memory of the server called ``name``."""

    def __init__(self, name: str, session: Session, store: Store, clock: Clock, options: GuardOptions) -> None:
        self._name = name
        self._session = session
        self._store = store
        self._clock = clock
        self._options = options
        self._purged: float | None = None
        with store.lock:
            for result in RESULTS:
                store.scalar(internals.MEMORY_PURGES, name, result)

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Check the memory every ``check_interval`` seconds until ``stop`` is set. Raises SourceError."""
        while not stop.is_set():
            self.look()
            works()
            stop.wait(self._options.check_interval)

    def look(self) -> None:
        """Check the memory once, and purge it if it is over the threshold. Raises SourceError."""
        before = self._read()
        limit = before.get("maxmemory", 0) or self._options.assumed
        used = before.get("used_memory", 0)
        now = self._clock.monotonic()
        is_due = self._purged is None or now - self._purged >= self._options.pause
        if limit and used > self._options.threshold * limit and is_due:
            self._purged = now
            self._purge(before, limit)

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._session.close()

    def _purge(self, before: dict[str, int], limit: int) -> None:
        try:
            purge_memory(self._session, self._options.deadline)
        except SourceError:
            self._count("failed")
            raise
        self._count("done")
        after = self._read()
        log.warning(
            "memory_guard.purged",
            redis=self._name,
            limit_bytes=limit,
            **{f"{field}_before": before.get(field) for field in ("used_memory", "used_memory_rss")},
            **{f"{field}_after": after.get(field) for field in ("used_memory", "used_memory_rss")},
        )

    def _read(self) -> dict[str, int]:
        fields = parse_info(read_memory(self._session, self._options.deadline))
        read = ((name, read_whole(value)) for name, value in fields.items())
        return {name: number for name, number in read if number is not None}

    def _count(self, result: str) -> None:
        with self._store.lock:
            self._store.scalar(internals.MEMORY_PURGES, self._name, result).value += 1
