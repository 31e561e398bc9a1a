# SPDX-License-Identifier: Apache-2.0
"""The records of a task on its way and of a worker: publications, runs, and which worker runs what.

Input: what events contain, in any order. Output: which publication a worker received, which run a start or an end
belongs to. Counts nothing but what is running. A run refers to its worker and a worker to its runs, which is why both
are here.

The order in which events of different senders arrive means nothing: a worker's child publishes a retry before its
parent reports the start, and workers' connections overtake one another. So an event is matched by what it contains:

- task-sent and task-received name the task and the number of retries: together they identify a publication.
- task-started has neither. It belongs to the oldest publication that this worker received and has not started.
- Ends have neither. They belong to a run of this worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.state.ledger import StartsLedger
from celery_redis_exporter.state.sharing import NameProcesses
from celery_redis_exporter.state.worker import UNTOLD, Doubt, Presence, Questions, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery_redis_exporter.catalog import Metric
    from celery_redis_exporter.state.series import Series
    from celery_redis_exporter.state.task_series import TaskSeries

CLOCK_TOLERANCE = 1.0
"""Seconds by which a task-sent may be stamped after the start of the run that it belongs to."""
MOST_AT_ONCE = 10
"""Runs of one task id that are executed at the same time; the oldest of more is closed."""
MOST_PUBLICATIONS = MOST_AT_ONCE + 2
"""Publications of one task id that are kept, for events that arrive late. A task can be retried without end."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker by its node name. ``seen`` and ``since`` are on the monotonic clock.

    ``announced`` is the setup that heartbeats carry, ``answered`` the one of inspect; ``setup`` is what holds: the
    heartbeats', which are younger, before inspect's. Until ``seeding_until`` (monotonic) the worker is expected to
    tell what tasks it holds, so events of unknown ones wait. ``runs`` are the runs that it executes, with their task
    ids; a redelivered task can have several. ``left`` are those that it executed when it went offline or was lost.
    ``doubt`` is not None while it reports fewer active tasks than ``runs``.
    ``uncertain`` are ends that another event may correct, by task id. ``failed`` and ``retried`` are numbers of runs.
    ``awaited_at`` equals ``seen`` while a worker that was restored from the state file gave no sign of life.
    ``blind`` is why executions of a restored worker can't be compared with those before, empty if they can.
    """

    name: str
    seen: float
    lost_after: float
    presence: Presence = Presence.ONLINE
    since: float = 0.0
    pid: int = 0
    interval: float = 2.0
    announced: Setup = UNTOLD
    answered: Setup = UNTOLD
    setup: Setup = UNTOLD
    questions: Questions = field(default_factory=Questions)
    processes: NameProcesses = field(default_factory=NameProcesses)
    seeding_until: float = 0.0
    last_beat: tuple[float, int] = (0.0, 0)  # its time stamp, and its count of active executions
    ledger: StartsLedger = field(default_factory=StartsLedger)
    runs: dict[Run, str] = field(default_factory=dict)
    left: dict[Run, str] = field(default_factory=dict)
    doubt: Doubt | None = None
    uncertain: dict[str, UncertainEnd] = field(default_factory=dict)
    failed: int = 0
    retried: int = 0
    awaited_at: float = -1.0
    blind: str = ""
    series: dict[tuple[Metric, tuple[str, ...]], Series] = field(default_factory=dict)

    @property
    def is_awaited(self) -> bool:
        """Whether the worker is known from the state file only."""
        return self.awaited_at == self.seen

    @property
    def only_queue(self) -> str:
        """The queue that the worker's tasks come from, where it consumes a single known one; else UNKNOWN."""
        queues = self.setup.queues
        return queues[0] if queues is not None and len(queues) == 1 else UNKNOWN


