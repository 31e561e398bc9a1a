"""Executions of one worker process that send no events by intention, because their task has ``send_events=False``.

The heartbeats of a worker count these executions too, and its answers to ``inspect stats`` count executions by task
name. So what is missing by the heartbeats is held until an answer states how much of it such tasks explain. An answer
counts at least the executions of the heartbeats before it: what was not lost is never counted, and what was lost is
counted once the worker rests, or with later answers. Only what tasks without events executed between the first answer
and the next heartbeat of a busy worker hides as many lost events.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

BUILT_IN = "celery."
"""Beginning of the names of Celery's own tasks, which workers do not list. They send events."""


@dataclass(slots=True)
class EventlessTasks:
    """What is missing of a worker whose tasks do not all send events.

    ``loud`` are its registered tasks that send events. A task that is published with ``shadow`` is counted under that
    name, so unknown names are taken for tasks without events. ``missing`` are task-started events that did not arrive
    since the first answer.
    """

    loud: frozenset[str]
    missing: int = 0
    _processed: int | None = None  # executions at the first answer
    _before: int = 0  # those of them without events
    _lost: int = 0  # missing events that were found to be lost

    @property
    def has_begun(self) -> bool:
        """Whether there was an answer."""
        return self._processed is not None

    def begin(self, totals: Mapping[str, int]) -> int:
        """Note the executions by task name before which nothing is counted; return how many they are."""
        self._processed, self._before = sum(totals.values()), count_eventless(totals, self.loud)
        return self._processed

    def is_after(self, processed: int) -> bool:
        """Return whether a heartbeat with this many executions was sent after the first answer."""
        return self._processed is not None and processed >= self._processed

    def settle(self, totals: Mapping[str, int], processed: int) -> int:
        """Return how many events are lost that no answer stated before.

        ``processed`` are the executions at the last heartbeat: an older answer settles nothing.
        """
        if sum(totals.values()) < processed:
            return 0
        found = max(0, self.missing - self._lost - (count_eventless(totals, self.loud) - self._before))
        self._lost += found
        return found


def count_eventless(totals: Mapping[str, int], loud: Container[str]) -> int:
    """Return how many of the executions ``totals`` were of tasks without events; ``loud`` are the others."""
    return sum(number for name, number in totals.items() if name not in loud and not name.startswith(BUILT_IN))
