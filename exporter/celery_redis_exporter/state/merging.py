# SPDX-License-Identifier: Apache-2.0
"""Worker series under the names that they are shown by: one for all workers that share a name.

Input: families with a series per worker. Output: families with a series per shown name. A gauge is the largest of its
workers', or their sum for ``rows.SUMMED``. A counter is the sum of its workers' counters plus what earlier workers and
processes of that name counted, so that it does not fall when one of them leaves. Reading changes nothing: ``Workers``
reports when a counter appears, restarts or goes. Not thread-safe: see state.
"""

from collections.abc import Iterable

from celery_redis_exporter.catalog import OVERFLOW, Kind, Metric
from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.samples import Family, Value
from celery_redis_exporter.records.saved_state import SavedPast
from celery_redis_exporter.state.rules import Naming
from celery_redis_exporter.state.series import Series

_SUMMED = {metric.name for metric in rows.SUMMED}
_NAMES = {metric.name for metric in rows.METRICS}
Key = tuple[str, tuple[str, ...]]
"""A metric's name, and the labels under which its series is shown."""


class _Past:
    """What the counters of one shown series lost: ``members`` are the workers that count now, ``value`` is the loss."""

    __slots__ = ("members", "value")

    def __init__(self) -> None:
        self.members = 0
        self.value: float = 0


class Merging:
    """Applies ``naming`` to the metrics of workers, and leaves every other metric as it is."""

    def __init__(self, naming: Naming) -> None:
        self.needed = naming.worker.needed or naming.queue.needed
        self._naming = naming
        self._past: dict[Key, _Past] = {}
        self._rows: dict[str, dict[tuple[str, ...], Series]] = {}  # kept, because what was rendered is cached in them

    def appear(self, metric: Metric, series: Series) -> None:
        """Note a new series of a worker."""
        key = self._key(metric, series)
        if key is not None:
            self._past.setdefault(key, _Past()).members += 1

    def restart(self, metric: Metric, series: Series) -> None:
        """Keep what a worker's counter has reached: it begins at 0 again, because the worker is another process."""
        key = self._key(metric, series)
        if key is not None:
            self._past[key].value += series.value

    def go(self, metric: Metric, series: Series) -> None:
        """Keep what a worker's counter has reached, because its series goes; forget that with the last such series."""
        key = self._key(metric, series)
        if key is None:
            return
        past = self._past[key]
        past.value += series.value
        past.members -= 1
        if not past.members:
            del self._past[key]

    def copy(self) -> list[SavedPast]:
        """Return what is kept of earlier workers."""
        return [SavedPast(metric, labels, past.value) for (metric, labels), past in self._past.items() if past.value]

    def restore(self, rows: Iterable[SavedPast]) -> None:
        """Keep what earlier workers counted where workers of the same shown name were restored."""
        for row in rows:
            past = self._past.get((row.metric, row.labels))
            if past is not None:
                past.value = row.value

    def merge(self, families: Iterable[Family]) -> list[Family]:
        """Return the families as they are to be shown; ``needed`` says whether they would differ."""
        return [self._merge(family) if family.metric.name in _NAMES else family for family in families]

    def _merge(self, family: Family) -> Family:
        metric = family.metric
        values: dict[tuple[str, ...], float] = {}
        for series, value in zip(family.series, family.values, strict=True):
            labels = self._shown(metric, series.labels)
            if labels is not None and isinstance(value, int | float):
                values[labels] = self._combine(metric, labels, values.get(labels), value)
        known = self._rows.get(metric.name, {})
        shown = self._rows[metric.name] = {labels: known.get(labels) or Series(labels) for labels in values}
        return Family(metric, list(shown.values()), list[Value](values.values()))

    def _combine(self, metric: Metric, labels: tuple[str, ...], others: float | None, value: float) -> float:
        """Return the value of a shown series: of ``others``, those of its workers that came before, and one more."""
        if metric.kind is Kind.COUNTER:
            if others is None:
                past = self._past.get((metric.name, labels))
                others = past.value if past else 0
            return others + value
        if others is None:
            return value
        return others + value if metric.name in _SUMMED else max(others, value)

    def _key(self, metric: Metric, series: Series) -> Key | None:
        """Return where the past of a counter is kept; None if there is none: it is not shown, or has no worker."""
        if not self.needed or metric.kind is not Kind.COUNTER or series.labels[0] == OVERFLOW:
            return None
        labels = self._shown(metric, series.labels)
        return None if labels is None else (metric.name, labels)

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
