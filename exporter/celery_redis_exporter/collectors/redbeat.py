# SPDX-License-Identifier: Apache-2.0
"""Read RedBeat's schedules: sources.redbeat -> decode.schedules -> state.expectations, in the background."""

import threading
from collections.abc import Callable

import structlog

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.decode.schedules import decode_redbeat_definition
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.sources.redbeat import RedBeat
from celery_redis_exporter.state.expectations import Expectations
from celery_redis_exporter.state.series import Store

COLLECTOR = "redbeat"

log = structlog.get_logger(__name__)


class Schedules:
    """Read RedBeat's entries and pass them to ``expectations``."""

    def __init__(self, redbeat: RedBeat, expectations: Expectations, store: Store, clock: Clock) -> None:
        self._redbeat = redbeat
        self._expectations = expectations
        self._store = store
        self._clock = clock
        self._metrics = CollectorMetrics(store, clock, COLLECTOR)
        self._unread = 0

    def run(self, stop: threading.Event, interval: float, works: Callable[[], None]) -> None:
        """Read the entries every ``interval`` seconds until ``stop`` is set. Raises SourceError."""
        while not stop.is_set():
            started = self._clock.monotonic()
            try:
                definitions = self._redbeat.definitions()
            except SourceError:
                with self._store.lock:
                    self._metrics.failed()
                raise
            self._learn(definitions, started)
            works()
            stop.wait(interval)

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._redbeat.close()

    def _learn(self, definitions: list[bytes], started: float) -> None:
        found, unread = [], []
        for definition in definitions:
            try:
                found.append(decode_redbeat_definition(definition))
            except DecodeError as error:
                unread.append(str(error))
        if len(unread) != self._unread:
            self._unread = len(unread)
            log.warning("redbeat.entries_unread", entries=len(unread), first=unread[:1])
        with self._store.lock:
            self._expectations.learn([task for task in found if task is not None])
            self._metrics.succeeded(started)
