"""What is expected of tasks: how often they run, and how long they may take.

Takes plans from the settings, by name or pattern, and intervals of schedules; gives gauges. A task that is
named has its gauges before it ever runs, so that one that never does can be told. Not thread-safe: see state.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.replies import PeriodicTask
from celery_redis_exporter.state.series import Store

_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings say of a task; None where they say nothing. Times in seconds; ``buckets`` of its times."""

    expected_interval: float | None = None
    runtime_threshold: float | None = None
    buckets: tuple[float, ...] | None = None


NO_PLAN = Plan()


class Expectations:
    """Plans by task name or shell pattern, in order of preference: the exact name, then the first pattern that fits.

    What the settings say of a task's interval counts for more than what was learnt of it. ``shown`` gives the name
    under which a task is shown, None if it is not.
    """

    def __init__(
        self, store: Store, plans: Mapping[str, Plan], shown: Callable[[str], str | None] = lambda name: name
    ) -> None:
        self._store = store
        self._exact = {name: plan for name, plan in plans.items() if not _WILD & set(name)}
        self._patterns = [(name, plan) for name, plan in plans.items() if _WILD & set(name)]
        self._shown = shown
        self._learnt: dict[str, float] = {}
        self._sources: dict[str, dict[str, float]] = {}
        for name in self._exact:
            self._show(name)

    def plan(self, task: str) -> Plan:
        """Give what the settings say of a task."""
        found = self._exact.get(task)
        if found is not None:
            return found
        return next((plan for pattern, plan in self._patterns if fnmatchcase(task, pattern)), NO_PLAN)

    def interval(self, task: str) -> float | None:
        """Give how often a task is expected to run, in seconds; None if nobody says."""
        planned = self.plan(task).expected_interval
        return self._learnt.get(task) if planned is None else planned

    def meet(self, task: str) -> None:
        """Show what is expected of a task that was seen."""
        self._show(task)

    def forget(self, task: str) -> None:
        """Take off what a pattern says of a task that was not seen for long; what names it stays."""
        if task not in self._exact and task not in self._learnt:
            self._store.discard(rows.TASK_EXPECTED_INTERVAL, (task,))
            self._store.discard(rows.TASK_RUNTIME_THRESHOLD, (task,))

    def learn(self, tasks: Iterable[PeriodicTask], source: str = "redbeat") -> None:
        """Take over the whole schedule of one source; of several entries for a task the shortest interval counts."""
        found = self._sources[source] = {}
        for task, interval in tasks:
            name = self._shown(task)
            if name is not None:
                found[name] = min(interval, found.get(name, interval))
        before, self._learnt = self._learnt, {}
        for schedule in self._sources.values():
            for name, interval in schedule.items():
                self._learnt[name] = min(interval, self._learnt.get(name, interval))
        for name in {**before, **self._learnt}:
            self._show(name)

    def _show(self, task: str) -> None:
        self._set(rows.TASK_EXPECTED_INTERVAL, task, self.interval(task))
        self._set(rows.TASK_RUNTIME_THRESHOLD, task, self.plan(task).runtime_threshold)

    def _set(self, metric: Metric, task: str, value: float | None) -> None:
        if value is None:
            self._store.discard(metric, (task,))
        else:
            self._store.scalar(metric, task).value = value
