# SPDX-License-Identifier: Apache-2.0
"""Build the table of tasks from the counters of their queues.

Input: the numbers of one moment and the marks. Output: a ``TaskStatus`` per task name.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import is_no_chance, threshold
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.report import Recent, State, TaskStatus
from celery_redis_exporter.status.marks import SPACING, Counters, Growth, Marks, quantile
from celery_redis_exporter.status.numbers import Numbers

MOST_EXCEPTIONS = 5
"""Classes of exceptions that are shown for each task."""
OUTCOMES = ("success", "failure", "retry", "revoked", "rejected")
SENT, STARTED, SUCCESS, FAILURE, RETRY, _, _, BUCKETS = range(len(OUTCOMES) + 3)
"""Positions in a task's counters. The last one is that of the first bucket."""


class TaskTally(NamedTuple):
    """The counters of a task, summed over its queues, and the bounds of its runtime buckets."""

    counters: Counters
    bounds: tuple[float, ...]


def tally_tasks(numbers: Numbers) -> dict[str, TaskTally]:
    """Return the sums of every task's counters."""
    sent, started = numbers.by(rows.TASKS_SENT), numbers.by(rows.TASKS_STARTED)
    outcomes: dict[str, dict[str, float]] = {}
    for (task, _queue, state), value in numbers.values(rows.TASKS):
        of_task = outcomes.setdefault(task, dict.fromkeys(OUTCOMES, 0))
        of_task[state] += value
    runtimes = numbers.counts(rows.TASK_RUNTIME)
    tallies = {}
    for task in sorted(outcomes.keys() | sent.keys()):
        bounds, counts = runtimes.get(task, ((), []))
        ends = outcomes.get(task, {})
        counters = (sent.get(task, 0), started.get(task, 0), *(ends.get(state, 0) for state in OUTCOMES), *counts)
        tallies[task] = TaskTally(counters, bounds)
    return tallies


def marks_of_tasks(tallies: Mapping[str, TaskTally]) -> dict[Hashable, Counters]:
    """Return the counters of tasks for a mark."""
    return {("task", name): tally.counters for name, tally in tallies.items()}


def added_since_mark(tallies: Mapping[str, TaskTally], marks: Marks, at: float) -> dict[str, Growth]:
    """Return what was added to the counters of each task between the last mark and the monotonic time ``at``."""
    found = {name: marks.growth(("task", name), tally.counters, at, 0.0) for name, tally in tallies.items()}
    return {name: growth for name, growth in found.items() if growth is not None}


def read_tasks(
    numbers: Numbers, tallies: Mapping[str, TaskTally], marks: Marks, trend: Callable[[str], list[float]], at: float
) -> list[TaskStatus]:
    """Return every task at the monotonic time ``at``, by name. ``trend`` returns that of a task."""
    queues = _find_queues(numbers)
    gauges = [
        numbers.by(metric)
        for metric in (
            rows.TASKS_RUNNING, rows.TASK_LAST_SUCCESS, rows.TASK_LAST_FAILURE, rows.TASK_OLDEST_STARTED,
            rows.TASK_CONSECUTIVE_FAILURES, rows.TASK_LAST_SENT, rows.TASK_EXPECTED_INTERVAL,
        )
    ]  # fmt: skip
    running, last_success, last_failure, oldest, in_a_row, last_sent, intervals = gauges
    exceptions = _count_exceptions(numbers)
    tasks = []
    for name, tally in tallies.items():
        sent, started, success, failure, retry, revoked, rejected = tally.counters[:BUCKETS]
        lately = marks.growth(("task", name), tally.counters, at, SPACING)
        window = marks.growth(("task", name), tally.counters, at)
        recent = window and _recent(window, tally.bounds)
        tasks.append(
            TaskStatus(
                name=name, queues=sorted(queues.get(name, ())),
                sent=sent, started=started, running=running.get(name, 0),
                success=success, failure=failure, retry=retry, revoked=revoked, rejected=rejected,
                rate=lately and sum(lately.added[SUCCESS:BUCKETS]) / lately.seconds,
                recent=recent,
                last_success=last_success.get(name) or None,
                last_failure=last_failure.get(name) or None,
                oldest_started=oldest.get(name),
                consecutive_failures=in_a_row.get(name, 0),
                verdict="critical" if is_failing(in_a_row.get(name, 0)) else _judge(window, tally.counters),
                exceptions=dict(exceptions.get(name, Counter()).most_common(MOST_EXCEPTIONS)),
                last_sent=last_sent.get(name) or None,
                expected_interval_seconds=intervals.get(name) or None,
                trend=trend(name),
            )
        )  # fmt: skip
    return tasks


def _find_queues(numbers: Numbers) -> dict[str, set[str]]:
    """Return the queues of each task: those that it was in, or if it was in none, those of workers that registered it.

    The latter have counters that are 0.
    """
    used: dict[str, set[str]] = {}
    registered: dict[str, set[str]] = {}
    for metric in (rows.TASKS_SENT, rows.TASKS):
        for labels, value in numbers.values(metric):
            (used if value else registered).setdefault(labels[0], set()).add(labels[1])
    return registered | used


def _count_exceptions(numbers: Numbers) -> dict[str, Counter[str]]:
    """Return how often each class of exception occurred, by task."""
    position = rows.TASK_EXCEPTIONS.label_names.index("exception")
    found: dict[str, Counter[str]] = {}
    for labels, count in numbers.values(rows.TASK_EXCEPTIONS):
        if count:
            found.setdefault(labels[0], Counter())[labels[position]] += count  # type: ignore[assignment]  # a float
    return found


def is_failing(consecutive_failures: float) -> bool:
    """Return whether the last executions all failed, and are too many for a coincidence."""
    return consecutive_failures >= threshold("CeleryTaskFailing", "executions")


def _judge(window: Growth | None, counters: Counters) -> State:
    """Judge the failures within the window. ``counters`` are those since the start."""
    if window is None:
        return "ok"
    failed, ended = _failed_and_ended(window.added)
    all_failed, all_ended = _failed_and_ended(counters)
    if _fails("CeleryTaskFailureRateCritical", failed, ended) and is_no_chance(
        failed, ended, all_failed - failed, all_ended - ended
    ):
        return "critical"
    return "warning" if _fails("CeleryTaskFailureRateHigh", failed, ended) else "ok"


def _fails(alert: str, failed: float, ended: float) -> bool:
    enough = ended >= threshold(alert, "least_executions") and failed >= threshold(alert, "least_failures")
    return enough and failed > threshold(alert, "ratio") * ended


def _failed_and_ended(counters: Counters) -> tuple[float, float]:
    return counters[FAILURE], counters[SUCCESS] + counters[FAILURE]


def _recent(growth: Growth, bounds: tuple[float, ...]) -> Recent:
    added = growth.added
    decided = added[SUCCESS] + added[FAILURE]
    return Recent(
        ended=sum(added[SUCCESS:BUCKETS]),
        failure_ratio=added[FAILURE] / decided if decided else None,
        retry_ratio=min(added[RETRY] / added[STARTED], 1.0) if added[STARTED] else None,
        p50_seconds=quantile(0.5, bounds, added[BUCKETS:]),
        p95_seconds=quantile(0.95, bounds, added[BUCKETS:]),
    )
