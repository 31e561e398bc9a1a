# SPDX-License-Identifier: Apache-2.0
"""The exporter's rendering compared with prometheus_client's, byte by byte and through its parsers."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import exposition
from prometheus_client.metrics_core import Metric as ClientMetric
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from celery_redis_exporter.catalog import CATALOG, Kind, Label, Metric
from celery_redis_exporter.catalog.metric import counter, gauge, histogram
from celery_redis_exporter.exposition.collector import RegistryCollector
from celery_redis_exporter.exposition.families import SampleSeries
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, Value
from tests.support.rendering import render_families

ZULU, ALPHA = Label("zulu", "Sorted last."), Label("alpha", "Sorted first.")
COUNTER = counter("test_events_total", 'Help with a \\ a "quote"\nand a second line.', (ZULU, ALPHA))
GAUGE = gauge("test_level", "A level.", (ZULU, ALPHA))
HISTOGRAM = histogram("test_wait_seconds", "A wait.", (ZULU, ALPHA), buckets=(0.005, 1, 2.5, 7200, 1e6))
LATE_HISTOGRAM = histogram("test_late_seconds", "Labels behind le only.", (ZULU,), buckets=(0.005, 1, 2.5, 7200, 1e6))
BARE_HISTOGRAM = histogram("test_bare_seconds", "No labels.", buckets=(0.005, 1, 2.5, 7200, 1e6))
BARE = gauge("test_bare", "No labels.")
GAUGE_TOTAL = gauge("test_memory_total", "A gauge that Redis exporters have always named so.", (ALPHA,))
PLAIN_COUNTER = counter("test_plain_counter", "A counter without the ending.", (ALPHA,))

HOSTILE = (
    "",
    '"',
    "\\",
    "\n",
    '\\n"\\',
    "a b",
    "%s %d %",
    "{}",
    "},",
    "é日本🎉",
    "\u2028",
    "\x85\x0b\x1f",
    "\0%s\0",
    "# EOF",
    'x"} 1\n',
)
NUMBERS = (
    0, 0.0, -0.0, 1, 1.0, 7, 1023, 1024, 999_999, 999_999.5, 1_000_000, 1e6, 1_234_567, 1234567.875, 10_000_000,
    *(10.0**power for power in range(6, 23)), 2**53, 2**63, 123456789012345.6, 1e16, 1.5e300, 1e301, 1.7e308,
    -1, -1.5, -1e6, -1e7, -123456789.25, -1e22, -1e301, 5e-324, 1e-7, 0.1, 1 / 3, 0.30000000000000004,
    math.nan, math.inf, -math.inf, 1_753_000_000.123,
)  # fmt: skip


def make_series(
    labels: tuple[str, ...], bounds: tuple[float, ...] = (), exemplar: Exemplar | None = None
) -> SampleSeries:
    """Return a series in the form of the state."""
    series = SampleSeries(labels)
    series.bounds = bounds
    series.exemplar = exemplar
    return series


def make_family(metric: Metric, values: Mapping[Any, Value | None]) -> Family:
    """Return a family from label values and their values."""
    return Family(metric, [make_series(labels, metric.buckets) for labels in values], list(values.values()))


def render_by_client(families: list[Family], *, openmetrics: bool, created: bool = False) -> bytes:
    """Render with prometheus_client, through the collector."""
    registry = CollectorRegistry()
    metrics = tuple(family.metric for family in families)
    registry.register(RegistryCollector(lambda: families, metrics, created=created))
    if openmetrics:
        return bytes(openmetrics_exposition.generate_latest(registry))  # type: ignore[no-untyped-call]
    return exposition.generate_latest(registry)


def by_kind(metric: Metric) -> Value:
    """Return a value that a series of the metric may have."""
    if metric.kind is Kind.SUMMARY:
        return Quantiles((("50", 1.003), ("99.9", 4.015)), 2, 1.5)
    if metric.kind is Kind.HISTOGRAM and not metric.buckets:
        return Buckets((("1", 1), ("16", 2)), 2, 1.5)
    return Distribution([1] * (len(metric.buckets) + 1), 1.5) if metric.kind is Kind.HISTOGRAM else 2.0


def assert_equal(families: list[Family]) -> None:
    """Compare twice, because the second text comes from the series' caches."""
    for _ in range(2):
        assert render_by_client(families, openmetrics=False) == render_families(families, openmetrics=False)
        assert render_by_client(families, openmetrics=True) == render_families(families, openmetrics=True) + b"# EOF\n"