class Publication(Struct, eq=False, gc=False):
    """One publication of a task id: the first one, a retry, a replacement, or another one by a client.

    ``name`` is the task's as events contain it, ``retries`` is None where no event contained it. ``known_at`` is the
    earliest time stamp of an event about it, ``sent_at`` that of its task-sent, all in epoch seconds as ``eta``.
    ``sent_at`` is None where the task-sent was not received, which ``awaits_sent`` expects to arrive late. ``taken`` is
    True once a worker received it, until that puts it back; ``delivered`` stays True. Every worker receives a
    ``broadcast``. ``ended`` is True once a run of it ended. ``waiting`` is the gauge that counts it while it waits.
    ``unsent`` are starts whose waiting time needs the task-sent, with the series that count them.
    """

    name: str
    retries: int | None
    series: TaskSeries
    known_at: float
    sent_at: float | None = None
    eta: float | None = None
    awaits_sent: bool = False
    taken: bool = False
    delivered: bool = False
    broadcast: bool = False
    ended: bool = False
    waiting: Series | None = None
    unsent: tuple[tuple[TaskSeries, float], ...] = ()

    def is_of(self, name: str, retries: int) -> bool:
        """Return whether an event that contains this name and number of retries is about this publication."""
        return self.name == name and (self.retries == retries or self.retries is None)

    def publish(self) -> None:
        """Count it as waiting."""
        self.waiting = self.series.waiting or self.series.make_waiting()
        self.waiting.value += 1

    def stop_waiting(self) -> None:
        """Count it as waiting no longer: it started, ended, or is forgotten."""
        if self.waiting is not None:
            self.waiting.value -= 1
            self.waiting = None


class Run(Struct, eq=False, gc=False):
    """A publication at a worker, from its receipt on. ``received_at`` and ``started_at`` are epoch seconds.

    ``series`` count it. ``waits`` says that it has a waiting time: a redelivered message did not wait in its queue
    since it was published. ``received_at`` is None and ``started_at`` is 0 where the event was not received.
    ``running`` is False again once it ended, or was closed because its end can't be observed any more. A closed run
    whose end is reported after all counts as ever. ``retried`` says that it ended in a retry.
    """

    worker: Worker
    publication: Publication
    series: TaskSeries
    received_at: float | None = None
    waits: bool = True
    started_at: float = 0.0
    running: bool = False
    ended: bool = False
    retried: bool = False

    def begin(self, uuid: str, at: float) -> None:
        """Enter the start."""
        self.started_at = at
        self.running = True
        self.series.running.value += 1
        self.worker.runs[self] = uuid

    def stop(self) -> None:
        """Take it off what is running, whether it ended or its end can't be observed any more."""
        if self.running:
            self.running = False
            self.series.running.value -= 1
            del self.worker.runs[self]

    def count_rejected(self) -> None:
        """Count its end as a rejection."""
        self.series.rejected.value += 1


class UncertainEnd(Struct, eq=False, gc=False):
    """An end of a run that an event of the type ``corrected_by`` may correct.

    ``at`` is its time stamp (the worker's clock), ``since`` when it was received (monotonic). ``count`` counts it as
    what it was reported as.
    """

    run: Run
    corrected_by: str
    at: float
    since: float
    count: Callable[[], None]


