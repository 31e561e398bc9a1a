# SPDX-License-Identifier: Apache-2.0
"""Executions and refusals, derived from facts.

Input: the facts of all processes. Output: publications, messages received, executions with their ends, and refusals.
This module depends neither on the exporter nor on Celery's events.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tests.truth.facts import Fact

STATES = {"SUCCESS": "success", "FAILURE": "failure", "RETRY": "retry", "IGNORED": "ignored", "REJECTED": "rejected"}
"""The names of task_postrun's states in the metrics; "ignored" is in none."""
UNACCEPTED, DIES = "unaccepted", "dies "
LOST, LIMIT = "WorkerLostError", "TimeLimitExceeded"


@dataclass(slots=True)
class Execution:
    """One execution. ``state`` is empty if its end is not known, "lost" if its worker was killed.

    It is "unaccepted" if its child was killed and the main process had another child execute the same message.

    ``ended_at`` is in epoch seconds. ``runtime`` is the one in task-succeeded, in seconds. ``requeues`` is how the body
    rejected its message: "late" or "acknowledged".
    """

    start: Fact
    state: str = ""
    ended_at: float = 0.0
    exception: str = ""
    reason: str = ""
    runtime: float | None = None
    requeues: str = ""


@dataclass(slots=True)
class Truth:
    """The publications, received messages, executions and refusals of a run."""

    sent: list[Fact] = field(default_factory=list)
    received: list[Fact] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    refusals: list[Fact] = field(default_factory=list)
    broken: list[Fact] = field(default_factory=list)

    def nodes_of(self) -> set[str]:
        """Return the nodes that executed a task."""
        return {execution.start.node for execution in self.executions}


def tell(facts: Iterable[Fact]) -> Truth:
    """Combine the facts of all processes."""
    truth = Truth()
    runs: dict[str, Execution] = {}
    open_runs: defaultdict[tuple[str, str], list[Execution]] = defaultdict(list)
    received: Counter[tuple[str, str]] = Counter()
    for fact in sorted(facts, key=lambda fact: fact.at):
        match fact.kind:
            case "sent":
                truth.sent.append(fact)
            case "received":
                truth.received.append(fact)
                received[fact.node, fact.id] += 1
            case "unknown":
                truth.refusals.append(fact)
            case "broken":
                truth.broken.append(fact)
            case "started":
                run = runs[fact.run] = Execution(fact)
                truth.executions.append(run)
                earlier = open_runs[fact.node, fact.id]
                if earlier and earlier[-1].reason.startswith(DIES) and len(earlier) >= received[fact.node, fact.id]:
                    earlier.pop().state = UNACCEPTED
                earlier.append(run)
            case _ if fact.run in runs:
                _continue(runs[fact.run], fact)
            case _:
                _end_from_outside(truth, open_runs[fact.node, fact.id], fact)
    return truth


def _continue(run: Execution, fact: Fact) -> None:
    """Apply a fact that the process that executes a task wrote."""
    match fact.kind:
        case "succeeded":
            run.runtime = fact.value
        case "failed" | "retried":
            run.exception = run.exception or fact.detail
        case "requeues":
            run.requeues = fact.detail
        case "dies":
            run.reason = DIES + fact.detail
        case "ended" if not run.state and fact.detail in STATES:
            run.state, run.ended_at = STATES[fact.detail], fact.at


def _end_from_outside(truth: Truth, runs: list[Execution], fact: Fact) -> None:
    """Apply a fact of the worker's main process: the end of an execution, or a refusal if none is open."""
    run = next((run for run in runs if not run.state), None)
    if fact.kind == "revoked":
        if run is None:
            truth.refusals.append(fact)
        else:
            run.state, run.ended_at, run.reason = "revoked", fact.at, fact.detail
    elif run is not None and fact.detail != "Reject":
        run.state, run.ended_at, run.exception = "retry" if fact.kind == "retried" else "failure", fact.at, fact.detail


def begin_unwritten(truth: Truth, messages: Iterable[Fact]) -> None:
    """Add executions that are known only from the fact of their received message, in order of time."""
    truth.executions += map(Execution, messages)
    truth.executions.sort(key=lambda run: run.start.at)


def settle(truth: Truth, ended_nodes: Iterable[str]) -> None:
    """Set the state of executions without an end: of killed children whose message returns, and killed workers."""
    ended = set(ended_nodes)
    for run in truth.executions:
        if run.state:
            continue
        if run.reason == f"{DIES}rejected":
            run.state = "rejected"
        elif run.start.node in ended:
            run.state = "lost"


def due_at(fact: Fact) -> float:
    """Return the time from which a publication may start: its sending, or its eta if that is later (epoch seconds)."""
    eta = datetime.fromisoformat(fact.detail).timestamp() if fact.detail else 0.0
    return max(fact.at, eta)
