# SPDX-License-Identifier: Apache-2.0
"""Consume events: source -> decode -> state. Every loss is counted by its reason.

Input: what the event stream reads, one batch at a time. Output: state. A batch is folded while the store's lock is held
once. Nothing is formatted here, and nothing waits under the lock.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import Raw
from msgspec.structs import replace

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode.exceptions import exception_class, unregistered_name
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.events import (
    LONGEST_MESSAGE,
    BeatHeartbeat,
    BeatOffline,
    Broken,
    Part,
    Repaired,
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    UnknownEvent,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.event_lag import EventLag
from celery_redis_exporter.state.losses import Losses
from celery_redis_exporter.state.series import Series, Store
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.workers import Workers

Decode = Callable[[Any], Sequence[Part]]
"""Return the parts of one message that a stream reads. Raises DecodeError."""
TICK_SECONDS = 1
SWEEP_SECONDS = 60
NAMED = 10
"""The maximum number of workers that a log line names."""
_NO_TRACEBACK = Raw()
log = structlog.get_logger()
Ended = TypeVar("Ended", TaskFailed, TaskRetried)


class Stream(Protocol):
    """A subscription to events: sources.event_stream on Redis, sources.kombu_events on other transports."""

    @property
    def is_drained(self) -> bool:
        """Return True if the last read returned everything that had arrived when it began."""

    def open(self) -> None:
        """Subscribe. Raises SourceError."""

    def read(self) -> list[Any]:
        """Return the messages that arrived, or none after half a second without any. Raises SourceError."""

    def take_dropped(self) -> int:
        """Return how many messages were dropped since the last call because they were too long."""

    def close(self) -> None:
        """End the subscription. Thread-safe."""


@dataclass(frozen=True, slots=True)
class EventState:
    """The state that events are folded into. ``consumers`` is derived from the workers at each tick."""

    store: Store
    tasks: Tasks
    workers: Workers
    consumers: Consumers
    beats: Beats


class EventCollector:
    """Read messages from ``stream``, decode and fold them, and count losses and gaps."""

    def __init__(self, stream: Stream, decode: Decode, state: EventState, clock: Clock) -> None:
        self.listening = False
        self._stream = stream
        self._decode = decode
        store = self._store = state.store
        self._tasks = state.tasks
        self._workers = state.workers
        self._consumers = state.consumers
        self._beats = state.beats
        self._clock = clock
        self._losses = Losses(state.workers, clock)
        self._cause = "start"
        self._deaf_since: float | None = None
        self._lost_at = 0.0
        self._swept = clock.monotonic()
        self._read_until = inf
        self._stream_up = store.scalar(internals.STREAM_UP)
        self._gap = store.scalar(internals.STREAM_GAP)
        self._lag = EventLag(store.histogram(internals.EVENT_LAG))
        self._names_cut = store.scalar(internals.NAMES_CUT)
        self._table = self._fold_table()

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Read and fold events until ``stop`` is set, and tick every second.

        Raises SourceError, after counting it as a loss.
        """
        stream = self._stream
        try:
            stream.open()
            self.opened()
            works()
            ticked = self._read_until = self._clock.monotonic()
            while not stop.is_set():
                began = self._clock.monotonic()
                payloads = stream.read()
                if payloads:
                    self.fold(payloads)
                if stream.is_drained:
                    self._read_until = began
                self._note_dropped(stream.take_dropped())
                if self._clock.monotonic() - ticked >= TICK_SECONDS:
                    ticked = self._clock.monotonic()
                    self.tick()
                    self._report_loss()
        except SourceError as error:
            if not stop.is_set():  # else the exporter closed the subscription itself
                self.lost(error.reason)
            raise
        finally:
            self._note_dropped(stream.take_dropped())
            stream.close()

    def fold(self, payloads: list[Any]) -> None:
        """Decode and fold the messages of one read."""
        decoded, refused = [], []
        decode = self._decode
        for payload in payloads:
            try:
                decoded.append(decode(payload))
            except DecodeError as error:
                refused.append(error.reason)
        with self._store.lock:
            monotonic, now = self._clock.monotonic(), self._clock.now()
            self._tasks.set_time(monotonic)
            for reason in refused:
                self._store.scalar(internals.EVENTS_INVALID, reason).value += 1
            table = self._table
            for message in decoded:
                for part in message:
                    fold, seen = table[type(part)]
                    seen.value += 1
                    fold(part)
            stamps = [message[-1].timestamp for message in decoded if message]
            self._lag.observe([stamp for stamp in stamps if stamp is not None], now, monotonic)
            if decoded:
                self._store.scalar(internals.LAST_EVENT).value = now

    def resume(self, cause: str, lost_at: float, *, counted_from: float) -> None:
        """Continue from the state of another process.

        The caller holds the store's lock; the subscription is not open yet. ``cause`` is why that process ended, for
        the log. ``lost_at`` is when it was last known to receive events, and ``counted_from`` is when the gap begins
        that is counted. Both are monotonic times.
        """
        self._cause, self._lost_at, self._deaf_since = cause, lost_at, counted_from

    def opened(self) -> None:
        """Record that the subscription is open.

        After an interruption, count the gap and restart the workers' deadlines.
        """
        is_resumed, cause = self._deaf_since is not None, self._cause
        with self._store.lock:
            self.listening = True
            self._stream_up.value = 1
            if is_resumed:
                self._count_gap()
                self._deaf_since = None
                self._workers.gap()
                self._losses.begin(cause)
        if is_resumed:
            seconds = round(self._clock.monotonic() - self._lost_at, 1)
            log.info("events.resumed", cause=cause, after_seconds=seconds, effect="events.loss_settled follows")
        elif cause == "start":
            reason = "no state of the time before was restored"
            log.info("events.loss_settled", cause=cause, executions_missed="unknown", reason=reason)
        self._cause = "reconnection"

    def _report_loss(self) -> None:
        """Log the executions that an interruption missed, as soon as their number is certain."""
        with self._store.lock:
            loss = self._losses.settle()
        if loss is None:
            return
        unknown = {reason: len(names) for reason, names in loss.unknown.items()}
        named = [name for names in loss.unknown.values() for name in names][:NAMED]
        further = {"workers_unknown": unknown, "unknown_among_them": named} if unknown else {}
        write = log.warning if loss.missed or unknown else log.info
        write(
            "events.loss_settled", cause=loss.cause, executions_missed=loss.missed, workers_counted=loss.counted,
            tasks_published="unknown", **further,
        )  # fmt: skip

    def _note_dropped(self, count: int) -> None:
        if count:
            with self._store.lock:
                self._store.scalar(internals.EVENTS_INVALID, "size").value += count
            log.warning("events.message_dropped", messages=count, longest=LONGEST_MESSAGE)

    def lost(self, reason: str) -> None:
        """Record that the subscription, or an attempt to subscribe, failed."""
        self._read_until = inf  # Deferred events have nothing more to wait for.
        was_listening = self.listening
        with self._store.lock:
            self._stream_up.value = 0
            if was_listening:
                self._deaf_since = self._lost_at = self._clock.monotonic()
            self.listening = False
            self._store.scalar(internals.STREAM_RECONNECTS, reason).value += 1
        if was_listening:
            log.warning("events.lost", reason=reason, effect="events are missed until the broker is back")

    def tick(self) -> None:
        """Do what depends on time: find lost workers, release deferred events, remove old state."""
        with self._store.lock:
            self.tick_locked()

    def tick_locked(self) -> None:
        """Do the same as ``tick`` while the caller holds the store's lock.

        For deferred events, workers and beats, time does not go beyond the moment up to which all events were read. A
        busy machine can stop this process for seconds, a suspended one for hours.
        """
        now = self._clock.monotonic()
        self._tasks.tick(min(now, self._read_until))
        self._workers.tick(listening=self.listening, read_until=self._read_until)
        self._report_shared_names()
        self._beats.tick(listening=self.listening, read_until=self._read_until)
        self._consumers.refresh()
        if now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            self._tasks.sweep(now)
        if self._deaf_since is not None:
            self._count_gap()

    def _report_shared_names(self) -> None:
        for worker in self._workers.take_shared():
            log.warning("workers.name_shared", worker=worker, instead="start each worker with another name: -n NAME@%h")

    def _count_gap(self) -> None:
        now = self._clock.monotonic()
        self._gap.value += now - (self._deaf_since or now)
        self._deaf_since = now

    def _fold_table(self) -> dict[type, tuple[Callable[[Any], None], Series]]:
        """Return the function that folds each type of event, and the series that counts the type."""
        tasks, workers = self._tasks, self._workers
        table: dict[Any, Callable[[Any], None]] = {
            TaskSent: tasks.fold_sent,
            TaskReceived: tasks.fold_received,
            TaskStarted: tasks.fold_started,
            TaskSucceeded: tasks.fold_succeeded,
            TaskFailed: self._fold_failed,
            TaskRetried: self._fold_retried,
            TaskRejected: tasks.fold_rejected,
            TaskRevoked: tasks.fold_revoked,
            TaskCancelled: tasks.fold_cancelled,
            WorkerOnline: workers.fold_online,
            WorkerHeartbeat: workers.fold_heartbeat,
            WorkerOffline: workers.fold_offline,
            BeatHeartbeat: self._beats.fold_heartbeat,
            BeatOffline: self._beats.fold_offline,
        }
        counted = {
            kind: (fold, self._store.scalar(internals.EVENTS, kind.__struct_config__.tag))
            for kind, fold in table.items()
        }
        uncounted = Series(())  # These are counted by the events that they contain.
        others = self._store.scalar(internals.EVENTS, "other")
        return counted | {
            UnknownEvent: (lambda _: None, others),
            Repaired: (self._fold_repaired, uncounted),
            Broken: (self._fold_broken, uncounted),
        }

    def _fold_repaired(self, part: Repaired) -> None:
        """Fold the event like any other, and count the fields that were ignored and the names that were cut."""
        self._names_cut.value += part.cut
        for name in part.ignored:
            self._store.scalar(internals.FIELDS_IGNORED, name).value += 1
        fold, seen = self._table[type(part.event)]
        seen.value += 1
        fold(part.event)

    def _fold_broken(self, part: Broken) -> None:
        self._store.scalar(internals.EVENTS_INVALID, part.reason).value += 1

    def _fold_failed(self, event: TaskFailed) -> None:
        name, exception = unregistered_name(event.exception), exception_class(event.exception, event.traceback)
        self._tasks.fold_failed(_without_texts(event), exception, name)

    def _fold_retried(self, event: TaskRetried) -> None:
        exception = exception_class(event.exception, event.traceback)
        self._tasks.fold_retried(_without_texts(event), exception)


def _without_texts(event: Ended) -> Ended:
    """Return the event without exception and traceback.

    It may be deferred, and they would keep the whole message alive.
    """
    return replace(event, exception=None, traceback=_NO_TRACEBACK)
