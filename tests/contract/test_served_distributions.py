# SPDX-License-Identifier: Apache-2.0
"""Distributions from servers, compared with prometheus_client's rendering and read by its parsers."""

from celery_redis_exporter.catalog.metric import histogram, summary
from celery_redis_exporter.exposition.collector import RegistryCollector
from celery_redis_exporter.records.samples import Buckets, Family, Quantiles
from tests.contract.test_exposition_equality import (
    ALPHA,
    HOSTILE,
    NUMBERS,
    ZULU,
    assert_equal,
    make_family,
    make_series,
    parse_back,
    read_samples,
    render_by_client,
)
from tests.support.rendering import render_families

SERVED_HISTOGRAM = histogram("test_served_usec", "Buckets of a server.", (ZULU, ALPHA))
SERVED_SUMMARY = summary("test_served_percentiles_usec", "Quantiles of a server.", (ZULU, ALPHA))


def test_buckets_of_a_server_equal() -> None:
    """A histogram from a server is written as by prometheus_client with these buckets."""
    values = {
        (one, other): Buckets((("1", 3), ("16", 5), ("1057", 2**53)), 2**53 + 1, total)
        for one in HOSTILE
        for other, total in zip(HOSTILE, NUMBERS, strict=False)
    }
    values["no", "buckets"] = Buckets((), 0, 0)
    assert_equal([make_family(SERVED_HISTOGRAM, values)])


def test_a_changed_distribution_of_a_server_is_rendered() -> None:
    """Bounds that a server adds, and counts and sums that it changes, are shown at once."""
    spread, quantiles = make_series(("a", "b")), make_series(("a", "b"))
    for buckets in (((("1", 1),), 1, 2), ((("1", 1), ("4", 2)), 2, 2), ((("1", 1), ("4", 2)), 2, 3)):
        assert_equal([Family(SERVED_HISTOGRAM, [spread], [Buckets(*buckets)])])
        families = [Family(SERVED_SUMMARY, [quantiles], [Quantiles((("50", 1.5),), *buckets[1:])])]
        assert render_by_client(families, openmetrics=True) == render_families(families, openmetrics=True) + b"# EOF\n"


def test_a_summary_that_changes_in_part() -> None:
    """A change of quantiles, count or sum, alone or together, yields the text of the new value."""
    series = make_series(("a", "b"))
    for percentiles, observed, total in (((1.5, 2), 3, 9), ((1.5, 2), 4, 10), ((1.5, 3), 4, 10), ((1.5, 3), 4, 11)):
        value = Quantiles((("50", percentiles[0]), ("99", percentiles[1])), observed, total)
        fresh = render_families([Family(SERVED_SUMMARY, [make_series(("a", "b"))], [value])], openmetrics=False)
        assert fresh == render_families([Family(SERVED_SUMMARY, [series], [value])], openmetrics=False)


def test_a_summary_of_percentiles() -> None:
    """A summary is one in text, and its parts in OpenMetrics, which has no quantile above 1, with the same series."""
    values = {
        labels: Quantiles((("50", 1.003), ("99.9", 4.015)), 3, 9) for labels in zip(HOSTILE, HOSTILE, strict=True)
    }
    families = [make_family(SERVED_SUMMARY, values)]
    assert render_by_client(families, openmetrics=True) == render_families(families, openmetrics=True) + b"# EOF\n"
    assert ["gauge", "unknown", "unknown"] == [metric.type for metric in parse_back(families, openmetrics=True)]
    (parsed,) = parse_back(families, openmetrics=False)
    assert "summary" == parsed.type
    text, openmetrics = (read_samples(parse_back(families, openmetrics=flag)) for flag in (False, True))
    assert (
        sorted(text) == sorted(openmetrics) == sorted(read_samples(list(RegistryCollector(lambda: families).collect())))
    )
    assert 4 * len(HOSTILE) == len(text)
