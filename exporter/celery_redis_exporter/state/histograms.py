# SPDX-License-Identifier: Apache-2.0
"""Histograms of the series store: classic ones, with the last task of each bucket, and native ones beside them.

Input: observations, in the metric's unit. Output: copies of what was counted. Not thread-safe: see ``state.series``.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection
from itertools import repeat

from celery_redis_exporter.records.resolution import (
    FINEST_SCHEMA,
    MOST_BUCKETS,
    NativeCounts,
    Resolution,
    fold,
    resolve,
)
from celery_redis_exporter.records.samples import Distribution, Exemplar
from celery_redis_exporter.records.saved_state import SavedHistogram


class Histogram:
    """Observations counted per bucket, in the metric's unit."""

    __slots__ = ("_copy", "born", "bounds", "cache", "counts", "exemplar", "labels", "packed", "total")

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.labels = labels
        self.born: float | None = None
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._copy: Distribution | None = None  # made at the last scrape; None once another observation is counted
        self.exemplar: Exemplar | None = None
        self.cache: object = None
        self.packed: object = None

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self._copy = None

    def observe_all(self, values: Collection[float]) -> None:
        """Count one observation each."""
        bounds, counts = self.bounds, self.counts
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self.total += sum(values)
        self._copy = None

    def observe_delay(self, start: float, since: float, eta: float | None, task_id: str) -> None:
        """Count the time from ``since``, or from the eta if that is later, to ``start``; clocks may disagree."""
        if eta is not None and eta > since:
            since = eta
        self.observe_task(start - since if start > since else 0.0, task_id, start)

    def observe_task(self, value: float, task_id: str, timestamp: float) -> None:  # noqa: ARG002 -- for exemplars
        """Count one observation made on a task."""
        self.observe(value)

    def restore(self, saved: SavedHistogram) -> bool:
        """Set what was counted, without exemplars. Return False, and change nothing, if it does not fit."""
        if len(saved.counts) != len(self.counts):
            return False
        self.counts[:] = saved.counts
        self.total = saved.total
        self._copy = None
        return True

    def copied(self) -> Distribution:
        """Return the value at this moment: the same object until another observation is counted."""
        if self._copy is None:
            self._copy = self._copied()
        return self._copy

    def counted(self) -> Distribution:
        """The value at this moment, without exemplars."""
        return Distribution(self.counts.copy(), self.total)

    def nothing(self) -> Distribution:
        """The value that it was born with."""
        return Distribution([0] * len(self.counts), 0.0)

    def _copied(self) -> Distribution:
        return self.counted()


class ExemplarHistogram(Histogram):
    """A histogram that remembers the last task of each bucket."""

    __slots__ = ("exemplars",)

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        super().__init__(labels, bounds)
        self.exemplars: list[Exemplar | None] = [None] * len(self.counts)

    def observe_delay(self, start: float, since: float, eta: float | None, task_id: str) -> None:
        """Count as a histogram does, and keep the task; in one step, since two of these come with each execution."""
        if eta is not None and eta > since:
            since = eta
        value = start - since if start > since else 0.0
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        self.exemplars[bucket] = (task_id, value, start)
        self._copy = None

    def observe_task(self, value: float, task_id: str, timestamp: float) -> None:
        """Count one observation and keep the task as its bucket's exemplar."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        self.exemplars[bucket] = (task_id, value, timestamp)
        self._copy = None

    def _copied(self) -> Distribution:
        return Distribution(self.counts.copy(), self.total, self.exemplars.copy())


class NativeHistogram(Histogram):
    """A histogram whose observations are counted in native buckets, too; it remembers tasks if ``exemplars``.

    Each observation is counted by the part that it lies in: see ``records.resolution``.
    """

    __slots__ = ("_parts", "_places", "_resolution", "_uppers", "exemplars")

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...], *, exemplars: bool) -> None:
        super().__init__(labels, bounds)
        self.exemplars: list[Exemplar | None] | None = [None] * len(self.counts) if exemplars else None
        self._parts: defaultdict[int, int] = defaultdict(int)
        self._use(resolve(bounds, FINEST_SCHEMA))

    def observe(self, value: float) -> None:
        """Count one observation."""
        part = bisect_left(self._uppers, value)
        self._parts[part] += 1
        self.counts[self._places[part]] += 1
        self.total += value
        self._copy = None

    def observe_all(self, values: Collection[float]) -> None:
        """Count one observation each."""
        places, parts, counts = self._places, self._parts, self.counts
        for part in map(bisect_left, repeat(self._uppers), values):
            parts[part] += 1
            counts[places[part]] += 1
        self.total += sum(values)
        self._copy = None

    def observe_delay(self, start: float, since: float, eta: float | None, task_id: str) -> None:
        """Count as a histogram does, in one step, since two of these come with each execution."""
        if eta is not None and eta > since:
            since = eta
        value = start - since if start > since else 0.0
        part = bisect_left(self._uppers, value)
        bucket = self._places[part]
        self._parts[part] += 1
        self.counts[bucket] += 1
        self.total += value
        if self.exemplars is not None:
            self.exemplars[bucket] = (task_id, value, start)
        self._copy = None

    def observe_task(self, value: float, task_id: str, timestamp: float) -> None:
        """Count one observation and keep the task as the exemplar of its classic bucket."""
        part = bisect_left(self._uppers, value)
        bucket = self._places[part]
        self._parts[part] += 1
        self.counts[bucket] += 1
        self.total += value
        if self.exemplars is not None:
            self.exemplars[bucket] = (task_id, value, timestamp)
        self._copy = None

    def restore(self, saved: SavedHistogram) -> bool:
        """Set what was counted. A file without native buckets does not fit: both counts must be of the same events."""
        found = saved.parts
        if found is None or not 0 <= found.schema <= FINEST_SCHEMA or len(saved.counts) != len(self.counts):
            return False
        resolution, parts, counts = (
            resolve(self.bounds, found.schema),
            defaultdict[int, int](int),
            [0] * len(self.counts),
        )
        for upper, count in found.counts.items():
            part = resolution.part(upper)
            parts[part] += count
            counts[resolution.classic[part]] += count
        if counts != saved.counts:
            return False
        self._parts = parts
        self._use(resolution)
        return super().restore(saved)

    def nothing(self) -> Distribution:
        """The value that it was born with."""
        return Distribution([0] * len(self.counts), 0.0, None, NativeCounts(self._resolution, {}))

    def _copied(self) -> Distribution:
        native = self._copy_parts()
        exemplars = None if self.exemplars is None else self.exemplars.copy()
        return Distribution(self.counts.copy(), self.total, exemplars, native)

    def _copy_parts(self) -> NativeCounts:
        """Copy the native buckets. With too many of them their resolution is halved before, and stays so."""
        native = NativeCounts(self._resolution, dict(self._parts))
        while len(native.parts) > MOST_BUCKETS and len(fold(native).buckets) > MOST_BUCKETS:
            coarser, parts = resolve(self.bounds, self._resolution.schema - 1), defaultdict[int, int](int)
            for part, count in self._parts.items():
                parts[coarser.part(self._resolution.upper(part))] += count
            self._parts = parts
            self._use(coarser)
            native = NativeCounts(coarser, dict(parts))
        return native

    def _use(self, resolution: Resolution) -> None:
        self._resolution = resolution
        self._uppers, self._places = resolution.bounds, resolution.classic
