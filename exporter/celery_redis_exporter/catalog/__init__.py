# SPDX-License-Identifier: Apache-2.0
"""List every metric. A metric that is not listed can't be exposed.

``CATALOG`` maps names to metrics in the order of exposition. Standard library only.
"""

from collections.abc import Iterable
from types import MappingProxyType

from celery_redis_exporter.catalog import internals, key_space, queues, redis_server, sentinel, tasks, workers
from celery_redis_exporter.catalog.metric import Kind, Label, Metric

__all__ = ["CATALOG", "NATIVE", "OVERFLOW", "UNKNOWN", "Kind", "Label", "Metric", "index"]

UNKNOWN = "unknown"
"""Label value for what is unknown."""

OVERFLOW = "__overflow__"
"""Label value that replaces all values over a limit."""


def index(metrics: Iterable[Metric]) -> MappingProxyType[str, Metric]:
    """Map names to metrics, in order; raise ValueError for a name that is declared twice."""
    by_name: dict[str, Metric] = {}
    for metric in metrics:
        if metric.name in by_name:
            raise ValueError(f"metric {metric.name} is declared twice")
        by_name[metric.name] = metric
    return MappingProxyType(by_name)


NATIVE = frozenset((tasks.TASK_RUNTIME, tasks.TASK_WAIT, tasks.TASK_PREFETCH, internals.EVENT_LAG))
"""Histograms that can be counted in native buckets, too (metrics.native_histograms)."""

CATALOG = index((
    *tasks.METRICS, *workers.METRICS, *queues.METRICS, *redis_server.METRICS, *sentinel.METRICS, *key_space.METRICS,
    *internals.METRICS,
))  # fmt: skip
