"""Samples in, families out: what was read from servers, in the shape in which everything is rendered.

Keeps series objects between scrapes, since the text prepared in them is the costly part, and the families of the last
scrape; their number has a bound. Never renders. Threads may call it at the same time.
"""

import threading
from collections.abc import Iterable
from operator import is_
from typing import NamedTuple

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


class _Last(NamedTuple):
    """The samples of a metric as they came, and the family that was made of them."""

    samples: list[Sample]
    family: Family


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
        self._last: dict[Metric, _Last] = {}
        self._size = 0

    def group(self, samples: Iterable[Sample]) -> list[Family]:
        """Group by metric, metrics and series in order of first appearance; of two equal series the later counts.

        A family all of whose samples are the very objects of the last time is that of the last time.
        """
        by_metric: dict[Metric, list[Sample]] = {}
        for sample in samples:
            found = by_metric.get(sample.metric)
            if found is None:
                by_metric[sample.metric] = [sample]
            else:
                found.append(sample)
        with self._lock:
            families = [self._family(metric, found) for metric, found in by_metric.items()]
            if self._size > self._limit:
                self._series.clear()
                self._last.clear()
                self._size = 0
            return families

    def _family(self, metric: Metric, samples: list[Sample]) -> Family:
        last = self._last.get(metric)
        if last is not None and len(last.samples) == len(samples) and all(map(is_, last.samples, samples)):
            return last.family
        known = self._series.setdefault(metric, {})
        values: dict[SampleSeries, Reading] = {}
        for _, labels, value in samples:
            series = known.get(labels)
            if series is None:
                series = known[labels] = SampleSeries((*labels, *self._labels.values))
                self._size += 1
            values[series] = value
        family = Family(self._labels.extend(metric), list(values), list(values.values()))
        self._last[metric] = _Last(samples, family)
        return family


def group_samples(samples: Iterable[Sample]) -> list[Family]:
    """Group once, as ``SampleGrouper.group`` does, and keep nothing."""
    return SampleGrouper().group(samples)
