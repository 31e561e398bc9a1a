"""The last failed executions, for people to see; none unless the settings want some.

Takes what the counters of failures take, gives who failed, how and when: never arguments, results or messages. Not
thread-safe: see state.
"""

from collections import deque

from celery_redis_exporter.records.events import TaskFailed
from celery_redis_exporter.records.report import Failure
from celery_redis_exporter.state.rules import Naming


class Failures:
    """Keeps the last ``limit`` failures, under the names that metrics show; 0 keeps none."""

    def __init__(self, limit: int, naming: Naming) -> None:
        self.limit = limit
        self._last: deque[Failure] = deque(maxlen=limit)
        self._naming = naming

    def note(self, event: TaskFailed, task: str, exception: str) -> None:
        """Take note of the failure of a task, as it is shown; ``exception`` is the class."""
        worker = self._naming.worker_shown(event.hostname)
        self._last.append(Failure(event.timestamp, task, exception, worker, event.uuid))

    def newest(self) -> list[Failure] | None:
        """Give them, the newest first; None where none are kept."""
        return list(reversed(self._last)) if self.limit else None
