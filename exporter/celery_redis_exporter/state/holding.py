"""Events that arrived before the task-sent that tells their queue, or even their name.

A client stamps and publishes task-sent after it queued the task, so a quick worker's first event can overtake it:
task-received, or task-revoked and task-failed of a task that is refused on arrival. Such events wait here for a
moment, in order, instead of being counted under an unknown queue, or not at all. So do events of unknown tasks from a
worker that is about to tell what it holds (``seeding_until`` in ``state/workers.py``).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

from celery_redis_exporter.state.names import Names

FIRST_EVENTS = frozenset(("task-received", "task-revoked", "task-failed"))


class Held(NamedTuple):
    """An event that waits: its type, and what folds it."""

    kind: str
    fold: Callable[[], object]


class Waiting(NamedTuple):
    """A task whose events wait; ``name`` is None where no event told it."""

    uuid: str
    name: str | None
    events: list[Held]


class Holding:
    """Tasks whose events wait, for ``seconds`` each where nothing longer is promised; ``limit`` events in all.

    ``events`` is how many wait.
    """

    def __init__(self, names: Names, limit: int = 10_000, seconds: float = 1.0) -> None:
        self.sent_seen: bool | None = None  # not known until the first came, or was waited for in vain
        self.events = 0
        self._names = names
        self._limit = limit
        self._seconds = seconds
        self._waiting: dict[str, Waiting] = {}
        self._due: list[tuple[float, str]] = []

    def hold(self, uuid: str, name: str | None, event: Held, now: float, promised: float = 0.0) -> bool:
        """Let an event of an unknown task wait, if its task-sent is likely to come; False if it is not.

        Until ``promised`` (monotonic) it waits in any case, for what its worker is about to tell.
        """
        if self.events >= self._limit:
            return False
        waiting = self._waiting.get(uuid)
        if waiting is None:
            expected = promised > now or (event.kind in FIRST_EVENTS and self._is_expected(name))
            if not expected:
                return False
            waiting = self._waiting[uuid] = Waiting(uuid, name, [])
            heappush(self._due, (max(now + self._seconds, promised), uuid))
        elif name is not None and waiting.name is None:
            waiting = self._waiting[uuid] = waiting._replace(name=name)
        waiting.events.append(event)
        self.events += 1
        return True

    def release(self, uuid: str) -> list[Held]:
        """Give a task's events back, in order; empty when none wait."""
        waiting = self._waiting.pop(uuid, None)
        if waiting is None:
            return []
        self.events -= len(waiting.events)
        return waiting.events

    def give_up(self, now: float) -> list[Waiting]:
        """Give back the tasks that waited for long enough; their names are not waited for again."""
        found = []
        while self._due and self._due[0][0] <= now:
            waiting = self._waiting.pop(heappop(self._due)[1], None)
            if waiting is not None:
                self.events -= len(waiting.events)
                self.sent_seen = bool(self.sent_seen)
                found.append(waiting)
        return found

    def _is_expected(self, name: str | None) -> bool:
        """Whether task-sent comes for tasks of this name: what was last seen, else whether any came, if known."""
        task = self._names.find(name) if name is not None else None
        return self.sent_seen is not False if task is None or task.expects_sent is None else task.expects_sent
