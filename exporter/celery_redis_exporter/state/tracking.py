# SPDX-License-Identifier: Apache-2.0
"""Keep the table of tasks in flight, by id, with limits on count and age.

Not thread-safe: see state.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from celery_redis_exporter.state.expectations import Plan
from celery_redis_exporter.state.rules import Naming
from celery_redis_exporter.state.task import Task

# Enough to recognize a second report of an end, which arrives within milliseconds of the first.
ENDED_KEPT = 5_000
TOGETHER = 500
"""The number of ended tasks that are forgotten at once."""


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """The limits and options of tasks.

    - ``tracked``, ``age``: the maximum number of tasks in flight, and seconds that one is kept.
    - ``pairs``, ``idle``: the maximum number of (task, queue) pairs, and seconds that an idle one is kept.
    - ``exceptions``, ``failures``: the maximum number of exception classes per task, and of failures that are kept.
    - ``naming``, ``plans``: the rules for shown names, and the settings by task.
    - ``exemplars``: a failure has the id of its task.
    - ``by_shadow``: a task that was published with ``shadow`` is counted under that name.
    """

    tracked: int
    age: float
    pairs: int
    idle: float
    exceptions: int
    failures: int
    naming: Naming
    plans: Mapping[str, Plan]
    exemplars: bool
    by_shadow: bool


class Tracking(dict[str, Task]):
    """Tasks by id, the oldest first. Callers evict some tasks before they add one to ``limit`` others.

    Tasks that ended are kept for a while, so that a second report of the same end is recognized.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self._ended: list[str] = []
        self._ended_before: deque[list[str]] = deque()

    def sent_at(self, uuid: str) -> float | None:
        """Return when a task that waits in its queue was published (epoch seconds), or None without its task-sent."""
        task = self.get(uuid)
        waiting = task.untaken if task is not None else None
        return None if waiting is None else waiting.sent_at

    def evict(self) -> list[Task]:
        """Remove and return the oldest tasks that no worker executes, several at a time so that it is rarely done.

        Tasks that are executed are removed only if there are no others, since their ends have to be counted.
        """
        count = max(1, self.limit // 20)
        evicted = list(islice(((uuid, task) for uuid, task in self.items() if not task.is_running), count))
        if not evicted:
            evicted = list(islice(self.items(), count))
        for uuid, _ in evicted:
            del self[uuid]
        return [task for _, task in evicted]

    def retire(self, uuid: str) -> None:
        """Record that the task ended or vanished. It is forgotten after ENDED_KEPT others, unless it continues."""
        self._ended.append(uuid)
        if len(self._ended) >= TOGETHER:
            self._ended_before.append(self._ended)
            self._ended = []
            if len(self._ended_before) > ENDED_KEPT // TOGETHER:
                self._forget(self._ended_before.popleft())

    def _forget(self, ended: Iterable[str]) -> None:
        for uuid in ended:
            task = self.get(uuid)
            if task is not None and task.over:
                del self[uuid]

    def older_than(self, born: float) -> list[tuple[str, Task]]:
        """Return the tasks tracked since before ``born`` (monotonic seconds)."""
        found = []
        for uuid, task in self.items():
            if task.born > born:
                break
            found.append((uuid, task))
        return found
