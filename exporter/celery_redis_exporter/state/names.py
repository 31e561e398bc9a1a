# SPDX-License-Identifier: Apache-2.0
"""Task names: their series per queue, exception classes and time stamps; bounded, and forgotten when idle.

Not thread-safe: see state.
"""

from collections.abc import Iterator

from celery_redis_exporter.catalog import OVERFLOW, Metric
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog.labels import QUEUE
from celery_redis_exporter.records.saved_state import SavedPair
from celery_redis_exporter.state.expectations import Expectations
from celery_redis_exporter.state.series import NewSeries, Series, Store
from celery_redis_exporter.state.task_series import TaskName, TaskSeries
from celery_redis_exporter.state.tracking import TaskLimits

QUEUES_KEPT = 10_000
LEARNING_SECONDS = 600.0
"""Time for schedules to be learnt after a restart: tasks that run rarely are kept for longer (``expire``)."""


class Names:
    """Task names by name.

    ``pairs`` is the number of (task, queue) that are distinguished, and of (task, queue, worker) where workers are;
    ``exceptions`` the number of exception classes per task; what is over a bound is counted under OVERFLOW.
    ``naming`` has the shown names; what is not shown is counted in ``hidden`` series. ``expectations`` learn
    which names come and go.
    """

    def __init__(self, store: Store, limits: TaskLimits) -> None:
        pairs, exceptions, naming = limits.pairs, limits.exceptions, limits.naming
        self.expectations = Expectations(store, limits.plans, naming.task.apply)
        self.by_name: dict[str, TaskName] = {}
        self.revision = 0
        """Grows with each queue that a task is seen on."""
        self._store = store
        self._pairs_left = self._triples_left = pairs
        self._pairs = pairs
        self._exceptions = exceptions
        self._naming = naming
        self._idle = limits.idle
        self._renames = naming.renames_tasks
        # By their real names, where names are rewritten: when each was last seen, None if since the last sweep.
        self._queues: dict[str, float | None] = {}
        self._hidden_store = Store(rows.METRICS, 1, {}, NewSeries())
        self.hidden = TaskSeries(self._hidden_store, TaskName(OVERFLOW), OVERFLOW)

    def series(self, name: str, queue: str) -> TaskSeries:
        """Return the series of a task on a queue, and make it if necessary."""
        if self._renames:
            shown = self._shown(name, queue)
            if shown is None:
                return self.hidden
            name, queue = shown
        task = self.by_name.get(name)
        if task is not None:
            found = task.queues.get(queue)
            if found is not None:
                return found
        return self._add(name, queue)

    def at(self, series: TaskSeries, worker: str) -> TaskSeries:
        """Return the series of a task on a queue and a worker, if workers are distinguished."""
        if series.by_worker is None:
            return series
        label = self._naming.worker_shown(worker)
        found = series.by_worker.get(label)
        if found is None:
            if self._triples_left <= 0:
                self._store.refuse(rows.TASKS)
                return series.by_worker.get(OVERFLOW) or series.split(OVERFLOW)
            self._triples_left -= 1
            found = series.split(label)
        return found

    def forget_worker(self, worker: str) -> None:
        """Remove the task series of a worker that will not be shown any more, where they have the worker's label."""
        if not self._naming.worker_label:
            return
        label = self._naming.worker_shown(worker)
        for task in self.by_name.values():
            for series in task.queues.values():
                split = series.by_worker.pop(label, None) if series.by_worker else None
                if split is not None:
                    split.expired = True
                    self._triples_left += 1
                    for metric, labels in split.rows():
                        self._store.expire(metric, labels)

    def find(self, name: str) -> TaskName | None:
        """Return what is known of a task by the name in its events."""
        shown = self._naming.task.apply(name)
        return self.hidden.task if shown is None else self.by_name.get(shown)

    def foresee(self, name: str, queue: str) -> None:
        """Make the series of a task that was not seen yet; what is foreseen takes half of the bound at most."""
        if self.find(name) is None and self._pairs_left > self._pairs // 2:
            self.series(name, queue)

    def queues(self) -> set[str]:
        """Every queue that a shown task was seen on, as it is called."""
        if self._naming.queue.needed:
            return {queue for queue in self._queues if self._naming.queue.apply(queue) is not None}
        return {queue for task in self.by_name.values() for queue in task.queues}

    def exception(self, task: TaskName, class_name: str) -> Series:
        """Return the counter of an exception class."""
        found = task.exceptions.get(class_name)
        if found is None:
            if len(task.exceptions) >= self._exceptions and class_name != OVERFLOW:
                self._store.refuse(rows.TASK_EXCEPTIONS)
                return self.exception(task, OVERFLOW)
            found = task.exceptions[class_name] = self.named(task, rows.TASK_EXCEPTIONS, class_name)
        return found

    def named(self, task: TaskName, metric: Metric, *labels: str) -> Series:
        """Return a series with the task's name and without a queue."""
        if task is self.hidden.task:
            return self._hidden_store.scalar(metric, task.name, *labels)
        task.series.add((metric, (task.name, *labels)))
        return self._store.scalar(metric, task.name, *labels)

    def note_failure(self, task: TaskName, timestamp: float) -> None:
        """Note a failed execution; ``timestamp`` is its end in epoch seconds."""
        if task.last_failure is None or task.consecutive_failures is None:
            task.last_failure = self.named(task, rows.TASK_LAST_FAILURE)
            task.consecutive_failures = self.named(task, rows.TASK_CONSECUTIVE_FAILURES)
        task.last_failure.value = max(task.last_failure.value, timestamp)
        task.consecutive_failures.value += 1

    def expire(self, now: float, ttl: float) -> None:
        """Remove (task, queue) pairs without an event for ``ttl`` seconds, and names without pairs."""
        self._queues = {
            queue: now if seen is None else seen
            for queue, seen in self._queues.items()
            if seen is None or now - seen < ttl
        }
        for task in list(self.by_name.values()):
            for series in list(task.queues.values()):
                if self._is_stale(series, now, max(ttl, 3 * (self.expectations.interval(task.name) or 0))):
                    del task.queues[series.queue]
                    series.expired = True
                    self._pairs_left += 1
                    self._triples_left += len((series.by_worker or {}).keys() - {OVERFLOW})  # which took no place
                    for metric, labels in series.rows():
                        self._store.expire(metric, labels)
            if not task.queues:
                del self.by_name[task.name]
                self.expectations.forget(task.name)
                for metric, labels in task.series:
                    self._store.expire(metric, labels)

    def copy(self, now: float, wall: float) -> list[SavedPair]:
        """Return every task with its queues; ``now`` (monotonic) is ``wall`` (epoch seconds)."""
        pairs = []
        for task in self.by_name.values():
            for series in task.queues.values():
                is_idle = series.activity == series.count_activity()
                active_at = wall - (now - series.idle_since) if is_idle else wall
                pairs.append(SavedPair(task.name, series.queue, active_at, tuple(series.by_worker or ())))
        return pairs

    def restore(self, pair: SavedPair, idle_since: float, now: float) -> None:
        """Make the series of a saved task on its queue, at 0, if there is room; times are monotonic."""
        task = self.by_name.get(pair.task)
        is_known = task is not None and pair.queue in task.queues
        if is_known or (self._is_full and (pair.task, pair.queue) != (OVERFLOW, OVERFLOW)):
            return
        series = self._add(pair.task, pair.queue)
        series.idle_since = min(now, max(idle_since, now + LEARNING_SECONDS - self._idle))
        for worker in pair.workers if series.by_worker is not None else ():
            if worker != OVERFLOW:
                if self._triples_left <= 0:
                    continue
                self._triples_left -= 1
            series.split(worker)

    def admit(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Prepare for a saved series of a task; return False if the task was not restored."""
        task = self.by_name.get(labels[0])
        if task is None:
            return False
        if len(metric.labels) > 1 and metric.labels[1] is QUEUE:
            series = task.queues.get(labels[1])
            if series is not None and len(labels) > len(metric.labels):
                series = (series.by_worker or {}).get(labels[-1])
            return series is not None and series.make(metric, labels)
        if metric is rows.TASK_EXCEPTIONS:
            self.exception(task, labels[1])
            return labels[1] in task.exceptions
        series_of_name = self.named(task, metric, *labels[1:])
        if metric is rows.TASK_LAST_FAILURE:
            task.last_failure = series_of_name
        elif metric is rows.TASK_CONSECUTIVE_FAILURES:
            task.consecutive_failures = series_of_name
        return True

    def restored(self) -> None:
        """Take what was restored for no activity: tasks are as idle as they were."""
        for task in self.by_name.values():
            for series in task.queues.values():
                series.activity = series.count_activity()

    def __iter__(self) -> Iterator[TaskName]:
        return iter(self.by_name.values())

    @staticmethod
    def _is_stale(series: TaskSeries, now: float, ttl: float) -> bool:
        activity = series.count_activity()
        if activity != series.activity:
            series.activity, series.idle_since = activity, now
        return now - series.idle_since >= ttl and not series.is_running

    def _shown(self, name: str, queue: str) -> tuple[str, str] | None:
        """What a task and its queue are shown as; None if one of them is not."""
        if self._naming.queue.needed:
            if queue in self._queues:
                self._queues[queue] = None
            elif len(self._queues) < QUEUES_KEPT:
                self._queues[queue] = None
                self.revision += 1
        task, shown_queue = self._naming.task.apply(name), self._naming.queue_shown(queue)
        return None if task is None or shown_queue is None else (task, shown_queue)

    @property
    def _is_full(self) -> bool:
        return self._pairs_left <= 0 or self._store.is_full

    def _add(self, name: str, queue: str) -> TaskSeries:
        if self._is_full and (name, queue) != (OVERFLOW, OVERFLOW):
            self._store.refuse(rows.TASKS)
            overflow = self.by_name.get(OVERFLOW)  # also a task that has this name itself
            found = overflow and overflow.queues.get(OVERFLOW)
            return found or self._add(OVERFLOW, OVERFLOW)
        self._pairs_left -= 1
        self.revision += 1
        task = self.by_name.get(name)
        if task is None:
            task = self.by_name[name] = TaskName(name, self.expectations.plan(name).buckets)
            self.expectations.meet(name)
        hidden = self._hidden_store if self._naming.worker_label else None
        series = task.queues[queue] = TaskSeries(self._store, task, queue, hidden)
        return series
