# SPDX-License-Identifier: Apache-2.0
"""What a restart must not lose: copied for the state file, and restored from it.

Copying is two steps, so that the store's lock is held for the first one only: ``LastingState.copy`` takes values,
``StateCopy.record`` makes the record of them. Not saved are tasks in flight, which workers report after a restart, and
what one heartbeat or one answer of a worker replaces. Not thread-safe: see state.
"""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from celery_redis_exporter.catalog import CATALOG, Kind, Metric, internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.catalog.labels import WORKER
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.resolution import NativeCounts
from celery_redis_exporter.records.saved_state import (
    SavedHistogram,
    SavedPair,
    SavedParts,
    SavedPast,
    SavedQueue,
    SavedSeries,
    SavedState,
    SavedWorker,
)
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import SeriesCopy, Store
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.workers import Workers

SHARED, EVENTLESS = "its name is shared by several processes", "some of its tasks send no events"
UNCOUNTED = "it sent no heartbeat with a count"
TASK_GAUGES = frozenset((
    task_rows.TASK_LAST_SENT, task_rows.TASK_LAST_SUCCESS, task_rows.TASK_LAST_FAILURE,
    task_rows.TASK_CONSECUTIVE_FAILURES,
))  # fmt: skip
WORKER_GAUGES = frozenset((
    worker_rows.WORKER_UP, worker_rows.WORKER_LAST_HEARTBEAT, worker_rows.WORKER_INTERVAL,
    worker_rows.WORKER_HEARTBEATS, worker_rows.WORKER_TASK_EVENTS, worker_rows.WORKER_INFO,
))  # fmt: skip
GAUGES = TASK_GAUGES | WORKER_GAUGES | {internals.LAST_EVENT}
"""Gauges that are true of the time before a restart, too; of others a restart makes new values."""


class StateCopy(NamedTuple):
    """Values at one moment, whose record can be made without the lock."""

    at: float
    pairs: list[SavedPair]
    queues: list[SavedQueue]
    workers: list[SavedWorker]
    past: list[SavedPast]
    series: list[SeriesCopy]

    def record(self, broker: str, naming: str) -> SavedState:
        """Return what is to be written; ``broker`` and ``naming`` are hashes of the settings that it belongs to."""
        bounds: dict[tuple[float, ...], int] = {}
        scalars: dict[str, list[SavedSeries]] = {}
        histograms: dict[str, list[SavedHistogram]] = {}
        for copy in self.series:
            rows = zip(copy.labels, copy.series, copy.values, strict=True)
            if copy.metric.kind is Kind.HISTOGRAM:
                histograms[copy.metric.name] = [
                    SavedHistogram(
                        labels, bounds.setdefault(series.bounds, len(bounds)), value.counts, value.total, series.born,
                        copy.age(series), _save_parts(value.native),
                    )
                    for labels, series, value in rows
                ]  # fmt: skip
            else:
                scalars[copy.metric.name] = [
                    SavedSeries(labels, value, series.born, copy.age(series)) for labels, series, value in rows
                ]
        return SavedState(
            self.at, broker, naming, self.pairs, self.queues, self.workers, self.past, list(bounds), scalars, histograms
        )


class LastingState:
    """The parts of the state that a restart must not lose; the caller holds the store's lock."""

    def __init__(self, store: Store, tasks: Tasks, workers: Workers, queues: Queues, clock: Clock) -> None:
        self.store = store
        self._tasks = tasks
        self._names = tasks.names
        self._workers = workers
        self._queues = queues
        self._clock = clock

    def copy(self) -> StateCopy:
        """Copy the values of this moment."""
        now, wall = self._clock.monotonic(), self._clock.now()
        return StateCopy(
            wall,
            self._names.copy(now, wall),
            self._queues.copy(now, wall),
            [_save_worker(worker, wall - (now - worker.since)) for worker in self._workers.by_name.values()],
            self._workers.merging.copy(),
            self.store.copies(GAUGES),
        )

    def finish(self) -> None:
        """Count what was deferred: nothing will arrive that it could wait for."""
        self._tasks.tick(inf)

    def restore(self, saved: SavedState, *, counters: bool) -> None:
        """Restore time stamps, queues and workers, and counters and histograms too if ``counters``.

        Tasks get their series in any case; without ``counters`` these begin at 0.
        """
        now, wall = self._clock.monotonic(), self._clock.now()
        for pair in saved.pairs:
            self._names.restore(pair, _then(now, wall, pair.active_at), now)
        for worker in saved.workers:
            self._workers.restore(worker, _then(now, wall, worker.since))
        for queue in saved.queues:
            self._queues.restore(queue, _then(now, wall, queue.seen_at))
        for name, rows in saved.scalars.items():
            metric = CATALOG.get(name)
            if metric is not None and (metric in GAUGES or (counters and metric.kind is Kind.COUNTER)):
                admit = self._admission(metric)
                self.store.restore_scalars(metric, [row for row in rows if admit(row.labels)])
        for name, observed in saved.histograms.items() if counters else ():
            metric = CATALOG.get(name)
            if metric is not None:
                admit = self._admission(metric)
                self.store.restore_histograms(metric, [row for row in observed if admit(row.labels)], saved.bounds)
        if counters:
            self._workers.merging.restore(saved.past)
        self._names.restored()

    def _admission(self, metric: Metric) -> Callable[[tuple[str, ...]], bool]:
        """Return what prepares for a series with such labels, and returns whether it can be restored."""
        fits = self.store.has_labels
        if metric in task_rows.METRICS:
            return lambda labels: fits(metric, len(labels)) and self._names.admit(metric, labels)
        if WORKER in metric.labels:
            return lambda labels: fits(metric, len(labels)) and self._workers.admit(metric, labels)
        return lambda labels: fits(metric, len(labels))


def _then(now: float, wall: float, moment: float) -> float:
    """Return a moment of the past (epoch seconds) on the monotonic clock; a clock that was set back makes it now."""
    return now - max(0.0, wall - moment)


def _save_parts(native: NativeCounts | None) -> SavedParts | None:
    if native is None:
        return None
    resolution = native.resolution
    return SavedParts(resolution.schema, {resolution.upper(part): count for part, count in native.parts.items()})


def _save_worker(worker: Worker, since: float) -> SavedWorker:
    ledger = worker.ledger.save()
    blind = ""
    if worker.processes.sharing or worker.processes.blurred:
        blind = SHARED
    elif worker.questions.eventless is not None:
        blind = EVENTLESS
    elif ledger is None:
        blind = worker.blind or UNCOUNTED
    return SavedWorker(
        worker.name, worker.presence.value, since, 0 if blind == SHARED else worker.pid, worker.interval, worker.failed,
        worker.retried, worker.processes.offset, None if blind else ledger, blind,
    )  # fmt: skip