def parse_back(families: list[Family], *, openmetrics: bool) -> list[ClientMetric]:
    """Render with the exporter, and parse the text with prometheus_client."""
    body = render_families(families, openmetrics=openmetrics).decode()
    if openmetrics:
        return list(openmetrics_parser.text_string_to_metric_families(body + "# EOF\n"))  # type: ignore[no-untyped-call]
    return list(text_string_to_metric_families(body))


def test_births_equal() -> None:
    """Start times of counters and histograms are written as by prometheus_client, and only if they are known."""
    births = (1_753_000_000.123, None, 0.0, 1_753_000_000.0)
    families = [
        make_family(metric, dict.fromkeys([(f"{number}", "")[: len(metric.labels)] for number in range(4)], value))
        for metric, value in (
            (COUNTER, 3.0), (LATE_HISTOGRAM, Distribution([1, 0, 2, 0, 3, 1], 17.5)),
            (HISTOGRAM, Distribution([1, 0, 2, 0, 3, 1], 17.5)), (GAUGE, 2.0),
        )
    ]  # fmt: skip
    for family in families[:3]:
        for series, born in zip(family.series, births, strict=True):
            series.born = born
    expected = render_by_client(families, openmetrics=True, created=True)
    assert expected == render_families(families, openmetrics=True, created=True) + b"# EOF\n"
    assert 9 == expected.count(b"_created{")
    assert b"_created" not in render_families(families, openmetrics=True)
    assert b"_created" not in render_families(families, openmetrics=False, created=True)


@pytest.mark.parametrize("metric", [COUNTER, GAUGE], ids=lambda metric: str(metric.name))
def test_numbers_equal(metric: Metric) -> None:
    """Every form of number is written as prometheus_client writes it."""
    assert_equal([make_family(metric, {(f"{i}", ""): number for i, number in enumerate(NUMBERS)})])


def test_labels_equal() -> None:
    """Hostile label values are escaped and sorted as by prometheus_client."""
    labels = [(one, other) for one in HOSTILE for other in HOSTILE]
    distribution = Distribution([1, 0, 2, 0, 3, 1], 17.5)
    assert_equal(
        [
            make_family(COUNTER, dict.fromkeys(labels, 1.0)),
            make_family(GAUGE, dict.fromkeys(labels, -2.5)),
            make_family(HISTOGRAM, dict.fromkeys(labels, distribution)),
            make_family(LATE_HISTOGRAM, {(one + other,): distribution for one, other in labels}),
            make_family(BARE_HISTOGRAM, {(): distribution}),
            make_family(BARE, {(): 1}),
        ]
    )


def test_histograms_equal() -> None:
    """Buckets are summed and named as by prometheus_client, past a million observations and with odd sums."""
    counts = ([0] * 6, [1, 2, 3, 4, 5, 6], [400_000, 0, 700_000, 1, 0, 0], [2**53, 0, 0, 0, 0, 1])
    values = {(f"{i}", repr(total)): Distribution(count, total) for i, count in enumerate(counts) for total in NUMBERS}
    assert_equal(
        [
            make_family(HISTOGRAM, values),
            make_family(LATE_HISTOGRAM, {(" ".join(labels),): value for labels, value in values.items()}),
        ]
    )


