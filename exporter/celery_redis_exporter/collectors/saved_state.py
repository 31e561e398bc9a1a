# SPDX-License-Identifier: Apache-2.0
"""Connects the layers for the state file: sources.saved_state <- decode.saved_state <- state.saved_state, and back.

Restores once, before anything is served. Then writes the state each ``interval``, and at a clean stop as the last
step. Counters go on only from the file of a clean stop: any other file can be older than the last scrape, and a counter
that falls to a lower value above 0 makes ``increase()`` count that value twice. The mark of a clean stop is removed
before counters are served again, so that it holds for one start.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.collectors.events import EventCollector
from celery_redis_exporter.decode.saved_state import DecodedState, decode_state, encode_state, mark_used
from celery_redis_exporter.errors import DecodeError, FileError
from celery_redis_exporter.sources.saved_state import StateFile
from celery_redis_exporter.state.saved_state import LastingState

COLLECTOR = "state_file"
LAST_WRITE_SECONDS = 2.0
"""For a write that is under way when the exporter stops."""
FROM_ZERO = "counters begin at 0, workers and time stamps are not known"
KEPT = "the file keeps its former content: unless a later write works, counters begin at 0 at the next start"

log = structlog.get_logger(__name__)


class StateOwner(NamedTuple):
    """What a file has to be made for: hashes of the settings, and the age in seconds up to which it is used."""

    broker: str
    naming: str
    most_age: float


class StateKeeper:
    """Keeps ``state`` in ``file``, which it closes; ``events`` is what receives events."""

    def __init__(
        self, file: StateFile, state: LastingState, events: EventCollector, owner: StateOwner, clock: Clock
    ) -> None:
        self._file = file
        self._state = state
        self._events = events
        self._owner = owner
        self._clock = clock
        store = self._store = state.store
        self._failures = store.scalar(internals.STATE_FILE_FAILURES)
        self._metrics = CollectorMetrics(store, clock, COLLECTOR)
        self._writing = threading.Lock()
        self._is_restored = self._is_failing = self._is_closed = False

    def restore(self) -> None:
        """Restore what the file has, before anything is served; raise ConfigError if it can't be read or marked."""
        decoded = self._read()
        self._is_restored = True
        if decoded is None:
            return
        saved, counters = decoded
        away = max(0.0, self._clock.now() - saved.saved_at)
        cause = "start after a clean stop" if counters else "start after a kill or a crash, some were counted before it"
        with self._store.lock:
            self._state.restore(saved, counters=counters)
            now = self._clock.monotonic()
            self._events.resume(cause, now - away, counted_from=now - away if counters else now)
        effect = "counters go on" if counters else "counters begin at 0: the last process did not stop cleanly"
        log.info(
            "state.restored", path=str(self._file.path), effect=effect, saved_seconds_ago=round(away, 1),
            workers=len(saved.workers), queues=len(saved.queues),
        )  # fmt: skip

    def run(self, stop: threading.Event, interval: float, works: Callable[[], None]) -> None:
        """Write at once and then every ``interval`` seconds (0: not at all) until ``stop`` is set."""
        while not stop.is_set():
            with self._writing:
                if interval and not self._is_closed:
                    self._save(clean=False)
            works()
            stop.wait(interval or None)

    def close(self) -> None:
        """Write the state for the last time, after the last scrape, if ``restore`` was called; release the file."""
        if not self._writing.acquire(timeout=LAST_WRITE_SECONDS):
            log.warning("state.write_failed", path=str(self._file.path), error="an earlier write hangs", effect=KEPT)
            return
        try:
            if self._is_restored and not self._is_closed:
                with self._store.lock:
                    self._state.finish()
                self._save(clean=True)
            self._is_closed = True
            self._file.close()
        finally:
            self._writing.release()

    def _read(self) -> DecodedState | None:
        try:
            content = self._file.read()
            if content is None:
                log.info("state.absent", path=str(self._file.path), effect=FROM_ZERO)
                return None
            decoded = decode_state(content)
            self._check(decoded)
        except FileError as error:
            self._set_aside("damaged", str(error))
            return None
        except DecodeError as error:
            self._set_aside(error.reason, str(error))
            return None
        return decoded if not decoded.is_clean or self._mark_used(content) else decoded._replace(is_clean=False)

    def _check(self, decoded: DecodedState) -> None:
        """Raise DecodeError for a file that belongs to something else, or is too old."""
        saved, owner = decoded.state, self._owner
        if saved.broker != owner.broker:
            raise DecodeError("foreign", "it was written for another broker, key prefix or event exchange")
        if saved.naming != owner.naming:
            raise DecodeError("foreign", "it was written with other settings of names or metrics.worker_label")
        age = self._clock.now() - saved.saved_at
        if age > owner.most_age:
            raise DecodeError("old", f"it was written {age:.0f} seconds ago, more than series.ttl ({owner.most_age:g})")

    def _mark_used(self, content: bytes) -> bool:
        """Remove the mark of a clean stop; where that is impossible, keep the file aside and return False."""
        try:
            self._file.write(mark_used(content))
        except FileError as error:
            self._set_aside("unmarked", f"it can't be marked as used: {error}", effect="counters begin at 0")
            return False
        return True

    def _set_aside(self, reason: str, detail: str, effect: str = FROM_ZERO) -> None:
        kept = self._file.set_aside(reason)
        log.warning("state.set_aside", path=str(self._file.path), reason=reason, error=detail, kept_as=str(kept),
                    effect=effect)  # fmt: skip

    def _save(self, *, clean: bool) -> None:
        started = self._clock.monotonic()
        with self._store.lock:
            copy = self._state.copy()
        try:
            content = encode_state(copy.record(self._owner.broker, self._owner.naming), clean=clean)
            self._file.write(content)
        except FileError as error:
            self._note_failure(str(error))
            return
        with self._store.lock:
            self._metrics.succeeded(started)
            self._store.scalar(internals.STATE_FILE_LAST_WRITE).value = self._clock.now()
            self._store.scalar(internals.STATE_FILE_SIZE).value = len(content)
        if self._is_failing:
            self._is_failing = False
            log.info("state.write_works", path=str(self._file.path))

    def _note_failure(self, cause: str) -> None:
        with self._store.lock:
            self._failures.value += 1
            self._metrics.failed()
        if not self._is_failing:
            self._is_failing = True
            log.warning("state.write_failed", path=str(self._file.path), error=cause, effect=KEPT)
