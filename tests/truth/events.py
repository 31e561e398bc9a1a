# SPDX-License-Identifier: Apache-2.0
"""The events that a recorder received, as counts per task id.

Input: the recorder's file. Output: whether Celery sent the events of the facts. This serves two purposes: to exclude
events that a worker still buffered when it was ended, and to separate differences of Celery from the exporter's.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.truth.facts import Fact
from tests.truth.truth import Truth

ENDS = {
    "success": ("task-succeeded",),
    "failure": ("task-failed",),
    "retry": ("task-retried",),
    "revoked": ("task-revoked",),
    "rejected": ("task-rejected", "task-failed"),
}
"""The events that report an end, by state. An early acknowledged Reject is reported as failed only."""


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
        self._stamps: defaultdict[Occurrence, list[float]] = defaultdict(list)
        for event in events:
            if "uuid" in event:
                key = Occurrence(event["type"], str(event["uuid"]), event["pid"])
                self._stamps[key].append(event.get("timestamp", 0.0))

    @classmethod
    def of(cls, path: Path) -> "Events":
        """Read a recorder's file."""
        return cls([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])

    def count(self, kind: str, task_id: str, pid: int) -> int:
        """Return how often a process sent an event of a type for a task id."""
        return len(self.stamps(kind, task_id, pid))

    def stamps(self, kind: str, task_id: str, pid: int) -> list[float]:
        """Return the timestamps of these events, in the order of their arrival."""
        return self._stamps.get(Occurrence(kind, task_id, pid), [])

    def unwritten(self, truth: Truth, killed: Mapping[str, int]) -> list[Fact]:
        """Return the messages whose task-started a killed worker sent, and whose execution wrote no fact.

        Celery sends task-started when the pool accepts a task, before task_prerun. ``killed`` are pids by node.
        """
        begun = Counter((run.start.node, run.start.id) for run in truth.executions if run.state != "unaccepted")
        found = []
        for fact in truth.received:
            key = fact.node, fact.id
            if fact.node not in killed or begun[key] >= self.count("task-started", fact.id, killed[fact.node]):
                continue
            begun[key] += 1
            found.append(fact)
        return found

    def disagreements(self, truth: Truth, pids: Mapping[str, int]) -> list[str]:
        """Return the differences between workers' events and their facts, which are differences of Celery.

        ``pids`` are the process ids of the main processes of the workers to compare, by node.
        """
        happened: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        for fact in truth.received:
            happened[fact.node, fact.id, ("task-received",)] += 1
        for run in truth.executions:
            happened[run.start.node, run.start.id, ("task-started",)] += run.state != "unaccepted"
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
