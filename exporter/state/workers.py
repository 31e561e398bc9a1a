"""Workers: who lives, who is lost, and what their heartbeats say.

Takes worker events and the arrival of any other event; gives series. A worker that says goodbye is removed from
the series; one that falls silent is lost, and shown as such for the retention. Not thread-safe: see state.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf, nextafter

from exporter.catalog import OVERFLOW, UNKNOWN, Metric
from exporter.catalog import workers as rows
from exporter.clock import Clock
from exporter.records import WorkerEvent, WorkerOffline, WorkerOnline
from exporter.state.ledger import StartsLedger
from exporter.state.series import Series, Store
from exporter.state.task import Task


class Presence(enum.StrEnum):
    """Where a worker is."""

    ONLINE = "online"
    LOST = "lost"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Bounds in seconds, and the number of workers that are told apart.

    ``lost_after_by_worker`` maps shell patterns of worker names to their own ``lost_after``.
    """

    lost_after: float = 30
    lost_after_by_worker: tuple[tuple[str, float], ...] = ()
    retention: float = 3600
    count: int = 10_000


@dataclass(slots=True, eq=False)
class Worker:
    """One worker by its node name. ``seen`` and ``since`` are on the monotonic clock."""

    name: str
    seen: float
    lost_after: float
    presence: Presence = Presence.ONLINE
    since: float = 0.0
    pid: int = 0
    interval: float = 2.0
    queues: tuple[str, ...] = ()
    last_beat: tuple[float, int] = (0.0, 0)  # its time stamp, and its count of active executions
    ledger: StartsLedger = field(default_factory=StartsLedger)
    running: dict[str, Task] = field(default_factory=dict)
    series: dict[tuple[Metric, tuple[str, ...]], Series] = field(default_factory=dict)