def test_a_changed_value_is_rendered() -> None:
    """A changed value is rendered in place of the cached one, even between 0.0 and -0.0."""
    number, spread = make_series(("a", "b")), make_series(("a", "b"), HISTOGRAM.buckets)
    counts = [0, 0, 0, 0, 0, 0]
    for value in (*NUMBERS, *reversed(NUMBERS)):
        counts = [*counts[:2], counts[2] + 1, *counts[3:]]
        assert_equal(
            [Family(GAUGE, [number], [value]), Family(HISTOGRAM, [spread], [Distribution(counts, float(value))])]
        )


def test_exemplars_equal() -> None:
    """Exemplars of counters and buckets are written as prometheus_client writes them, and not in the text format."""
    exemplars = [(task_id, value, 1_753_000_000.123) for task_id in HOSTILE for value in (0.25, 1e7, -1.0)]
    buckets: list[Exemplar | None] = [
        exemplars[5],
        None,
        exemplars[9],
        None,
        ("x", 1, 1_753_000_000),
        exemplars[1],
    ]
    families = [
        Family(COUNTER, [make_series((f"{i}", ""), (), ex) for i, ex in enumerate(exemplars)], [1.0] * len(exemplars)),
        make_family(HISTOGRAM, {("", ""): Distribution([1, 1, 1, 1, 1, 1], 9.0, buckets)}),
    ]
    assert_equal(families)
    assert b"task_id" not in render_families(families, openmetrics=False)


@pytest.mark.parametrize(("length", "kept"), [(121, True), (122, False)])
def test_an_exemplar_over_128_characters_is_left_out(length: int, kept: bool) -> None:  # noqa: FBT001 -- a table
    """A task id beyond OpenMetrics's 128 characters of names and values drops the exemplar and not the sample."""
    exemplar = ("é" * length, 1.0, 1_753_000_000.5)
    families = [
        Family(COUNTER, [make_series(("a", "b"), (), exemplar)], [1.0]),
        make_family(
            HISTOGRAM, {("", ""): Distribution([1, 0, 0, 0, 0, 0], 0.1, [exemplar, None, None, None, None, None])}
        ),
    ]
    assert_equal(families)
    parsed = parse_back(families, openmetrics=True)
    assert [kept, kept] == [metric.samples[0].exemplar is not None for metric in parsed]


def test_a_gauge_named_total_is_valid() -> None:
    """The name of a gauge may end in ``_total`` in both formats."""
    families = [make_family(GAUGE_TOTAL, {("a",): -3.0})]
    assert_equal(families)
    for openmetrics in (False, True):
        (parsed,) = parse_back(families, openmetrics=openmetrics)
        assert ("gauge", "test_memory_total", -3.0) == (parsed.type, parsed.samples[0].name, parsed.samples[0].value)


def test_a_counter_without_total_keeps_its_name() -> None:
    """A counter without _total is a counter in text, unlike in prometheus_client, and unknown in OpenMetrics."""
    families = [Family(PLAIN_COUNTER, [make_series(("a",), (), ("x", 1.0, 1.0))], [5])]
    theirs = render_by_client(families, openmetrics=False)
    assert theirs.replace(b" untyped\n", b" counter\n") == render_families(families, openmetrics=False)
    assert render_by_client(families, openmetrics=True) == render_families(families, openmetrics=True) + b"# EOF\n"
    (parsed,) = parse_back(families, openmetrics=True)
    assert ("unknown", "test_plain_counter") == (parsed.type, parsed.samples[0].name)


EXCEPT_IN_TEXT = {
    "redis_latency_percentiles_usec": "a summary in text, whose parts are metrics of their own in OpenMetrics",
}
"""Metrics with another form in prometheus_client's text, and the reason; see test_served_distributions."""


