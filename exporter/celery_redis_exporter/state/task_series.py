# SPDX-License-Identifier: Apache-2.0
"""The records that series are kept in: those of a (task, queue), and what is kept per task name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import tasks as rows

if TYPE_CHECKING:
    from celery_redis_exporter.state.histograms import Histogram
    from celery_redis_exporter.state.series import Series, Store

STATES = ("success", "failure", "retry", "revoked", "rejected")


class TaskSeries:
    """The series of one (task, queue), created together so that their first increments can be seen.

    With ``hidden``, a store that is not shown, they are distinguished by worker: here is what no worker did, and
    ``by_worker`` has the rest, each in a record of the same kind. ``expired`` says that they are shown no more; what
    belongs to them later needs new ones.
    """

    __slots__ = (
        "_shown", "activity", "by_worker", "expired", "failure", "idle_since", "prefetch", "queue", "received",
        "rejected", "retry", "revoked", "running", "runtime", "sent", "started", "store", "success", "task", "wait",
        "waiting", "worker",
    )  # fmt: skip

    def __init__(self, store: Store, task: TaskName, queue: str, hidden: Store | None = None, worker: str = "") -> None:
        self.by_worker: dict[str, TaskSeries] | None = None if hidden is None else {}
        names, workers = (task.name, queue), (worker,) if worker else ()
        self.store, self.task, self.queue, self.worker = store, task, queue, workers
        shown = self._shown = hidden or store
        self.received = shown.scalar(rows.TASKS_RECEIVED, *names, *workers)
        self.started = shown.scalar(rows.TASKS_STARTED, *names, *workers)
        self.success, self.failure, self.retry, self.revoked, self.rejected = (
            shown.scalar(rows.TASKS, *names, state, *workers) for state in STATES
        )
        self.running = shown.scalar(rows.TASKS_RUNNING, *names, *workers)
        self.prefetch = shown.histogram(rows.TASK_PREFETCH, *names, *workers, bounds=task.bounds)
        runtime = shown.histogram(rows.TASK_RUNTIME, *names, "success", *workers, bounds=task.bounds)
        self.runtime: dict[str, Histogram] = {"success": runtime}
        self.sent: Series | None = None
        self.waiting: Series | None = None
        self.wait: Histogram | None = None
        self.expired = False
        self.activity = -1.0
        self.idle_since = 0.0
        if task.expects_sent:
            self.make_wait()
            if not worker:
                self.make_sent()
                self.make_waiting()

    def split(self, worker: str) -> TaskSeries:
        """Make the record of a worker."""
        made = TaskSeries(self.store, self.task, self.queue, worker=worker)
        if self.by_worker is not None:
            self.by_worker[worker] = made
        return made

    def make_sent(self) -> Series:
        """Make the counter of publications. Without task-sent it would stay at 0 while tasks are published."""
        self.sent = self.store.scalar(rows.TASKS_SENT, self.task.name, self.queue)
        return self.sent

    def make_waiting(self) -> Series:
        """Make the gauge of what waits, which needs task-sent too."""
        self.waiting = self.store.scalar(rows.TASKS_WAITING, self.task.name, self.queue)
        return self.waiting

    def make_wait(self) -> Histogram:
        """Make the histogram of waiting times, which needs task-sent too."""
        labels = (self.task.name, self.queue, *self.worker)
        self.wait = self._shown.histogram(rows.TASK_WAIT, *labels, bounds=self.task.bounds)
        return self.wait

    def runtime_of(self, state: str) -> Histogram:
        """The runtime histogram of an outcome; failure and retry get theirs when they first occur."""
        found = self.runtime.get(state)
        if found is None:
            labels = (self.task.name, self.queue, state, *self.worker)
            found = self.runtime[state] = self.store.histogram(rows.TASK_RUNTIME, *labels, bounds=self.task.bounds)
        return found

    def make(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Make the series with these labels, if this record has such series and makes them when they first occur."""
        if metric is rows.TASKS_SENT:
            self.make_sent()
        elif metric is rows.TASK_WAIT:
            self.make_wait()
        elif metric is rows.TASK_RUNTIME:
            self.runtime_of(labels[2])
        return True

    def observe_run(self, state: str, started_at: float, ended_at: float, task_id: str) -> None:
        """Observe the time of a run whose end does not contain it. Without a start (0) nothing is observed."""
        if started_at:
            self.runtime_of(state).observe_task(max(ended_at - started_at, 0.0), task_id, ended_at)

    def count_activity(self) -> float:
        """A sum that changes with every event of this (task, queue)."""
        ends = self.success.value + self.failure.value + self.retry.value + self.revoked.value + self.rejected.value
        split = sum(series.count_activity() for series in (self.by_worker or {}).values())
        sent = self.sent.value if self.sent is not None else 0
        return sent + self.received.value + self.started.value + ends + split

    @property
    def is_running(self) -> bool:
        """Whether an execution runs."""
        return bool(self.running.value) or any(series.is_running for series in (self.by_worker or {}).values())

    def rows(self) -> list[tuple[Metric, tuple[str, ...]]]:
        """Metric and labels of every series held here, and by worker; only the first has what no worker does."""
        names, worker = (self.task.name, self.queue), self.worker
        plain = (rows.TASKS_RECEIVED, rows.TASKS_STARTED, rows.TASKS_RUNNING, rows.TASK_WAIT, rows.TASK_PREFETCH)
        own = [
            *((metric, (*names, *worker)) for metric in plain),
            *((rows.TASKS, (*names, state, *worker)) for state in STATES),
            *((rows.TASK_RUNTIME, (*names, state, *worker)) for state in self.runtime),
        ]
        if worker:
            return own
        split = [row for series in (self.by_worker or {}).values() for row in series.rows()]
        return [(rows.TASKS_SENT, names), (rows.TASKS_WAITING, names), *own, *split]


class TaskName:
    """What is kept per task name: its queues and the series that carry no queue.

    ``expects_sent`` says whether its publishers are known to send task-sent (None: not known yet); ``bounds`` are those
    of its histograms, None for the usual ones. ``shadowed`` says that it is published with ``shadow``, so that workers
    report it under other names.
    """

    __slots__ = (
        "bounds",
        "consecutive_failures",
        "exceptions",
        "expects_sent",
        "last_failure",
        "last_sent",
        "last_success",
        "name",
        "queues",
        "series",
        "shadowed",
    )

    def __init__(self, name: str, bounds: tuple[float, ...] | None = None) -> None:
        self.name = name
        self.bounds = bounds
        self.queues: dict[str, TaskSeries] = {}
        self.expects_sent: bool | None = None
        self.shadowed = False
        self.exceptions: dict[str, Series] = {}
        self.last_sent: Series | None = None
        self.last_success: Series | None = None
        self.last_failure: Series | None = None
        self.consecutive_failures: Series | None = None
        self.series: set[tuple[Metric, tuple[str, ...]]] = set()