class Workers:
    """All workers, by node name.

    ``close_runs`` is called with a worker, a reason and a time (the worker's clock) when executions that the
    worker began before then can't be running any more.
    """

    def __init__(self, store: Store, clock: Clock, limits: WorkerLimits) -> None:
        self.by_name: dict[str, Worker] = {}
        self.close_runs: Callable[[Worker, str, float], None] = lambda _worker, _reason, _until: None
        self._store = store
        self._clock = clock
        self._limits = limits
        self._overflow = Worker(OVERFLOW, 0, inf)
        self._counts = {presence: store.scalar(rows.WORKERS, presence.value) for presence in Presence}

    def meet(self, name: str) -> Worker:
        """Give the worker of this name, a new one as online; over the bound all share one that is not shown."""
        worker = self.by_name.get(name)
        if worker is None:
            if len(self.by_name) >= self._limits.count:
                return self._overflow
            worker = Worker(name, self._clock.monotonic(), self._patience(name))
            self.by_name[name] = worker
            self._show_up(worker)
        return worker

    def revive(self, worker: Worker) -> None:
        """Take an event of an absent worker as a sign of life: one that was lost is back, one that left stays away."""
        if worker.presence is Presence.LOST:
            self._show_up(worker)

    def fold_online(self, event: WorkerOnline) -> None:
        """Fold worker-online: a start, or a reconnect of the same process."""
        worker = self.meet(event.hostname)
        self._fold_state(worker, event)
        if worker is not self._overflow:
            self._series(worker, rows.WORKER_STARTS).value += 1

    def fold_heartbeat(self, event: WorkerEvent) -> None:
        """Fold worker-heartbeat."""
        self._fold_state(self.meet(event.hostname), event)

    def fold_offline(self, event: WorkerOffline) -> None:
        """Fold worker-offline: the worker's series go, and so do its executions."""
        worker = self.meet(event.hostname)
        if worker is self._overflow:
            return
        worker.presence = Presence.OFFLINE
        worker.since = self._clock.monotonic()
        self.close_runs(worker, Presence.OFFLINE.value, inf)
        starts = (rows.WORKER_STARTS, ())
        for key in [key for key in worker.series if key != starts]:
            self._drop(worker, key)

    def gap(self) -> None:
        """Note that the subscription came back after an interruption: silence until now was ours, not theirs."""
        now = self._clock.monotonic()
        for worker in self.by_name.values():
            worker.ledger.gap()
            if worker.presence is Presence.ONLINE:
                worker.seen = now

    def tick(self, *, listening: bool) -> None:
        """Find the lost and forget the long gone; while nobody listens, nobody is lost."""
        now = self._clock.monotonic()
        for worker in list(self.by_name.values()):
            silent = now - worker.seen
            if worker.presence is Presence.ONLINE and listening and silent >= self._deadline(worker):
                worker.presence, worker.since = Presence.LOST, now
                self._series(worker, rows.WORKER_UP).value = 0
                self.close_runs(worker, Presence.LOST.value, inf)
            elif worker.presence is not Presence.ONLINE and now - worker.since >= self._limits.retention:
                for key in list(worker.series):
                    self._drop(worker, key)
                del self.by_name[worker.name]
        tally = dict.fromkeys(Presence, 0)
        for worker in self.by_name.values():
            tally[worker.presence] += 1
        for presence, count in tally.items():
            self._counts[presence].value = count

    def consumed_queue(self, worker: Worker) -> str:
        """The queue that the worker's tasks come from, where it consumes a single known one; else UNKNOWN."""
        return worker.queues[0] if len(worker.queues) == 1 else UNKNOWN

    def note_task_events(self, worker: Worker) -> None:
        """Note that the worker sends task events."""
        if worker is not self._overflow:
            self._series(worker, rows.WORKER_TASK_EVENTS).value = 1

    def _fold_state(self, worker: Worker, event: WorkerEvent) -> None:
        if worker is self._overflow:
            return
        if event.pid != worker.pid:
            self._new_process(worker, event.pid)
        worker.seen = self._clock.monotonic()
        if worker.presence is not Presence.ONLINE:
            self._show_up(worker)
        now = self._clock.now()
        self._series(worker, rows.WORKER_LAST_HEARTBEAT).value = now
        self._series(worker, rows.WORKER_SKEW).value = event.timestamp - now
        software = (event.sw_ver or UNKNOWN, event.sw_ident or UNKNOWN, event.sw_sys or UNKNOWN)
        self._replace_info(worker, software)
        if event.queues:
            worker.queues = tuple(event.queues)
        if event.processed is not None:
            self._fold_counts(worker, event, event.processed)

    def _fold_counts(self, worker: Worker, event: WorkerEvent, processed: int) -> None:
        if event.freq:
            worker.interval = event.freq
            self._series(worker, rows.WORKER_INTERVAL).value = event.freq
        for period, load in zip(("1m", "5m", "15m"), event.loadavg or (), strict=False):
            self._series(worker, rows.WORKER_LOAD, period).value = load
        if processed < (worker.ledger.processed or 0):
            self._new_process(worker, event.pid)
        missing, silent = worker.ledger.heartbeat(processed, event.timestamp)
        self._series(worker, rows.WORKER_PROCESSED).value = processed
        self._series(worker, rows.WORKER_EVENTS_MISSED).value += missing
        if silent:
            self._series(worker, rows.WORKER_TASK_EVENTS).value = 0
        if event.active is not None:
            self._series(worker, rows.WORKER_ACTIVE).value = event.active
            self._close_unseen(worker, event.active, event.timestamp)

    def _close_unseen(self, worker: Worker, active: int, timestamp: float) -> None:
        """Close executions that the worker itself does not count any more.

        Ignore() ends without an event, and the event of an end can be lost. Heartbeats overtake buffered task events,
        so each is settled at the next: of what began before the last heartbeat and still runs by its events, no more
        than the ``active`` of that heartbeat can be running. The oldest go first: which they are can't be told.
        """
        at, active_then = worker.last_beat
        worker.last_beat = (timestamp, active)
        begun = sorted(task.started_at for task in worker.running.values() if task.started_at < at)
        surplus = len(begun) - active_then
        if surplus > 0:
            self.close_runs(worker, "inactive", nextafter(begun[surplus - 1], inf))

    def _new_process(self, worker: Worker, pid: int) -> None:
        if worker.pid:
            self.close_runs(worker, "restarted", inf)
        worker.pid = pid
        worker.ledger = StartsLedger()
        worker.last_beat = (0.0, 0)

    def _show_up(self, worker: Worker) -> None:
        worker.presence = Presence.ONLINE
        self._series(worker, rows.WORKER_UP).value = 1
        self._series(worker, rows.WORKER_EVENTS_MISSED)
        self._series(worker, rows.WORKER_STARTS)

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
        return series

    def _drop(self, worker: Worker, key: tuple[Metric, tuple[str, ...]]) -> None:
        metric, labels = key
        self._store.discard(metric, (worker.name, *labels))
        del worker.series[key]

    def _replace_info(self, worker: Worker, software: tuple[str, ...]) -> None:
        wanted = (rows.WORKER_INFO, software)
        if wanted not in worker.series:
            for key in [key for key in worker.series if key[0] is rows.WORKER_INFO]:
                self._drop(worker, key)
            self._series(worker, *wanted[:1], *software).value = 1
