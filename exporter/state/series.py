"""The series store: every counter, gauge and histogram that events feed.

Takes metrics and label values, gives series objects that callers keep and change in place, so that the path of
an event has no look-up by label. Gives copies of all values as families. Not thread-safe by itself: callers hold
``Store.lock``.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Generic, TypeVar

from exporter.catalog import OVERFLOW, Kind, Metric
from exporter.catalog.internals import SERIES, SERIES_DROPPED, SERIES_EXPIRED
from exporter.records import Distribution, Exemplar, Family


class Series:
    """A counter or a gauge; ``value`` is changed in place."""

    __slots__ = ("cache", "exemplar", "labels", "value")

    bounds: tuple[float, ...] = ()

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.value: float = 0
        self.exemplar: Exemplar | None = None
        self.cache: object = None

    def copied(self) -> float:
        """The value at this moment."""
        return self.value


class Histogram:
    """Observations counted per bucket, in the metric's unit."""

    __slots__ = ("bounds", "cache", "counts", "exemplar", "labels", "total")

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.labels = labels
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplar: Exemplar | None = None
        self.cache: object = None

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_delay(self, start: float, since: float, eta: float | None, task_id: str) -> None:
        """Count the time from ``since``, or from the eta if that is later, to ``start``; clocks may disagree."""
        if eta is not None and eta > since:
            since = eta
        self.observe_task(start - since if start > since else 0.0, task_id, start)

    def observe_task(self, value: float, task_id: str, timestamp: float) -> None:  # noqa: ARG002 -- for exemplars
        """Count one observation made on a task."""
        self.observe(value)

    def copied(self) -> Distribution:
        """The value at this moment."""
        return Distribution(self.counts.copy(), self.total)


class ExemplarHistogram(Histogram):
    """A histogram that remembers the last task of each bucket."""

    __slots__ = ("exemplars",)

    def __init__(self, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        super().__init__(labels, bounds)
        self.exemplars: list[Exemplar | None] = [None] * len(self.counts)

    def observe_task(self, value: float, task_id: str, timestamp: float) -> None:
        """Count one observation and keep the task as its bucket's exemplar."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        self.exemplars[bucket] = (task_id, value, timestamp)

    def copied(self) -> Distribution:
        """The value at this moment."""
        return Distribution(self.counts.copy(), self.total, self.exemplars.copy())


S = TypeVar("S", Series, Histogram)


class Children(Generic[S]):
    """The series of one metric, bounded: those over the bound share one whose open labels are OVERFLOW."""

    def __init__(self, metric: Metric, make: Callable[[tuple[str, ...]], S], limit: int) -> None:
        self.metric = metric
        self.series: dict[tuple[str, ...], S] = {}
        self.refused = 0
        self._make: Callable[[tuple[str, ...]], S] = make
        self._limit = limit

    def child(self, labels: tuple[str, ...]) -> S:
        """Give the series with these label values, made if need be."""
        series = self.series.get(labels)
        if series is not None:
            return series
        if len(self.series) >= self._limit and labels:
            self.refused += 1
            pairs = zip(self.metric.labels, labels, strict=True)
            labels = tuple(value if label.closed else OVERFLOW for label, value in pairs)
        if labels not in self.series:
            self.series[labels] = self._make(labels)
        return self.series[labels]

    def copied(self) -> Family:
        """The series with their values at this moment."""
        rows = list(self.series.values())
        return Family(self.metric, rows, [row.copied() for row in rows])


class Store:
    """Every series that events feed, by metric.

    ``limit`` is the number of series per metric; ``buckets`` replaces the catalogue's bounds by metric name;
    ``exemplars`` says whether histograms remember tasks.
    """

    def __init__(
        self,
        metrics: Iterable[Metric],
        limit: int,
        buckets: Mapping[str, tuple[float, ...]],
        *,
        exemplars: bool = True,
    ) -> None:
        kind = ExemplarHistogram if exemplars else Histogram
        self.lock = threading.Lock()
        self._scalars: dict[Metric, Children[Series]] = {}
        self._histograms: dict[Metric, Children[Histogram]] = {}
        self._order: list[Children[Series] | Children[Histogram]] = []
        for metric in metrics:
            if metric.kind is Kind.HISTOGRAM:
                make = partial(kind, bounds=buckets.get(metric.name, metric.buckets))
                self._order.append(self._histograms.setdefault(metric, Children(metric, make, limit)))
            else:
                self._order.append(self._scalars.setdefault(metric, Children(metric, Series, limit)))

    def scalar(self, metric: Metric, *labels: str) -> Series:
        """Give the counter or gauge with these label values; a new one is 0."""
        return self._scalars[metric].child(labels)

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        """Give the histogram with these label values; a new one is empty."""
        return self._histograms[metric].child(labels)

    def refuse(self, metric: Metric) -> None:
        """Count a series that a caller folded into its own overflow."""
        self._scalars[metric].refused += 1

    def discard(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Remove a series; tell whether it was there."""
        kind: Mapping[Metric, Children[Series] | Children[Histogram]]
        kind = self._histograms if metric.kind is Kind.HISTOGRAM else self._scalars
        return kind[metric].series.pop(labels, None) is not None

    def expire(self, metric: Metric, labels: tuple[str, ...]) -> None:
        """Remove a series for its age, and count it."""
        if self.discard(metric, labels):
            self.scalar(SERIES_EXPIRED, metric.name).value += 1

    def collect(self) -> list[Family]:
        """Copy every value; the caller holds the lock for as long as this takes, formatting comes later."""
        for children in self._order:
            if children.series:
                self.scalar(SERIES, children.metric.name).value = len(children.series)
            if children.refused:
                self.scalar(SERIES_DROPPED, children.metric.name).value = children.refused
        return [children.copied() for children in self._order]
