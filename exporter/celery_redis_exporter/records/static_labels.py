# SPDX-License-Identifier: Apache-2.0
"""Labels that every metric of a process carries with the same value, such as the environment it runs in.

Takes names and values from the settings, gives metrics and label values that have them too, so that no other room
needs to know of them.
"""

from collections.abc import Mapping
from dataclasses import replace

from celery_redis_exporter.catalog import Label, Metric


class StaticLabels:
    """Names and values; none by default."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.by_name = dict(values or {})
        self.values = tuple(self.by_name.values())
        self._labels = tuple(Label(name, "The same on every metric, from the settings.") for name in self.by_name)
        self._extended: dict[Metric, Metric] = {}

    def extend(self, metric: Metric) -> Metric:
        """Give the metric with these labels behind its own; always the same object for the same metric."""
        if not self._labels:
            return metric
        extended = self._extended.get(metric)
        if extended is None:
            extended = self._extended[metric] = replace(metric, labels=(*metric.labels, *self._labels))
        return extended
