# SPDX-License-Identifier: Apache-2.0
"""Render families as text: format 0.0.4 or OpenMetrics 1.0, without ``# EOF``.

Input: families. Output: lines. The bytes are those that prometheus_client's ``generate_latest`` writes for the same
values, which a contract test checks. ``render_head`` and ``SUMMARY_PARTS`` describe the two exceptions.

Each series keeps what is expensive to make in ``series.cache``: labels, and the text of a distribution. A cached object
is never changed, only replaced, so any number of threads may render the same series.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate
from typing import NamedTuple, cast

from prometheus_client.utils import floatToGoString

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, SeriesView

EXEMPLAR_LABEL = "task_id"
MAX_EXEMPLAR_LENGTH = 128
"""Most characters of an exemplar's label names and values together, by the OpenMetrics specification."""
SUMMARY_PARTS = (("", "gauge"), ("_count", "unknown"), ("_sum", "unknown"))
"""Suffixes and types of the metrics that replace a summary in OpenMetrics.

Redis's quantiles are percentiles, and OpenMetrics allows no quantile above 1.
"""
GO_EXPONENTS = 1_000_000
"""Go's format differs from Python's repr for numbers from this one on, and for those that are not finite."""

# 7 and 7.0 are the same key, and a look-up is faster than formatting. 0 is left out because -0.0 is the same key.
_SMALL_NUMBERS: dict[float, str] = {number: f"{number}.0" for number in range(1, 1024)}
_BEFORE, _BEHIND = "\n<", "\0"
"""Placeholders of labels in a template. No label contains the first, since line breaks are escaped."""
_ODD = re.compile(r'["\\\n{}#]').search


def render_family(family: Family, *, openmetrics: bool, created: bool = False) -> list[str]:
    """Return the text of one metric in pieces: the head, then one piece per series.

    A value of None yields no piece. Without any value there is no head either. ``created`` adds to OpenMetrics the time
    at which each counter and histogram began at 0.
    """
    metric = family.metric
    if metric.kind is Kind.SUMMARY:
        return _render_summaries(family, openmetrics=openmetrics)
    if metric.kind is not Kind.HISTOGRAM:
        pieces = _render_numbers(family, openmetrics=openmetrics)
    elif metric.buckets:
        pieces = _render_histograms(family, openmetrics=openmetrics)
    else:
        pieces = ["".join(parts) for parts in _render_served(family)]
    if not pieces:
        return []
    if created and openmetrics:
        pieces = list(_add_created(pieces, family))
    return [render_head(metric, openmetrics=openmetrics), *pieces]


# --- Heads, labels, numbers


@cache
def render_head(metric: Metric, *, openmetrics: bool) -> str:
    """Return HELP and TYPE.

    OpenMetrics requires that the name of a counter ends with ``_total``. The type of another counter is ``unknown``
    there. In the text format it remains a counter, where prometheus_client, which handles both formats alike, writes
    ``untyped``.
    """
    name, kind = metric.name, str(metric.kind)
    if openmetrics and metric.kind is Kind.COUNTER:
        kind = "counter" if name.endswith("_total") else "unknown"
        name = name.removesuffix("_total")
    return _head(name, kind, metric.help, openmetrics=openmetrics)


def render_number(value: float) -> str:
    """Return a number in Go's format, which prometheus_client uses too: ``1.0``, ``1e+06``, ``+Inf``, ``NaN``."""
    value = float(value)
    if -1e300 < value < GO_EXPONENTS:
        return repr(value)
    return cast("str", floatToGoString(value))  # type: ignore[no-untyped-call]


def render_pairs(pairs: dict[str, str]) -> str:
    """Return the labels in the order of their names, without braces."""
    return ",".join([f'{label}="{_escape(value)}"' for label, value in sorted(pairs.items())])


def _head(name: str, kind: str, text: str, *, openmetrics: bool) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _pairs(metric: Metric, series: SeriesView) -> dict[str, str]:
    """Return the labels of a series. It may lack the last ones: see ``families.merge_families``."""
    return dict(zip(metric.label_names, series.labels, strict=False))


def _prefix(name: str, pairs: dict[str, str]) -> str:
    """Return what precedes the number of a sample, without the space."""
    return f"{name}{{{render_pairs(pairs)}}}" if pairs else name


# --- Counters and gauges


