# SPDX-License-Identifier: Apache-2.0
"""Define labels that every metric of a process has with the same value, such as the environment it runs in.

Input: names and values from the settings. Output: metrics and label values that have them too, so that no other layer
needs to handle them.
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
        """Return the metric with these labels after its own; always the same object for the same metric."""
        if not self._labels:
            return metric
        extended = self._extended.get(metric)
        if extended is None:
            extended = self._extended[metric] = replace(metric, labels=(*metric.labels, *self._labels))
        return extended
