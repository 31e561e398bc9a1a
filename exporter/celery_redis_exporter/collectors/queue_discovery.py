"""Binds the rooms for the search for queues: sources.queues -> decode.queues -> state.queues, in the background."""

import threading
from collections.abc import Callable

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.decode.queues import decode_binding
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.sources.queues import SCAN_COUNT, QueueScan
from celery_redis_exporter.state.queues import BINDINGS, Queues
from celery_redis_exporter.state.series import Store

COLLECTOR = "queue_discovery"
PAUSE = 0.005
"""Seconds between batches, so that a pass never fills the server's time."""
FIRST_INTERVAL = 5.0
"""Seconds between passes at most, until the first queue is found: an application may be starting beside us."""


class QueueDiscovery:
    """Looks for bindings and reply queues every ``interval`` seconds, ``max_keys`` keys at a time."""

    def __init__(self, scan: QueueScan, queues: Queues, store: Store, clock: Clock, event_exchange: str) -> None:
        self._scan = scan
        self._queues = queues
        self._store = store
        self._clock = clock
        self._event_exchange = event_exchange
        self._metrics = CollectorMetrics(store, clock, COLLECTOR)
        self._reply_queues: set[bytes] = set()
        self._bound: set[str] = set()  # of a pass under way, those that are known
        self._found_any = False

    def run(self, stop: threading.Event, interval: float, max_keys: int, works: Callable[[], None]) -> None:
        """Search until ``stop`` is set; raises SourceError. A pass cut off by ``max_keys`` goes on next time."""
        while not stop.is_set():
            started = self._clock.monotonic()
            try:
                self._search(stop, max_keys)
            except SourceError:
                with self._store.lock:
                    self._metrics.failed(started)
                raise
            with self._store.lock:
                self._metrics.succeeded(started)
            works()
            stop.wait(interval if self._found_any else min(interval, FIRST_INTERVAL))

    def _search(self, stop: threading.Event, max_keys: int) -> None:
        for _ in range(max(1, max_keys // SCAN_COUNT)):
            found = self._scan.next_batch()
            self._reply_queues |= found.reply_queues
            with self._store.lock:
                queues = self._decode(found.bindings)
                self._found_any = self._found_any or bool(queues)
                self._queues.add(sorted(queues))
                self._bound |= queues.intersection(self._queues.known())
                if found.complete:
                    self._queues.hold(BINDINGS, self._bound)
                    self._store.scalar(rows.REPLY_QUEUES).value = len(self._reply_queues)
            if found.complete:
                self._reply_queues, self._bound = set(), set()
                return
            if stop.wait(PAUSE):
                return

    def _decode(self, bindings: list[bytes]) -> set[str]:
        queues = set()
        for member in bindings:
            try:
                queue = decode_binding(member, self._event_exchange)
            except DecodeError as error:
                self._store.scalar(internals.EVENTS_INVALID, error.reason).value += 1
                continue
            if queue is not None:
                queues.add(queue)
        return queues
