"""Families in, the body of a scrape out: text format 0.0.4 or OpenMetrics 1.0, without ``# EOF``.

Gives the bytes that prometheus_client's ``generate_latest`` gives for the same values (a contract test holds it to
that), many times faster; the exceptions are named at ``lines.render_head`` and in ``served``. Never reads a clock, a
socket or the state: the values come in with the families. Any number of threads may render the same series at once.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, cast

from celery_redis_exporter.catalog import Kind, Metric
from celery_redis_exporter.exposition.lines import (
    GO_EXPONENTS,
    SMALL_NUMBERS,
    pairs_of,
    render_head,
    render_number,
    render_pairs,
    render_prefix,
)
from celery_redis_exporter.exposition.served import add_buckets, render_summary
from celery_redis_exporter.records.samples import Distribution, Exemplar, Family, SeriesView

EXEMPLAR_LABEL = "task_id"
MAX_EXEMPLAR_LENGTH = 128
"""Characters of an exemplar's label names and values together, by the OpenMetrics specification."""

_ODD = re.compile(r'["\\\n{}#]').search
_LABELS = "\0"
"""Stands for the labels in a template."""


def render_family(family: Family, *, openmetrics: bool, created: bool = False) -> list[str]:
    """Render one metric, as pieces to join; values that are None leave no sample, and no piece if there is no other.

    ``created`` adds to OpenMetrics when each counter and histogram began at 0.
    """
    metric = family.metric
    if metric.kind is Kind.SUMMARY:
        return render_summary(family, openmetrics=openmetrics)
    lines: list[str] = [""]
    if metric.kind is not Kind.HISTOGRAM:
        _add_numbers(lines, family, openmetrics=openmetrics)
    elif metric.buckets:
        _add_histograms(lines, family, openmetrics=openmetrics)
    else:
        add_buckets(lines, family)
    if len(lines) == 1:
        return []
    if created and openmetrics:
        lines = [lines[0], *_with_births(lines[1:], family)]
    lines[0] = render_head(metric, openmetrics=openmetrics)
    return lines


def exemplar_fits(exemplar: Exemplar) -> bool:
    """Whether OpenMetrics allows the exemplar, which has a limit of 128 characters, and every parser reads it.

    prometheus_client's refuses a whole body for an exemplar with a quote or a brace in it, which no id of Celery's has.
    What fits needs no escaping.
    """
    task_id = exemplar[0]
    return len(EXEMPLAR_LABEL) + len(task_id) <= MAX_EXEMPLAR_LENGTH and _ODD(task_id) is None


def has_exemplars(metric: Metric) -> bool:
    """Whether OpenMetrics allows exemplars on the metric: histograms, and counters that are named as such."""
    return metric.kind is Kind.HISTOGRAM or (metric.kind is Kind.COUNTER and metric.name.endswith("_total"))


def _add_numbers(lines: list[str], family: Family, *, openmetrics: bool) -> None:
    """Add the lines of counters or gauges.

    ``series.cache`` is (value, line) of the last rendering, without an exemplar and so the same in both formats. It is
    replaced as a whole: another thread sees the old pair or the new one, never half of each.
    """
    metric = family.metric
    values = cast("Sequence[float | None]", family.values)
    exemplars = openmetrics and has_exemplars(metric)
    for series, value in zip(family.series, values, strict=True):
        if value is None:
            continue
        cached: Any = series.cache
        # `and value`, because 0.0 == -0.0, which are two different lines.
        if cached is None or not (value is cached[0] or (value == cached[0] and value)):
            # The prefix is taken back from the old line, so that nothing is kept twice: a number has no space.
            prefix = (
                render_prefix(metric.name, pairs_of(metric, series)) if cached is None else cached[1].rpartition(" ")[0]
            )
            number = SMALL_NUMBERS.get(value) or render_number(value)
            cached = series.cache = (value, f"{prefix} {number}\n")
        exemplar = series.exemplar if exemplars else None
        lines.append(cached[1] if exemplar is None else f"{cached[1][:-1]}{_render_exemplar(exemplar)}\n")


