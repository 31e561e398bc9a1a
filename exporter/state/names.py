"""Task names: their series per queue, exception classes and time stamps; bounded, and forgotten when idle.

Not thread-safe: see state.
"""

from collections.abc import Iterator

from exporter.catalog import OVERFLOW, Metric
from exporter.catalog import tasks as rows
from exporter.state.series import Series, Store
from exporter.state.task import TaskName, TaskSeries


class Names:
    """Task names by name.

    ``pairs`` is the number of (task, queue) that are told apart, ``exceptions`` the number of exception classes
    per task; what is over a bound is counted under OVERFLOW.
    """

    def __init__(self, store: Store, pairs: int, exceptions: int) -> None:
        self.by_name: dict[str, TaskName] = {}
        self._store = store
        self._pairs_left = pairs
        self._exceptions = exceptions

    def series(self, name: str, queue: str) -> TaskSeries:
        """Give the series of a task on a queue, made if need be."""
        task = self.by_name.get(name)
        if task is not None:
            found = task.queues.get(queue)
            if found is not None:
                return found
        return self._add(name, queue)

    def queues(self) -> set[str]:
        """Every queue that a task was seen on."""
        return {queue for task in self.by_name.values() for queue in task.queues}

    def exception(self, task: TaskName, class_name: str) -> Series:
        """Give the counter of an exception class."""
        found = task.exceptions.get(class_name)
        if found is None:
            if len(task.exceptions) >= self._exceptions and class_name != OVERFLOW:
                self._store.refuse(rows.TASK_EXCEPTIONS)
                return self.exception(task, OVERFLOW)
            found = task.exceptions[class_name] = self.named(task, rows.TASK_EXCEPTIONS, class_name)
        return found

    def named(self, task: TaskName, metric: Metric, *labels: str) -> Series:
        """Give a series that carries the task's name and no queue."""
        task.series.add((metric, (task.name, *labels)))
        return self._store.scalar(metric, task.name, *labels)

    def expire(self, now: float, ttl: float) -> None:
        """Remove (task, queue) pairs without an event for ``ttl`` seconds, and names without pairs."""
        for task in list(self.by_name.values()):
            for series in list(task.queues.values()):
                if self._is_stale(series, now, ttl):
                    del task.queues[series.queue]
                    self._pairs_left += 1
                    for metric, labels in series.rows():
                        self._store.expire(metric, labels)
            if not task.queues:
                del self.by_name[task.name]
                for metric, labels in task.series:
                    self._store.expire(metric, labels)

    def __iter__(self) -> Iterator[TaskName]:
        return iter(self.by_name.values())

    @staticmethod
    def _is_stale(series: TaskSeries, now: float, ttl: float) -> bool:
        activity = series.count_activity()
        if activity != series.activity:
            series.activity, series.idle_since = activity, now
        return now - series.idle_since >= ttl and not series.running.value

    def _add(self, name: str, queue: str) -> TaskSeries:
        if self._pairs_left <= 0 and (name, queue) != (OVERFLOW, OVERFLOW):
            self._store.refuse(rows.TASKS)
            return self.series(OVERFLOW, OVERFLOW)
        self._pairs_left -= 1
        task = self.by_name.get(name)
        if task is None:
            task = self.by_name[name] = TaskName(name)
        series = task.queues[queue] = TaskSeries(self._store, task, queue)
        return series
