# SPDX-License-Identifier: Apache-2.0
"""Bound the number of series that a server can create in each metric, since servers choose the values of labels.

Redis 6.2 to 7.2 create an error name for each different first word of an error, without a limit. Input: the samples of
one read of a server. Output: the samples that are kept.
"""

from collections.abc import Callable, Sequence

from celery_redis_exporter.catalog import OVERFLOW, Kind, Metric
from celery_redis_exporter.catalog.labels import REDIS
from celery_redis_exporter.records.samples import Sample

Refuse = Callable[[Metric, int], None]
"""Counts samples of a metric that were left out or summed up."""


class SampleBounds:
    """Keep at most ``limit`` series of each metric of one server, the first ones that it sent. Not thread-safe.

    The others are summed up under OVERFLOW if the metric is a counter, and left out if not. A series keeps its place
    while there are others, even if it is missing for a while: otherwise the sum of the others would fall.
    """

    def __init__(self, limit: int, refuse: Refuse) -> None:
        self._limit = limit
        self._refuse = refuse
        self._admitted: dict[Metric, set[tuple[str, ...]]] = {}

    def apply(self, samples: list[Sample]) -> list[Sample]:
        """Return the samples that are kept, by metric in the order of their first appearance."""
        if len(samples) <= self._limit and not self._admitted:
            return samples
        by_metric: dict[Metric, list[Sample]] = {}
        for sample in samples:
            by_metric.setdefault(sample.metric, []).append(sample)
        kept: list[Sample] = []
        for metric, found in by_metric.items():
            is_over = len(found) > self._limit or metric in self._admitted
            kept += self._fold(metric, found) if is_over else found
        return kept

    def _fold(self, metric: Metric, found: Sequence[Sample]) -> list[Sample]:
        admitted = self._admitted.setdefault(metric, set())
        kept: list[Sample] = []
        left_out, total = 0, 0.0
        for sample in found:
            if sample.labels in admitted or len(admitted) < self._limit:
                admitted.add(sample.labels)
                kept.append(sample)
            else:
                left_out += 1
                total += sample.value if isinstance(sample.value, int | float) else 0.0
        if not left_out:
            del self._admitted[metric]
            return kept
        self._refuse(metric, left_out)
        if metric.kind is Kind.COUNTER:
            kept.append(Sample(metric, _overflow_labels(metric, found[0].labels), total))
        return kept


def _overflow_labels(metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
    pairs = zip(metric.labels, labels, strict=True)
    return tuple(value if label.closed or label is REDIS else OVERFLOW for label, value in pairs)
