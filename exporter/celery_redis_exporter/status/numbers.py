# SPDX-License-Identifier: Apache-2.0
"""Look up values by metric and labels in the families and samples of one moment.

Input: the same as that of exposition. Labels that settings add to every metric are not included.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, cast

from celery_redis_exporter.catalog import CATALOG, Metric
from celery_redis_exporter.records.samples import Distribution, Family, Sample


class NumberRow(NamedTuple):
    """A series: its labels in the metric's declared order, its value, and its bounds if it is a histogram."""

    labels: tuple[str, ...]
    value: object
    bounds: tuple[float, ...] = ()


class Numbers:
    """The values of one moment. Rows are made on request and not kept."""

    def __init__(self, families: Iterable[Family] = (), samples: Iterable[Sample] = ()) -> None:
        self._families = {family.metric.name: family for family in families}
        self._samples: dict[str, list[Sample]] = {}
        for sample in samples:
            self._samples.setdefault(sample.metric.name, []).append(sample)

    def rows(self, metric: Metric) -> Iterator[NumberRow]:
        """Yield every series of a metric."""
        family = self._families.get(metric.name)
        if family is not None:
            length = len(CATALOG[metric.name].labels)
            for series, value in zip(family.series, family.values, strict=True):
                if value is not None:
                    yield NumberRow(series.labels[:length], value, series.bounds)
        for sample in self._samples.get(metric.name, ()):
            yield NumberRow(sample.labels, sample.value)

    def values(self, metric: Metric) -> list[tuple[tuple[str, ...], float]]:
        """Return the labels and the value of every series of a counter or a gauge."""
        return [(labels, value) for labels, value, _ in self.rows(metric) if isinstance(value, int | float)]

    def one(self, metric: Metric) -> float | None:
        """Return the value of a metric without labels, or None if there is none."""
        return next((value for _, value in self.values(metric)), None)

    def total(self, metric: Metric) -> float:
        """Return the sum over all series."""
        return sum(value for _, value in self.values(metric))

    def by(self, metric: Metric, label: int = 0) -> Mapping[str, float]:
        """Return the sums by one label, which is given by its position."""
        sums: dict[str, float] = {}
        for labels, value in self.values(metric):
            sums[labels[label]] = sums.get(labels[label], 0) + value
        return sums

    def listed(self, metric: Metric, label: int = 1) -> Mapping[str, list[str]]:
        """Return the values of the label at position ``label``, sorted, by the value of the first label.

        For metrics whose labels contain the information.
        """
        lists: dict[str, set[str]] = {}
        for labels, _ in self.values(metric):
            lists.setdefault(labels[0], set()).add(labels[label])
        return {name: sorted(values) for name, values in lists.items()}

    def counts(self, metric: Metric) -> Mapping[str, tuple[tuple[float, ...], list[int]]]:
        """Return bounds and counts per bucket of a histogram, summed by the first label (empty string without labels).

        Series whose bounds differ from those of the first series are left out. Only series over a limit can have such
        bounds.
        """
        sums: dict[str, tuple[tuple[float, ...], list[int]]] = {}
        for labels, value, bounds in self.rows(metric):
            counts = cast("Distribution", value).counts
            name = labels[0] if labels else ""
            known = sums.get(name)
            if known is None:
                sums[name] = (bounds, counts)
            elif known[0] == bounds:
                sums[name] = (bounds, [a + b for a, b in zip(known[1], counts, strict=True)])
        return sums