def _add_histograms(lines: list[str], family: Family, *, openmetrics: bool) -> None:
    """Add the lines of histograms, those of one series as one string.

    ``series.cache`` is (counts, total, exemplars, that string, its labels) of the last rendering, in the format of that
    one: of two formats in turn each is made anew. Most tasks are idle between two scrapes, and comparing two lists of
    numbers is far cheaper than formatting one.
    """
    metric = family.metric
    for series, value in zip(family.series, cast("Sequence[Distribution | None]", family.values), strict=True):
        if value is None:
            continue
        cached: Any = series.cache
        exemplars = value.exemplars if openmetrics else None
        if (
            cached is None
            or value.counts != cached[0]
            or value.total is not cached[1]
            or (exemplars is not cached[2] and exemplars != cached[2])
        ):
            labels = render_pairs(pairs_of(metric, series)) if cached is None else cached[4]
            text = _render_histogram(metric, series, value, labels)
            if exemplars is not None:
                text = _with_exemplars(text, exemplars)
            cached = series.cache = (value.counts, value.total, exemplars, text, labels)
        lines.append(cached[3])


def _render_histogram(metric: Metric, series: SeriesView, value: Distribution, labels: str) -> str:
    counts = [*accumulate(value.counts)]
    counts.append(counts[-1])
    # Formatting whole numbers takes no step of Python's for each.
    whole = counts[-1] < GO_EXPONENTS
    template = _histogram_template(metric, series.bounds, "%d.0" if whole else "%s")
    total = render_number(value.total)
    if template is None:
        numbers = [*map(render_number, counts), total]
        prefixes = _histogram_prefixes(metric, series)
        return "".join([f"{prefix} {number}\n" for prefix, number in zip(prefixes, numbers, strict=True)])
    # Labels come last, and in one step, since they may hold anything.
    return (template % (*(counts if whole else map(render_number, counts)), total)).replace(_LABELS, labels)


@lru_cache(maxsize=256)
def _histogram_template(metric: Metric, bounds: tuple[float, ...], count: str) -> str | None:
    """All lines of a histogram with these bounds, ``_LABELS`` in the place of labels.

    ``count`` is how counts are formatted; the sum comes as text.

    None if a label's name sorts before ``le``, so that labels do not stand in one place.
    """
    if any(name < "le" for name in metric.label_names):
        return None
    rest, labels = (f",{_LABELS}", f"{{{_LABELS}}}") if metric.labels else ("", "")
    buckets = [f'{metric.name}_bucket{{le="{bound}"{rest}}}' for bound in (*map(render_number, bounds), "+Inf")]
    counted = "".join(f"{prefix} {count}\n" for prefix in (*buckets, f"{metric.name}_count{labels}"))
    return f"{counted}{metric.name}_sum{labels} %s\n"


def _histogram_prefixes(metric: Metric, series: SeriesView) -> list[str]:
    pairs = pairs_of(metric, series)
    return [
        *(render_prefix(f"{metric.name}_bucket", pairs | {"le": render_number(bound)}) for bound in series.bounds),
        render_prefix(f"{metric.name}_bucket", pairs | {"le": "+Inf"}),
        render_prefix(f"{metric.name}_count", pairs),
        render_prefix(f"{metric.name}_sum", pairs),
    ]


def _with_births(lines: list[str], family: Family) -> Iterator[str]:
    """Put ``_created`` behind the lines of each series."""
    metric = family.metric
    name = f"{metric.name.removesuffix('_total')}_created"
    shown = [series for series, value in zip(family.series, family.values, strict=True) if value is not None]
    for line, series in zip(lines, shown, strict=True):
        yield line
        if series.born is not None:
            yield f"{render_prefix(name, pairs_of(metric, series))} {render_number(series.born)}\n"


def _with_exemplars(text: str, exemplars: list[Exemplar | None]) -> str:
    lines = text.split("\n")
    for position, exemplar in enumerate(exemplars):
        if exemplar is not None:
            lines[position] += _render_exemplar(exemplar)
    return "\n".join(lines)


def _render_exemplar(exemplar: Exemplar) -> str:
    if not exemplar_fits(exemplar):
        return ""
    task_id, value, timestamp = exemplar
    return f' # {{{EXEMPLAR_LABEL}="{task_id}"}} {render_number(value)} {timestamp}'