def test_the_whole_catalogue_is_valid() -> None:
    """All metrics together equal prometheus_client's output and form one valid exposition without conflicting names."""
    families = [
        make_family(metric, {tuple("x" for _ in metric.labels): by_kind(metric)}) for metric in CATALOG.values()
    ]
    summaries = {metric.name for metric in CATALOG.values() if metric.kind is Kind.SUMMARY}
    assert len(CATALOG) + 2 * len(summaries) == len(parse_back(families, openmetrics=True))
    assert len(CATALOG) == len(parse_back(families, openmetrics=False))
    assert render_by_client(families, openmetrics=True) == render_families(families, openmetrics=True) + b"# EOF\n"
    assert summaries == EXCEPT_IN_TEXT.keys()
    families = [family for family in families if family.metric.name not in EXCEPT_IN_TEXT]
    plain = [m.name for m in CATALOG.values() if m.kind is Kind.COUNTER and not m.name.endswith("_total")]
    theirs = render_by_client(families, openmetrics=False)
    for name in plain:
        theirs = theirs.replace(f"# TYPE {name} untyped\n".encode(), f"# TYPE {name} counter\n".encode())
    assert theirs == render_families(families, openmetrics=False)


LABEL_VALUES = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBER_VALUES = st.one_of(st.floats(), st.integers(-(10**18), 10**18))
COUNTS = st.lists(st.integers(0, 10**9), min_size=6, max_size=6)
EXEMPLARS = st.tuples(
    st.text(st.characters(codec="utf-8"), max_size=130), st.floats(allow_nan=False), st.floats(0, 4e9)
)
DISTRIBUTIONS = st.builds(
    Distribution, COUNTS, st.floats(0, 1e30), st.none() | st.lists(st.none() | EXEMPLARS, min_size=6, max_size=6)
)
PAIRS = st.tuples(LABEL_VALUES, LABEL_VALUES)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.dictionaries(PAIRS, NUMBER_VALUES | st.none(), max_size=4),
    st.dictionaries(PAIRS, DISTRIBUTIONS | st.none(), max_size=3),
    st.none() | EXEMPLARS,
)
def test_anything_equal(
    numbers: dict[tuple[str, str], float | None],
    distributions: dict[tuple[str, str], Distribution | None],
    exemplar: Exemplar | None,
) -> None:
    """For any labels, values and exemplars the exporter's bytes are prometheus_client's."""
    counted = Family(COUNTER, [make_series(labels, (), exemplar) for labels in numbers], list(numbers.values()))
    assert_equal([counted, make_family(GAUGE, numbers), make_family(HISTOGRAM, distributions)])


def read_samples(metrics: list[ClientMetric]) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    """Return what both parsers report alike: names, labels, values."""
    samples = [sample for metric in metrics for sample in metric.samples]
    return [(sample.name, tuple(sorted(sample.labels.items())), float(sample.value)) for sample in samples]


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_hostile_labels_come_back(openmetrics: bool) -> None:  # noqa: FBT001 -- a table
    """No label value is lost or changed by the rendering and a parser."""
    families = [make_family(GAUGE, {(one, other): 1.0 for one in HOSTILE for other in HOSTILE})]
    expected = read_samples(list(RegistryCollector(lambda: families).collect()))
    assert expected == read_samples(parse_back(families, openmetrics=openmetrics))


PARSABLE = st.text(st.characters(codec="utf-8"), max_size=8)
POSITIVE = st.floats(0, 1e300)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.tuples(PARSABLE, PARSABLE), POSITIVE, max_size=3),
    st.dictionaries(st.tuples(PARSABLE, PARSABLE), st.builds(Distribution, COUNTS, POSITIVE, st.none()), max_size=2),
)
def test_parsers_give_the_values_back(
    openmetrics: bool,  # noqa: FBT001 -- a table
    numbers: dict[tuple[str, str], float],
    distributions: dict[tuple[str, str], Distribution],
) -> None:
    """prometheus_client's parsers read the values of its collectors from the exporter's bytes."""
    families = [make_family(COUNTER, numbers), make_family(HISTOGRAM, distributions)]
    expected = read_samples(list(RegistryCollector(lambda: families).collect()))
    assert expected == read_samples(parse_back(families, openmetrics=openmetrics))
