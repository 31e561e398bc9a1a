"""The events that a recorder saw, as counts per task id.

Input: the recorder's file. Output: whether Celery sent what the facts say. Used for two ends only: to leave out what a
worker that was ended had still in its buffer, and to say of a difference where it comes from.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ENDS = {
    "success": ("task-succeeded",),
    "failure": ("task-failed",),
    "retry": ("task-retried",),
    "revoked": ("task-revoked",),
    "rejected": ("task-rejected", "task-failed"),
}
"""The events that report an end, by state. An early acknowledged Reject is reported as failed alone."""


class Occurrence(NamedTuple):
    """An event of a task id, from the worker process with a pid."""

    type: str
    id: str
    pid: int


class Events:
    """Every event of a run."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.all = events
        self._counts = Counter(
            Occurrence(event["type"], str(event["uuid"]), event["pid"]) for event in events if "uuid" in event
        )

    @classmethod
    def of(cls, path: Path) -> "Events":
        """Read a recorder's file."""
        return cls([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])

    def count(self, kind: str, task_id: str, pid: int) -> int:
        """Return how often a process sent an event of a type for a task id."""
        return self._counts[Occurrence(kind, task_id, pid)]

    def of_task(self, task_id: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a task id, in the order of their arrival."""
        return (event for event in self.all if event.get("uuid") == task_id)
