# SPDX-License-Identifier: Apache-2.0
"""Make the report from what was counted, read and remembered.

Input: a ``Snapshot``. Output: a ``Report``.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, cast

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.catalog.queues import QUEUE_LENGTH
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.report import Activity, Check, ExporterStatus, Failure, Report, ServerStatus
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.status.health import Counted, Scene, judge
from celery_redis_exporter.status.last_hour import LastHours
from celery_redis_exporter.status.marks import SPACING, WINDOW, Counters, Marks, quantile
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.queues import marks_of_queues, read_queues, read_unacked
from celery_redis_exporter.status.tasks import TaskTally, added_since_mark, marks_of_tasks, read_tasks, tally_tasks
from celery_redis_exporter.status.workers import count_workers, read_workers

MARKED = frozenset({
    internals.EVENTS, internals.EVENTS_INVALID, internals.EVENT_LAG,
    worker_rows.WORKER_EVENTS_MISSED, worker_rows.WORKERS,
    task_rows.TASKS_SENT, task_rows.TASKS_STARTED, task_rows.TASKS, task_rows.TASK_RUNTIME,
})  # fmt: skip
"""The metrics that a mark is made of."""
Describe = Callable[[Mapping[str, Sequence[Sample]], Numbers], list[ServerStatus]]
"""Returns the states of servers from samples by server, and from all numbers (``Servers.describe``)."""
LENGTHS_SPACING = 30.0
"""The shortest time between two looks for the lengths of queues among the samples of scrapes, in seconds."""
EVENTS, INVALID, BUCKETS = range(3)
"""Positions in the exporter's own counters. The last one is that of the first bucket of the lag."""


class Snapshot(NamedTuple):
    """The input of a report: families of events, samples of servers and of the background, checks, last failures.

    ``activity`` contains what workers execute.
    """

    families: Sequence[Family]
    servers: Mapping[str, Sequence[Sample]]
    background: Sequence[Sample]
    checks: Sequence[Check]
    failures: Sequence[Failure] | None
    activity: Activity = Activity()


