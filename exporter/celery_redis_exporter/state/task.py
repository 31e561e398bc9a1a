"""The records of a task on its way and of a worker: publications, executions, and which worker runs what.

Input: what events contain, in any order. Output: what belongs together. Counts nothing. A task refers to its worker and
a worker to its tasks, which is why both are here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.state.ledger import StartsLedger
from celery_redis_exporter.state.worker import UNTOLD, Presence, Questions, Setup

if TYPE_CHECKING:
    from celery_redis_exporter.catalog import Metric
    from celery_redis_exporter.state.series import Series
    from celery_redis_exporter.state.task_series import TaskName, TaskSeries


@dataclass(slots=True, eq=False)
class Worker:
    """One worker by its node name. ``seen`` and ``since`` are on the monotonic clock.

    ``announced`` is the setup that heartbeats carry, ``answered`` the one of inspect; ``setup`` is what holds: the
    heartbeats', which are younger, before inspect's. Until ``seeding_until`` (monotonic) the worker is expected to
    tell what tasks it holds, so events of unknown ones wait. ``running`` are the tasks that it executes by id, and
    ``executions`` the number of their executions on it: a redelivered task can have several.
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
    seeding_until: float = 0.0
    last_beat: tuple[float, int] = (0.0, 0)  # its time stamp, and its count of active executions
    ledger: StartsLedger = field(default_factory=StartsLedger)
    running: dict[str, Task] = field(default_factory=dict)
    executions: int = 0
    series: dict[tuple[Metric, tuple[str, ...]], Series] = field(default_factory=dict)

    @property
    def only_queue(self) -> str:
        """The queue that the worker's tasks come from, where it consumes a single known one; else UNKNOWN."""
        queues = self.setup.queues
        return queues[0] if queues is not None and len(queues) == 1 else UNKNOWN


class Publication(Struct, gc=False):
    """One publication of a task, the first or a retry: where it went, when it was sent and received, and its eta.

    Times are epoch seconds; None where the event was not seen.
    """

    retries: int
    series: TaskSeries
    sent_at: float | None = None
    received_at: float | None = None
    eta: float | None = None

    def is_one_with(self, other: Publication) -> bool:
        """Whether both are the same publication of one task id."""
        return self.retries == other.retries and self.series.task is other.series.task

    def receive(self, received_at: float, eta: float | None) -> TaskSeries:
        """Enter its task-received; give the series that count it."""
        self.received_at = received_at
        self.eta = eta or self.eta
        return self.series


class Run(Struct, gc=False):
    """An execution whose task-sent was not seen: that of which task and retry, and when it started (epoch seconds)."""

    series: TaskSeries
    retries: int
    started_at: float

    def is_of(self, task: TaskName, retries: int, sent_at: float) -> bool:
        """Whether a publication was this one's: it was told too late; its stamp tells, within a second."""
        return self.series.task is task and self.retries == retries and sent_at <= self.started_at + 1.0


