# SPDX-License-Identifier: Apache-2.0
"""The series store: every counter, gauge and histogram that events feed.

Input: metrics and label values. Output: series objects that callers keep and change in place, so that no event causes a
look-up by label, and copies of all values as families. Not thread-safe by itself: callers hold ``Store.lock``.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf, isfinite
from typing import Any, Generic, NamedTuple, TypeVar

from celery_redis_exporter.catalog import OVERFLOW, Kind, Metric
from celery_redis_exporter.catalog.internals import SERIES, SERIES_DROPPED, SERIES_EXPIRED
from celery_redis_exporter.catalog.labels import WORKER
from celery_redis_exporter.clock import Clock, SystemClock
from celery_redis_exporter.records.samples import Exemplar, Family
from celery_redis_exporter.records.saved_state import SavedHistogram, SavedSeries
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.state.histograms import ExemplarHistogram, Histogram, NativeHistogram

NUMBER_BYTES = 30
"""Of a line of a response besides names and values of labels: quotes, braces, the number."""
FULL_BYTES = 64 * 1024
"""Text of a task or a worker, about; with less left none is added."""


@dataclass(frozen=True, slots=True)
class NewSeries:
    """What a new series is like.

    A counter or histogram is shown as 0 for ``zero_first`` seconds, so that Prometheus has a 0 to compare the first
    event with: ``increase()`` ignores the value at the first scrape. ``exemplars`` states whether
    histograms remember tasks; ``labels`` come behind those of the metric; ``by_worker`` are metrics that get the
    label of the worker as their last own one. ``most_bytes`` is what the text of all series of a store may have.
    ``native`` are histograms that are counted in native buckets, too.
    """

    clock: Clock = field(default_factory=SystemClock)
    zero_first: float = 0.0
    exemplars: bool = False
    labels: StaticLabels = field(default_factory=StaticLabels)
    by_worker: frozenset[Metric] = frozenset()
    most_bytes: float = inf
    native: frozenset[Metric] = frozenset()

    def histogram(self, metric: Metric, bounds: tuple[float, ...]) -> Callable[[tuple[str, ...]], Histogram]:
        """Return what makes a histogram of a metric from the values of its labels."""
        if metric in self.native:
            return partial(NativeHistogram, bounds=bounds, exemplars=self.exemplars)
        return partial(ExemplarHistogram if self.exemplars else Histogram, bounds=bounds)


@dataclass(slots=True)
class TextBudget:
    """Bytes of text that the series of a store add to a response, and those that they may add."""

    most: float
    used: int = 0


class Series:
    """A counter or a gauge; ``value`` is changed in place."""

    __slots__ = ("born", "cache", "exemplar", "labels", "packed", "value")

    bounds: tuple[float, ...] = ()

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.born: float | None = None
        self.value: float = 0
        self.exemplar: Exemplar | None = None
        self.cache: object = None
        self.packed: object = None


S = TypeVar("S", Series, Histogram)


class SeriesCopy(NamedTuple):
    """The series of a metric and their values at one moment, labels without those that every series has.

    ``young`` are those still shown as 0, and since when, on the monotonic clock; ``at`` is the moment on that clock.
    """

    metric: Metric
    labels: list[tuple[str, ...]]
    series: Sequence[Series | Histogram]
    values: list[Any]
    young: dict[Any, float]
    at: float

    def age(self, series: Series | Histogram) -> float | None:
        """Return for how long a series has been shown as 0, None if its value is shown."""
        since = self.young.get(series)
        return None if since is None else self.at - since


class Children(Generic[S]):
    """The series of one metric, bounded: those over a bound share one whose open labels are OVERFLOW.

    There are ``limit`` of them at most, and no more than ``budget`` has bytes for.
    """

    def __init__(
        self, metric: Metric, make: Callable[[tuple[str, ...]], S], limit: int, new: NewSeries, budget: TextBudget
    ) -> None:
        self.origin = metric
        self.metric = replace(metric, labels=(*metric.labels, WORKER)) if metric in new.by_worker else metric
        self.series: dict[tuple[str, ...], S] = {}
        self.refused = 0
        self.size: Series | None = None
        """The number of series, as a series that the store keeps."""
        self._make: Callable[[tuple[str, ...]], S] = make
        self._limit = limit
        self._new = new
        self._budget = budget
        self._lines = len(metric.buckets) + 3 if metric.kind is Kind.HISTOGRAM else 1
        self._line_bytes = len(metric.name) + sum(map(len, self.metric.label_names)) + NUMBER_BYTES
        self._shown = new.labels.extend(self.metric)
        self._young: dict[S, float] = {}  # those still shown as 0, and since when; the oldest first
        self._rows: list[S] = []
        self._outdated = False  # the rows, because a series came or went

    def child(self, labels: tuple[str, ...], make: Callable[[tuple[str, ...]], S] | None = None) -> S:
        """Return the series with these label values. A new one is made by ``make`` if it differs from the others."""
        series = self.series.get(labels)
        if series is not None:
            return series
        cost = self._cost(labels)
        if not self._fits(labels, cost):
            self.refused += 1
            pairs = zip(self.metric.labels, labels, strict=True)
            labels = tuple(value if label.closed else OVERFLOW for label, value in pairs)
            cost = self._cost(labels)
        if labels not in self.series:
            self._budget.used += cost
            self.series[labels] = self._bear(labels, make or self._make)
            self._outdated = True
        return self.series[labels]

    def remove(self, labels: tuple[str, ...]) -> bool:
        """Remove a series. Return whether it was there."""
        gone = self.series.pop(labels, None) is not None
        if gone:
            self._outdated = True
            self._budget.used -= self._cost(labels)
        return gone

    def copy(self) -> SeriesCopy:
        """Copy what a restart must not lose."""
        self._still_young()
        rows: list[Any] = list(self.series.values())
        is_histogram = self.metric.kind is Kind.HISTOGRAM
        values = [row.copied() for row in rows] if is_histogram else [row.value for row in rows]
        return SeriesCopy(self.origin, list(self.series), rows, values, self._young.copy(), self._new.clock.monotonic())

    def restore(self, labels: tuple[str, ...], born: float | None, age: float | None) -> S | None:
        """Return the series that was saved with these labels, or None if there is no room for it.

        ``born`` and ``age`` are those of ``SavedSeries``. ``order`` has to be called after the last one.
        """
        if labels not in self.series and not self._fits(labels, self._cost(labels)):
            return None
        series = self.child(labels)
        self.series[labels] = self.series.pop(labels)  # the order of the file
        self._outdated = True
        series.born = born
        self._young.pop(series, None)
        if age is not None and self._new.zero_first:
            self._young[series] = self._new.clock.monotonic() - max(0.0, age)
        return series

    def order(self) -> None:
        """Put what is still shown as 0 in order, the oldest first."""
        self._young = dict(sorted(self._young.items(), key=lambda item: item[1]))

    def _fits(self, labels: tuple[str, ...], cost: int) -> bool:
        """Return whether there is room for a series; for one without labels there is."""
        return not labels or (len(self.series) < self._limit and self._budget.used + cost <= self._budget.most)

    def _cost(self, labels: tuple[str, ...]) -> int:
        """Return about how many bytes a series adds to a response."""
        return self._lines * (self._line_bytes + sum(map(len, labels)))

    def copied(self, *, whole: bool) -> Family:
        """Return the series with their values at this moment.

        ``whole`` takes new series for what they are, too, and leaves exemplars out.
        """
        if self._outdated:
            self._outdated = False  # before they are listed: what comes meanwhile is listed next time
            self._rows = list(self.series.values())
        rows: list[Any] = self._rows
        is_histogram = self.metric.kind is Kind.HISTOGRAM
        if whole:
            return Family(self._shown, rows, [row.counted() if is_histogram else row.value for row in rows])
        young = self._young and self._still_young()
        if is_histogram:
            values = [row.nothing() if row in young else row.copied() for row in rows]
        elif young:
            values = [0 if row in young else row.value for row in rows]
        else:
            values = [row.value for row in rows]
        return Family(self._shown, rows, values)

    def _bear(self, labels: tuple[str, ...], make: Callable[[tuple[str, ...]], S]) -> S:
        series = make((*labels, *self._new.labels.values))
        if self.metric.starts_at_zero:
            series.born = self._new.clock.now()
            if self._new.zero_first:
                self._young[series] = self._new.clock.monotonic()
        return series

    def _still_young(self) -> Collection[S]:
        grown_up = self._new.clock.monotonic() - self._new.zero_first
        for series, born in list(self._young.items()):
            if born > grown_up:
                break
            del self._young[series]
        return self._young


class Store:
    """Every series that events feed, by metric.

    ``limit`` is the number of series per metric; ``buckets`` replaces the catalogue's bounds by metric name; ``new``
    says what new series are like.
    """

    def __init__(
        self,
        metrics: Iterable[Metric],
        limit: int,
        buckets: Mapping[str, tuple[float, ...]],
        new: NewSeries = NewSeries(),  # immutable
    ) -> None:
        self._new = new
        budget = self._budget = TextBudget(new.most_bytes)
        self.lock = threading.Lock()
        self._scalars: dict[Metric, Children[Series]] = {}
        self._histograms: dict[Metric, Children[Histogram]] = {}
        self._order: list[Children[Series] | Children[Histogram]] = []
        for metric in metrics:
            if metric.kind is Kind.HISTOGRAM:
                make = new.histogram(metric, buckets.get(metric.name, metric.buckets))
                self._order.append(self._histograms.setdefault(metric, Children(metric, make, limit, new, budget)))
            else:
                self._order.append(self._scalars.setdefault(metric, Children(metric, Series, limit, new, budget)))

    def scalar(self, metric: Metric, *labels: str) -> Series:
        """Return the counter or gauge with these label values. A new one is 0."""
        return self._scalars[metric].child(labels)

    def histogram(self, metric: Metric, *labels: str, bounds: tuple[float, ...] | None = None) -> Histogram:
        """Return the histogram with these label values. A new one is empty, and has ``bounds`` if they are given."""
        return self._histograms[metric].child(labels, self._new.histogram(metric, bounds) if bounds else None)

    def text_bytes(self) -> float:
        """Return about how many bytes the text of all series has."""
        return self._budget.used

    @property
    def is_full(self) -> bool:
        """Whether there is room for a few more series at most."""
        return self._budget.used > self._budget.most - FULL_BYTES

    def refuse(self, metric: Metric) -> None:
        """Count a series that a caller folded into its own overflow."""
        self._scalars[metric].refused += 1

    def refuse_samples(self, metric: Metric, count: int) -> None:
        """Count samples that were read from a server and left out. The caller must not hold the lock."""
        with self.lock:
            self.scalar(SERIES_DROPPED, metric.name).value += count

    def discard(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Remove a series. Return whether it was there."""
        kind: Mapping[Metric, Children[Series] | Children[Histogram]]
        kind = self._histograms if metric.kind is Kind.HISTOGRAM else self._scalars
        return kind[metric].remove(labels)

    def expire(self, metric: Metric, labels: tuple[str, ...]) -> None:
        """Remove a series for its age, and count it."""
        if self.discard(metric, labels):
            self.scalar(SERIES_EXPIRED, metric.name).value += 1

    def collect(self, *, whole: bool = False, only: frozenset[Metric] | None = None) -> list[Family]:
        """Copy every value, of metrics that have series; formatting comes later.

        The caller holds the lock for as long as this takes. ``whole`` returns what was counted also for series that are
        still shown as 0, without exemplars. ``only`` are the metrics that are wanted.
        """
        self._show_sizes()
        wanted = self._order if only is None else [children for children in self._order if children.origin in only]
        # What has no series may come from somewhere else: no metric comes twice.
        return [children.copied(whole=whole) for children in wanted if children.series]

    def copies(self, gauges: Collection[Metric]) -> list[SeriesCopy]:
        """Copy every counter and histogram, and these gauges. The caller holds the lock for as long as this takes."""
        self._show_sizes()
        return [
            children.copy()
            for children in self._order
            if children.series and (children.origin.kind is not Kind.GAUGE or children.origin in gauges)
        ]

    def has_labels(self, metric: Metric, count: int) -> bool:
        """Return whether the series of a metric have so many labels; False for metrics that are not held here."""
        children = self._scalars.get(metric) or self._histograms.get(metric)
        return children is not None and count == len(children.metric.labels)

    def restore_scalars(self, metric: Metric, rows: Iterable[SavedSeries]) -> None:
        """Set counters or gauges to what was saved; for which there is no room they begin at 0."""
        children = self._scalars.get(metric)
        if children is None:
            return
        for row in rows:
            series = children.restore(row.labels, row.born, row.age)
            if series is not None:
                series.value = row.value
        children.order()
        if metric is SERIES_DROPPED:
            self._restore_refused(rows)

    def restore_histograms(
        self, metric: Metric, rows: Iterable[SavedHistogram], bounds: Sequence[tuple[float, ...]]
    ) -> None:
        """Set the histograms that exist to what was saved; those whose bounds are others now begin at 0."""
        children = self._histograms.get(metric)
        if children is None:
            return
        for row in rows:
            series = children.series.get(row.labels)
            known = 0 <= row.bounds < len(bounds) and series is not None and series.bounds == bounds[row.bounds]
            if series is not None and known and series.restore(row):
                children.restore(row.labels, row.born, row.age)
        children.order()

    def _restore_refused(self, rows: Iterable[SavedSeries]) -> None:
        dropped = {row.labels: int(row.value) for row in rows if isfinite(row.value)}
        for children in self._order:
            children.refused = dropped.get((children.metric.name,), children.refused)

    def _show_sizes(self) -> None:
        for children in self._order:
            if children.series:
                size = children.size = children.size or self.scalar(SERIES, children.metric.name)
                size.value = len(children.series)
            if children.refused:
                self.scalar(SERIES_DROPPED, children.metric.name).value = children.refused
