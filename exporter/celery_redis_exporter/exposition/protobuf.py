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


class _Shown(NamedTuple):
    """What histograms contain: see ``encode_family``."""

    classic: bool
    created: bool


class _Packed(NamedTuple):
    """The labels of a series, and its last distribution with the message that was made of it.

    ``number`` is what precedes a number that is not 0, of a counter or a gauge.
    """

    labels: bytes
    value: Distribution | Buckets | None = None
    shown: _Shown | None = None
    metric: bytes = b""
    number: bytes = b""


def encode_family(family: Family, *, classic: bool, created: bool = False) -> list[bytes]:
    """Return one metric in pieces; nothing without any value.

    Without ``classic`` buckets, histograms that have native ones contain those only. ``created`` adds the time at which
    each counter and histogram began at 0; native histograms always have it.
    """
    metric = family.metric
    rows = [row for row in zip(family.series, family.values, strict=True) if row[1] is not None]
    if not rows:
        return []
    if metric.kind is Kind.SUMMARY:
        return _encode_summaries(metric, cast("list[tuple[SeriesView, Quantiles]]", rows))
    if metric.kind is Kind.HISTOGRAM:
        found = cast("list[tuple[SeriesView, Distribution | Buckets]]", rows)
        shown = _Shown(classic, created)
        messages = [_encode_histogram(metric, series, value, shown) for series, value in found]
    else:
        messages = _encode_numbers(metric, cast("list[tuple[SeriesView, float]]", rows), created=created)
    return wire.family(metric.name, metric.help, TYPES[metric.kind], messages)


def encode_number(kind: MetricType, labels: bytes, value: float, extras: bytes = b"") -> bytes:
    """Return a counter, a gauge or a metric of unknown type, for ``wire.family``."""
    content = wire.message(wire.METRIC_NUMBER[kind], wire.double(wire.NUMBER_VALUE, value) + extras)
    return wire.message(wire.FAMILY_METRIC, labels + content)


def _encode_numbers(metric: Metric, rows: Sequence[tuple[SeriesView, float]], *, created: bool) -> list[bytes]:
    """Return one message per series. What precedes the number is kept, as long as nothing follows it."""
    kind, exemplars = TYPES[metric.kind], has_exemplars(metric)
    born = created and kind is MetricType.COUNTER
    messages = []
    for series, value in rows:
        exemplar = series.exemplar if exemplars else None
        if born or exemplar is not None:
            extras = _encode_exemplar(wire.COUNTER_EXEMPLAR, exemplar)
            extras += _encode_birth(wire.COUNTER_CREATED, series, wanted=born)
            messages.append(encode_number(kind, _kept(metric, series).labels, value, extras))
            continue
        kept = _kept(metric, series)
        packed = wire.DOUBLE.pack(value)
        if packed == wire.ZERO:
            messages.append(encode_number(kind, kept.labels, value))
            continue
        if not kept.number:
            kept = series.packed = kept._replace(number=encode_number(kind, kept.labels, 1.0)[: -len(packed)])
        messages.append(kept.number + packed)
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


def _encode_histogram(metric: Metric, series: SeriesView, value: Distribution | Buckets, shown: _Shown) -> bytes:
    """Return the message of a histogram: the one that is kept if nothing was observed since, as is mostly the case."""
    kept = _kept(metric, series)
    if kept.value != value or kept.shown != shown:
        content = _encode_served(value) if isinstance(value, Buckets) else _encode_distribution(series, value, shown)
        encoded = wire.message(wire.FAMILY_METRIC, kept.labels + wire.message(wire.METRIC_HISTOGRAM, content))
        kept = series.packed = _Packed(kept.labels, value, shown, encoded)
    return kept.metric


def _encode_served(value: Buckets) -> bytes:
    cumulative = [(float(bound), count) for bound, count in value.cumulative]
    buckets = [_encode_bucket(wire.double(wire.BUCKET_BOUND, bound), count) for bound, count in cumulative]
    return b"".join([
        wire.integer(wire.SAMPLE_COUNT, value.observed), wire.double(wire.SAMPLE_SUM, value.total), *buckets,
        _encode_bucket(wire.double(wire.BUCKET_BOUND, inf), value.observed),
    ])  # fmt: skip


def _encode_distribution(series: SeriesView, value: Distribution, shown: _Shown) -> bytes:
    counts = [*accumulate(value.counts)]
    exemplars = value.exemplars or [None] * len(counts)
    pieces = [wire.integer(wire.SAMPLE_COUNT, counts[-1]), wire.double(wire.SAMPLE_SUM, value.total)]
    if shown.classic or value.native is None:
        bounds = _encode_bounds(series.bounds)
        pieces += [_encode_bucket(*row) for row in zip(bounds, counts, exemplars, strict=True)]
    pieces += _encode_native(value)
    wanted = shown.created or value.native is not None
    pieces.append(_encode_birth(wire.HISTOGRAM_CREATED, series, wanted=wanted))
    if value.native is not None:
        # One, because exemplars can't be compressed: those of all buckets would be half of a body.
        fitting = [exemplar for exemplar in exemplars if exemplar is not None and exemplar_fits(exemplar)]
        newest = max(fitting, key=lambda exemplar: exemplar[2], default=None)
        pieces.append(_encode_exemplar(wire.HISTOGRAM_EXEMPLAR, newest))
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


def _encode_birth(field: bytes, series: SeriesView, *, wanted: bool) -> bytes:
    """Return when a series began at 0, if that is known, rounded down to a second: milliseconds can't be compressed."""
    return wire.timestamp(field, series.born and series.born // 1) if wanted else b""


def _kept(metric: Metric, series: SeriesView) -> _Packed:
    kept = cast("_Packed | None", series.packed)
    if kept is None:
        kept = series.packed = _Packed(wire.labels(wire.METRIC_LABEL, sorted(_pairs(metric, series))))
    return kept


def _pairs(metric: Metric, series: SeriesView) -> list[tuple[str, str]]:
    """Return the labels of a series. It may lack the last ones: see ``families.merge_families``."""
    return list(zip(metric.label_names, series.labels, strict=False))
