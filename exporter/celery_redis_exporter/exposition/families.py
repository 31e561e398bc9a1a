"""Samples in, families out: what was read from servers, in the shape in which everything is rendered.

Keeps series objects between scrapes, since the text prepared in them is the costly part, and the families of the last
scrape; their number has a bound. Never renders. Threads may call it at the same time.
"""

import threading
from collections.abc import Iterable
from itertools import compress
from operator import is_not
from typing import NamedTuple

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.records.samples import Exemplar, Family, Reading, Sample, Value
from celery_redis_exporter.records.static_labels import StaticLabels

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


class _Kept(NamedTuple):
    """The samples of a scrape, what was made of them, and where each one went: its family, and its row there."""

    samples: list[Sample]
    families: list[Family]
    places: list[tuple[int, int]]


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
        self._kept: _Kept | None = None
        self._size = 0

    def group(self, samples: Iterable[Sample]) -> list[Family]:
        """Group by metric, metrics and series in order of first appearance; of two equal series the later counts.

        A family none of whose samples has changed is that of the last time.
        """
        found = list(samples)
        with self._lock:
            families = self._renew(found)
            if families is None:
                families = self._arrange(found)
                if self._size > self._limit:
                    self._series.clear()
                    self._kept = None
                    self._size = 0
            return families

    def _renew(self, samples: list[Sample]) -> list[Family] | None:
        """Replace what has changed since the last scrape; None unless the same series came in the same order."""
        kept = self._kept
        if kept is None or len(kept.samples) != len(samples):
            return None
        renewed: dict[int, list[Value | None]] = {}
        # Most samples are the objects of the last scrape, which this finds without a step of Python's for each.
        for number in compress(range(len(samples)), map(is_not, samples, kept.samples)):
            now, before = samples[number], kept.samples[number]
            if now == before:
                continue
            if now.metric is not before.metric or now.labels != before.labels:
                return None
            position, row = kept.places[number]
            values = renewed.get(position)
            if values is None:
                values = renewed[position] = list(kept.families[position].values)
            values[row] = now.value
        families = list(kept.families)
        for position, values in renewed.items():
            metric, series, _ = families[position]
            families[position] = Family(metric, series, values)
        self._kept = _Kept(samples, families, kept.places)
        return families

    def _arrange(self, samples: list[Sample]) -> list[Family]:
        rows: dict[Metric, dict[SampleSeries, Reading]] = {}
        places: list[tuple[Metric, int]] = []
        for metric, labels, value in samples:
            values = rows.setdefault(metric, {})
            series = self._known(metric, labels)
            places.append((metric, len(values)))
            values[series] = value
        positions = {metric: position for position, metric in enumerate(rows)}
        families = [
            Family(self._labels.extend(metric), list(values), list(values.values())) for metric, values in rows.items()
        ]
        # Of a series that came twice nobody could say which of the two changed it.
        unique = sum(map(len, rows.values())) == len(samples)
        self._kept = _Kept(samples, families, [(positions[metric], row) for metric, row in places]) if unique else None
        return families

    def _known(self, metric: Metric, labels: tuple[str, ...]) -> SampleSeries:
        known = self._series.setdefault(metric, {})
        series = known.get(labels)
        if series is None:
            series = known[labels] = SampleSeries((*labels, *self._labels.values))
            self._size += 1
        return series


def group_samples(samples: Iterable[Sample]) -> list[Family]:
    """Group once, as ``SampleGrouper.group`` does, and keep nothing."""
    return SampleGrouper().group(samples)
