"""Lines of the distributions that servers keep: histograms with buckets of their own, and summaries.

Takes families of ``records.Buckets`` and ``records.Quantiles``, gives text. A server's bounds and quantiles are given
as it writes them, ``le="16"`` and ``quantile="99.9"``, which is how redis_exporter has them.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition.lines import (
    SMALL_NUMBERS,
    head_of,
    pairs_of,
    render_head,
    render_number,
    render_pairs,
    render_prefix,
)
from celery_redis_exporter.records.samples import Buckets, Family, Quantiles, SeriesView

# Redis's quantiles are percentiles, and OpenMetrics has none above 1: there the parts of a summary are metrics.
SUMMARY_PARTS = (("", "gauge"), ("_count", "unknown"), ("_sum", "unknown"))
"""Endings of the metrics of which a summary consists in OpenMetrics, and their types."""


class _Kept(NamedTuple):
    """What a series looked like, and its text by part, the same in both formats; and what its lines are made from.

    ``frame`` stands around a bound or quantile, ``prefixes`` before the count and the sum.
    """

    value: Buckets | Quantiles
    parts: tuple[str, str, str]
    frame: tuple[str, str]
    prefixes: tuple[str, str]


def add_buckets(lines: list[str], family: Family) -> None:
    """Add the lines of histograms, those of one series as one string."""
    for series, value in zip(family.series, cast("list[Buckets | None]", family.values), strict=True):
        if value is not None:
            lines.append("".join(_parts(family.metric, series, value)))


def render_summary(family: Family, *, openmetrics: bool) -> list[str]:
    """Render a summary, as pieces to join; none if it has no value."""
    metric, values = family.metric, cast("list[Quantiles | None]", family.values)
    found = [
        _parts(metric, series, value) for series, value in zip(family.series, values, strict=True) if value is not None
    ]
    if not found:
        return []
    if not openmetrics:
        return [render_head(metric, openmetrics=False), *(text for parts in found for text in parts)]
    pieces = []
    for (ending, kind), texts in zip(SUMMARY_PARTS, zip(*found, strict=True), strict=True):
        pieces += [head_of(f"{metric.name}{ending}", kind, metric.help, openmetrics=True), *texts]
    return pieces


def _parts(metric: Metric, series: SeriesView, value: Buckets | Quantiles) -> tuple[str, str, str]:
    """Give the lines of a series: buckets or quantiles, count, sum; kept as long as its value stays the same."""
    kept = cast("_Kept | None", series.cache)
    if kept is None or (kept.value is not value and kept.value != value):
        frame, prefixes = (_frame(metric, series), _prefixes(metric, series)) if kept is None else kept[2:]
        # The times of a command that is called again and again stay the same; how often that was does not.
        same = kept is not None and kept.value[0] == value[0] and isinstance(value, Quantiles)
        spread = kept.parts[0] if kept is not None and same else _render_spread(value, frame)
        kept = series.cache = _Kept(value, (spread, *_render_totals(value, prefixes)), frame, prefixes)
    return kept.parts


def _frame(metric: Metric, series: SeriesView) -> tuple[str, str]:
    """Give what stands before and behind a bound or quantile: labels are sorted by name."""
    name, label = (f"{metric.name}_bucket", "le") if metric.kind is Kind.HISTOGRAM else (metric.name, "quantile")
    pairs = pairs_of(metric, series)
    before = render_pairs({other: value for other, value in pairs.items() if other < label})
    behind = render_pairs({other: value for other, value in pairs.items() if other > label})
    return f'{name}{{{before}{"," if before else ""}{label}="', f'"{"," if behind else ""}{behind}}} '


def _prefixes(metric: Metric, series: SeriesView) -> tuple[str, str]:
    pairs = pairs_of(metric, series)
    return render_prefix(f"{metric.name}_count", pairs), render_prefix(f"{metric.name}_sum", pairs)


def _render_spread(value: Buckets | Quantiles, frame: tuple[str, str]) -> str:
    """Give the lines of bounds or quantiles."""
    before, behind = frame
    lines: Iterable[tuple[str, float]] = value[0]
    if isinstance(value, Buckets):
        lines = (*lines, ("+Inf", value.observed))
    return "".join([
        f"{before}{bound}{behind}{SMALL_NUMBERS.get(number) or render_number(number)}\n" for bound, number in lines
    ])  # fmt: skip


def _render_totals(value: Buckets | Quantiles, prefixes: tuple[str, str]) -> tuple[str, str]:
    """Give the lines of count and sum."""
    (_, observed, total), (count_prefix, sum_prefix) = value, prefixes
    return (
        f"{count_prefix} {SMALL_NUMBERS.get(observed) or render_number(observed)}\n",
        f"{sum_prefix} {SMALL_NUMBERS.get(total) or render_number(total)}\n",
    )
