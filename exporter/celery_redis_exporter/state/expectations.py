# SPDX-License-Identifier: Apache-2.0
"""Show what is expected of tasks: how often they run, and how long they may take.

Input: plans from the settings, by name or pattern, and intervals of schedules. Output: gauges. A task that is named has
its gauges before it ever runs, so that one that never runs is noticed. Not thread-safe: see state.
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
    """The settings of a task, None where there is none.

    Times are in seconds, and ``buckets`` are those of its times.
    """

    expected_interval: float | None = None
    runtime_threshold: float | None = None
    buckets: tuple[float, ...] | None = None


NO_PLAN = Plan()


class Expectations:
    """Plans by task name or shell pattern. The exact name is preferred, then the first pattern that matches.

    An interval in the settings takes precedence over one of a schedule. ``shown`` returns the name under which a task
    is shown, or None if it is not shown.
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
        """Return the settings of a task."""
        found = self._exact.get(task)
        if found is not None:
            return found
        return next((plan for pattern, plan in self._patterns if fnmatchcase(task, pattern)), NO_PLAN)

    def interval(self, task: str) -> float | None:
        """Return how often a task is expected to run, in seconds, or None if that is unknown."""
        planned = self.plan(task).expected_interval
        return self._learnt.get(task) if planned is None else planned

    def meet(self, task: str) -> None:
        """Show the expectations of a task that was seen."""
        self._show(task)

    def forget(self, task: str) -> None:
        """Remove the gauges that only a pattern defines of a task that was not seen for long."""
        if task not in self._exact and task not in self._learnt:
            self._store.discard(rows.TASK_EXPECTED_INTERVAL, (task,))
            self._store.discard(rows.TASK_RUNTIME_THRESHOLD, (task,))

    def learn(self, tasks: Iterable[PeriodicTask], source: str = "redbeat") -> None:
        """Replace the whole schedule of one source. Of several entries for a task the shortest interval counts."""
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
