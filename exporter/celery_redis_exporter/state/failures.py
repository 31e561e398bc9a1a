# SPDX-License-Identifier: Apache-2.0
"""Keep the last failed executions, for people. None are kept unless the settings require it.

Input: the events that the counters of failures use. Output: task, worker, exception class and time. Arguments, results
and messages are never kept. Not thread-safe: see state.
"""

from collections import deque

from celery_redis_exporter.records.events import TaskFailed
from celery_redis_exporter.records.report import Failure
from celery_redis_exporter.state.rules import Naming


class Failures:
    """Keep the last ``limit`` failures, under the names that metrics show. 0 keeps none."""

    def __init__(self, limit: int, naming: Naming) -> None:
        self.limit = limit
        self._last: deque[Failure] = deque(maxlen=limit)
        self._naming = naming

    def note(self, event: TaskFailed, task: str, exception: str) -> None:
        """Record the failure of a task. ``task`` is its shown name, ``exception`` is the class."""
        worker = self._naming.worker_shown(event.hostname)
        self._last.append(Failure(event.timestamp, task, exception, worker, event.uuid))

    def newest(self) -> list[Failure] | None:
        """Return the failures, the newest first, or None if none are kept."""
        return list(reversed(self._last)) if self.limit else None