class Task(Struct, eq=False, gc=False):
    """A task id on its way: its publications and runs, in the order in which they became known.

    ``born`` is in monotonic seconds; ``forgotten`` is the latest time stamp of the publications that are not kept
    any more. A msgspec Struct because one is made for every task: it is made in C, and the
    garbage collector ignores it (``gc=False``: a worker refers to running runs only, so that no cycle remains).
    """

    born: float
    publications: tuple[Publication, ...]
    runs: tuple[Run, ...] = ()
    forgotten: float = 0.0

    def claim(self, name: str, retries: int, sent_at: float) -> Publication | None:
        """Return the publication whose task-sent this is, if a worker's event of it arrived earlier.

        A task-sent that is stamped later than the start belongs to another publication, which follows.
        """
        for publication in self.publications:
            if publication.awaits_sent and publication.is_of(name, retries):
                started = publication.unsent
                if not started or sent_at <= started[0][1] + CLOCK_TOLERANCE:
                    return publication
        return None

    def add(self, publication: Publication) -> Publication:
        """Add a publication; forget another one if there are too many."""
        if len(self.publications) >= MOST_PUBLICATIONS:
            self._forget_one()
        self.publications = (*self.publications, publication)
        return publication

    def replaces(self, publication: Publication, run: Run) -> bool:
        """Return whether a run published another task in its own place: ``replace`` ends it without an event."""
        replaced = run.publication
        return (
            publication.name != replaced.name
            and publication.retries == replaced.retries
            and replaced.known_at < publication.known_at
        )

    def stop_replaced(self) -> None:
        """Take runs off what is running that published a replacement."""
        for run in self.runs:
            if not run.ended and any(self.replaces(publication, run) for publication in self.publications):
                run.stop()
                run.publication.ended = True

    def find(self, name: str, retries: int, worker: Worker) -> Publication | None:
        """Return the publication that a worker received: one that no worker has, or this one has not started.

        None if it is unknown, or was delivered before: then it may also be another one, whose task-sent is late.
        """
        received = None
        if len(self.publications) == 1:  # the common case, without further calls
            publication = self.publications[0]
            if not publication.taken and publication.name == name and publication.retries == retries:
                return publication
        for publication in self.publications:
            if publication.is_of(name, retries):
                if not publication.taken:
                    return publication
                if self._waiting_run(worker, publication) is not None:
                    received = publication
        return received

    def delivered_again(self, name: str, retries: int, worker: Worker) -> Publication | None:
        """Return the publication that was received already: it was redelivered, or is a broadcast.

        If its task-sent did not arrive and it was this worker that received it, it can as well be another one.
        """
        found = [publication for publication in self.publications if publication.is_of(name, retries)]
        sent = [publication for publication in found if publication.sent_at is not None]
        if sent or not found:
            waiting = [publication for publication in sent if publication.waiting is not None]
            return (waiting or sent)[-1] if sent else None
        mine = any(run.publication is found[-1] and run.worker is worker for run in self.runs)
        return None if mine else found[-1]

    def alias(self, name: str, retries: int) -> Publication | None:
        """Return the publication that ``name`` may be the shadow of: one that no worker received under its own name."""
        if any(publication.name == name for publication in self.publications):
            return None
        for publication in self.publications:
            if not publication.taken and publication.sent_at is not None and publication.retries == retries:
                return publication
        return None

    def receive(self, worker: Worker, publication: Publication, series: TaskSeries, at: float) -> None:
        """Enter a task-received; a worker that reconnected receives again what it has not started."""
        run = self._waiting_run(worker, publication) or self.add_run(worker, publication, series, at)
        run.received_at = at

    def return_to_queue(self, run: Run) -> None:
        """Note that a worker put the message of a run back: some worker will receive it again, or did so already."""
        began = max(run.received_at or 0.0, run.started_at)
        run.publication.ended = False
        run.publication.taken = any(
            other.publication is run.publication and max(other.received_at or 0.0, other.started_at) > began
            for other in self.runs
        )

    def to_start(self, worker: Worker, at: float) -> tuple[Run | None, Publication | None]:
        """Return the run that a task-started belongs to, or without one the publication that no worker received.

        Neither if the worker started something that no event announced. ``at`` is the worker's time stamp: what it
        received later it did not start then.
        """
        received = self._unstarted_runs(worker)
        in_time = [run for run in received if (run.received_at or 0.0) <= at]
        untaken = None if in_time else self.untaken
        if in_time or untaken is not None:
            return next(iter(in_time), None), untaken
        return next(iter(received), None), None  # The worker's clock was set back.

    def add_run(
        self, worker: Worker, publication: Publication, series: TaskSeries, received_at: float | None = None
    ) -> Run:
        """Add a run."""
        waits = not publication.delivered or publication.broadcast
        if received_at is not None and received_at < publication.known_at:
            publication.known_at = received_at  # a client stamps task-sent after it published
        run = Run(worker, publication, series, received_at, waits)
        publication.taken = publication.delivered = True
        self.runs = (*self.runs, run)
        return run

    def to_end(self, worker: Worker, *, retried: bool = False, started_at: float | None = None) -> Run | None:
        """Return the run of ``worker`` that an end belongs to; None if none is open.

        ``started_at`` is when the run started, where its end contains that. Of several runs a retry ends the oldest of
        those that were published again since. Another end belongs to one that was not; of these to the one that
        started at that time, or last.
        """
        running = [run for run in self.runs if run.running and run.worker is worker]
        if len(running) == 1:
            return running[0]
        if running:
            superseded = [run for run in running if self._is_superseded(run)]
            if retried:
                return min(superseded or running, key=lambda run: run.started_at)
            left = [run for run in running if run not in superseded] or running
            if started_at is not None:
                return min(left, key=lambda run: abs(run.started_at - started_at))
            return max(left, key=lambda run: run.started_at)
        mine = [run for run in self.runs if run.worker is worker and not run.ended]
        return self.unstarted(worker) or (mine[-1] if mine else None)

    def unstarted(self, worker: Worker) -> Run | None:
        """Return the first run that ``worker`` received and neither started nor ended."""
        return next(iter(self._unstarted_runs(worker)), None)

    def last_ended(self, worker: Worker) -> Run | None:
        """Return the run whose end this worker reported last."""
        return next((run for run in reversed(self.runs) if run.worker is worker and run.ended), None)

    def has_ended_on(self, worker: Worker) -> bool:
        """Return whether the last run that this worker ended was the last of the task as far as it could report."""
        ended = self.last_ended(worker)
        return ended is not None and not ended.retried

    @property
    def untaken(self) -> Publication | None:
        """The first publication that no worker received: the fewest retries, then the earliest."""
        untaken = [publication for publication in self.publications if not publication.taken]
        if len(untaken) < 2:
            return untaken[0] if untaken else None
        return min(untaken, key=lambda publication: (publication.retries or 0, publication.sent_at or 0.0))

    @property
    def is_running(self) -> bool:
        """Whether a run is executed."""
        for run in self.runs:  # noqa: SIM110 -- half as long as any() and a generator, for every task that ends
            if run.running:
                return True
        return False

    @property
    def has_ended(self) -> bool:
        """Whether an end of every publication was reported."""
        return all(publication.ended for publication in self.publications)

    @property
    def over(self) -> bool:
        """Whether nothing of the task is expected any more: it neither runs nor waits for a worker, or at one."""
        for publication in self.publications:
            if not publication.taken:
                return False
        for run in self.runs:  # noqa: SIM110 -- as above
            if run.running or not (run.started_at or run.ended or run.publication.ended):
                return False
        return True

    def _forget_one(self) -> None:
        """Forget the oldest publication that ended, or else the oldest that no worker executes."""
        busy = [run.publication for run in self.runs if run.running]
        idle = [known for known in self.publications if known not in busy]
        gone = next((known for known in idle if known.ended), idle[0])
        gone.stop_waiting()
        self.forgotten = max(self.forgotten, gone.known_at)
        self.publications = tuple(known for known in self.publications if known is not gone)
        self.runs = tuple(run for run in self.runs if run.publication is not gone)

    def _unstarted_runs(self, worker: Worker) -> list[Run]:
        """Return the runs that ``worker`` received and neither started nor ended.

        Those that another worker started are left out if there are others: their messages were redelivered, because
        this worker lost its connection.
        """
        mine = [run for run in self.runs if run.worker is worker and not run.started_at and not run.ended]
        if len(mine) < 2:
            return mine
        begun = {id(run.publication) for run in self.runs if run.started_at and not run.publication.broadcast}
        return [run for run in mine if id(run.publication) not in begun] or mine

    def _waiting_run(self, worker: Worker, publication: Publication) -> Run | None:
        for run in self.runs:
            if run.worker is worker and run.publication is publication and not run.started_at and not run.ended:
                return run
        return None

    def _is_superseded(self, run: Run) -> bool:
        """Return whether the run published a retry, with which it must end."""
        name, retries = run.publication.name, run.publication.retries
        return retries is not None and any(
            known.name == name and (known.retries or 0) > retries for known in self.publications
        )


def eta_seconds(eta: str) -> float | None:
    """Turn an ISO 8601 eta into epoch seconds (UTC where it names no zone); None if it is no date."""
    try:
        moment = datetime.fromisoformat(eta)
        return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
