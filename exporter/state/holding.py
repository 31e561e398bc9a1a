"""Events that arrived before the task-sent that tells their queue.

A client stamps and publishes task-sent after it queued the task, so a quick worker's task-received can overtake
it. Such events wait here for a moment, in order, instead of being counted under an unknown queue.
"""

from collections import deque
from collections.abc import Callable

Replay = Callable[[], object]


class Holding:
    """Held events by task id; at most ``limit`` tasks for ``seconds`` each."""

    def __init__(self, limit: int = 10_000, seconds: float = 1.0) -> None:
        self._limit = limit
        self._seconds = seconds
        self._held: dict[str, tuple[str, list[Replay]]] = {}
        self._due: deque[tuple[float, str]] = deque()

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._held

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, uuid: str, name: str, replay: Replay, now: float) -> bool:
        """Hold the first event of a task of this name; False when there is no room."""
        if len(self._held) >= self._limit:
            return False
        self._held[uuid] = (name, [replay])
        self._due.append((now + self._seconds, uuid))
        return True

    def append(self, uuid: str, replay: Replay) -> bool:
        """Hold a further event of a held task; False when the task is not held."""
        held = self._held.get(uuid)
        if held is None:
            return False
        held[1].append(replay)
        return True

    def name_of(self, uuid: str) -> str:
        """The name of a held task."""
        return self._held[uuid][0]

    def release(self, uuid: str) -> list[Replay]:
        """Give a task's events back, in order; empty when none are held."""
        held = self._held.pop(uuid, None)
        return held[1] if held else []

    def overdue(self, now: float) -> list[str]:
        """Ids of the tasks that were held for long enough."""
        found = []
        while self._due and self._due[0][0] <= now:
            uuid = self._due.popleft()[1]
            if uuid in self._held:
                found.append(uuid)
        return found
