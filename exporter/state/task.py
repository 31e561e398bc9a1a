"""The two records behind task metrics: a task on its way, and the series of a (task, queue)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from exporter.catalog import Metric
from exporter.catalog import tasks as rows

if TYPE_CHECKING:
    from exporter.state.series import Histogram, Series, Store
    from exporter.state.worker import Worker

STATES = ("success", "failure", "retry", "revoked", "rejected")


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


class Task(Struct, gc=False):
    """A task id on its way through publishing, waiting and executions.

    ``sent_at``, ``received_at`` and ``eta`` belong to the publication number ``retries``, as in Publication, and to
    its next start, which uses them up. ``later`` is a retry that was published or even received meanwhile: the worker's
    child publishes it before the execution ends, often before the parent's task-started arrives. ``started_at``,
    ``worker`` and ``run_series`` belong to the execution that is running, or ran last. ``others``
    are executions of the same id on other workers (redelivery), as (worker, start, series). ``born`` is in
    monotonic seconds.

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

    def publish(self, publication: Publication) -> None:
        """Enter a task-sent: as what starts next, or behind what has not ended; its receipt may be known already.

        A task that replaces itself by another publishes that one under its own id, with as many retries.
        """
        replaces = publication.series.task is not self.series.task
        if publication.retries < self.retries and self._is_untouched:
            self._put_before(publication)
        elif publication.retries == self.retries and not replaces:
            publication.received_at = self.received_at
            self._take(publication)
        elif self.later is not None and self.later.is_one_with(publication):
            publication.received_at = self.later.received_at
            self.later = publication
        elif (replaces or publication.retries > self.retries) and (self.running or self.is_awaiting):
            self.later = publication
        elif self.ended or publication.retries >= self.retries:  # else it comes after the retry that followed it
            self._take(publication)

    def receive(
        self, retries: int, received_at: float, eta: float | None, replacement: TaskSeries | None = None
    ) -> TaskSeries:
        """Enter a task-received; give the series of the publication that it belongs to.

        ``replacement`` are series of the task that it names, where that is another.
        """
        if retries < self.retries and self._is_untouched:
            self._put_before(Publication(retries, self.series))
        if retries != self.retries or replacement is not None:
            publication = Publication(retries, replacement or self.series)
            if self.later is None or not self.later.is_one_with(publication):  # its task-sent was not seen
                self.later = publication
            if self.is_awaiting:  # its start is yet to be told, and comes first
                self.later.received_at = received_at
                self.later.eta = eta or self.later.eta
                return self.later.series
            self.turn()
        self.received_at = received_at
        if eta is not None:
            self.eta = eta
        return self.series

    @property
    def _is_untouched(self) -> bool:
        """Whether nothing was heard of it but its publication: one with fewer retries then comes before that."""
        return not self.started_at and not self.ended and self.later is None

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
        self.turn()

    @property
    def is_awaiting(self) -> bool:
        """Whether the current publication was seen and its start was not."""
        return self.sent_at is not None or self.received_at is not None

    def is_overtaken(self, retries: int, sent_at: float) -> bool:
        """Whether a publication comes after its own start, or even its end: its stamp tells, within a second.

        The last start is that of the publication before, while its retry is waited for.
        """
        last = self.retries - 1 if self.retries and self.is_awaiting else self.retries
        started_without = self.started_at > 0 and not self.waited and retries == last
        return started_without and sent_at <= self.started_at + 1.0

    @property
    def pending(self) -> bool:
        """Whether something of the task is still to come."""
        return self.is_awaiting or self.later is not None

    def _take(self, publication: Publication) -> None:
        self.retries, self.series = publication.retries, publication.series
        self.sent_at, self.received_at, self.eta = publication.sent_at, publication.received_at, publication.eta


