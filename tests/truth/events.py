"""The events that a recorder saw, as counts per task id.

Input: the recorder's file. Output: whether Celery sent what the facts say. It serves two purposes: to leave out what a
worker that was ended had still in its buffer, and to tell a difference of Celery's from one of the exporter's.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.truth.truth import Truth

ENDS = {
    "success": ("task-succeeded",),
    "failure": ("task-failed",),
    "retry": ("task-retried",),
    "revoked": ("task-revoked",),
    "rejected": ("task-rejected", "task-failed"),
}
"""The events that report an end, by state. An early acknowledged Reject is reported as failed alone."""


EXACT = {"task-received", "task-started"}
"""Events that are never sent twice for one fact."""


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

    def disagreements(self, truth: Truth, pids: Mapping[str, int]) -> list[str]:
        """Return where the events of workers are not those of their facts: such a difference is Celery's.

        ``pids`` are those of the main processes of the workers to look at, by node.
        """
        happened: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        for fact in truth.received:
            happened[fact.node, fact.id, ("task-received",)] += 1
        for run in truth.executions:
            happened[run.start.node, run.start.id, ("task-started",)] += 1
            if run.state in ENDS and run.requeues != "acknowledged":
                happened[run.start.node, run.start.id, ENDS[run.state]] += 1
        for fact in truth.refusals:
            happened[fact.node, fact.id, ENDS["failure" if fact.kind == "unknown" else "revoked"]] += 1
        return [
            f"{task_id} on {node}: {number} {' or '.join(kinds)} happened, {sent} sent"
            for (node, task_id, kinds), number in happened.items()
            if node in pids and (sent := max(self.count(kind, task_id, pids[node]) for kind in kinds)) != number
            if sent < number or kinds[0] in EXACT
        ]