def _render_numbers(family: Family, *, openmetrics: bool) -> list[str]:
    """Return one line per series. ``series.cache`` is the text before the number."""
    metric = family.metric
    exemplars = openmetrics and has_exemplars(metric)
    lines = []
    for series, value in zip(family.series, cast("Sequence[float | None]", family.values), strict=True):
        if value is None:
            continue
        prefix = series.cache
        if prefix is None:
            prefix = series.cache = _prefix(metric.name, _pairs(metric, series))
        exemplar = _render_exemplar(series.exemplar) if exemplars and series.exemplar else ""
        lines.append(f"{prefix} {_SMALL_NUMBERS.get(value) or render_number(value)}{exemplar}\n")
    return lines


# --- Histograms of events


class _HistogramLabels(NamedTuple):
    """The labels of a histogram as text: those that are sorted before ``le``, and those behind it."""

    before: str
    behind: str


class _HistogramText(NamedTuple):
    """The text of a histogram and its input. Both formats share it if there are no exemplars."""

    counts: list[int]
    total: float
    exemplars: list[Exemplar | None] | None
    labels: _HistogramLabels
    text: str


def _render_histograms(family: Family, *, openmetrics: bool) -> list[str]:
    """Return the lines of each series as one piece.

    Most tasks are idle between two scrapes. Comparing the counts is much cheaper than formatting them.
    """
    metric = family.metric
    pieces = []
    for series, value in zip(family.series, cast("Sequence[Distribution | None]", family.values), strict=True):
        if value is None:
            continue
        exemplars = value.exemplars if openmetrics else None
        kept = cast("_HistogramText | None", series.cache)
        if kept is None or not (
            kept.counts == value.counts and kept.total == value.total and kept.exemplars == exemplars
        ):
            labels = _histogram_labels(_pairs(metric, series)) if kept is None else kept.labels
            text = _render_histogram(metric, series, value, labels)
            if exemplars is not None:
                text = _add_exemplars(text, exemplars)
            kept = series.cache = _HistogramText(value.counts, value.total, exemplars, labels, text)
        pieces.append(kept.text)
    return pieces


def _histogram_labels(pairs: dict[str, str]) -> _HistogramLabels:
    return _HistogramLabels(
        render_pairs({name: value for name, value in pairs.items() if name < "le"}),
        render_pairs({name: value for name, value in pairs.items() if name > "le"}),
    )


def _render_histogram(metric: Metric, series: SeriesView, value: Distribution, labels: _HistogramLabels) -> str:
    counts = [*accumulate(value.counts)]
    counts.append(counts[-1])
    whole = counts[-1] < GO_EXPONENTS  # then one format operation writes all counts
    template = _histogram_template(
        metric, series.bounds, "%d.0" if whole else "%s", before=bool(labels.before), behind=bool(labels.behind)
    )
    text = template % (*(counts if whole else map(render_number, counts)), render_number(value.total))
    # Labels are inserted last, and in this order, because they may contain any text but a line break.
    text = text.replace(_BEHIND, labels.behind)
    return text.replace(_BEFORE, labels.before) if labels.before else text


@lru_cache(maxsize=256)
def _histogram_template(metric: Metric, bounds: tuple[float, ...], count: str, *, before: bool, behind: bool) -> str:
    """Return all lines of a histogram with these bounds as a format, with placeholders for its labels.

    ``count`` is the format of counts. The format of the sum is ``%s``. ``before`` and ``behind`` state whether there
    are labels before and behind ``le``.
    """
    first, last = [_BEFORE] if before else [], [_BEHIND] if behind else []
    labels = f"{{{','.join([*first, *last])}}}" if first or last else ""
    bounded = [",".join([*first, f'le="{bound}"', *last]) for bound in (*map(render_number, bounds), "+Inf")]
    buckets = [f"{metric.name}_bucket{{{inner}}} {count}\n" for inner in bounded]
    return f"{''.join(buckets)}{metric.name}_count{labels} {count}\n{metric.name}_sum{labels} %s\n"


# --- Distributions of servers, with bounds and quantiles as the server writes them: ``le="16"``


class _ServedText(NamedTuple):
    """The value of a distribution, its lines (buckets or quantiles, count, sum), and the text before the numbers."""

    value: Buckets | Quantiles
    parts: tuple[str, str, str]
    prefixes: "_ServedPrefixes"


class _ServedPrefixes(NamedTuple):
    """Text around a bound or quantile, and before the count and the sum."""

    before: str
    behind: str
    before_count: str
    before_sum: str


