# SPDX-License-Identifier: Apache-2.0
"""Fold task events, in any order, with losses and repeats, into counts, times and the table of running tasks.

Guarantees: an execution that ended is counted once, whatever its worker sent. Times use the senders' own timestamps and
are never negative. Nothing is counted under a guessed name or queue. Not thread-safe: see state.
"""

from collections.abc import Callable, Iterable
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
from celery_redis_exporter.state.holding import FIRST_EVENTS, Held, Holding
from celery_redis_exporter.state.matching import Matching
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.routes import BROADCAST
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.task import Publication, Run, Task, UncertainEnd, Worker, eta_seconds
from celery_redis_exporter.state.task_series import TaskSeries
from celery_redis_exporter.state.tracking import TaskLimits
from celery_redis_exporter.state.worker import ONLINE
from celery_redis_exporter.state.workers import Workers

E = TypeVar("E", TaskSucceeded, TaskFailed, TaskRetried, TaskRejected, TaskRevoked)
W = TypeVar("W", TaskReceived, TaskSucceeded, TaskFailed, TaskRetried, TaskRejected, TaskRevoked, TaskCancelled)

SOFT_SIGNALS = frozenset((10, 30, "10", "30", "SIGUSR1", "USR1"))
"""SIGUSR1, the signal of the soft time limit, in task-revoked: its number on Linux and macOS, or its name."""


