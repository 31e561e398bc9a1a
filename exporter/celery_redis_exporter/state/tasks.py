"""Tasks: folds task events, in any order, with losses and repeats, into counts, times and what is running.

The truths it keeps: an execution that ended counts once, whatever its worker sent; times use the senders' own stamps
and are never negative; nothing is counted under a guessed name or queue. Not thread-safe: see state.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from celery_redis_exporter.catalog import UNKNOWN, internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.events import (
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)
from celery_redis_exporter.state import runs
from celery_redis_exporter.state.failures import Failures
from celery_redis_exporter.state.holding import Held, Holding, Waiting
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.task import Publication, Task, Worker, eta_seconds
from celery_redis_exporter.state.task_series import TaskSeries
from celery_redis_exporter.state.tracking import TaskLimits, Tracking
from celery_redis_exporter.state.worker import ONLINE
from celery_redis_exporter.state.workers import Workers

E = TypeVar("E", TaskSucceeded, TaskFailed, TaskRetried, TaskRejected, TaskRevoked)


class Tasks:
    """Every task on its way, by id, and the series of every task name.

    ``now`` (monotonic seconds) is set by the caller for each batch, so that one event needs no clock.
    """

    def __init__(self, store: Store, workers: Workers, limits: TaskLimits, *, exemplars: bool) -> None:
        self.now = 0.0
        self.naming = limits.naming
        self.names = Names(store, limits)
        self.tracked = Tracking(limits.tracked)
        self.failures = Failures(limits.failures, limits.naming)
        self._store = store
        self._workers, self._known_workers = workers, workers.by_name
        self._limits = limits
        self._holding = Holding(self.names)
        self._exemplars = exemplars
        workers.close_runs = self.close_runs
        if limits.naming.worker_label:
            workers.forgotten = self.names.forget_worker

    def fold_sent(self, event: TaskSent) -> None:
        """Fold task-sent: the only event that names the queue."""
        series = self.names.series(event.name, event.queue or UNKNOWN)
        series.sent.value += 1
        name = series.task
        name.expects_sent = self._holding.sent_seen = True
        if name.last_sent is None:
            name.last_sent = self.names.named(name, rows.TASK_LAST_SENT)
        name.last_sent.value = event.timestamp
        eta = eta_seconds(event.eta) if event.eta is not None else None
        task = self.tracked.get(event.uuid)
        if task is None:
            self._track(event.uuid, series, event.timestamp, eta, event.retries)
        elif (run := task.claim(name, event.retries, event.timestamp)) is not None:
            run[0].wait.observe_delay(run[1], event.timestamp, eta, event.uuid)
        else:
            task.publish(Publication(event.retries, series, event.timestamp, None, eta))
        if self._holding.events:
            for held in self._holding.release(event.uuid):
                held.fold()

    def fold_received(self, event: TaskReceived) -> None:
        """Fold task-received."""
        worker = self._worker(event.hostname)
        task = self.tracked.get(event.uuid)
        if task is None:
            queue = worker.only_queue
            fold = partial(self.fold_received, event)
            if queue == UNKNOWN and self._holding.hold(event.uuid, event.name, Held("task-received", fold), self.now):
                return
            task = self._track(event.uuid, self.names.series(event.name, queue), retries=event.retries)
        task.ended = False
        eta = eta_seconds(event.eta) if event.eta is not None else None
        other = None if event.name == task.series.task.name else self.names.other(task, event.name, worker.only_queue)
        series = task.receive(event.retries, event.timestamp, eta, other)
        (series if series.by_worker is None else self.names.at(series, worker.name)).received.value += 1

    def fold_started(self, event: TaskStarted, replayed: bool = False) -> None:  # noqa: FBT001, FBT002 -- hot
        """Fold task-started; ``replayed`` when it was held and its worker knows it already."""
        worker = self._worker(event.hostname)
        if not replayed:
            if not worker.ledger.seen_any:
                self._workers.note_task_events(worker)
            worker.ledger.started(event.timestamp)
        task = self.tracked.get(event.uuid)
        if task is None:
            self._hold_or_miss(event.uuid, "task-started", partial(self.fold_started, event, True), worker)  # noqa: FBT003 -- hot
            return
        if task.later is not None:
            task.turn()
        at = event.timestamp
        series = task.series
        if series.by_worker is not None:
            series = self.names.at(series, worker.name)
        if runs.begin(event.uuid, task, series, worker, at):
            self._evicted("count", 1)
        series.started.value += 1
        task.waited = task.sent_at is not None
        if task.sent_at is not None:
            series.wait.observe_delay(at, task.sent_at, task.eta, event.uuid)
        if task.received_at is not None:
            series.prefetch.observe_delay(at, task.received_at, task.eta, event.uuid)
        task.sent_at = task.received_at = task.eta = None

    def fold_succeeded(self, event: TaskSucceeded) -> None:
        """Fold task-succeeded; the runtime is Celery's own."""
        run = self._end(event, "task-succeeded", self.fold_succeeded)
        if run is None:
            return
        series, _ = run
        series.success.value += 1
        if event.runtime is not None:
            series.runtime["success"].observe_task(event.runtime, event.uuid, event.timestamp)
        name = series.task
        if name.last_success is None:
            name.last_success = self.names.named(name, rows.TASK_LAST_SUCCESS)
        name.last_success.value = event.timestamp

    def fold_failed(self, event: TaskFailed, exception: str, name: str | None = None) -> None:
        """Fold task-failed; ``exception`` is the class, ``name`` the task's where the event itself tells it.

        Celery reports Reject as a failure and then as rejected: both mean one rejected execution.
        """
        if name is not None and event.uuid not in self.tracked:
            queue = self._worker(event.hostname).only_queue
            fold = partial(self.fold_failed, event, exception, name)
            if queue == UNKNOWN and self._holding.hold(event.uuid, name, Held("task-failed", fold), self.now):
                return
            self._track(event.uuid, self.names.series(name, queue))
        run = self._end(event, "task-failed", lambda held: self.fold_failed(held, exception, name))
        if run is None:
            return
        series, started_at = run
        if exception == "Reject":
            series.rejected.value += 1
            return
        series.failure.value += 1
        if self._exemplars:
            series.failure.exemplar = (event.uuid, 1, event.timestamp)
        series.observe_run("failure", started_at, event.timestamp, event.uuid)
        self.names.exception(series.task, exception).value += 1
        if self.failures.limit and series.task is not self.names.hidden.task:
            self.failures.note(event, series.task.name, exception)
        if series.task.last_failure is None:
            series.task.last_failure = self.names.named(series.task, rows.TASK_LAST_FAILURE)
        series.task.last_failure.value = event.timestamp

    def fold_retried(self, event: TaskRetried, exception: str) -> None:
        """Fold task-retried: the execution ended, the task goes on."""
        run = self._end(event, "task-retried", lambda held: self.fold_retried(held, exception))
        if run is None:
            return
        series, started_at = run
        series.retry.value += 1
        series.observe_run("retry", started_at, event.timestamp, event.uuid)
        self.names.exception(series.task, exception).value += 1

    def fold_rejected(self, event: TaskRejected) -> None:
        """Fold task-rejected."""
        run = self._end(event, "task-rejected", self.fold_rejected)
        if run is not None:
            run[0].rejected.value += 1

    def fold_revoked(self, event: TaskRevoked) -> None:
        """Fold task-revoked, of a running task or of one that never started."""
        run = self._end(event, "task-revoked", self.fold_revoked)
        if run is None:
            return
        series, _ = run
        series.revoked.value += 1
        reason = "terminated" if event.terminated else "expired" if event.expired else "revoked"
        self.names.named(series.task, rows.TASK_REVOCATIONS, reason).value += 1

    def fold_cancelled(self, event: TaskCancelled) -> None:
        """Fold task-cancelled: the worker gave the message back, so the execution neither ended nor runs."""
        worker = self._worker(event.hostname)
        task = self.tracked.get(event.uuid)
        if task is None:
            self._hold_or_miss(event.uuid, "task-cancelled", partial(self.fold_cancelled, event), worker)
        else:
            runs.cancel(event.uuid, task, worker)

    def adopt(self, uuid: str, name: str, queue: str, worker: Worker, started_at: float | None) -> None:
        """Take over a task that a worker holds, running since ``started_at`` if not None; an event seen of it wins."""
        if uuid in self.tracked:
            return
        held = self._holding.release(uuid)
        task = self._track(uuid, self.names.series(name, queue))
        if started_at is not None and all(event.kind != "task-started" for event in held):
            runs.begin(uuid, task, self.names.at(task.series, worker.name), worker, started_at)
        for event in held:
            event.fold()

    def close_runs(self, worker: Worker, reason: str, until: float) -> None:
        """Close, uncounted, what ``worker`` began before ``until``; an end that still comes counts as ever."""
        closed = runs.close(worker, until)
        for uuid in closed:
            self.tracked.retire(uuid)
        self._evicted(reason, len(closed))

    def set_time(self, now: float) -> None:
        """Set the monotonic time at which the next events are folded."""
        self.now = now

    def tick(self, now: float) -> None:
        """Release what waited long enough for its task-sent."""
        self.now = now
        for waiting in self._holding.give_up(now):
            self._fold_unsent(waiting)

    def sweep(self, now: float) -> None:
        """Forget tasks that are too old and names that are idle."""
        for uuid, task in self.tracked.older_than(now - self._limits.age):
            runs.forget(uuid, task)
            del self.tracked[uuid]
            self._evicted("age", 1)
        self.names.expire(now, self._limits.idle)

    def refresh(self) -> None:
        """Bring the gauges that are computed, not folded, up to date; done before values are copied."""
        oldest = runs.oldest_starts(self._workers.by_name.values())
        for name in self.names:
            if name.name in oldest:
                self._store.scalar(rows.TASK_OLDEST_STARTED, name.name).value = oldest[name.name]
            else:
                self._store.discard(rows.TASK_OLDEST_STARTED, (name.name,))
        self._store.scalar(internals.TASKS_TRACKED).value = len(self.tracked)

    def _worker(self, hostname: str) -> Worker:
        worker = self._known_workers.get(hostname) or self._workers.meet(hostname)
        worker.seen = self.now
        if worker.presence is not ONLINE:
            self._workers.revive(worker)
        return worker

    def _track(
        self, uuid: str, series: TaskSeries, sent_at: float | None = None, eta: float | None = None, retries: int = 0
    ) -> Task:
        if len(self.tracked) >= self.tracked.limit:
            evicted = self.tracked.evict()
            for old, gone in evicted:
                runs.forget(old, gone)
            self._evicted("count", sum(not gone.over for _, gone in evicted))
        task = self.tracked[uuid] = Task(series, self.now, series, sent_at, None, eta, retries)
        return task

    def _hold_or_miss(self, uuid: str, kind: str, fold: Callable[[], object], worker: Worker) -> None:
        if not self._holding.hold(uuid, None, Held(kind, fold), self.now, worker.seeding_until):
            self._store.scalar(internals.TASKS_UNMATCHED, kind).value += 1

    def _fold_unsent(self, waiting: Waiting) -> None:
        """Fold events whose task-sent did not come; without a name they can only be counted as unmatched."""
        if waiting.uuid not in self.tracked:
            if waiting.name is None:
                for held in waiting.events:
                    self._store.scalar(internals.TASKS_UNMATCHED, held.kind).value += 1
                return
            series = self.names.series(waiting.name, UNKNOWN)
            series.task.expects_sent = False
            self._track(waiting.uuid, series)
        for held in waiting.events:
            held.fold()

    def _end(self, event: E, kind: str, refold: Callable[[E], None]) -> tuple[TaskSeries, float] | None:
        """Enter the end of an execution; None if it can't be counted (yet), else its series and its start."""
        worker = self._worker(event.hostname)
        task = self.tracked.get(event.uuid)
        if task is None:
            self._hold_or_miss(event.uuid, kind, partial(refold, event), worker)
            return None
        run = runs.end(event.uuid, task, worker, kind == "task-retried")
        if run is None:
            self._store.scalar(internals.TASKS_DUPLICATE, kind).value += 1
            return None
        if not run[1]:
            task.skip()
        if run[0].by_worker is not None:  # it never started
            run = self.names.at(run[0], worker.name), run[1]
        if kind != "task-retried":
            task.ended = True
            self.tracked.retire(event.uuid)
        return run

    def _evicted(self, reason: str, count: int) -> None:
        if count:
            self._store.scalar(internals.TASKS_EVICTED, reason).value += count
