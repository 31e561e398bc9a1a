# SPDX-License-Identifier: Apache-2.0
"""Render families in Prometheus's protobuf format: messages of MetricFamily, each preceded by its length.

Input: families. Output: bytes. Only this format can contain native histograms. Names, labels and values are those of
OpenMetrics, so that Prometheus stores the same series. A summary is three families here, too (``text.SUMMARY_PARTS``).

Each series keeps in ``series.packed`` what is expensive to make: its labels, and a distribution. A kept object is never
changed, only replaced, so any number of threads may render the same series.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import inf
from typing import NamedTuple, cast

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition import wire
from celery_redis_exporter.exposition.text import EXEMPLAR_LABEL, SUMMARY_PARTS, exemplar_fits, has_exemplars
from celery_redis_exporter.exposition.wire import MetricType
from celery_redis_exporter.records.resolution import ZERO_THRESHOLD, fold
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, SeriesView

TYPES = {
    Kind.COUNTER: MetricType.COUNTER, Kind.GAUGE: MetricType.GAUGE, Kind.HISTOGRAM: MetricType.HISTOGRAM,
    "gauge": MetricType.GAUGE, "unknown": MetricType.UNTYPED,
}  # fmt: skip


class _Packed(NamedTuple):
    """The labels of a series, and its last distribution with the message that was made of it."""

    labels: bytes
    value: Distribution | Buckets | None = None
    metric: bytes = b""


def encode_family(family: Family, *, classic: bool) -> list[bytes]:
    """Return one metric in pieces; nothing without any value.

    Without ``classic`` buckets, histograms that have native ones contain those only.
    """
    metric = family.metric
    rows = [row for row in zip(family.series, family.values, strict=True) if row[1] is not None]
    if not rows:
        return []
    if metric.kind is Kind.SUMMARY:
        return _encode_summaries(metric, cast("list[tuple[SeriesView, Quantiles]]", rows))
    if metric.kind is Kind.HISTOGRAM:
        found = cast("list[tuple[SeriesView, Distribution | Buckets]]", rows)
        messages = [_encode_histogram(metric, series, value, classic=classic) for series, value in found]
    else:
        messages = _encode_numbers(metric, cast("list[tuple[SeriesView, float]]", rows))
    return wire.family(metric.name, metric.help, TYPES[metric.kind], messages)


def encode_number(kind: MetricType, labels: bytes, value: float, extras: bytes = b"") -> bytes:
    """Return a message of a counter, a gauge or a metric of unknown type."""
    return labels + wire.message(wire.METRIC_NUMBER[kind], wire.double(wire.NUMBER_VALUE, value) + extras)


def _encode_numbers(metric: Metric, rows: Sequence[tuple[SeriesView, float]]) -> list[bytes]:
    kind, exemplars = TYPES[metric.kind], has_exemplars(metric)
    messages = []
    for series, value in rows:
        extras = b""
        if kind is MetricType.COUNTER:
            extras = _encode_exemplar(wire.COUNTER_EXEMPLAR, series.exemplar) if exemplars else b""
            extras += wire.timestamp(wire.COUNTER_CREATED, series.born)
        messages.append(encode_number(kind, _kept(metric, series).labels, value, extras))
    return messages


def _encode_summaries(metric: Metric, rows: Sequence[tuple[SeriesView, Quantiles]]) -> list[bytes]:
    pieces = []
    for ending, name in SUMMARY_PARTS:
        kind = TYPES[name]
        messages = []
        for series, value in rows:
            if ending:
                number = value.observed if ending == "_count" else value.total
                messages.append(encode_number(kind, _kept(metric, series).labels, number))
                continue
            for quantile, number in value.values:
                pairs = sorted([*_pairs(metric, series), ("quantile", quantile)])
                messages.append(encode_number(kind, wire.labels(wire.METRIC_LABEL, pairs), number))
        pieces += wire.family(f"{metric.name}{ending}", metric.help, kind, messages)
    return pieces


def _encode_histogram(metric: Metric, series: SeriesView, value: Distribution | Buckets, *, classic: bool) -> bytes:
    """Return the message of a histogram: the one that is kept if nothing was observed since, as is mostly the case."""
    kept = _kept(metric, series)
    if kept.value is None or kept.value != value:
        if isinstance(value, Buckets):
            content = _encode_served(value)
        else:
            content = _encode_distribution(series, value, classic=classic or value.native is None)
        encoded = kept.labels + wire.message(wire.METRIC_HISTOGRAM, content)
        kept = series.packed = _Packed(kept.labels, value, encoded)
    return kept.metric


def _encode_served(value: Buckets) -> bytes:
    cumulative = [(float(bound), count) for bound, count in value.cumulative]
    buckets = [_encode_bucket(wire.double(wire.BUCKET_BOUND, bound), count) for bound, count in cumulative]
    return b"".join([
        wire.integer(wire.SAMPLE_COUNT, value.observed), wire.double(wire.SAMPLE_SUM, value.total), *buckets,
        _encode_bucket(wire.double(wire.BUCKET_BOUND, inf), value.observed),
    ])  # fmt: skip


def _encode_distribution(series: SeriesView, value: Distribution, *, classic: bool) -> bytes:
    counts = [*accumulate(value.counts)]
    exemplars = value.exemplars or [None] * len(counts)
    pieces = [wire.integer(wire.SAMPLE_COUNT, counts[-1]), wire.double(wire.SAMPLE_SUM, value.total)]
    if classic:
        bounds = _encode_bounds(series.bounds)
        pieces += [_encode_bucket(*row) for row in zip(bounds, counts, exemplars, strict=True)]
    pieces += _encode_native(value)
    pieces.append(wire.timestamp(wire.HISTOGRAM_CREATED, series.born))
    if value.native is not None:  # Prometheus 3.5 reads those of buckets for the first series of a family only
        pieces += [_encode_exemplar(wire.HISTOGRAM_EXEMPLAR, exemplar) for exemplar in exemplars]
    return b"".join(pieces)


def _encode_native(value: Distribution) -> list[bytes]:
    if value.native is None:
        return []
    zero, buckets = fold(value.native)
    return [
        wire.integer(wire.SCHEMA, wire.zigzag(value.native.resolution.schema)),
        wire.double(wire.ZERO_THRESHOLD, ZERO_THRESHOLD), wire.integer(wire.ZERO_COUNT, zero), wire.buckets(buckets),
    ]  # fmt: skip


@lru_cache(maxsize=256)
def _encode_bounds(bounds: tuple[float, ...]) -> tuple[bytes, ...]:
    return tuple(wire.double(wire.BUCKET_BOUND, bound) for bound in (*bounds, inf))


def _encode_bucket(bound: bytes, count: int, exemplar: Exemplar | None = None) -> bytes:
    content = wire.integer(wire.BUCKET_COUNT, count) + bound + _encode_exemplar(wire.BUCKET_EXEMPLAR, exemplar)
    return wire.message(wire.BUCKET, content)


def _encode_exemplar(field: bytes, exemplar: Exemplar | None) -> bytes:
    if exemplar is None or not exemplar_fits(exemplar):
        return b""
    return wire.exemplar(field, EXEMPLAR_LABEL, exemplar)


def _kept(metric: Metric, series: SeriesView) -> _Packed:
    kept = cast("_Packed | None", series.packed)
    if kept is None:
        kept = series.packed = _Packed(wire.labels(wire.METRIC_LABEL, sorted(_pairs(metric, series))))
    return kept


def _pairs(metric: Metric, series: SeriesView) -> list[tuple[str, str]]:
    """Return the labels of a series. It may lack the last ones: see ``families.merge_families``."""
    return list(zip(metric.label_names, series.labels, strict=False))