class Status:
    """Makes reports and remembers the counters that they need.

    ``version`` is the exporter's. ``describe`` returns the states of servers from their samples. Safe from any thread.
    """

    def __init__(self, version: str, clock: Clock, describe: Describe) -> None:
        self._version = version
        self._describe = describe
        self._clock = clock
        self._started = clock.monotonic()
        self._marks = Marks(self._started)
        self._last_hour = LastHours(self._started)
        self._lengths_at = -LENGTHS_SPACING
        self._lock = threading.Lock()

    def run(self, read: Callable[[], Sequence[Family]], stop: threading.Event, works: Callable[[], None]) -> None:
        """Take a mark of the families that ``read`` returns (see MARKED) every SPACING seconds, until ``stop`` is set.

        ``works`` is called once, at the start.
        """
        works()
        while not stop.wait(SPACING):
            self.mark(read())

    def restore(self, families: Sequence[Family]) -> None:
        """Take the restored counters (see MARKED) for those of before the start."""
        numbers = Numbers(families)
        with self._lock:
            self._marks.restart(self._clock.monotonic(), _marks(numbers, tally_tasks(numbers)))

    def note(self, found: Mapping[str, Sequence[Sample]]) -> None:
        """Record the lengths of queues among the samples of a scrape, by server."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._lengths_at < LENGTHS_SPACING:
                return
            self._lengths_at = now
            read = chain.from_iterable(found.values())
            lengths = {
                sample.labels[0]: cast("float", sample.value) for sample in read if sample.metric is QUEUE_LENGTH
            }
            self._last_hour.note_lengths(lengths, now)

    def mark(self, families: Sequence[Family]) -> None:
        """Take a mark."""
        numbers = Numbers(families)
        tallies = tally_tasks(numbers)
        marks = _marks(numbers, tallies)
        with self._lock:
            at = self._clock.monotonic()
            self._last_hour.mark(added_since_mark(tallies, self._marks, at), count_workers(numbers), at)
            self._marks.note(at, marks)

    def report(self, found: Snapshot) -> Report:
        """Return the current report."""
        read = [sample for samples in found.servers.values() for sample in samples]
        numbers = Numbers(found.families, [*read, *found.background])
        servers = self._describe(found.servers, numbers)
        workers, unacked = read_workers(numbers, found.activity.ends), read_unacked(numbers)
        tallies = tally_tasks(numbers)
        now, at = self._clock.now(), self._clock.monotonic()
        with self._lock:
            totals = self._last_hour.totals(added_since_mark(tallies, self._marks, at), at)
            tasks = read_tasks(numbers, tallies, self._marks, self._last_hour.of_task, at)
            staffed = any(worker.state == "online" for worker in workers)
            queues = read_queues(numbers, self._marks, self._last_hour.of_queue, at, staffed=staffed)
            exporter, counted = self._own(numbers, at)
            lacks = self._last_hour.lacks_workers(count_workers(numbers))
        uptime = at - self._started
        scene = Scene(now, uptime, numbers, counted, found.checks, servers, workers, lacks, queues, unacked, tasks)
        return Report(
            version=self._version,
            time=now,
            uptime_seconds=uptime,
            window_seconds=min(WINDOW, uptime),
            last_hour=totals,
            health=judge(scene),
            checks=list(found.checks),
            workers=workers,
            lacks_workers=lacks,
            queues=queues,
            unacked=unacked,
            tasks=tasks,
            running=list(found.activity.running),
            redis=servers,
            failures=None if found.failures is None else list(found.failures),
            exporter=exporter,
        )

    def _own(self, numbers: Numbers, at: float) -> tuple[ExporterStatus, Counted]:
        counters, bounds = _own_counters(numbers)
        lately = self._marks.growth("exporter", counters, at, SPACING)
        window = self._marks.growth("exporter", counters, at)
        missed = numbers.by(worker_rows.WORKER_EVENTS_MISSED)
        # Compared by worker: when a worker is removed its count disappears, and the sum would seem to have restarted.
        grown = [self._marks.growth(("worker", name), (count,), at) for name, count in missed.items()]
        exporter = ExporterStatus(
            events_per_second=lately and lately.rate(EVENTS),
            lag_p95_seconds=window and quantile(0.95, bounds, window.added[BUCKETS:]),
            backlog_bytes=numbers.one(internals.EVENT_BACKLOG),
            events_missed=sum(missed.values()),
            events_invalid=counters[INVALID],
            gap_seconds=numbers.total(internals.STREAM_GAP),
            tasks_tracked=numbers.total(internals.TASKS_TRACKED),
            tasks_unmatched=numbers.total(internals.TASKS_UNMATCHED),
            series=numbers.total(internals.SERIES),
            series_dropped=numbers.total(internals.SERIES_DROPPED),
        )
        lost = sum(growth.added[0] for growth in grown if growth)
        return exporter, Counted(lost, window.added[INVALID] if window else 0.0)


def _marks(numbers: Numbers, tallies: Mapping[str, TaskTally]) -> dict[Hashable, Counters]:
    """Return the counters of a mark."""
    missed = numbers.by(worker_rows.WORKER_EVENTS_MISSED)
    return {
        "exporter": _own_counters(numbers)[0],
        **marks_of_tasks(tallies),
        **marks_of_queues(numbers),
        **{("worker", name): (count,) for name, count in missed.items()},
    }


def _own_counters(numbers: Numbers) -> tuple[Counters, tuple[float, ...]]:
    """Return the exporter's own counters, and the bounds of the lag's buckets."""
    bounds, counts = numbers.counts(internals.EVENT_LAG).get("", ((), []))
    return (numbers.total(internals.EVENTS), numbers.total(internals.EVENTS_INVALID), *counts), bounds