class Tasks:
    """The tasks in flight, by id, and the series of every task name.

    ``now`` (monotonic seconds) is set by the caller for each batch, so that folding an event reads no clock.
    """

    def __init__(self, store: Store, workers: Workers, names: Names, limits: TaskLimits) -> None:
        self.routes = workers.routes
        self._destination = self.routes.destination
        self.now = 0.0
        self.naming = limits.naming
        self.names = names
        self.tracked = workers.runs.tracked
        self._matching = Matching(workers.runs, names)
        self.failures = Failures(limits.failures, limits.naming)
        self._store = store
        self._workers, self._known_workers = workers, workers.by_name
        self._runs = workers.runs
        self._limits = limits
        self._holding = Holding(names)
        self._patient = True
        self._exemplars = limits.exemplars

    def fold_sent(self, event: TaskSent) -> None:
        """Fold task-sent, the only event that names the queue."""
        queue = self._destination(event)
        series = self.names.series(event.name, queue)
        (series.sent or series.make_sent()).value += 1
        name = series.task
        name.expects_sent = self._holding.sent_seen = True
        last = name.last_sent
        if last is None:
            last = name.last_sent = self.names.named(name, rows.TASK_LAST_SENT)
        if event.timestamp > last.value:  # noqa: PLR1730 -- hot
            last.value = event.timestamp
        eta = eta_seconds(event.eta) if event.eta is not None else None
        task = self.tracked.get(event.uuid)
        publication = None if task is None else task.claim(event.name, event.retries, event.timestamp)
        if task is not None and publication is not None:
            self._complete(task, publication, event, eta)
        elif task is None or event.timestamp > task.forgotten:
            own = name.name if name.name == event.name else event.name  # All tasks of a name share one string.
            publication = Publication(own, event.retries, series, event.timestamp, event.timestamp, eta)
            publication.publish()
            if task is None:
                self._matching.track(event.uuid, publication, self.now)
            else:
                self._matching.add(event.uuid, task, publication, self.now)
                task.stop_replaced()
        if queue is not event.queue and publication is not None:
            publication.broadcast = (event.queue or "").startswith(BROADCAST)
        if self._holding.events:
            self._fold_deferred(self._holding.release(event.uuid))

    def fold_received(self, event: TaskReceived) -> None:
        """Fold task-received."""
        worker = self._known_workers.get(event.hostname)
        if worker is None or worker.seen != self.now:
            worker = self._worker(event.hostname)
        if self._holding.events and self._follows(event, "task-received", self.fold_received):
            return
        task = self.tracked.get(event.uuid)
        publication = None if task is None else task.find(event.name, event.retries, worker)
        if task is None or publication is None:
            found = self._identify(task, event, worker)
            if found is None:
                return
            task, publication = found
        series = publication.series
        if series.expired or series.by_worker is not None or event.name != publication.name:
            series = self._series_of_receipt(event, publication, worker)
        series.received.value += 1
        if publication.taken:
            task.receive(worker, publication, series, event.timestamp)
        else:
            task.add_run(worker, publication, series, event.timestamp)
        if len(task.publications) > 1:
            task.stop_replaced()
        if event.eta is not None:
            publication.eta = eta_seconds(event.eta)

    def fold_started(self, event: TaskStarted, replayed: bool = False) -> None:  # noqa: FBT001, FBT002 -- hot
        """Fold task-started. ``replayed`` is True for a deferred one, which is in its worker's ledger already."""
        worker = self._known_workers.get(event.hostname)
        if worker is None or worker.seen != self.now:
            worker = self._worker(event.hostname)
        if not replayed:
            if not worker.ledger.seen_any:
                self._workers.note_task_events(worker)
            worker.ledger.started(event.timestamp)
        if self._holding.events:
            again = Held("task-started", partial(self.fold_started, event, True), event.hostname)  # noqa: FBT003 -- hot
            if self._holding.append(event.uuid, event.hostname, again):
                return
        task = self.tracked.get(event.uuid)
        if task is None:
            again = Held("task-started", partial(self.fold_started, event, True), event.hostname)  # noqa: FBT003 -- hot
            self._hold_or_miss(event.uuid, again, worker)
            return
        run = task.runs[0] if len(task.runs) == len(task.publications) == 1 else None
        if run is None or run.worker is not worker or run.started_at or run.ended or run.series.expired:
            run = self._matching.run_to_start(task, worker, event.timestamp)
        run.begin(event.uuid, event.timestamp)
        self._count_start(run, event)
        if len(task.publications) > 1:
            task.stop_replaced()

    def fold_succeeded(self, event: TaskSucceeded) -> None:
        """Fold task-succeeded. The runtime is the one that Celery reports."""
        started_at = None if event.runtime is None else event.timestamp - event.runtime
        run = self._end(event, "task-succeeded", self.fold_succeeded, started_at)
        if run is None:
            return
        if event.runtime is None:
            end = UncertainEnd(run, "task-revoked", event.timestamp, self.now, partial(self._count_success, run, event))
            runs.count_later(event.uuid, end)
        else:
            self._count_success(run, event)

    def fold_failed(self, event: TaskFailed, exception: str, name: str | None = None) -> None:
        """Fold task-failed. ``exception`` is the class, ``name`` the task's name if the event itself contains it.

        Celery reports Reject as a failure and then as rejected: both mean one rejected execution. And it reports a
        failure as rejected first, with ``acks_on_failure_or_timeout=False``: both mean one failed execution.
        """
        if name is not None and event.uuid not in self.tracked:
            queue = self._worker(event.hostname).only_queue
            again = Held("task-failed", partial(self.fold_failed, event, exception, name), event.hostname)
            if self._patient and queue == UNKNOWN and self._holding.is_expected(name) and self._hold(event, again):
                return
            publication = Publication(name, 0, self.names.series(name, queue), event.timestamp, awaits_sent=True)
            self._matching.track(event.uuid, publication, self.now)
        rejected = (
            runs.corrected(self._worker(event.hostname), event.uuid, "task-failed") if exception != "Reject" else None
        )
        if rejected is not None:
            run: Run | None = rejected.run
        else:
            run = self._end(event, "task-failed", lambda held: self.fold_failed(held, exception, name))
        if run is None:
            return
        series = run.series
        if exception == "Reject":
            series.rejected.value += 1
            return
        run.worker.failed += 1
        series.failure.value += 1
        if self._exemplars:
            series.failure.exemplar = (event.uuid, 1, event.timestamp)
        # The result was written between task-rejected and task-failed.
        ended_at = event.timestamp if rejected is None else rejected.at
        series.observe_run("failure", run.started_at, ended_at, event.uuid)
        self.names.exception(series.task, exception).value += 1
        if self.failures.limit and series.task is not self.names.hidden.task:
            self.failures.note(event, series.task.name, exception)
        self.names.note_failure(series.task, event.timestamp)

    def fold_retried(self, event: TaskRetried, exception: str) -> None:
        """Fold task-retried: the execution ended, but the task did not."""
        run = self._end(event, "task-retried", lambda held: self.fold_retried(held, exception))
        if run is None:
            return
        run.worker.retried += 1
        run.series.retry.value += 1
        run.series.observe_run("retry", run.started_at, event.timestamp, event.uuid)
        self.names.exception(run.series.task, exception).value += 1

    def fold_rejected(self, event: TaskRejected) -> None:
        """Fold task-rejected. It is final if it requeues the message. Otherwise task-failed may follow."""
        kind, worker = "task-rejected", self._worker(event.hostname)
        task = self._known(event, kind, self.fold_rejected, worker)
        if task is None:
            return
        run = self._finish(event.uuid, kind, task.to_end(worker) or self._matching.unstarted_run(task, worker, kind))
        if event.requeue:
            ended = run or task.last_ended(worker)
            if ended is not None:
                task.return_to_queue(ended)
            if run is not None:
                run.count_rejected()
        elif run is not None:
            end = UncertainEnd(run, "task-failed", event.timestamp, self.now, run.count_rejected)
            runs.count_later(event.uuid, end)

    def fold_revoked(self, event: TaskRevoked) -> None:
        """Fold task-revoked, of a running task or of one that never started.

        A task that receives the signal of the soft time limit continues, and its end is reported by another event.
        """
        if event.terminated and event.signum in SOFT_SIGNALS:
            self._worker(event.hostname)
            return
        run = self._end_revoked(event)
        if run is None:
            return
        run.series.revoked.value += 1
        reason = "terminated" if event.terminated else "expired" if event.expired else "revoked"
        self.names.named(run.series.task, rows.TASK_REVOCATIONS, reason).value += 1

    def fold_cancelled(self, event: TaskCancelled) -> None:
        """Fold task-cancelled: the worker returned the message, so the execution neither ended nor runs."""
        worker = self._worker(event.hostname)
        if self._holding.events and self._follows(event, "task-cancelled", self.fold_cancelled):
            return
        task = self.tracked.get(event.uuid)
        if task is None:
            again = Held("task-cancelled", partial(self.fold_cancelled, event), worker.name)
            self._hold_or_miss(event.uuid, again, worker)
            return
        running = [run for run in task.runs if run.running and run.worker is worker]
        if running:
            run = max(running, key=lambda run: run.started_at)
            run.stop()
            task.return_to_queue(run)

    def adopt(self, uuid: str, name: str, queue: str, worker: Worker, started_at: float | None) -> None:
        """Add a task that a worker reports, running since ``started_at`` (epoch seconds) if that is not None.

        Events that arrived take precedence. A redelivered task can be running on several workers.
        """
        task = self.tracked.get(uuid)
        if task is not None:
            adopted = task.publications[0].retries is None and all(run.worker is not worker for run in task.runs)
            if adopted and started_at is not None:
                self._matching.add_run(task, worker, task.publications[0]).begin(uuid, started_at)
            return
        held = self._holding.release(uuid)
        publication = Publication(name, None, self.names.series(name, queue), started_at or 0.0)
        run = self._matching.add_run(self._matching.track(uuid, publication, self.now), worker, publication)
        if started_at is not None and all(event.kind != "task-started" for event in held):
            run.begin(uuid, started_at)
        self._fold_deferred(held)

    def hasten(self, worker: Worker) -> None:
        """Shorten the wait of the deferred events of a worker that reported its queues and its tasks."""
        self._holding.hasten(worker.name, self.now)

    def set_time(self, now: float) -> None:
        """Set the monotonic time at which the next events are folded."""
        self.now = now

    def tick(self, now: float) -> None:
        """Fold events that were deferred long enough without a task-sent, and settle uncertain ends."""
        self.now = now
        for first, *behind in self._holding.give_up(now):
            self._patient = False
            self._fold_deferred([first])
            self._patient = True
            self._fold_deferred(behind)  # Each of these may be deferred again for another task-sent.
        for worker in self._known_workers.values():
            if worker.uncertain:
                self._runs.settle_ends(worker, at=worker.last_beat[0], now=now)

    def _fold_deferred(self, events: Iterable[Held]) -> None:
        """Fold deferred events. They prove that their worker was alive when they arrived, not now."""
        for held in events:
            worker = self._known_workers.get(held.worker)
            seen = None if worker is None else worker.seen
            held.fold()
            if worker is not None and seen is not None:
                worker.seen = seen

    def sweep(self, now: float) -> None:
        """Forget tasks that are too old, and names that are idle."""
        for uuid, task in self.tracked.older_than(now - self._limits.age):
            runs.forget(task)
            del self.tracked[uuid]
            self._runs.count_evicted("age", not task.has_ended)
        self.names.expire(now, self._limits.idle)

    def refresh(self) -> None:
        """Update the gauges that are computed instead of folded. Call this before values are copied."""
        oldest = runs.oldest_starts(self._workers.by_name.values())
        for name in self.names:
            if name.name in oldest:
                self._store.scalar(rows.TASK_OLDEST_STARTED, name.name).value = oldest[name.name]
            else:
                self._store.discard(rows.TASK_OLDEST_STARTED, (name.name,))
        self._store.scalar(internals.TASKS_TRACKED).value = len(self.tracked)

    def _worker(self, hostname: str) -> Worker:
        """Return the sender of an event, which is alive. Hot folds skip this for a worker of the same batch."""
        worker = self._known_workers.get(hostname) or self._workers.meet(hostname)
        worker.seen = self.now
        if worker.presence is not ONLINE:
            self._workers.revive(worker)
        return worker

    def _count_success(self, run: Run, event: TaskSucceeded) -> None:
        series = run.series
        series.success.value += 1
        if event.runtime is not None:
            series.runtime["success"].observe_task(event.runtime, event.uuid, event.timestamp)
        name = series.task
        last = name.last_success
        if last is None:
            last = name.last_success = self.names.named(name, rows.TASK_LAST_SUCCESS)
        if event.timestamp > last.value:  # noqa: PLR1730 -- hot; events of several workers are not ordered
            last.value = event.timestamp
        if name.consecutive_failures is not None:
            name.consecutive_failures.value = 0

    def _count_start(self, run: Run, event: TaskStarted) -> None:
        """Count a start and observe the times before it. A late task-sent may add the waiting time."""
        publication, series, at = run.publication, run.series, event.timestamp
        series.started.value += 1
        if publication.waiting is not None:
            publication.waiting.value -= 1
            publication.waiting = None
        if not run.waits:
            pass
        elif publication.sent_at is not None:
            wait = series.wait or series.make_wait()
            wait.observe_delay(at, publication.sent_at, publication.eta, event.uuid)
        elif publication.awaits_sent:
            publication.unsent = (*publication.unsent, (series, at))
        if run.received_at is not None:
            series.prefetch.observe_delay(at, run.received_at, publication.eta, event.uuid)

    def _complete(self, task: Task, publication: Publication, event: TaskSent, eta: float | None) -> None:
        """Complete a publication by a task-sent that arrived after it was received, or even started."""
        publication.awaits_sent = False
        publication.retries = event.retries
        publication.sent_at = event.timestamp
        publication.known_at = min(publication.known_at, event.timestamp)
        publication.eta = eta or publication.eta
        for series, started_at in publication.unsent:
            wait = series.wait or series.make_wait()
            wait.observe_delay(started_at, event.timestamp, publication.eta, event.uuid)
        if not publication.unsent and not publication.ended:
            publication.publish()
        publication.unsent = ()
        task.stop_replaced()

    def _identify(self, task: Task | None, event: TaskReceived, worker: Worker) -> tuple[Task, Publication] | None:
        """Return the task and publication of a task-received for an unknown publication, or None if it is deferred.

        The name may differ from that in task-sent: it is the ``shadow`` of ``apply_async``. It is certain that it is
        not the name of a replacement if no second task-sent arrives.
        """
        alias = again = None
        if task is not None:
            alias = task.alias(event.name, event.retries)
            again = task.delivered_again(event.name, event.retries, worker)
            if alias is not None and alias.series.task.shadowed:
                return task, alias
        queue = worker.only_queue
        promised = worker.seeding_until if worker.setup.queues is None else 0.0
        is_certain = queue != UNKNOWN and alias is None and again is None
        is_expected = alias is not None or promised > self.now or self._holding.is_expected(event.name)
        held = Held("task-received", partial(self.fold_received, event), event.hostname)
        if self._patient and is_expected and not is_certain and self._hold(event, held, promised):
            return None
        if task is not None and alias is not None:
            alias.series.task.shadowed = True
            return task, alias
        if task is not None and again is not None:
            return task, again
        task, publication = self._matching.add_unsent(task, event, queue, self.now)
        if not self._patient:
            publication.series.task.expects_sent = False
        return task, publication

    def _series_of_receipt(self, event: TaskReceived, publication: Publication, worker: Worker) -> TaskSeries:
        """Return the series of a receipt: new ones if they expired, the shadow's or the worker's if that is set."""
        shown = self._matching.series_at(publication, worker)
        if event.name == publication.name or not self._limits.by_shadow:
            return shown
        return self.names.at(self.names.series(event.name, shown.queue), worker.name)

    def _follows(self, event: W, kind: str, fold: Callable[[W], None]) -> bool:
        """Defer an event behind earlier ones of its task id and worker. Return False if there are none."""
        return self._holding.append(event.uuid, event.hostname, Held(kind, partial(fold, event), event.hostname))

    def _hold(self, event: TaskReceived | TaskFailed, held: Held, promised: float = 0.0) -> bool:
        return self._holding.hold(event.uuid, event.hostname, held, self.now, promised)

    def _hold_or_miss(self, uuid: str, held: Held, worker: Worker) -> None:
        """Defer an event of an unknown task if more may be received about it, else count it as unmatched."""
        promised = worker.seeding_until
        is_expected = promised > self.now or (held.kind in FIRST_EVENTS and self._holding.is_expected(None))
        if self._patient and is_expected and self._holding.hold(uuid, worker.name, held, self.now, promised):
            return
        self._store.scalar(internals.TASKS_UNMATCHED, held.kind).value += 1

    def _end(self, event: E, kind: str, fold: Callable[[E], None], started_at: float | None = None) -> Run | None:
        """Record the end of an execution. Return None if it can't be counted, or not yet."""
        worker = self._known_workers.get(event.hostname)
        if worker is None or worker.seen != self.now:
            worker = self._worker(event.hostname)
        task = None if self._holding.events else self.tracked.get(event.uuid)
        if task is None:
            task = self._known(event, kind, fold, worker)
            if task is None:
                return None
        retried = kind == "task-retried"
        run: Run | None = task.runs[0] if len(task.runs) == 1 else None
        if run is None or not run.running or run.worker is not worker:  # In the common case this avoids further calls.
            run = task.to_end(worker, retried=retried, started_at=started_at)
        return self._finish(event.uuid, kind, run or self._matching.unstarted_run(task, worker, kind), retried=retried)

    def _known(self, event: E, kind: str, fold: Callable[[E], None], worker: Worker) -> Task | None:
        """Return the task of an end, or None if it is unknown or the event is deferred."""
        if self._holding.events and self._follows(event, kind, fold):
            return None
        task = self.tracked.get(event.uuid)
        if task is None:
            self._hold_or_miss(event.uuid, Held(kind, partial(fold, event), worker.name), worker)
        return task

    def _finish(self, uuid: str, kind: str, run: Run | None, *, retried: bool = False) -> Run | None:
        """Record the end of ``run``, and return it. None is a repeated end, which is counted as one."""
        if run is None:
            self._store.scalar(internals.TASKS_DUPLICATE, kind).value += 1
            return None
        if run.running:
            run.stop()
        run.ended = True
        if retried:
            run.retried = True
        publication = run.publication
        publication.ended = True
        if publication.waiting is not None:
            publication.stop_waiting()
        if not retried:
            self.tracked.retire(uuid)
        return run

    def _end_revoked(self, event: TaskRevoked) -> Run | None:
        """Record the end of a task that was revoked. Unless it was terminated it never started."""
        if event.terminated:
            corrected = runs.corrected(self._worker(event.hostname), event.uuid, "task-revoked")
            return corrected.run if corrected is not None else self._end(event, "task-revoked", self.fold_revoked)
        worker = self._worker(event.hostname)
        task = self._known(event, "task-revoked", self.fold_revoked, worker)
        if task is None:
            return None
        run = task.unstarted(worker)
        if run is None and self._hold_revoked(task, event):
            return None
        return self._finish(
            event.uuid, "task-revoked", run or self._matching.unstarted_run(task, worker, "task-revoked")
        )

    def _hold_revoked(self, task: Task, event: TaskRevoked) -> bool:
        """Defer a revocation whose worker has no run of the task, if the task has other runs or publications.

        The event has no name. The publication that no worker received was revoked, which is known after the events of
        all workers arrived. Return False if that is known already.
        """
        is_first = len(task.publications) == 1 and not task.runs
        if is_first or not self._patient or not self._holding.is_expected(task.publications[-1].name):
            return False
        held = Held("task-revoked", partial(self.fold_revoked, event), event.hostname)
        return self._holding.hold(event.uuid, event.hostname, held, self.now)