def _render_summaries(family: Family, *, openmetrics: bool) -> list[str]:
    """Return a summary in pieces. In OpenMetrics it is three metrics, see ``SUMMARY_PARTS``."""
    metric = family.metric
    found = _render_served(family)
    if not found:
        return []
    if not openmetrics:
        return [render_head(metric, openmetrics=False), *map("".join, found)]
    pieces = []
    for (ending, kind), texts in zip(SUMMARY_PARTS, zip(*found, strict=True), strict=True):
        pieces += [_head(f"{metric.name}{ending}", kind, metric.help, openmetrics=True), *texts]
    return pieces


def _render_served(family: Family) -> list[tuple[str, str, str]]:
    """Return the lines of each series: buckets or quantiles, count, sum. Most commands are idle between two scrapes."""
    found = []
    values = cast("Sequence[Buckets | Quantiles | None]", family.values)
    for series, value in zip(family.series, values, strict=True):
        if value is None:
            continue
        kept = cast("_ServedText | None", series.cache)
        if kept is None or kept.value != value:
            prefixes = _served_prefixes(family.metric, series) if kept is None else kept.prefixes
            kept = series.cache = _ServedText(value, _served_parts(value, prefixes), prefixes)
        found.append(kept.parts)
    return found


def _served_prefixes(metric: Metric, series: SeriesView) -> _ServedPrefixes:
    """Return the prefixes of a series. Labels are sorted, so some may come before ``le`` or ``quantile``."""
    name, label = (f"{metric.name}_bucket", "le") if metric.kind is Kind.HISTOGRAM else (metric.name, "quantile")
    pairs = _pairs(metric, series)
    before = render_pairs({other: value for other, value in pairs.items() if other < label})
    behind = render_pairs({other: value for other, value in pairs.items() if other > label})
    return _ServedPrefixes(
        f'{name}{{{before}{"," if before else ""}{label}="',
        f'"{"," if behind else ""}{behind}}} ',
        _prefix(f"{metric.name}_count", pairs),
        _prefix(f"{metric.name}_sum", pairs),
    )


def _served_parts(value: Buckets | Quantiles, prefixes: _ServedPrefixes) -> tuple[str, str, str]:
    before, behind, before_count, before_sum = prefixes
    lines: Iterable[tuple[str, float]] = value[0]
    if isinstance(value, Buckets):
        lines = (*lines, ("+Inf", value.observed))
    return (
        "".join([f"{before}{bound}{behind}{render_number(number)}\n" for bound, number in lines]),
        f"{before_count} {render_number(value.observed)}\n",
        f"{before_sum} {render_number(value.total)}\n",
    )


# --- Additions of OpenMetrics: exemplars, and when series began


def has_exemplars(metric: Metric) -> bool:
    """Return whether OpenMetrics allows exemplars: on histograms, and on counters whose name ends with ``_total``."""
    return metric.kind is Kind.HISTOGRAM or (metric.kind is Kind.COUNTER and metric.name.endswith("_total"))


def exemplar_fits(exemplar: Exemplar) -> bool:
    """Return whether an exemplar is within OpenMetrics's limit and every parser can read it.

    prometheus_client's parser rejects a whole body for an exemplar that contains a quote or a brace. No task id of
    Celery contains one. An exemplar that fits needs no escaping.
    """
    task_id = exemplar[0]
    return len(EXEMPLAR_LABEL) + len(task_id) <= MAX_EXEMPLAR_LENGTH and _ODD(task_id) is None


def _render_exemplar(exemplar: Exemplar) -> str:
    if not exemplar_fits(exemplar):
        return ""
    task_id, value, timestamp = exemplar
    return f' # {{{EXEMPLAR_LABEL}="{task_id}"}} {render_number(value)} {timestamp}'


def _add_exemplars(text: str, exemplars: list[Exemplar | None]) -> str:
    """Append each exemplar to the line of its bucket."""
    lines = text.split("\n")
    for position, exemplar in enumerate(exemplars):
        if exemplar is not None:
            lines[position] += _render_exemplar(exemplar)
    return "\n".join(lines)


def _add_created(pieces: list[str], family: Family) -> Iterator[str]:
    """Yield each piece, followed by the ``_created`` of its series."""
    metric = family.metric
    name = f"{metric.name.removesuffix('_total')}_created"
    shown = [series for series, value in zip(family.series, family.values, strict=True) if value is not None]
    for piece, series in zip(pieces, shown, strict=True):
        yield piece
        if series.born is not None:
            yield f"{_prefix(name, _pairs(metric, series))} {render_number(series.born)}\n"
