# SPDX-License-Identifier: Apache-2.0
"""Group samples into families, which is the form that every renderer takes.

Input: samples that were read from servers. Output: families. Series objects are kept from scrape to scrape, because the
text that rendering caches in them is expensive to make. Their number is bounded. Several threads may group at the same
time.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.records.samples import Exemplar, Family, Reading, Sample, SeriesView, Value
from celery_redis_exporter.records.static_labels import StaticLabels

DEFAULT_LIMIT = 100_000
"""Number of series that are kept. One takes about 300 bytes with its text."""


class SampleSeries:
    """A series of a sample. It never has an exemplar; the bounds of a server's histogram are in its values.

    See ``SeriesView``.
    """

    __slots__ = ("born", "bounds", "cache", "exemplar", "labels", "packed")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.born: float | None = None  # servers do not report when they began to count
        self.bounds: tuple[float, ...] = ()
        self.exemplar: Exemplar | None = None
        self.cache: object = None
        self.packed: object = None


class SampleGrouper:
    """Groups samples, with the same series object for the same metric and labels in every scrape.

    ``limit`` is the number of series above which all are dropped; the next scrape makes them again. This also removes
    series that no longer occur, such as those of a client that left. ``labels`` are appended to those of each metric.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, labels: StaticLabels | None = None) -> None:
        self._labels = labels or StaticLabels()
        self._limit = limit
        self._lock = threading.Lock()
        self._series: defaultdict[Metric, dict[tuple[str, ...], SampleSeries]] = defaultdict(dict)
        self._count = 0

    def group(self, samples: Iterable[Sample]) -> list[Family]:
        """Return the samples grouped by metric, in order of first appearance. Of duplicates the last sample counts."""
        rows: defaultdict[Metric, dict[SampleSeries, Reading]] = defaultdict(dict)
        with self._lock:
            for sample in samples:
                known = self._series[sample.metric]
                series = known.get(sample.labels)
                if series is None:
                    series = known[sample.labels] = SampleSeries((*sample.labels, *self._labels.values))
                    self._count += 1
                rows[sample.metric][series] = sample.value
            if self._count > self._limit:
                self._series.clear()
                self._count = 0
        extend = self._labels.extend
        return [Family(extend(metric), list(values), list(values.values())) for metric, values in rows.items()]


def merge_families(groups: Sequence[Sequence[Family]]) -> Sequence[Family]:
    """Return the families of several sources such that each metric occurs once, in order of first appearance.

    A metric has the labels of the source with the most labels. Series of the others lack the last ones.
    """
    if len(groups) == 1:
        return groups[0]
    by_name: dict[str, list[Family]] = {}
    for families in groups:
        for family in families:
            by_name.setdefault(family.metric.name, []).append(family)
    return [_merge(found) for found in by_name.values()]


def _merge(families: Sequence[Family]) -> Family:
    if len(families) == 1:
        return families[0]
    series: list[SeriesView] = []
    values: list[Value | None] = []
    for family in families:
        series += family.series
        values += family.values
    return Family(max((family.metric for family in families), key=lambda metric: len(metric.labels)), series, values)
