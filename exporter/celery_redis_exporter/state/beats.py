# SPDX-License-Identifier: Apache-2.0
"""Report which schedulers (beats) run, which have stopped, and what they schedule.

Input: the events of beats, and the names of those that answered a round of pings. Output: series, and intervals of
tasks for ``Expectations``. For a beat that sends events only these count: they are sent from its scheduler's tick,
while another thread may answer pings. Not thread-safe: see state.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.events import BeatHeartbeat, BeatOffline
from celery_redis_exporter.records.replies import PeriodicTask
from celery_redis_exporter.state.expectations import Expectations
from celery_redis_exporter.state.series import Store

SILENT_INTERVALS = 3
"""The number of intervals without an event after which a beat is down."""
USUAL_INTERVAL = 10.0
SCHEDULE_SECONDS = 180.0
"""Seconds after which a task is removed if a beat's schedule, which is sent every minute, does not contain it."""
MOST_TASKS = 10_000
"""The maximum number of tasks kept of one beat's schedule."""
SOURCE = "beats"


@dataclass(slots=True)
class _Beat:
    """A beat. Times are monotonic. ``interval`` is None if it only answers pings.

    ``tasks`` maps names to intervals in seconds, and to the time when the schedule last contained them.
    """

    seen: float
    interval: float | None = None
    tasks: dict[str, tuple[float, float]] = field(default_factory=dict)


class Beats:
    """The schedulers by node name. One that is down is shown as down for ``retention`` seconds.

    ``expectations`` receive the intervals of all schedules together. The schedule of a beat that is gone remains until
    another beat reports one. A beat that was stopped by mistake is therefore noticed by the missing runs of its tasks.
    """

    def __init__(
        self, store: Store, clock: Clock, retention: float, expectations: Expectations | None = None, limit: int = 100
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._expectations = expectations
        self._limit = limit
        self._beats: dict[str, _Beat] = {}
        self._left: dict[str, tuple[float, float]] = {}

    def known(self) -> frozenset[str]:
        """Return the beats that answered pings and are not forgotten."""
        return frozenset(name for name, beat in self._beats.items() if beat.interval is None)

    def note(self, answered: Collection[str]) -> None:
        """Record the beats that answered a round of pings."""
        now = self._clock.monotonic()
        for name in answered:
            beat = self._meet(name)
            if beat is not None and beat.interval is None:
                beat.seen = now
        for name, beat in list(self._beats.items()):
            if beat.interval is None:
                self._show(name, beat, up=name in answered)

    def fold_heartbeat(self, event: BeatHeartbeat) -> None:
        """Fold beat-heartbeat."""
        beat = self._meet(event.hostname)
        if beat is None:
            return
        beat.seen = self._clock.monotonic()
        beat.interval = event.freq or USUAL_INTERVAL
        self._show(event.hostname, beat, up=True)
        if event.tasks is not None:
            self._fold_tasks(beat, event.tasks)

    def fold_offline(self, event: BeatOffline) -> None:
        """Fold beat-offline: a beat that stopped on purpose is not shown any more."""
        if event.hostname in self._beats:
            self._forget(event.hostname)

    def tick(self, *, listening: bool, read_until: float = inf) -> None:
        """Find beats that stopped sending events. Without a subscription (``listening`` False) none is found.

        Everything that arrived before ``read_until`` (monotonic) was read.
        """
        now = min(self._clock.monotonic(), read_until)
        for name, beat in list(self._beats.items()):
            if beat.interval is None:
                continue
            if not listening:
                beat.seen = max(beat.seen, now - beat.interval)
            elif now - beat.seen >= SILENT_INTERVALS * beat.interval:
                self._show(name, beat, up=False)

    def _meet(self, name: str) -> _Beat | None:
        beat = self._beats.get(name)
        if beat is None:
            if len(self._beats) >= self._limit:
                self._store.refuse(rows.BEAT_UP)
                return None
            beat = self._beats[name] = _Beat(self._clock.monotonic())
        return beat

    def _show(self, name: str, beat: _Beat, *, up: bool) -> None:
        if not up and self._clock.monotonic() - beat.seen >= self._retention:
            self._forget(name)
        else:
            self._store.scalar(rows.BEAT_UP, name).value = float(up)

    def _forget(self, name: str) -> None:
        self._left |= self._beats.pop(name).tasks
        self._store.discard(rows.BEAT_UP, (name,))

    def _fold_tasks(self, beat: _Beat, tasks: dict[str, float]) -> None:
        """Store a part of a schedule. The parts of one schedule follow one another within a second."""
        now = self._clock.monotonic()
        before = self._intervals()
        beat.tasks = {task: found for task, found in beat.tasks.items() if now - found[1] < SCHEDULE_SECONDS}
        for task, interval in tasks.items():
            if task in beat.tasks or len(beat.tasks) < MOST_TASKS:
                beat.tasks[task] = interval, now
        self._left = {}
        after = self._intervals()
        if after != before and self._expectations is not None:
            self._expectations.learn((PeriodicTask(*found) for found in after.items()), SOURCE)

    def _intervals(self) -> dict[str, float]:
        intervals: dict[str, float] = {}
        for tasks in (self._left, *(beat.tasks for beat in self._beats.values())):
            for task, (interval, _) in tasks.items():
                intervals[task] = min(interval, intervals.get(task, interval))
        return intervals
