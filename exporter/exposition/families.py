"""Samples in, families out: what was read from servers, in the shape in which everything is rendered.

Keeps series objects between scrapes, since the text prepared in them is the costly part; their number has a bound.
Never keeps a value, never renders. Threads may call it at the same time.
"""

import threading
from collections.abc import Iterable

from exporter.catalog import Metric
from exporter.records import Exemplar, Family, Reading, Sample
from exporter.static_labels import StaticLabels

DEFAULT_LIMIT = 100_000
"""Series kept; one is about 300 bytes, with its text."""


class SampleSeries:
    """A series of a sample, never with an exemplar; a server's bounds are in its values. See ``SeriesView``."""

    __slots__ = ("born", "bounds", "cache", "exemplar", "labels")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.born: float | None = None  # the server does not tell when it began to count
        self.bounds: tuple[float, ...] = ()
        self.exemplar: Exemplar | None = None
        self.cache: object = None


class SampleGrouper:
    """Groups samples, and gives the same series object for the same metric and labels as long as it is kept.

    ``limit`` is the number of series above which all are dropped, to be made anew by the next scrape: series come
    back scrape after scrape, and those that don't (a client that left) go that way. ``labels`` come behind those of
    each metric.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, labels: StaticLabels | None = None) -> None:
        self._labels = labels or StaticLabels()
        self._limit = limit
        self._lock = threading.Lock()
        self._series: dict[Metric, dict[tuple[str, ...], SampleSeries]] = {}
        self._size = 0

    def group(self, samples: Iterable[Sample]) -> list[Family]:
        """Group by metric, metrics and series in order of first appearance; of two equal series the later counts."""
        values: dict[Metric, dict[SampleSeries, Reading]] = {}
        with self._lock:
            known = self._series
            for metric, labels, value in samples:
                by_series = values.get(metric)
                if by_series is None:
                    by_series = values[metric] = {}
                    if metric not in known:
                        known[metric] = {}
                series = known[metric].get(labels)
                if series is None:
                    series = known[metric][labels] = SampleSeries((*labels, *self._labels.values))
                    self._size += 1
                by_series[series] = value
            if self._size > self._limit:
                self._series.clear()
                self._size = 0
        extend = self._labels.extend
        return [
            Family(extend(metric), list(by_series), list(by_series.values())) for metric, by_series in values.items()
        ]


def group_samples(samples: Iterable[Sample]) -> list[Family]:
    """Group once, as ``SampleGrouper.group`` does, and keep nothing."""
    return SampleGrouper().group(samples)
