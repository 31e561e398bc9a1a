# SPDX-License-Identifier: Apache-2.0
"""Test the state: process events, one per line of a test, and read series by metric and labels."""

from typing import cast

from celery_redis_exporter.catalog import CATALOG, Metric
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.collectors.events import Decode, EventCollector, EventState, Stream
from celery_redis_exporter.decode.event_stream import decode_message
from celery_redis_exporter.records.events import (
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)
from celery_redis_exporter.records.samples import Distribution
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.runs import Runs
from celery_redis_exporter.state.series import NewSeries, Store
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.tracking import TaskLimits, Tracking
from celery_redis_exporter.state.worker import WorkerLimits
from celery_redis_exporter.state.workers import Workers
from tests.support.fakes import FakeClock
from tests.support.options import task_limits, worker_limits

EVENT_METRICS = [metric for metric in CATALOG.values() if metric not in redis_rows.METRICS]
W1, W2 = "w1@host", "w2@host"


class Lab:
    """Tasks and workers with a fake clock. Times of events are seconds after the start."""

    def __init__(
        self,
        tasks: TaskLimits | None = None,
        workers: WorkerLimits | None = None,
        series: int = 1000,
        new: NewSeries | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.start = self.clock.epoch
        self.store = Store(EVENT_METRICS, series, {}, new or NewSeries(exemplars=True))
        limits = tasks or task_limits()
        names, self.runs = Names(self.store, limits), Runs(self.store, Tracking(limits.tracked))
        self.workers = Workers(self.store, self.clock, workers or worker_limits(), self.runs, names.forget_worker)
        self.tasks = Tasks(self.store, self.workers, names, limits)
        self.beats = Beats(self.store, self.clock, 100, names.expectations)
        self.tasks.now = self.clock.monotonic()
        # As after the first second, in which no task-sent was received.
        self.tasks._holding.sent_seen = False

    def collector(self, decode: Decode = decode_message, stream: Stream | None = None) -> EventCollector:
        """Return a collector that processes events into this state. Without a ``stream`` it only processes messages."""
        queues = Queues(self.tasks, [], 1000)
        consumers = Consumers(self.store, self.workers, queues, self.clock, 30.0)
        state = EventState(self.store, self.tasks, self.workers, consumers, self.beats)
        return EventCollector(cast("Stream", stream), decode, state, self.clock)

    def advance(self, seconds: float, *, listening: bool = True) -> None:
        """Advance the clock, then tick."""
        self.clock.advance(seconds)
        self.tasks.tick(self.clock.monotonic())
        self.workers.tick(listening=listening)

    def sent(  # noqa: PLR0913, PLR0917 -- the event has that many fields
        self, uuid: str, at: float, name: str = "t", queue: str | None = "q", retries: int = 0, eta: str | None = None
    ) -> None:
        """Process a task-sent."""
        self.tasks.fold_sent(TaskSent(uuid, self.start + at, name, queue, eta, retries))

    def received(  # noqa: PLR0913, PLR0917 -- the event has that many fields
        self, uuid: str, at: float, name: str = "t", worker: str = W1, retries: int = 0, eta: str | None = None
    ) -> None:
        """Process a task-received."""
        self.tasks.fold_received(TaskReceived(uuid, self.start + at, worker, name, eta, retries))

    def started(self, uuid: str, at: float, worker: str = W1) -> None:
        """Process a task-started."""
        self.tasks.fold_started(TaskStarted(uuid, self.start + at, worker))

    def succeeded(self, uuid: str, at: float, runtime: float | None = 1.0, worker: str = W1) -> None:
        """Process a task-succeeded."""
        self.tasks.fold_succeeded(TaskSucceeded(uuid, self.start + at, worker, runtime))

    def failed(self, uuid: str, at: float, exception: str = "ValueError", worker: str = W1) -> None:
        """Process a task-failed whose exception class is already decoded."""
        self.tasks.fold_failed(TaskFailed(uuid, self.start + at, worker), exception)

    def retried(self, uuid: str, at: float, exception: str = "KeyError", worker: str = W1) -> None:
        """Process a task-retried."""
        self.tasks.fold_retried(TaskRetried(uuid, self.start + at, worker), exception)

    def rejected(self, uuid: str, at: float, *, requeue: bool = False, worker: str = W1) -> None:
        """Process a task-rejected."""
        self.tasks.fold_rejected(TaskRejected(uuid, self.start + at, worker, requeue))

    def revoked(  # noqa: PLR0913 -- the event has that many fields
        self,
        uuid: str,
        at: float,
        *,
        terminated: bool = False,
        expired: bool = False,
        signum: int | str | None = None,
        worker: str = W1,
    ) -> None:
        """Process a task-revoked."""
        self.tasks.fold_revoked(TaskRevoked(uuid, self.start + at, worker, terminated, expired, signum))

    def cancelled(self, uuid: str, at: float) -> None:
        """Process a task-cancelled."""
        self.tasks.fold_cancelled(TaskCancelled(uuid, self.start + at, W1))

    def online(self, worker: str = W1, pid: int = 1, processed: int = 0, active: int = 0) -> None:
        """Process a worker-online of the current time: of a new process, or of one that connects again."""
        self.workers.fold_online(WorkerOnline(worker, self.clock.epoch, pid, 2.0, active, processed, (0.1, 0.2, 0.3)))

    def beat(
        self, processed: int | None = 0, active: int | None = 0, worker: str = W1, pid: int = 1, skew: float = 0
    ) -> None:
        """Process a worker-heartbeat of the current time. ``skew`` is added to its timestamp."""
        at = self.clock.epoch + skew
        self.workers.fold_heartbeat(
            WorkerHeartbeat(worker, at, pid, 2.0, active, processed, (0.1, 0.2, 0.3), "py-celery", "5.7.0", "Linux")
        )

    def offline(self, worker: str = W1) -> None:
        """Process a worker-offline of the current time."""
        self.workers.fold_offline(WorkerOffline(worker, self.clock.epoch, 1, 2.0))

    def value(self, metric: Metric, *labels: str) -> float | None:
        """Return the value of a series, or None if there is none."""
        self.tasks.refresh()
        for family in self.store.collect():
            if family.metric is metric:
                for series, value in zip(family.series, family.values, strict=True):
                    if series.labels == labels and (value is None or isinstance(value, int | float)):
                        return value
        return None

    def observations(self, metric: Metric, *labels: str) -> tuple[int, float]:
        """Return number and sum of a histogram's observations, or (0, 0) if there are none."""
        for family in self.store.collect():
            if family.metric is metric:
                for series, value in zip(family.series, family.values, strict=True):
                    if series.labels == labels and isinstance(value, Distribution):
                        return sum(value.counts), round(value.total, 6)
        return 0, 0

    def ends(self, name: str = "t", queue: str = "q") -> dict[str, float]:
        """Return the number of ended executions by state, without zeros."""
        states = ("success", "failure", "retry", "revoked", "rejected")
        counts = {state: self.value(rows.TASKS, name, queue, state) for state in states}
        return {state: count for state, count in counts.items() if count}
