# SPDX-License-Identifier: Apache-2.0
"""Workers: who lives, who is lost, and what their heartbeats say.

Input: worker events, the arrival of any other event, and answers to inspect. Output: series. A worker that reports its
stop is removed from the series. One that stops sending is lost, and shown as such for the retention. Not
thread-safe: see state.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from math import inf

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN, Metric
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.events import WorkerEvent, WorkerHeartbeat, WorkerOffline, WorkerOnline
from celery_redis_exporter.records.saved_state import SavedWorker
from celery_redis_exporter.state.ledger import StartsLedger
from celery_redis_exporter.state.merging import Merging
from celery_redis_exporter.state.routes import Routes
from celery_redis_exporter.state.runs import Runs
from celery_redis_exporter.state.series import Series, Store
from celery_redis_exporter.state.sharing import STRAYS, NamedProcess
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.worker import UNTOLD, Doubt, Presence, Questions, Setup, WorkerLimits

SEQUENTIAL_POOLS = ("prefork", "solo")
"""Pools whose workers count an execution and stamp its task-started without a heartbeat in between."""
LOST_ROUNDS = 3
"""Rounds of questions without an answer after which a worker without heartbeats is lost."""
DOUBT_SECONDS = 10.0
"""Time in which a worker can answer which tasks it executes, before its youngest runs are taken for the ended ones."""


class Workers:
    """All workers, by node name.

    ``runs`` closes what a worker can't be executing any more. ``forgotten`` is called with the name of a worker that
    is shown no more. ``routes`` has the names that queues are shown by. ``seeding`` is the time in seconds for which a
    worker is waited for to report what it holds; 0 where no one queries workers. ``revision`` changes whenever a worker
    comes, goes, reports another setup, or sends its first task event. ``shared`` are names that several processes were
    found to share, until someone reports them.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: WorkerLimits,
        runs: Runs,
        forgotten: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.by_name: dict[str, Worker] = {}
        self.merging = Merging(limits.naming)
        self.runs = runs
        self._forgotten = forgotten
        self.routes = Routes()
        self.seeding = 0.0
        self.revision = 0
        self.shared: list[str] = []
        self.listening_since: float | None = None
        self._store = store
        self._clock = clock
        self._limits = limits
        self._overflow = Worker(OVERFLOW, 0, inf)
        self._counts = {presence: store.scalar(rows.WORKERS, presence.value) for presence in Presence}

    def meet(self, name: str) -> Worker:
        """Return the worker of this name. A new one is online. Over the bound all share one that is not shown."""
        worker = self.by_name.get(name)
        if worker is None:
            if len(self.by_name) >= self._limits.count or self._store.is_full:
                self._store.refuse(rows.WORKER_UP)
                return self._overflow
            worker = Worker(name, self._clock.monotonic(), self._patience(name))
            self._expect_answers(worker)
            self.by_name[name] = worker
            self._show_up(worker)
        return worker

    def take_shared(self) -> list[str]:
        """Return the names that several processes were found to share since the last call."""
        found, self.shared = self.shared, []
        return found

    def online(self) -> list[Worker]:
        """Return every worker that is online."""
        return [worker for worker in self.by_name.values() if worker.presence is Presence.ONLINE]

    def revive(self, worker: Worker) -> None:
        """Take an event of an absent worker as a sign of life: one that was lost is back, one that left stays away."""
        if worker.presence is Presence.LOST:
            self._show_up(worker)

    def fold_online(self, event: WorkerOnline) -> None:
        """Fold worker-online: a start, or a reconnect of the same process."""
        worker = self.meet(event.hostname)
        worker.processes.start()
        self._fold_state(worker, event)
        if worker is not self._overflow:
            self._series(worker, rows.WORKER_STARTS).value += 1

    def fold_heartbeat(self, event: WorkerEvent) -> None:
        """Fold worker-heartbeat.

        A gevent worker can send one more after worker-offline. A process that sends more lost its connection,
        and its worker-online was not received.
        """
        worker = self.meet(event.hostname)
        left = worker.presence is Presence.OFFLINE and event.pid == worker.pid
        if not left or self._clock.monotonic() - worker.since >= self._deadline(worker):
            self._fold_state(worker, event)

    def fold_offline(self, event: WorkerOffline) -> None:
        """Fold worker-offline: the worker's series go, and so do its executions.

        What it counted of starts and losses stays for the retention: it may have been shown as 0 until now, or not
        at all (``zero_first``).
        """
        worker = self.meet(event.hostname)
        if worker is self._overflow or self._outlives(worker, event.pid):
            return
        if event.processed is not None and event.pid == worker.pid and worker.presence is Presence.ONLINE:
            self._settle_starts(worker, event, event.processed)
        self._go_offline(worker)

    def _go_offline(self, worker: Worker) -> None:
        worker.presence = Presence.OFFLINE
        worker.since = self._clock.monotonic()
        self.forget_setup(worker)
        self._close_all(worker, Presence.OFFLINE.value)
        missed = worker.series.get((rows.WORKER_EVENTS_MISSED, ()))
        kept = {rows.WORKER_STARTS} | ({rows.WORKER_EVENTS_MISSED} if missed is not None and missed.value else set())
        for key in [key for key in worker.series if key[0] not in kept]:
            self._drop(worker, key)

    def gap(self) -> None:
        """Note that the subscription came back after an interruption: silence until now was ours, not theirs."""
        now = self._clock.monotonic()
        for worker in self.by_name.values():
            events_on = worker.series.get((rows.WORKER_TASK_EVENTS, ()))
            if events_on is None or events_on.value:  # else they are switched off, and none is lost
                worker.ledger.gap()
            self._expect_answers(worker)
            if worker.presence is Presence.ONLINE:
                worker.awaited_at = now if worker.is_awaited else -1.0
                worker.seen = now

    def restore(self, saved: SavedWorker, since: float) -> None:
        """Restore a worker, if there is room; ``since`` (monotonic) is when its presence began.

        One that was online is awaited. If it sends nothing, it may have stopped cleanly meanwhile, and is taken
        for offline, not for lost.
        """
        if saved.name in self.by_name or len(self.by_name) >= self._limits.count or self._store.is_full:
            return
        now = self._clock.monotonic()
        worker = self.by_name[saved.name] = Worker(saved.name, now, self._patience(saved.name), awaited_at=now)
        self._expect_answers(worker)
        worker.pid, worker.interval, worker.blind = saved.pid, saved.interval, saved.blind
        worker.failed, worker.retried, worker.processes.offset = saved.failed, saved.retried, saved.offset
        if saved.ledger is not None:
            worker.ledger = StartsLedger.restore(saved.ledger)
        if saved.presence == Presence.ONLINE.value:
            self._show_up(worker)
        else:
            worker.presence, worker.since, worker.awaited_at = Presence(saved.presence), since, -1.0
            if worker.presence is Presence.LOST:
                self._series(worker, rows.WORKER_UP).value = 0

    def admit(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Prepare for a saved series of a worker; return False if the worker was not restored."""
        worker = self.by_name.get(labels[0])
        if worker is None or (metric is rows.WORKER_PROCESSED and not worker.pid):
            return False
        self._series(worker, metric, *labels[1:])
        return True

    def tick(self, *, listening: bool, read_until: float = inf) -> None:
        """Find lost workers and forget those that are gone for long; while no one listens, none is lost.

        Everything that arrived before ``read_until`` (monotonic) was read.
        """
        now = min(self._clock.monotonic(), read_until)
        self.listening_since = (self.listening_since or now) if listening else None
        for worker in list(self.by_name.values()):
            for pid in worker.processes.silent(now - self._deadline(worker)) if listening else ():
                self._leave(worker, pid)
            if worker.presence is not Presence.ONLINE:
                self._outlast(worker, now)
            elif listening and self._is_lost(worker, now):
                self._lose(worker, now)
        tally = dict.fromkeys(Presence, 0)
        for worker in self.by_name.values():
            tally[worker.presence] += 1
        for presence, count in tally.items():
            self._counts[presence].value = count

    def _lose(self, worker: Worker, now: float) -> None:
        if worker.is_awaited:
            self._go_offline(worker)
            return
        worker.presence, worker.since = Presence.LOST, now
        self._series(worker, rows.WORKER_UP).value = 0
        self.forget_setup(worker)
        for key in [key for key in worker.series if key[0] in rows.MOMENTARY]:
            self._drop(worker, key)
        self._close_all(worker, Presence.LOST.value)

    def _outlast(self, worker: Worker, now: float) -> None:
        """Close what an absent worker started last, and forget it after its retention.

        A worker of the pool solo that stops cold sends worker-offline before the start of the task that it executes.
        """
        is_over = now - worker.since >= self._limits.retention
        if is_over or now - worker.seen >= self._deadline(worker):
            self._close_all(worker, worker.presence.value)
        if is_over:
            for key in list(worker.series):
                self._drop(worker, key)
            del self.by_name[worker.name]
            self._forgotten(worker.name)

    def learn(self, worker: Worker, announced: Setup, answered: Setup) -> None:
        """Take note of the setup that heartbeats announce, and of the one that inspect answers."""
        worker.announced, worker.answered = announced, answered
        setup = Setup(
            answered.queues if announced.queues is None else announced.queues,
            answered.concurrency if announced.concurrency is None else announced.concurrency,
        )
        if setup != worker.setup:
            worker.setup = setup
            self.revision += 1
            self.show(worker, rows.WORKER_CONCURRENCY, setup.concurrency)
            queues = {(self.routes.shown(queue),) for queue in setup.queues or ()}
            self.show_only(worker, rows.WORKER_QUEUE_INFO, queues)

    def forget_setup(self, worker: Worker) -> None:
        """Remove what a worker reported of its setup: it is gone, or another process."""
        self.learn(worker, UNTOLD, UNTOLD)
        worker.questions = Questions()
        self.revision += 1
        for key in [key for key in worker.series if key[0] in rows.ANSWERED]:
            self._drop(worker, key)

    def show(self, worker: Worker, metric: Metric, value: float | None) -> None:
        """Set a gauge of a worker; None takes it off."""
        if value is not None:
            self._series(worker, metric).value = value
        elif (metric, ()) in worker.series:
            self._drop(worker, (metric, ()))

    def show_only(self, worker: Worker, metric: Metric, labels: Collection[tuple[str, ...]]) -> None:
        """Set a worker's series of an info metric to 1 for each of these further labels, and take off the others."""
        for key in [key for key in worker.series if key[0] is metric and key[1] not in labels]:
            self._drop(worker, key)
        for further in labels:
            self._series(worker, metric, *further).value = 1

    def note_answer(self, worker: Worker) -> None:
        """Take an answer as a sign of life; a worker that answers and has long sent no heartbeat sends none."""
        worker.seen = self._clock.monotonic()
        if not self._beats(worker) and worker.seen - worker.since >= self._deadline(worker):
            self._series(worker, rows.WORKER_HEARTBEATS).value = 0

    def note_task_events(self, worker: Worker) -> None:
        """Note that the worker sends task events."""
        if worker is not self._overflow:
            self._series(worker, rows.WORKER_TASK_EVENTS).value = 1
            self.revision += 1

    def _fold_state(self, worker: Worker, event: WorkerEvent) -> None:
        if worker is self._overflow:
            return
        if event.pid != worker.pid and not worker.processes.sharing and not self._take_over(worker, event):
            return
        worker.seen = self._clock.monotonic()
        if worker.presence is not Presence.ONLINE:
            self._show_up(worker)
        now = self._clock.now()
        self._series(worker, rows.WORKER_LAST_HEARTBEAT).value = now
        self._series(worker, rows.WORKER_HEARTBEATS).value = 1
        self._series(worker, rows.WORKER_SKEW).value = event.timestamp - now
        software = (event.sw_ver or UNKNOWN, event.sw_ident or UNKNOWN, event.sw_sys or UNKNOWN)
        if (rows.WORKER_INFO, software) not in worker.series:
            self.show_only(worker, rows.WORKER_INFO, {software})
        if event.queues is not None or event.concurrency is not None:
            announced = Setup(None if event.queues is None else tuple(event.queues), event.concurrency)
            if announced != worker.announced:
                self.learn(worker, announced, worker.answered)
        if event.processed is not None:
            self._fold_counts(worker, event, event.processed)

    def _fold_counts(self, worker: Worker, event: WorkerEvent, processed: int) -> None:
        if event.freq:
            worker.interval = event.freq
            self._series(worker, rows.WORKER_INTERVAL).value = event.freq
        for period, load in zip(("1m", "5m", "15m"), event.loadavg or (), strict=False):
            self._series(worker, rows.WORKER_LOAD, period).value = load
        if worker.processes.sharing:
            self._fold_shared_counts(worker, event, processed)
            return
        if worker.processes.blurred and worker.processes.stays_blurred(processed):
            return
        if processed < (worker.ledger.processed or 0):
            if isinstance(event, WorkerHeartbeat) and worker.processes.fall(processed, worker.seen, worker.interval):
                self._blur(worker)
                return
            self._new_process(worker, event.pid)
        self._settle_starts(worker, event, processed)
        self._show_processed(worker, processed + worker.processes.offset)
        if event.active is not None:
            self.runs.reopen(worker, event.active)
            self._series(worker, rows.WORKER_ACTIVE).value = event.active
            self._compare_active(worker, event.active, event.timestamp)

    def _show_processed(self, worker: Worker, processed: int) -> None:
        counter = self._series(worker, rows.WORKER_PROCESSED)
        if processed < counter.value:
            self.merging.restart(rows.WORKER_PROCESSED, counter)
        counter.value = processed

    def _fold_shared_counts(self, worker: Worker, event: WorkerEvent, processed: int) -> None:
        """Add up the counts of all processes. Which of them executes what is not known, so nothing is compared."""
        processes = worker.processes
        processes.beat(event.pid, NamedProcess(worker.seen, processed, event.active or 0))
        self._show_processed(worker, processes.processed)
        self._series(worker, rows.WORKER_ACTIVE).value = processes.active

    def _blur(self, worker: Worker) -> None:
        """Show no counts of several processes that can't be distinguished, and compare nothing."""
        for metric in (rows.WORKER_PROCESSED, rows.WORKER_ACTIVE):
            self.show(worker, metric, None)
        worker.ledger, worker.last_beat = StartsLedger(seen_any=worker.ledger.seen_any), (0.0, 0)
        worker.doubt = None
        self.shared.append(worker.name)

    def _take_over(self, worker: Worker, event: WorkerEvent) -> bool:
        """Take another process for a restart, or for one of several that share the name; False if it is a stray event.

        An event of a process that was replaced can have been sent before it ended, once.
        """
        processes = worker.processes
        if not isinstance(event, WorkerHeartbeat) or not processes.returns(event.pid):
            self._new_process(worker, event.pid)
            return True
        if processes.returned <= STRAYS:
            return False
        active = worker.series.get((rows.WORKER_ACTIVE, ()))
        known = NamedProcess(worker.seen, worker.ledger.processed or 0, 0 if active is None else int(active.value))
        processes.share(worker.pid, known)
        worker.doubt = None
        self.shared.append(worker.name)
        return True

    def _outlives(self, worker: Worker, pid: int) -> bool:
        """Return whether a worker goes on after one of its processes left: another one that has its name."""
        if worker.processes.sharing:
            self._leave(worker, pid)
            return True
        return bool(pid) and pid == worker.processes.former and pid != worker.pid

    def _leave(self, worker: Worker, pid: int) -> None:
        """Note that one of several processes left; the last one is the only one again, and is asked what it is."""
        processes = worker.processes
        if pid not in processes.sharing or len(processes.sharing) == 1:
            return
        processes.leave(pid)
        if len(processes.sharing) == 1:
            (worker.pid,) = processes.sharing
            processes.sharing, processes.former = {}, 0
            worker.ledger, worker.last_beat = StartsLedger(seen_any=worker.ledger.seen_any), (0.0, 0)
            worker.questions = Questions(nudged=worker.questions.nudged)
            self._expect_answers(worker)

    def fold_totals(self, worker: Worker, totals: Mapping[str, int]) -> None:
        """Fold executions by task name, of which some tasks may send no events."""
        eventless = worker.questions.eventless
        if eventless is None:
            return
        if not eventless.has_begun:
            self._begin_eventless(worker, eventless.begin(totals))
        elif lost := eventless.settle(totals, worker.ledger.processed or 0):
            if worker.ledger.seen_any:
                self._series(worker, rows.WORKER_EVENTS_MISSED).value += lost
            else:
                self._series(worker, rows.WORKER_TASK_EVENTS).value = 0

    def _begin_eventless(self, worker: Worker, processed: int) -> None:
        """Compare from here on: from the last heartbeat if nothing was executed since, else from the next one."""
        if worker.ledger.processed == processed:
            worker.ledger.forget_missing()
            worker.ledger.partial = True
        else:
            worker.ledger = StartsLedger(partial=True, seen_any=worker.ledger.seen_any)

    def _settle_starts(self, worker: Worker, event: WorkerEvent, processed: int) -> None:
        eventless = worker.questions.eventless
        if eventless is not None and not eventless.is_after(processed):
            return
        missing, silent = worker.ledger.heartbeat(processed, event.timestamp, self._between(worker))
        if eventless is not None:
            eventless.missing += missing
            return
        self._series(worker, rows.WORKER_EVENTS_MISSED).value += missing
        if silent:
            self._series(worker, rows.WORKER_TASK_EVENTS).value = 0

    def _between(self, worker: Worker) -> float:
        """Return how many executions the worker can have counted and not stamped yet, see ``state.ledger``."""
        if any((rows.WORKER_POOL_INFO, (pool,)) in worker.series for pool in SEQUENTIAL_POOLS):
            return 0
        return inf if worker.setup.concurrency is None else worker.setup.concurrency

    def _compare_active(self, worker: Worker, active: int, timestamp: float) -> None:
        """Compare what the worker executes by its own count with its runs, and settle what it does not execute.

        Ignore() and replace() end without an event, and the event of an end can be lost. Heartbeats overtake buffered
        task events, so each is settled at the next: of what began before the last heartbeat and still runs by its
        events, no more than the ``active`` of that heartbeat can be running. Which runs ended the worker itself can
        report; it is queried while it is in doubt (``Inspection.targets``), for DOUBT_SECONDS.
        """
        at, active_then = worker.last_beat
        worker.last_beat = (timestamp, active)
        if len(worker.runs) <= active_then or sum(run.started_at < at for run in worker.runs) <= active_then:
            worker.doubt = None
            return
        now = self._clock.monotonic()
        worker.doubt = Doubt(now if worker.doubt is None else worker.doubt.since, at)
        if not self.seeding or now - worker.doubt.since >= DOUBT_SECONDS:
            self.runs.close_surplus(worker, active_then, at)
            worker.doubt = None

    def _close_all(self, worker: Worker, reason: str) -> None:
        """Close what a worker that is gone executed."""
        self.runs.close_all(worker, reason)
        self.runs.settle_ends(worker, at=inf, now=inf)
        worker.doubt = None

    def _new_process(self, worker: Worker, pid: int) -> None:
        if worker.pid:
            self._close_all(worker, "restarted")
            worker.left = {}
            self.forget_setup(worker)
            self._expect_answers(worker)
            if pid != worker.pid:
                worker.processes.replace(worker.pid, worker.ledger.processed or 0)
        worker.pid, worker.processes.offset = pid, 0
        worker.ledger = StartsLedger()
        worker.last_beat = (0.0, 0)

    def _expect_answers(self, worker: Worker) -> None:
        known = worker.questions
        worker.questions = Questions(nudged=known.nudged, eventless=known.eventless)
        worker.seeding_until = self._clock.monotonic() + self.seeding if self.seeding else 0.0

    def _show_up(self, worker: Worker) -> None:
        worker.presence, worker.since = Presence.ONLINE, self._clock.monotonic()
        self.revision += 1
        self._series(worker, rows.WORKER_UP).value = 1
        self._series(worker, rows.WORKER_EVENTS_MISSED)
        self._series(worker, rows.WORKER_STARTS)

    def _is_lost(self, worker: Worker, now: float) -> bool:
        """Return whether a worker sent nothing for too long. Without heartbeats its answers count, if it answers."""
        if now - worker.seen < self._deadline(worker):
            return False
        answers = self.seeding and worker.questions.registered is not None
        return not answers or self._beats(worker) or worker.questions.unanswered >= LOST_ROUNDS

    def _beats(self, worker: Worker) -> bool:
        """Return whether the worker ever sent a heartbeat, or another event of a worker."""
        return (rows.WORKER_LAST_HEARTBEAT, ()) in worker.series

    def _patience(self, name: str) -> float:
        matches: Iterable[float] = (
            seconds for pattern, seconds in self._limits.lost_after_by_worker if fnmatchcase(name, pattern)
        )
        return next(iter(matches), self._limits.lost_after)

    def _deadline(self, worker: Worker) -> float:
        return max(3 * worker.interval, worker.lost_after)

    def _series(self, worker: Worker, metric: Metric, *labels: str) -> Series:
        key = (metric, labels)
        series = worker.series.get(key)
        if series is None:
            series = worker.series[key] = self._store.scalar(metric, worker.name, *labels)
            self.merging.appear(metric, series)
        return series

    def _drop(self, worker: Worker, key: tuple[Metric, tuple[str, ...]]) -> None:
        metric, labels = key
        self._store.discard(metric, (worker.name, *labels))
        self.merging.go(metric, worker.series.pop(key))
