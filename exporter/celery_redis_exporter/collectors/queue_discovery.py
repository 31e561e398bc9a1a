# SPDX-License-Identifier: Apache-2.0
"""Find queues by their bindings: sources.queues -> decode.queues -> state.queues, in the background."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.decode.queues import SEPARATOR, decode_binding, guess_separator
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.replies import DIRECT, FANOUT, TOPIC, Binding, BoundMember, Route
from celery_redis_exporter.sources.queues import SCAN_COUNT, QueueScan
from celery_redis_exporter.state.queues import BINDINGS, Queues
from celery_redis_exporter.state.routes import BROADCAST, MOST_ROUTES
from celery_redis_exporter.state.series import Store

COLLECTOR = "queue_discovery"
PAUSE = 0.005
"""Seconds between batches, so that a pass never takes all of the server's time."""
FIRST_INTERVAL = 5.0
"""The longest time between searches, in seconds, until FIRST_PASSES are complete.

A large database takes several searches.
"""
FIRST_PASSES = 2
"""The second pass finds the queues that were first used after the first pass, but before the subscription to events."""
INVALID_KEPT = 10_000
"""The number of unreadable bindings that are remembered, so that each is counted once."""
SEPARATORS_KEPT = 100


@dataclass(frozen=True, slots=True)
class BindingRules:
    """How the application writes bindings: its event exchange, and a function that returns the option ``sep``."""

    event_exchange: str
    separator: Callable[[], str] = lambda: SEPARATOR


class QueueDiscovery:
    """Search for bindings and reply queues.

    ``other_separators`` contains the separators, other than the configured one, that bindings were written with.
    """

    def __init__(self, scan: QueueScan, queues: Queues, store: Store, clock: Clock, rules: BindingRules) -> None:
        self.other_separators: set[str] = set()
        self._scan = scan
        self._queues = queues
        self._store = store
        self._clock = clock
        self._rules = rules
        self._metrics = CollectorMetrics(store, clock, COLLECTOR)
        self._invalid = store.scalar(internals.BINDINGS_INVALID)
        self._known_invalid: set[bytes] = set()
        self._reply_queues: set[bytes] = set()
        self._bound: set[str] = set()  # The known queues that the current pass has found.
        self._routes: set[Route] = set()  # The routes that the current pass has found.
        self._passes = 0

    def run(self, stop: threading.Event, interval: float, max_keys: int, works: Callable[[], None]) -> None:
        """Search every ``interval`` seconds until ``stop`` is set. Raises SourceError.

        A search reads ``max_keys`` keys. A pass that needs more continues in the next search.
        """
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
            stop.wait(interval if self._passes >= FIRST_PASSES else min(interval, FIRST_INTERVAL))

    def _search(self, stop: threading.Event, max_keys: int) -> None:
        for _ in range(max(1, max_keys // SCAN_COUNT)):
            found = self._scan.next_batch()
            self._reply_queues |= found.reply_queues
            with self._store.lock:
                queues = self._decode(found.bindings)
                if found.complete or not self._passes:
                    self._queues.routes.hold(self._routes)
                self._queues.add(sorted(queues), certain=True)
                self._bound |= queues.intersection(self._queues.known())
                if found.complete:
                    self._queues.hold(BINDINGS, self._bound)
                    self._store.scalar(rows.REPLY_QUEUES).value = len(self._reply_queues)
            if found.complete:
                self._passes += 1
                self._reply_queues, self._bound, self._routes = set(), set(), set()
                return
            if stop.wait(PAUSE):
                return

    def _decode(self, bindings: Iterable[BoundMember]) -> set[str]:
        queues, separator = set(), self._rules.separator()
        for bound in bindings:
            try:
                binding = decode_binding(bound.member, self._rules.event_exchange, separator)
            except DecodeError:
                self._note_invalid(bound.member)
                continue
            if binding is not None:
                # A fanout queue has no list on Redis, and its binding stays there if its worker is killed.
                if not binding.queue.startswith(BROADCAST):
                    queues.add(binding.queue)
                if len(self._routes) < MOST_ROUTES:
                    self._routes.add(_route(bound.exchange, binding))
                self._note_separator(binding.separator)
        return queues

    def _note_invalid(self, member: bytes) -> None:
        """Count an unreadable binding, once as long as it is remembered."""
        if member not in self._known_invalid:
            if len(self._known_invalid) >= INVALID_KEPT:
                self._known_invalid.clear()
            self._known_invalid.add(member)
            self._invalid.value += 1
        self._note_separator(guess_separator(member))

    def _note_separator(self, separator: str | None) -> None:
        if separator not in {None, self._rules.separator()} and len(self.other_separators) < SEPARATORS_KEPT:
            self.other_separators.add(separator or "")


def _route(exchange: str, binding: Binding) -> Route:
    """Return the binding as a route.

    kombu does not store the type of an exchange. The binding of a topic exchange has a pattern. That of a fanout
    exchange has no routing key, or one without meaning if a Broadcast queue is bound to it.
    """
    is_fanout = not binding.routing_key or binding.queue.startswith(BROADCAST)
    kind = TOPIC if binding.pattern else FANOUT if is_fanout else DIRECT
    return Route(exchange, binding.routing_key, binding.queue, kind, virtual=True)
