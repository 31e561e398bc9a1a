# SPDX-License-Identifier: Apache-2.0
"""PromQL on histograms of tasks, whether Prometheus has classic ones, native ones or both.

Input: the name of a histogram, a window, the labels to group by. Output: expressions that read the native histogram,
and the classic series where there is none. Recording rules choose so; alerts and dashboards read what was recorded.
"""

from celery_redis_exporter.alerts.rule import once


def count(histogram: str, by: str, function: str, window: str) -> str:
    """Return the growth of the number of observations. ``function`` is rate or increase."""
    native = once(f"histogram_count({function}({histogram}[{window}]))", by)
    return f"{native} or {once(f'{function}({histogram}_count[{window}])', by)}"


def total(histogram: str, by: str, window: str) -> str:
    """Return the growth of the sum of observations in a second."""
    native = once(f"histogram_sum(rate({histogram}[{window}]))", by)
    return f"{native} or {once(f'rate({histogram}_sum[{window}])', by)}"


def mean(histogram: str, by: str, window: str) -> str:
    """Return the mean of the observations of a window; nothing without any."""
    native = [f"histogram_{part}(rate({histogram}[{window}]))" for part in ("sum", "count")]
    classic = [f"rate({histogram}_{part}[{window}])" for part in ("sum", "count")]
    return " or ".join(f"sum by ({by}) ({part}) / (sum by ({by}) ({whole}) > 0)" for part, whole in (native, classic))


def quantile(share: float, histogram: str, by: str, window: str) -> str:
    """Return a quantile of the observations of a window. An exporter more or less makes no difference to it."""
    native = f"histogram_quantile({share:g}, sum by ({by}) (rate({histogram}[{window}])))"
    return f"{native} or histogram_quantile({share:g}, sum by ({by}, le) (rate({histogram}_bucket[{window}])))"


def buckets(histogram: str, by: str, window: str) -> str:
    """Return how the histogram grows in a second: a native one, or a classic one whose series have the label le.

    A quantile of either is ``histogram_quantile(0.95, sum by (le) (...))``. Of a pair of exporters the native histogram
    with the most observations is taken, since ``max`` does not compare histograms.
    """
    of_each = f"sum by ({by}, instance, replica)"
    most = f"topk by ({by}) (1, {of_each} (histogram_count(rate({histogram}[{window}]))))"
    native = f"sum by ({by}) ({of_each} (rate({histogram}[{window}])) and {most})"
    return f"{native} or on ({by}) {once(f'rate({histogram}_bucket[{window}])', f'{by}, le')}"


def fraction_above(bound: float, histogram: str, where: str, by: str, window: str) -> str:
    """Return the ratio of observations above a bound of the classic histogram; nothing without observations.

    Without observations that of a native one is NaN, which is not greater than anything.
    """
    native = f"1 - histogram_fraction(-Inf, {bound!r}, sum by ({by}) (rate({histogram}{{{where}}}[{window}]))) > -1"
    below = f'sum by ({by}) (rate({histogram}_bucket{{{where}, le="{bound!r}"}}[{window}]))'
    return f"{native} or 1 - {below} / (sum by ({by}) (rate({histogram}_count{{{where}}}[{window}])) > 0)"
