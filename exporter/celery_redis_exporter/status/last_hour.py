# SPDX-License-Identifier: Apache-2.0
"""Remember the last hour by the minute: executions of tasks, lengths of queues, and how many workers there were.

Input: what was added to the counters of tasks since the last mark, lengths as scrapes read them, numbers of workers.
Output: totals, and trends. Memory is bounded: MINUTES values of 4 bytes for each task and queue that still has counters
or a length.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import isnan, nan
from typing import NamedTuple

from celery_redis_exporter.records.report import LastHour
from celery_redis_exporter.status.marks import Counters, Growth
from celery_redis_exporter.status.tasks import BUCKETS, FAILURE, OUTCOMES, SUCCESS

MINUTES = 60
"""Marks that are kept. There is one each minute (``marks.SPACING``)."""
LENGTH_LASTS = 120.0
"""Seconds for which a length is used after it was read. Prometheus scrapes at least every two minutes."""
DIGITS = 4
"""Significant digits of a trend."""


class WorkerCounts(NamedTuple):
    """How many workers were online, and how many were lost, at one moment."""

    online: float
    lost: float


class LastHours:
    """The last hour of every task and queue, from the monotonic time ``at`` on. Not thread-safe."""

    def __init__(self, at: float) -> None:
        self._marked_at = at
        self._minutes: deque[tuple[float, Counters]] = deque(maxlen=MINUTES)  # When it began, and what tasks added.
        self._tasks: dict[str, array[float]] = {}
        self._queues: dict[str, array[float]] = {}
        self._workers: deque[WorkerCounts] = deque(maxlen=MINUTES)
        self._lengths: Mapping[str, float] = {}
        self._read_at = -LENGTH_LASTS

    def note_lengths(self, lengths: Mapping[str, float], at: float) -> None:
        """Record the lengths of queues as read at the monotonic time ``at``."""
        self._lengths, self._read_at = lengths, at

    def mark(self, added: Mapping[str, Growth], workers: WorkerCounts, at: float) -> None:
        """Record what was added to the counters of each task since the last mark, lengths of queues, and workers."""
        self._workers.extend((workers,) if self._workers else (_all_online(workers), workers))
        self._minutes.append((self._marked_at, _sum(added.values())))
        self._marked_at = at
        self._tasks = _append(self._tasks, added, lambda task: _ended(added[task]) / added[task].seconds)
        lengths = self._lengths if at - self._read_at <= LENGTH_LASTS else {}
        queues = _append(self._queues, {**self._queues, **lengths}, lambda queue: lengths.get(queue, nan))
        self._queues = {queue: trend for queue, trend in queues.items() if not all(map(isnan, trend))}

    def totals(self, added: Mapping[str, Growth], at: float) -> LastHour | None:
        """Return the totals of the last hour at the monotonic time ``at``. None if nothing happened.

        ``added`` is what was added to the counters of each task since the last mark.
        """
        sums = [_sum(added.values()), *(minute[1] for minute in self._minutes)]
        total = [sum(column) for column in zip(*sums, strict=True)]
        if not any(total):
            return None
        decided = total[SUCCESS] + total[FAILURE]
        return LastHour(
            seconds=at - (self._minutes[0][0] if self._minutes else self._marked_at),
            success_ratio=total[SUCCESS] / decided if decided else None,
            **dict(zip(("published", "started", *OUTCOMES), total, strict=True)),
        )

    def lacks_workers(self, now: WorkerCounts) -> bool:
        """Return whether lost workers were not replaced, as CeleryWorkerDown defines it.

        Since as many were lost as now, fewer were online than at some time within the hour. Before the first mark every
        worker counts as online, because those that a state file restores as lost were not necessarily replaced.
        """
        counts: list[WorkerCounts] = [*(self._workers or [_all_online(now)]), now]
        since_lost = max(one.online for one in counts if one.lost >= now.lost)
        return since_lost < max(one.online for one in counts)

    def of_task(self, task: str) -> list[float]:
        """Return the executions that ended per second, by the minute, oldest first. Empty if none ended."""
        trend = self._tasks.get(task, array("f"))
        return [_rounded(value) for value in trend] if any(trend) else []

    def of_queue(self, queue: str) -> list[float | None]:
        """Return the lengths, by the minute, oldest first. None is a minute without a length."""
        return [None if isnan(value) else _rounded(value) for value in self._queues.get(queue, ())]


def _all_online(counts: WorkerCounts) -> WorkerCounts:
    return WorkerCounts(sum(counts), 0)


def _append(
    trends: Mapping[str, "array[float]"], names: Iterable[str], value: Callable[[str], float]
) -> dict[str, "array[float]"]:
    """Return the trends of these names, each with one value more."""
    return {name: array("f", [*trends.get(name, ())[1 - MINUTES :], value(name)]) for name in names}


def _sum(growths: Iterable[Growth]) -> Counters:
    columns = zip(*(growth.added[:BUCKETS] for growth in growths), strict=True)
    return tuple(map(sum, columns)) or (0.0,) * BUCKETS


def _ended(growth: Growth) -> float:
    return sum(growth.added[SUCCESS:BUCKETS])


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