class TaskSeries:
    """The series of one (task, queue), created together so that their first increments can be seen.

    With ``hidden``, a store that is not shown, they are told apart by worker: here is what no worker did, and
    ``by_worker`` has the rest, each in a record of the same kind.
    """

    __slots__ = (
        "activity", "by_worker", "failure", "idle_since", "prefetch", "queue", "received", "rejected", "retry",
        "revoked", "running", "runtime", "sent", "started", "store", "success", "task", "wait", "worker",
    )  # fmt: skip

    def __init__(self, store: Store, task: TaskName, queue: str, hidden: Store | None = None, worker: str = "") -> None:
        self.sent = store.scalar(rows.TASKS_SENT, task.name, queue)
        self.by_worker: dict[str, TaskSeries] | None = None if hidden is None else {}
        names, workers = (task.name, queue), (worker,) if worker else ()
        self.store, self.task, self.queue, self.worker = store, task, queue, workers
        shown = hidden or store
        self.received = shown.scalar(rows.TASKS_RECEIVED, *names, *workers)
        self.started = shown.scalar(rows.TASKS_STARTED, *names, *workers)
        self.success, self.failure, self.retry, self.revoked, self.rejected = (
            shown.scalar(rows.TASKS, *names, state, *workers) for state in STATES
        )
        self.running = shown.scalar(rows.TASKS_RUNNING, *names, *workers)
        self.wait = shown.histogram(rows.TASK_WAIT, *names, *workers, bounds=task.bounds)
        self.prefetch = shown.histogram(rows.TASK_PREFETCH, *names, *workers, bounds=task.bounds)
        runtime = shown.histogram(rows.TASK_RUNTIME, *names, "success", *workers, bounds=task.bounds)
        self.runtime: dict[str, Histogram] = {"success": runtime}
        self.activity = -1.0
        self.idle_since = 0.0

    def split(self, worker: str) -> TaskSeries:
        """Make the record of a worker."""
        made = TaskSeries(self.store, self.task, self.queue, worker=worker)
        if self.by_worker is not None:
            self.by_worker[worker] = made
        return made

    def runtime_of(self, state: str) -> Histogram:
        """The runtime histogram of an outcome; failure and retry get theirs when they first occur."""
        found = self.runtime.get(state)
        if found is None:
            labels = (self.task.name, self.queue, state, *self.worker)
            found = self.runtime[state] = self.store.histogram(rows.TASK_RUNTIME, *labels, bounds=self.task.bounds)
        return found

    def observe_run(self, state: str, started_at: float, ended_at: float, task_id: str) -> None:
        """Observe the time of a run whose end does not tell it itself; no start (0), no observation."""
        if started_at:
            self.runtime_of(state).observe_task(max(ended_at - started_at, 0.0), task_id, ended_at)

    def count_activity(self) -> float:
        """A sum that changes with every event of this (task, queue)."""
        ends = self.success.value + self.failure.value + self.retry.value + self.revoked.value + self.rejected.value
        split = sum(series.count_activity() for series in (self.by_worker or {}).values())
        return self.sent.value + self.received.value + self.started.value + ends + split

    @property
    def is_running(self) -> bool:
        """Whether an execution runs."""
        return bool(self.running.value) or any(series.is_running for series in (self.by_worker or {}).values())

    def rows(self) -> list[tuple[Metric, tuple[str, ...]]]:
        """Metric and labels of every series held here, and by worker; only the first has ``sent``."""
        names, worker = (self.task.name, self.queue), self.worker
        plain = (rows.TASKS_RECEIVED, rows.TASKS_STARTED, rows.TASKS_RUNNING, rows.TASK_WAIT, rows.TASK_PREFETCH)
        own = [
            *((metric, (*names, *worker)) for metric in plain),
            *((rows.TASKS, (*names, state, *worker)) for state in STATES),
            *((rows.TASK_RUNTIME, (*names, state, *worker)) for state in self.runtime),
        ]
        if worker:
            return own
        split = [row for series in (self.by_worker or {}).values() for row in series.rows()]
        return [(rows.TASKS_SENT, names), *own, *split]


class TaskName:
    """What is kept per task name: its queues and the series that carry no queue.

    ``expects_sent`` says whether its publishers are known to send task-sent (None: not known yet); ``bounds`` are those
    of its histograms, None for the usual ones.
    """

    __slots__ = (
        "bounds",
        "exceptions",
        "expects_sent",
        "last_failure",
        "last_sent",
        "last_success",
        "name",
        "queues",
        "series",
    )

    def __init__(self, name: str, bounds: tuple[float, ...] | None = None) -> None:
        self.name = name
        self.bounds = bounds
        self.queues: dict[str, TaskSeries] = {}
        self.expects_sent: bool | None = None
        self.exceptions: dict[str, Series] = {}
        self.last_sent: Series | None = None
        self.last_success: Series | None = None
        self.last_failure: Series | None = None
        self.series: set[tuple[Metric, tuple[str, ...]]] = set()


def eta_seconds(eta: str) -> float | None:
    """Turn an ISO 8601 eta into epoch seconds (UTC where it names no zone); None if it is no date."""
    try:
        moment = datetime.fromisoformat(eta)
        return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
