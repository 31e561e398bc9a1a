# SPDX-License-Identifier: Apache-2.0
"""Count the executions of one worker process that send no events because their task has ``send_events=False``.

The heartbeats of a worker count these executions too, and its replies to ``inspect stats`` count executions by task
name. So missing events are not reported until a reply shows how many of them such tasks explain. A reply counts at
least the executions of the heartbeats before it. Therefore an event that was not lost is never counted, and one that
was lost is counted once the worker is idle, or with later replies. The exception: executions without events between the
first reply and the next heartbeat of a busy worker hide as many lost events.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

BUILT_IN = "celery."
"""The prefix of Celery's own tasks, which workers do not list. They send events."""


@dataclass(slots=True)
class EventlessTasks:
    """The missing events of a worker whose tasks do not all send events.

    ``loud`` are its registered tasks that send events. A task that is published with ``shadow`` is counted under that
    name, so unknown names are treated as tasks without events. ``missing`` is the number of task-started events that
    did not arrive since the first reply.
    """

    loud: frozenset[str]
    missing: int = 0
    _processed: int | None = None  # Executions at the first reply.
    _before: int = 0  # The executions without events among them.
    _lost: int = 0  # Missing events that were found to be lost.

    @property
    def has_begun(self) -> bool:
        """Return True if there was a reply."""
        return self._processed is not None

    def begin(self, totals: Mapping[str, int]) -> int:
        """Record the executions by task name before which nothing is counted. Return their number."""
        self._processed, self._before = sum(totals.values()), count_eventless(totals, self.loud)
        return self._processed

    def is_after(self, processed: int) -> bool:
        """Return True if a heartbeat with this many executions was sent after the first reply."""
        return self._processed is not None and processed >= self._processed

    def settle(self, totals: Mapping[str, int], processed: int) -> int:
        """Return how many lost events this reply shows that no earlier one did.

        ``totals`` are the executions by task name. ``processed`` are those at the last heartbeat: an older reply
        settles nothing.
        """
        if sum(totals.values()) < processed:
            return 0
        found = max(0, self.missing - self._lost - (count_eventless(totals, self.loud) - self._before))
        self._lost += found
        return found


def count_eventless(totals: Mapping[str, int], loud: Container[str]) -> int:
    """Return how many of the executions ``totals`` were of tasks without events. ``loud`` are the other tasks."""
    return sum(number for name, number in totals.items() if name not in loud and not name.startswith(BUILT_IN))
