# SPDX-License-Identifier: Apache-2.0
"""The samples that the exporter has to show, derived from the truth.

Input: the truth, and the events of workers that were ended. Output: samples as in /metrics, and the number of
occurrences of each explained kind.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.integration.exporters import Samples
from tests.truth.events import ENDS, Events
from tests.truth.explained import EXPIRED, IGNORED, KILLED, REQUEUED, SHUT_DOWN, UNACCEPTED, Explained
from tests.truth.facts import Fact
from tests.truth.generate import EXPIRING
from tests.truth.truth import Execution, Truth, due_at

SENT, RECEIVED, STARTED = "celery_tasks_sent_total", "celery_tasks_received_total", "celery_tasks_started_total"
ENDED, EXCEPTIONS = "celery_tasks_total", "celery_task_exceptions_total"
REVOCATIONS = "celery_task_revocations_total"
RUNTIMES, RUNTIME_SUM = "celery_task_runtime_seconds_count", "celery_task_runtime_seconds_sum"
WAITS, WAIT_SUM = "celery_task_wait_seconds_count", "celery_task_wait_seconds_sum"
RUNNING, MISSED = "celery_tasks_running", "celery_worker_events_missed_total"
COMPARED = (
    SENT, RECEIVED, STARTED, ENDED, EXCEPTIONS, REVOCATIONS, RUNTIMES, RUNTIME_SUM, WAITS, WAIT_SUM, RUNNING, MISSED,
)  # fmt: skip
"""The samples that are compared; RUNNING and MISSED have to be 0."""
SCENES: Mapping[str, Explained] = {"kill": KILLED, "shutdown": SHUT_DOWN}


@dataclass
class Expected:
    """The expected samples. ``explained`` counts what Celery does not report, by kind.

    ``delays`` are seconds between facts and the timestamps of their events, by the sums that they change.
    """

    samples: Samples = field(default_factory=lambda: defaultdict(float))
    delays: Samples = field(default_factory=lambda: defaultdict(float))
    explained: Counter[Explained] = field(default_factory=Counter)

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Add to a sample."""
        self.samples[name, frozenset(labels.items())] += value

    def delay(self, name: str, seconds: float, **labels: str) -> None:
        """Allow a sum to differ by a delay of Celery's event."""
        self.delays[name, frozenset(labels.items())] += abs(seconds)


class Reported:
    """Decides whether a worker that was ended sent the events of its facts, and when events were stamped.

    ``pids`` are the process ids of the workers' main processes, by node.
    """

    def __init__(self, events: Events, ended: Mapping[str, tuple[str, int]], pids: Mapping[str, int]) -> None:
        self._events, self._ended, self._pids = events, ended, pids
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def missing(self, fact: Fact, kinds: Iterable[str]) -> Explained | None:
        """Return why none of the events ``kinds`` that a fact should have caused was sent, or None if one was."""
        first = next(iter(kinds))
        self._seen[first, fact.id, fact.node] += 1
        if fact.node not in self._ended:
            return None
        scene, pid = self._ended[fact.node]
        pid = fact.pid if fact.kind == "sent" else pid  # a child sends task-sent itself
        sent = max(self._events.count(kind, fact.id, pid) for kind in kinds)
        return None if self._seen[first, fact.id, fact.node] <= sent else SCENES[scene]

    def delay(self, fact: Fact, kind: str, at: float) -> float:
        """Return the seconds from ``at`` to the timestamp of the event found by the last ``missing``; 0 if unknown."""
        stamps = self._events.stamps(kind, fact.id, self._pids.get(fact.node, 0))
        index = self._seen[kind, fact.id, fact.node]
        return stamps[index - 1] - at if 0 < index <= len(stamps) else 0.0


def expect(truth: Truth, reported: Reported) -> Expected:
    """Derive the samples that the exporter has to show."""
    expected = Expected()
    publications = {}
    for fact in truth.sent:
        if not _is_missing(expected, reported, fact, ("task-sent",)):
            expected.add(SENT, task=fact.task, queue=fact.queue)
            publications[fact.publication] = fact
    for fact in truth.received:
        if not _is_missing(expected, reported, fact, ("task-received",)):
            expected.add(RECEIVED, task=fact.task, queue=fact.queue)
    for fact in truth.refusals:
        _expect_refusal(expected, reported, fact)
    met = {fact.publication for fact in (*truth.received, *truth.refusals)}
    expected.explained[EXPIRED] += sum(fact.task == EXPIRING and fact.publication not in met for fact in truth.sent)
    for run in truth.executions:
        _expect_run(expected, reported, run, publications)
    return expected


def _is_missing(expected: Expected, reported: Reported, fact: Fact, kinds: tuple[str, ...]) -> bool:
    kind = reported.missing(fact, kinds)
    if kind is not None:
        expected.explained[kind] += 1
    return kind is not None


def _expect_refusal(expected: Expected, reported: Reported, fact: Fact) -> None:
    """Expect the end of a message that was never executed: revoked, expired or not registered."""
    state = "failure" if fact.kind == "unknown" else "revoked"
    if _is_missing(expected, reported, fact, ENDS[state]):
        return
    expected.add(ENDED, task=fact.task, queue=fact.queue, state=state)
    if state == "failure":
        expected.add(EXCEPTIONS, task=fact.task, exception=fact.detail)
    else:
        expected.add(REVOCATIONS, task=fact.task, reason=fact.detail)


def _expect_run(expected: Expected, reported: Reported, run: Execution, publications: dict[str, Fact]) -> None:
    """Expect an execution: its start, its wait if it is the first of its publication, and its end."""
    start = run.start
    if run.state == "unaccepted":
        expected.explained[UNACCEPTED] += 1
        return
    begun = not _is_missing(expected, reported, start, ("task-started",))
    late = reported.delay(start, "task-started", start.at)
    if begun:
        expected.add(STARTED, task=start.task, queue=start.queue)
        publication = publications.pop(start.publication, None)
        if publication is not None:
            expected.add(WAITS, task=start.task, queue=start.queue)
            expected.add(WAIT_SUM, max(0.0, start.at - due_at(publication)), task=start.task, queue=start.queue)
            expected.delay(WAIT_SUM, late, task=start.task, queue=start.queue)
    if run.state == "ignored":
        expected.explained[IGNORED] += 1
    elif run.requeues == "acknowledged":
        expected.explained[REQUEUED] += 1
    elif run.state == "lost":
        expected.explained[KILLED] += 1
    elif not run.state or not _is_missing(expected, reported, start, ENDS[run.state]):
        _expect_end(expected, run, begun=begun)
        if run.state in {"failure", "retry"} and begun:
            late -= reported.delay(start, ENDS[run.state][0], run.ended_at)
            expected.delay(RUNTIME_SUM, late, task=start.task, queue=start.queue, state=run.state)


def _expect_end(expected: Expected, run: Execution, *, begun: bool) -> None:
    task, queue, state = run.start.task, run.start.queue, run.state or "none"
    expected.add(ENDED, task=task, queue=queue, state=state)
    if state == "revoked":
        expected.add(REVOCATIONS, task=task, reason=run.reason)
    if state in {"failure", "retry"}:
        expected.add(EXCEPTIONS, task=task, exception=run.exception)
    if state in {"success", "failure", "retry"} and begun:
        runtime = run.runtime if run.runtime is not None else max(0.0, run.ended_at - run.start.at)
        expected.add(RUNTIMES, task=task, queue=queue, state=state)
        expected.add(RUNTIME_SUM, runtime, task=task, queue=queue, state=state)
