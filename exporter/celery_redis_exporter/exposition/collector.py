# SPDX-License-Identifier: Apache-2.0
"""Convert families to prometheus_client's Metric objects, for programs that embed the exporter in their own registry.

Values, names and exemplars are the same as those of ``text``; a contract test compares the two. Nothing is kept.
``collect`` calls the function that it was given, and ``describe`` reads the catalogue only; neither does other I/O.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import cast

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.metrics_core import Metric as ClientMetric
from prometheus_client.registry import Collector as ClientCollector
from prometheus_client.samples import Exemplar as ClientExemplar

from celery_redis_exporter.catalog import CATALOG, Kind, Metric
from celery_redis_exporter.exposition.text import (
    EXEMPLAR_LABEL,
    SUMMARY_PARTS,
    exemplar_fits,
    has_exemplars,
    render_number,
)
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, SeriesView


class RegistryCollector(ClientCollector):
    """A collector for prometheus_client's ``CollectorRegistry.register``.

    ``collect`` returns the current families in the order of the output. ``metrics`` are all that it may return:
    registering needs their names and must not cause a scrape. ``created`` adds the time at which each counter and
    histogram began at 0.
    """

    def __init__(
        self,
        collect: Callable[[], Iterable[Family]],
        metrics: tuple[Metric, ...] = tuple(CATALOG.values()),
        *,
        created: bool = False,
    ) -> None:
        self._collect = collect
        self._metrics = metrics
        self._created = created

    def collect(self) -> Iterator[ClientMetric]:
        """Yield the families that have at least one value."""
        for family in self._collect():
            for converted in _convert(family, created=self._created):
                if converted.samples:
                    yield converted

    def describe(self) -> Iterator[ClientMetric]:
        """Yield the metrics without samples."""
        return (empty for metric in self._metrics for empty in _empty(metric))


def _empty(metric: Metric) -> list[ClientMetric]:
    """Return prometheus_client's families of a metric: one, or several for a summary (see ``SUMMARY_PARTS``)."""
    name, text, labels = metric.name, metric.help, metric.label_names
    match metric.kind:
        case Kind.HISTOGRAM:
            return [HistogramMetricFamily(name, text, labels=labels)]
        case Kind.GAUGE:
            return [GaugeMetricFamily(name, text, labels=labels)]
        case Kind.SUMMARY:
            return [ClientMetric(f"{name}{ending}", text, kind) for ending, kind in SUMMARY_PARTS]
        case Kind.COUNTER if name.endswith("_total"):
            return [CounterMetricFamily(name, text, labels=labels)]
        case Kind.COUNTER:
            # prometheus_client would append `_total` to the name of a counter that lacks it.
            return [UnknownMetricFamily(name, text, labels=labels)]


def _convert(family: Family, *, created: bool) -> list[ClientMetric]:
    families = _empty(family.metric)
    label_names = family.metric.label_names
    exemplars = has_exemplars(family.metric)
    for series, value in zip(family.series, family.values, strict=True):
        if value is None:
            continue
        labels = dict(zip(label_names, series.labels, strict=True))
        converted = families[0]
        if isinstance(value, Quantiles):
            _add_quantiles(families, labels, value)
        elif isinstance(converted, HistogramMetricFamily):
            distribution = cast("Distribution | Buckets", value)
            converted.add_metric(series.labels, _buckets(series, distribution), distribution.total)
        else:
            exemplar = _convert_exemplar(series.exemplar) if exemplars else None
            converted.add_sample(family.metric.name, labels, cast("float", value), exemplar=exemplar)
        if created and series.born is not None:
            converted.add_sample(f"{converted.name}_created", labels, series.born)
    return families


def _add_quantiles(families: list[ClientMetric], labels: dict[str, str], value: Quantiles) -> None:
    quantiles, count, total = families
    for quantile, number in value.values:
        quantiles.add_sample(quantiles.name, {**labels, "quantile": quantile}, number)
    count.add_sample(count.name, labels, value.observed)
    total.add_sample(total.name, labels, value.total)


def _buckets(
    series: SeriesView, distribution: Distribution | Buckets
) -> list[tuple[str, float] | tuple[str, float, ClientExemplar]]:
    if isinstance(distribution, Buckets):
        return [*distribution.cumulative, ("+Inf", distribution.observed)]
    bounds = [*map(render_number, series.bounds), "+Inf"]
    counts = accumulate(distribution.counts)
    exemplars = distribution.exemplars or [None] * len(bounds)
    buckets: list[tuple[str, float] | tuple[str, float, ClientExemplar]] = []
    for bound, count, exemplar in zip(bounds, counts, exemplars, strict=True):
        converted = _convert_exemplar(exemplar)
        buckets.append((bound, count) if converted is None else (bound, count, converted))
    return buckets


def _convert_exemplar(exemplar: Exemplar | None) -> ClientExemplar | None:
    if exemplar is None or not exemplar_fits(exemplar):
        return None
    task_id, value, timestamp = exemplar
    return ClientExemplar({EXEMPLAR_LABEL: task_id}, value, timestamp)