class Task(Struct, gc=False):
    """A task id on its way through publishing, waiting and executions.

    ``sent_at``, ``received_at`` and ``eta`` belong to the publication number ``retries``, as in Publication, and to
    its next start, which uses them up. ``later`` is a retry that was published or even received meanwhile: the worker's
    child publishes it before the execution ends, often before the parent's task-started arrives. ``started_at``,
    ``worker`` and ``run_series`` belong to the execution that is running, or ran last; ``waited`` says that its
    task-sent is not awaited any more. ``overtaken`` is the one before the current publication, if its own task-sent is
    yet to come. ``others`` are executions of the same id on other workers (redelivery), as (worker, start, series).
    ``born`` is in monotonic seconds.

    A msgspec Struct because one is made for every task: it is made in C, and the garbage collector leaves it alone
    (``gc=False``: whoever ends a run takes the task off its worker, so that no cycle remains).
    """

    series: TaskSeries
    born: float
    run_series: TaskSeries
    sent_at: float | None = None
    received_at: float | None = None
    eta: float | None = None
    retries: int = 0
    later: Publication | None = None
    running: bool = False
    waited: bool = False
    ended: bool = False
    started_at: float = 0.0
    worker: Worker | None = None
    others: tuple[tuple[Worker, float, TaskSeries], ...] = ()
    overtaken: Run | None = None

    def publish(self, publication: Publication) -> None:
        """Enter a task-sent: as what starts next, or behind what has not ended; its receipt may be known already.

        A task that replaces itself, by another or by itself, publishes that under its own id, with as many retries.
        """
        if self._is_past(publication):
            return
        if publication.retries < self.retries and self._is_untouched:
            self._put_before(publication)
        elif self._is_current(publication) and self.sent_at is None:
            publication.received_at = self.received_at
            self._take(publication)
        elif self.later is not None and self.later.is_one_with(publication):
            publication.received_at = self.later.received_at
            self.later = publication
        elif publication.retries >= self.retries and (self.running or self.is_awaiting):
            self.later = publication
        elif self.ended or publication.retries >= self.retries:  # else it comes after the retry that followed it
            self._take(publication)

    def receive(
        self, retries: int, received_at: float, eta: float | None, replacement: TaskSeries | None = None
    ) -> TaskSeries:
        """Enter a task-received; give the series of the publication that it belongs to.

        ``replacement`` are series of the task that it names, where that is another.
        """
        if self.later is not None or retries != self.retries or replacement is not None:
            later = self._turn_to(Publication(retries, replacement or self.series), received_at)
            if later is not None:
                return later.receive(received_at, eta)
        if self.started_at and not self.is_awaiting:
            self._note_run()
        self.received_at = received_at
        if eta is not None:
            self.eta = eta
        return self.series

    def _turn_to(self, received: Publication, received_at: float) -> Publication | None:
        """Make what was received the current publication; give it if it is a later one, whose turn has not come."""
        if received.retries < self.retries and self._is_untouched:
            self._put_before(received)
        elif received.series.task is not self.series.task and self._is_preceded(received_at):
            self._put_before(self.later if self.later is not None and self.later.is_one_with(received) else received)
        is_current = self._is_current(received)
        if self.later is None or not self.later.is_one_with(received):
            if is_current:
                return None
            self.later = received  # its task-sent was not seen
        # The start of the current one is yet to be told; or one id was published twice, and both wait at a worker.
        if self.received_at is not None if is_current else self.is_awaiting:
            return self.later
        self.turn()
        return None

    def _is_current(self, publication: Publication) -> bool:
        """Whether a publication is the one that starts next, or started last."""
        return publication.retries == self.retries and publication.series.task is self.series.task

    @property
    def _is_untouched(self) -> bool:
        """Whether nothing was heard of it but its publication: one with fewer retries then comes before that."""
        return not self.started_at and not self.ended and not self.waited and self.later is None

    def _is_preceded(self, received_at: float) -> bool:
        """Whether another task, received at that time under its id, came first: what replaced that was told sooner."""
        unseen = not self.started_at and not self.ended and self.received_at is None
        return unseen and self.sent_at is not None and received_at < self.sent_at

    def _is_past(self, publication: Publication) -> bool:
        """Whether a publication was of an execution before the last one, which nobody asks for any more."""
        before = publication.retries < self.retries
        return before and publication.sent_at is not None and publication.sent_at < self.started_at

    def _put_before(self, publication: Publication) -> None:
        self.later = Publication(self.retries, self.series, self.sent_at, self.received_at, self.eta)
        self._take(publication)

    def turn(self) -> None:
        """Turn to the later publication, once the one before has started."""
        if self.later is not None and not self.is_awaiting:
            self._take(self.later)
            self.later = None

    def skip(self) -> None:
        """Give up waiting for the start of the current publication: it ended without one, or without our seeing it."""
        self.sent_at = self.received_at = self.eta = None
        self.waited = True  # whatever is still told of it is too late
        self.turn()

    @property
    def is_awaiting(self) -> bool:
        """Whether the current publication was seen and its start was not."""
        return self.sent_at is not None or self.received_at is not None

    def claim(self, task: TaskName, retries: int, sent_at: float) -> tuple[TaskSeries, float] | None:
        """Give series and start of the execution whose start, or even end, a publication comes after; None if none.

        It is claimed once.
        """
        run = self.overtaken
        if run is not None and run.is_of(task, retries, sent_at):
            self.overtaken = None
            self.waited = self.waited or run.started_at == self.started_at
            return run.series, run.started_at
        if not self.started_at or self.waited or (run is not None and run.started_at == self.started_at):
            return None
        run = Run(self.run_series, self.retries, self.started_at)
        if not run.is_of(task, retries, sent_at):
            return None
        self.waited = True
        return run.series, run.started_at

    @property
    def over(self) -> bool:
        """Whether the last execution ended and no earlier one of the same id still runs elsewhere."""
        return self.ended and not self.others

    @property
    def pending(self) -> bool:
        """Whether something of the task is still to come."""
        return self.is_awaiting or self.later is not None

    def _note_run(self) -> None:
        """Keep the last execution if its task-sent is yet to come: what follows is about another one."""
        is_noted = self.overtaken is not None and self.overtaken.started_at == self.started_at
        if self.started_at and not self.waited and not is_noted:
            self.overtaken = Run(self.run_series, self.retries, self.started_at)

    def _take(self, publication: Publication) -> None:
        self._note_run()
        self.retries, self.series = publication.retries, publication.series
        self.sent_at, self.received_at, self.eta = publication.sent_at, publication.received_at, publication.eta


def eta_seconds(eta: str) -> float | None:
    """Turn an ISO 8601 eta into epoch seconds (UTC where it names no zone); None if it is no date."""
    try:
        moment = datetime.fromisoformat(eta)
        return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
