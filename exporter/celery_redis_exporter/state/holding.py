# SPDX-License-Identifier: Apache-2.0
"""Defer events until the task-sent arrives that contains their queue, or even their name.

A client timestamps and publishes task-sent after it queued the task, so that the first event of a quick worker can
overtake it: task-received, or task-revoked and task-failed of a task that is refused on arrival. The same is true of
each retry and of each replacement. Such events are deferred for a moment instead of being counted under an unknown
queue, or not at all, and so are all later events of the same task id from the same worker. Events of unknown tasks are
deferred too if their worker is about to report its tasks (``seeding_until`` in ``state/task.py``).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

from celery_redis_exporter.state.names import Names

FIRST_EVENTS = frozenset(("task-received", "task-revoked", "task-failed"))


class Held(NamedTuple):
    """A deferred event: its type, the function that folds it, and the worker that sent it."""

    kind: str
    fold: Callable[[], object]
    worker: str = ""


class Holding:
    """Defer events by task id, for ``seconds`` unless a longer time is promised, and ``limit`` events in all.

    ``events`` is the number of deferred events. ``sent_seen`` is True after the first task-sent. Before it, it is None,
    or False if an event was deferred in vain.
    """

    def __init__(self, names: Names, limit: int = 10_000, seconds: float = 1.0) -> None:
        self.sent_seen: bool | None = None
        self.events = 0
        self._names = names
        self._limit = limit
        self._seconds = seconds
        # The time when events are due, and the events, by task id and worker.
        self._waiting: dict[str, dict[str, tuple[float, list[Held]]]] = {}
        self._due: list[tuple[float, str, str]] = []

    def append(self, uuid: str, worker: str, event: Held) -> bool:
        """Defer an event behind others of its task id and worker. Return False if there are none."""
        waiting = self._waiting.get(uuid, {}).get(worker)
        if waiting is None or self.events >= self._limit:
            return False
        waiting[1].append(event)
        self.events += 1
        return True

    def hold(self, uuid: str, worker: str, event: Held, now: float, promised: float = 0.0) -> bool:
        """Defer an event for ``seconds``, and at least until ``promised`` (monotonic). Return False at the limit.

        Behind others of its task id and worker it waits as long as they do.
        """
        if self.events >= self._limit:
            return False
        if self.append(uuid, worker, event):
            return True
        due = max(now + self._seconds, promised)
        self._waiting.setdefault(uuid, {})[worker] = due, [event]
        heappush(self._due, (due, uuid, worker))
        self.events += 1
        return True

    def hasten(self, worker: str, now: float) -> None:
        """Defer the events of a worker that reported its tasks for ``seconds`` only."""
        due = now + self._seconds
        for uuid, by_worker in self._waiting.items():
            if worker in by_worker and by_worker[worker][0] > due:
                by_worker[worker] = due, by_worker[worker][1]
                heappush(self._due, (due, uuid, worker))

    def release(self, uuid: str) -> list[Held]:
        """Return the events of a task id and stop deferring them. Those of one worker are in order."""
        found = [event for _, events in self._waiting.pop(uuid, {}).values() for event in events]
        self.events -= len(found)
        return found

    def give_up(self, now: float) -> list[list[Held]]:
        """Return the events that were deferred long enough, each with those deferred behind it.

        If no task-sent ever arrived, events are not deferred for one again.
        """
        found = []
        while self._due and self._due[0][0] <= now:
            due, uuid, worker = heappop(self._due)
            by_worker = self._waiting.get(uuid, {})
            waiting = by_worker.get(worker)
            # Otherwise these events were released, and later ones are deferred now.
            if waiting is not None and waiting[0] == due:
                self.sent_seen = bool(self.sent_seen)
                found.append(waiting[1])
                self.events -= len(waiting[1])
                del by_worker[worker]
                if not by_worker:
                    del self._waiting[uuid]
        return found

    def is_expected(self, name: str | None) -> bool:
        """Return whether task-sent is expected for tasks of this name.

        The last task of the name decides, or any task if the name is unknown (or None).
        """
        task = self._names.find(name) if name is not None else None
        return self.sent_seen is not False if task is None or task.expects_sent is None else task.expects_sent
