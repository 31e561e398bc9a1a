# SPDX-License-Identifier: Apache-2.0
"""Build the table of queues from the broker's lengths and the counters of tasks by queue.

Input: the numbers of one moment and the marks. Output: a ``QueueStatus`` per queue.
"""

from collections.abc import Callable, Hashable

from celery_redis_exporter.alerts.thresholds import threshold
from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.records.report import QueueStatus, Unacked
from celery_redis_exporter.status.marks import SPACING, Counters, Marks
from celery_redis_exporter.status.numbers import Numbers

IN, OUT = range(2)
"""Positions in a queue's counters."""


def tally_queues(numbers: Numbers) -> dict[str, Counters]:
    """Return the numbers of published and of started messages of each queue."""
    sent, started = numbers.by(task_rows.TASKS_SENT, 1), numbers.by(task_rows.TASKS_STARTED, 1)
    return {name: (sent.get(name, 0), started.get(name, 0)) for name in sent.keys() | started.keys()}


def marks_of_queues(numbers: Numbers) -> dict[Hashable, Counters]:
    """Return the counters of queues for a mark."""
    return {("queue", name): counters for name, counters in tally_queues(numbers).items()}


def read_queues(
    numbers: Numbers, marks: Marks, trend: Callable[[str], list[float | None]], at: float, *, staffed: bool
) -> list[QueueStatus]:
    """Return every queue at the monotonic time ``at``, by name.

    ``trend`` returns that of a queue. ``staffed`` is true while any worker is online.
    """
    tallies = tally_queues(numbers)
    lengths, ages = numbers.by(rows.QUEUE_LENGTH), numbers.by(rows.QUEUE_OLDEST_AGE)
    running = numbers.by(task_rows.TASKS_RUNNING, 1)
    most, longest = numbers.by(rows.QUEUE_LENGTH_THRESHOLD), numbers.by(rows.QUEUE_WAIT_THRESHOLD)
    consumers, slots = numbers.by(rows.QUEUE_CONSUMERS), numbers.by(rows.QUEUE_CONCURRENCY)
    priorities: dict[str, dict[str, float]] = {}
    for (queue, step), value in sorted(numbers.values(rows.QUEUE_PRIORITY_LENGTH), key=lambda row: int(row[0][1])):
        priorities.setdefault(queue, {})[step] = value
    queues = []
    for name in sorted((lengths.keys() | consumers.keys() | tallies.keys()) - {UNKNOWN, OVERFLOW}):
        growth = marks.growth(("queue", name), tallies.get(name, (0.0, 0.0)), at, SPACING)
        length, age, consuming = lengths.get(name), ages.get(name), consumers.get(name)
        alone = bool(staffed and length and consuming == 0)
        waiting = is_long(length, most.get(name)) or is_old(age, longest.get(name))
        queues.append(
            QueueStatus(
                name=name, length=length, running=running.get(name, 0), priorities=priorities.get(name, {}),
                oldest_age_seconds=age, length_threshold=most.get(name), wait_threshold_seconds=longest.get(name),
                consumers=consuming, concurrency=slots.get(name),
                incoming=growth and growth.rate(IN), outgoing=growth and growth.rate(OUT),
                verdict="critical" if alone else "warning" if waiting else "ok",
                trend=trend(name),
            )
        )  # fmt: skip
    return queues


def is_long(length: float | None, most: float | None) -> bool:
    """Return whether many messages wait. ``most`` is the queue's threshold, None for the alert's."""
    return (length or 0) > (threshold("CeleryQueueLong", "messages") if most is None else most)


def is_old(age: float | None, longest: float | None) -> bool:
    """Return whether a message has waited for long. ``longest`` is the queue's threshold, None for the alert's."""
    return (age or 0) > (threshold("CeleryQueueOldestMessageOld", "seconds") if longest is None else longest)


def read_unacked(numbers: Numbers) -> Unacked | None:
    """Return the unacknowledged messages of the workers, or None if the broker does not report them."""
    messages = numbers.one(rows.UNACKED)
    if messages is None:
        return None
    return Unacked(
        messages=messages,
        oldest_age_seconds=numbers.one(rows.UNACKED_OLDEST_AGE),
        overdue=numbers.one(rows.UNACKED_OVERDUE),
        visibility_timeout_seconds=numbers.one(rows.VISIBILITY_TIMEOUT),
    )
