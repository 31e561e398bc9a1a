# SPDX-License-Identifier: Apache-2.0
"""Play a story on a fleet: send the tasks, revoke some, end workers, and wait until all tasks have ended.

Input: rounds and a fleet. Output: none; the facts are on disk afterwards.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from celery import Celery, chain, group

from tests.support.waiting import eventually
from tests.truth.facts import Fact
from tests.truth.fleet import TruthFleet
from tests.truth.generate import DOOMED, EXPIRING, Round, Sending

STARTED_WITHIN, SETTLED_WITHIN = 120.0, 120.0
BACKLOG = 400
"""The number of publications without an end at which the next round begins."""


class Progress:
    """Publications that have not ended, and the executions that have started by node."""

    def __init__(self, fleet: TruthFleet) -> None:
        self._fleet = fleet
        self._read = 0
        self._sent: set[str] = set()
        self._ended: set[str] = set()
        self._put_back: set[str] = set()
        self._perishable: set[str] = set()
        self._executed: set[str] = set()
        self._failed: set[str] = set()
        self._publications: defaultdict[str, set[str]] = defaultdict(set)
        self._of_node: defaultdict[str, set[str]] = defaultdict(set)
        self.started: set[str] = set()
        self.starts: Counter[str] = Counter()
        self.held: Counter[str] = Counter()

    def update(self) -> "Progress":
        """Read the facts that were written since the last call."""
        facts = self._fleet.reader.read()
        for fact in facts[self._read :]:
            self._enter(fact)
        self._read = len(facts)
        return self

    def unsettled(self) -> set[str]:
        """Return the publications without an ended execution. A requeued message has not ended."""
        self.update()
        lost = [self._of_node[node] for node in self._fleet.endings]
        lost += [self._publications[task_id] for task_id in self._failed]
        return self._sent - self._ended.union(*lost)

    def undelivered(self) -> set[str]:
        """Return the publications that may never be executed.

        kombu removes a message from the list in Redis and then records it as unacknowledged: a worker that is killed in
        between loses it, as does one that acknowledged a message and is killed before it executes the task. RabbitMQ
        drops messages whose time to live is over (``expires``).
        """
        return self._perishable - self._executed

    def _enter(self, fact: Fact) -> None:
        match fact.kind:
            case "sent":
                self._sent.add(fact.publication)
                if fact.queue.startswith(DOOMED) or fact.task == EXPIRING:
                    self._perishable.add(fact.publication)
            case "started":
                self.started.add(fact.id)
                self._executed.add(fact.publication)
                self.starts[fact.node] += 1
                self.held[fact.node] += fact.task == "held"
                self._publications[fact.id].add(fact.publication)
                self._of_node[fact.node].add(fact.publication)
            case "requeues" if fact.detail == "late":
                self._put_back.add(fact.run)
            case "ended" | "revoked" | "unknown" | "retried" if fact.run not in self._put_back:
                self._ended.add(fact.publication)
            case "failed" if not fact.publication:  # in the main process, whose fact contains only the task id
                self._failed.add(fact.id)


def play(fleet: TruthFleet, rounds: Iterable[Round]) -> int:
    """Play all rounds, wait until every task has ended, and return the number of tasks that were sent."""
    sent, progress = 0, Progress(fleet)
    for turn in rounds:
        sent += len(turn.sendings) + len(turn.doomed)
        _play_round(fleet, turn, progress)
        eventually(lambda: len(progress.unsettled()) < BACKLOG, SETTLED_WITHIN)

    def over() -> bool:
        left = progress.unsettled() - progress.undelivered()
        assert not left, f"{len(left)} publications without an end: {sorted(left)[:5]}"
        return fleet.is_idle()

    eventually(over, SETTLED_WITHIN)
    return sent


def _play_round(fleet: TruthFleet, turn: Round, progress: Progress) -> None:
    node = fleet.doomed(turn.pool)
    fleet.close_gate()
    starts, held = progress.update().starts[node] + turn.starts, progress.held[node]
    early = [sending.id for sending in turn.sendings if sending.revoke == "early"]
    if early:
        fleet.app.control.revoke(early)
    for sending in turn.sendings:
        send(fleet.app, sending)
    for sending in turn.doomed:
        send(fleet.app, _held_at(fleet, sending))
    waiting = [sending.id for sending in turn.sendings if sending.revoke == "waiting"]
    if waiting:
        fleet.app.control.revoke(waiting)
    if turn.doomed:
        # A task that waits for the gate occupies a process, so no further task may start until the gate opens.
        eventually(lambda: progress.update().starts[node] >= starts or progress.held[node] > held, STARTED_WITHIN)
        (fleet.kill if turn.scene == "kill" else fleet.shut_down)(turn.pool)
    fleet.open_gate()
    _terminate(fleet, turn, progress)


def _held_at(fleet: TruthFleet, sending: Sending) -> Sending:
    return Sending(sending.id, "held", sending.queue, (str(fleet.gate),)) if sending.task == "held" else sending


def send(app: Celery, sending: Sending) -> None:
    """Publish a task, or the canvas that it represents."""
    if sending.task in {"chain", "group"}:
        first, second, part = (app.signature(name).set(queue=sending.queue) for name in ("first", "second", "part"))
        parts = [part.clone(args=(number,)) for number in range(2)]
        steps = [first.clone(args=(1,)), second.clone(args=(2,))]
        (chain(*steps, app=app) if sending.task == "chain" else group(parts, app=app)).apply_async()
        return
    kwargs, options = dict(sending.kwargs), dict(sending.options)
    app.send_task(sending.task, sending.args, kwargs, task_id=sending.id, queue=sending.queue, **options)


def _terminate(fleet: TruthFleet, turn: Round, progress: Progress) -> None:
    """Revoke the tasks that are to be terminated once they run."""
    awaited = {sending.id for sending in turn.sendings if sending.revoke == "running"}

    def started() -> bool:
        found = progress.update().started & awaited
        if found:
            fleet.app.control.revoke(list(found), terminate=True)
            awaited.difference_update(found)
        return not awaited

    eventually(started, STARTED_WITHIN)
