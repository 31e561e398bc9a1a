"""Worker series under the names that they are shown by: one for all workers that share a name.

Takes families with a series per worker, gives families with a series per shown name. A gauge is the largest of its
workers', or their sum where that says more; a counter grows by what each of them grows, so that it does not fall when a
worker leaves. Not thread-safe: see state.
"""

from collections.abc import Iterable

from exporter.catalog import OVERFLOW, Kind, Metric
from exporter.catalog import labels as lb
from exporter.catalog import workers as rows
from exporter.records import Family
from exporter.state.rules import Naming
from exporter.state.series import Series

_SUMMED = {metric.name for metric in rows.SUMMED}
_NAMES = {metric.name for metric in rows.METRICS}


class _Merged:
    """One metric's shown series, and what its counters have been."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, ...], Series] = {}
        self.told: dict[object, float] = {}  # by a worker's series, its value of the last time


class Merging:
    """Applies ``naming`` to the metrics of workers, and leaves every other as it is."""

    def __init__(self, naming: Naming) -> None:
        self.needed = naming.worker.needed or naming.queue.needed
        self._naming = naming
        self._merged: dict[str, _Merged] = {}

    def merge(self, families: Iterable[Family]) -> list[Family]:
        """Give the families as they are to be shown."""
        return [self._merge(family) if family.metric.name in _NAMES else family for family in families]

    def _merge(self, family: Family) -> Family:
        metric = family.metric
        merged = self._merged.setdefault(metric.name, _Merged())
        told, merged.told = merged.told, {}
        values: dict[tuple[str, ...], float] = {}
        for series, value in zip(family.series, family.values, strict=True):
            labels = self._shown(metric, series.labels)
            if labels is None or not isinstance(value, int | float):
                continue
            if metric.kind is Kind.COUNTER:
                merged.told[series] = value
                before = told.get(series, 0.0)
                kept = merged.series[labels].value if labels in merged.series else 0.0
                # Smaller than before: the worker started anew.
                values[labels] = values.get(labels, kept) + (value - before if value >= before else value)
            elif metric.name in _SUMMED:
                values[labels] = values.get(labels, 0) + value
            else:
                values[labels] = max(values.get(labels, value), value)
        merged.series = {labels: merged.series.get(labels) or Series(labels) for labels in values}
        for labels, value in values.items():
            merged.series[labels].value = value
        return Family(metric, list(merged.series.values()), list(values.values()))

    def _shown(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...] | None:
        shown = list(labels)
        for position, label in enumerate(metric.labels):
            name: str | None = labels[position]
            if label is lb.WORKER and name != OVERFLOW:
                name = self._naming.worker.apply(labels[position])
            elif label is lb.QUEUE:
                name = self._naming.queue_shown(labels[position])
            if name is None:
                return None
            shown[position] = name
        return tuple(shown)
