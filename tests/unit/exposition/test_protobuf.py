# SPDX-License-Identifier: Apache-2.0
"""The exporter's protobuf bodies compared with the official ``protobuf`` package, which reads and rewrites them."""

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celery_redis_exporter.catalog import CATALOG, Kind, Label, Metric
from celery_redis_exporter.catalog.metric import counter, gauge, histogram, summary
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax
from celery_redis_exporter.exposition.families import SampleSeries, merge_families
from celery_redis_exporter.exposition.text import exemplar_fits
from celery_redis_exporter.records.resolution import FINEST_SCHEMA, ZERO_THRESHOLD, NativeCounts, fold, resolve
from celery_redis_exporter.records.samples import Buckets, Distribution, Exemplar, Family, Quantiles, Value
from celery_redis_exporter.state.histograms import NativeHistogram
from tests.support.prometheus_messages import TYPES, read_buckets, read_labels, read_messages
from tests.support.sizes import scaled

ZULU, ALPHA = Label("zulu", "Sorted last."), Label("alpha", "Sorted first.")
BOUNDS = (0.005, 1.0, 2.5, 7200.0, 1e12)
METRICS = {
    metric.name: metric
    for metric in (
        counter("test_events_total", 'Help with a \\ a "quote"\nand a second line.', (ZULU, ALPHA)),
        counter("test_plain_counter", "A counter without the ending.", (ZULU, ALPHA)),
        gauge("test_level", "", (ZULU, ALPHA)),
        histogram("test_wait_seconds", "A wait.", (ZULU, ALPHA), buckets=BOUNDS),
        histogram("test_served_usec", "Buckets of a server.", (ZULU, ALPHA)),
        summary("test_percentiles_usec", "Quantiles of a server.", (ZULU, ALPHA)),
    )
}
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
TIMES = st.floats(0, 4e9) | st.just(math.nan) | st.just(math.inf)
EXEMPLARS = st.tuples(st.text("0123456789abcdef-é", max_size=130), st.floats(allow_nan=False), TIMES)
BIG = st.integers(0, 2**50)
NUMBERS = st.floats() | st.integers(-(10**18), 10**18)


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    """Draw a histogram of events, with or without native buckets of any schema, with a large range."""
    exemplars = draw(st.none() | st.lists(st.none() | EXEMPLARS, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1))
    total = draw(st.floats())
    if draw(st.booleans()):
        counts = draw(st.lists(BIG, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1))
        return Distribution(counts, total, exemplars)
    resolution = resolve(BOUNDS, draw(st.integers(1, FINEST_SCHEMA)))
    places = st.integers(0, len(resolution.bounds))
    parts = draw(st.dictionaries(places, st.integers(1, 2**50), max_size=40))
    counts = [0] * (len(BOUNDS) + 1)
    for part, count in parts.items():
        counts[resolution.classic[part]] += count
    return Distribution(counts, total, exemplars, NativeCounts(resolution, parts))


def values_of(metric: Metric) -> st.SearchStrategy[Any]:
    """Return a strategy for values that a series of the metric may have."""
    if metric.kind is Kind.SUMMARY:
        rows = st.lists(st.tuples(st.sampled_from(("50", "99", "99.9")), st.floats(allow_nan=False)), max_size=3)
        return st.builds(Quantiles, rows.map(tuple), BIG, st.floats())
    if metric.kind is not Kind.HISTOGRAM:
        return NUMBERS
    if metric.buckets:
        return distributions()
    rows = st.lists(st.tuples(st.sampled_from(("1", "16", "1057")), BIG), max_size=3)
    return st.builds(Buckets, rows.map(tuple), BIG, st.floats())


@st.composite
def families(draw: st.DrawFn) -> Family:
    """Draw any family: values, absent values, hostile labels, and labels that are missing at the end."""
    metric = METRICS[draw(st.sampled_from(sorted(METRICS)))]
    labels = draw(st.lists(st.tuples(TEXTS, TEXTS) | st.tuples(TEXTS), max_size=4, unique=True))
    made = []
    for row in labels:
        series = SampleSeries(row)
        series.bounds = metric.buckets
        series.exemplar = draw(st.none() | EXEMPLARS)
        series.born = draw(st.none() | TIMES)
        made.append(series)
    return Family(metric, made, [draw(st.none() | values_of(metric)) for _ in labels])


def render(found: Iterable[Family], *, classic: bool = True, created: bool = False) -> bytes:
    """Return the body of families."""
    return b"".join(Renderer(ProcessMetrics(), classic=classic, created=created).render(found, Syntax.PROTOBUF))


def same(one: float, other: float) -> bool:
    """Compare numbers, where NaN equals NaN and zeros have signs."""
    return (math.isnan(one) and math.isnan(other)) or str(float(one)) == str(other)


def assert_time(message: Any, name: str, at: float | None) -> None:  # noqa: ANN401 -- a message of the package
    """Compare a timestamp of a message, in whole milliseconds, with epoch seconds."""
    assert message.HasField(name) == (at is not None and math.isfinite(at))
    if message.HasField(name):
        found = getattr(message, name)
        assert round((at or 0.0) * 1000) * 1_000_000 == found.seconds * 10**9 + found.nanos


def assert_birth(message: Any, series: SampleSeries, *, wanted: bool) -> None:  # noqa: ANN401 -- as above
    """Compare the start time of a series, which is rounded down to a second."""
    at = series.born if wanted else None
    assert_time(message, "created_timestamp", None if at is None or not math.isfinite(at) else math.floor(at))


def assert_exemplar(message: Any, exemplar: Exemplar) -> None:  # noqa: ANN401 -- as above
    """Compare an exemplar."""
    assert (("task_id", exemplar[0]),) == read_labels(message)
    assert same(exemplar[1], message.value)
    assert_time(message, "timestamp", exemplar[2])


def assert_distribution(
    found: Any,  # noqa: ANN401 -- as above
    series: SampleSeries,
    value: Distribution,
    *,
    classic: bool,
    created: bool,
) -> None:
    """Compare a histogram of events with its message."""
    cumulative = [*accumulate(value.counts)]
    assert cumulative[-1] == found.sample_count
    assert same(value.total, found.sample_sum)
    assert_birth(found, series, wanted=created or value.native is not None)
    exemplars = [one if one and exemplar_fits(one) else None for one in value.exemplars or [None] * len(cumulative)]
    if classic or value.native is None:
        assert cumulative == [bucket.cumulative_count for bucket in found.bucket]
        assert [*BOUNDS, math.inf] == [bucket.upper_bound for bucket in found.bucket]
        assert [one is not None for one in exemplars] == [bucket.HasField("exemplar") for bucket in found.bucket]
        of_buckets = [bucket.exemplar for bucket in found.bucket if bucket.HasField("exemplar")]
        for expected, message in zip(filter(None, exemplars), of_buckets, strict=True):
            assert_exemplar(message, expected)
    else:
        assert not found.bucket
    if value.native is None:
        assert not found.exemplars
        assert (0, 0.0, 0, []) == (found.schema, found.zero_threshold, found.zero_count, list(found.positive_span))
        return
    newest = [one for one in exemplars if one and not math.isnan(one[2])]
    assert len(found.exemplars) == any(exemplars)
    for message in found.exemplars if len(newest) == sum(map(bool, exemplars)) else ():
        assert_exemplar(message, max(newest, key=lambda one: one[2]))
    zero, buckets = fold(value.native)
    assert (value.native.resolution.schema, ZERO_THRESHOLD, zero) == (
        found.schema, found.zero_threshold, found.zero_count,
    )  # fmt: skip
    assert buckets == read_buckets(found)
    assert found.sample_count == found.zero_count + sum(buckets.values())


def assert_number(
    metric: Metric,
    series: SampleSeries,
    value: float,
    message: Any,  # noqa: ANN401 -- as above
    *,
    created: bool,
) -> None:
    """Compare a counter or a gauge with its message."""
    found = getattr(message, metric.kind)
    assert same(float(value), found.value)
    if metric.kind is Kind.COUNTER:
        assert_birth(found, series, wanted=created)
        wanted = metric.name.endswith("_total") and series.exemplar is not None and exemplar_fits(series.exemplar)
        assert wanted == found.HasField("exemplar")
        if wanted:
            assert_exemplar(found.exemplar, cast("Exemplar", series.exemplar))


def assert_family(family: Family, messages: list[Any], *, classic: bool, created: bool) -> None:
    """Compare a family with the messages that were read."""
    metric = family.metric
    rows = [(cast("SampleSeries", one), value) for one, value in zip(family.series, family.values, strict=True)]
    rows = [row for row in rows if row[1] is not None]
    if not rows:
        assert [] == messages
        return
    if metric.kind is Kind.SUMMARY:
        assert_summary(metric, rows, messages)
        return
    (found,) = messages
    assert (metric.name, metric.help, str(metric.kind)) == (found.name, found.help, TYPES[found.type].lower())
    for (series, value), message in zip(rows, found.metric, strict=True):
        assert labels_of(metric, series) == read_labels(message)
        if isinstance(value, Buckets):
            assert [*((float(bound), count) for bound, count in value.cumulative), (math.inf, value.observed)] == [
                (bucket.upper_bound, bucket.cumulative_count) for bucket in message.histogram.bucket
            ]
            assert same(value.total, message.histogram.sample_sum)
        elif isinstance(value, Distribution):
            assert_distribution(message.histogram, series, value, classic=classic, created=created)
        else:
            assert_number(metric, series, cast("float", value), message, created=created)


def assert_summary(metric: Metric, rows: list[tuple[SampleSeries, Value | None]], messages: list[Any]) -> None:
    """Compare a summary, which is a gauge by quantile and two metrics without a type, as in OpenMetrics."""
    assert [(metric.name, "GAUGE"), (f"{metric.name}_count", "UNTYPED"), (f"{metric.name}_sum", "UNTYPED")] == [
        (message.name, TYPES[message.type]) for message in messages
    ]
    quantiles, counts, totals = (message.metric for message in messages)
    found = [(series, cast("Quantiles", value)) for series, value in rows]
    assert [
        (tuple(sorted([*labels_of(metric, series), ("quantile", name)])), number)
        for series, value in found
        for name, number in value.values
    ] == [(read_labels(one), one.gauge.value) for one in quantiles]
    assert [(labels_of(metric, series), value.observed) for series, value in found] == [
        (read_labels(one), one.untyped.value) for one in counts
    ]
    assert all(same(value.total, one.untyped.value) for (_, value), one in zip(found, totals, strict=True))


def labels_of(metric: Metric, series: SampleSeries) -> tuple[tuple[str, str], ...]:
    """Return the label pairs of a series, sorted, with characters that UTF-8 can encode."""
    pairs = sorted(zip(metric.label_names, series.labels, strict=False))
    return tuple((name, value.encode("utf-8", "replace").decode()) for name, value in pairs)


@settings(max_examples=scaled(80, 1000), deadline=None, derandomize=True)
@given(families(), st.booleans(), st.booleans())
def test_any_family_is_read_and_written_again(
    family: Family,
    classic: bool,  # noqa: FBT001 -- a table
    created: bool,  # noqa: FBT001 -- as above
) -> None:
    """The package reads the values of any family from the exporter's bytes, and rewrites the same bytes."""
    for _ in range(2):  # the second time from the caches of the series
        found = read_messages(render([family], classic=classic, created=created))
        assert_family(family, found, classic=classic, created=created)


def test_a_changed_value_is_encoded() -> None:
    """Changes of a histogram between two scrapes are in the next body: counts, native buckets, exemplars."""
    metric = METRICS["test_wait_seconds"]
    spread = NativeHistogram(("a", "b"), BOUNDS, exemplars=True)
    for number, value in enumerate((0.5, 0.5, 0.7, 0.0, 1e9, 1e15)):
        spread.observe_task(value, f"id-{number}", 1_753_000_000.0 + number)
        (message,) = read_messages(render([Family(metric, [spread], [spread.copied()])]))
        found = message.metric[0].histogram
        assert number + 1 == found.sample_count == found.zero_count + sum(read_buckets(found).values())
        shown = [one.exemplar for one in found.bucket if one.HasField("exemplar")]
        assert f"id-{number}" in {read_labels(one)[0][1] for one in shown}


def test_families_of_several_applications() -> None:
    """Merged families are one message, whose series lack labels that their source does not have."""
    application = Label("application", "The application.")
    process = Family(gauge("test_up", "Up.", (ZULU,)), [SampleSeries(("a",))], [1.0])
    shop = Family(gauge("test_up", "Up.", (ZULU, application)), [SampleSeries(("a", "shop"))], [0.0])
    (found,) = read_messages(render(merge_families([[process], [shop]])))
    assert [(("zulu", "a"),), (("application", "shop"), ("zulu", "a"))] == [read_labels(one) for one in found.metric]


@pytest.mark.parametrize("number", [-1, -(2**63), 2**63, 2**64 + 5, 2**70])
def test_numbers_that_do_not_fit_cost_themselves_only(number: int) -> None:
    """A count beyond 64 bits, from a server with an overflow, leaves the body readable."""
    family = Family(METRICS["test_served_usec"], [SampleSeries(("a", "b"))], [Buckets((("1", number),), number, 1.0)])
    (found,) = read_messages(render([family]))
    assert number % 2**64 == found.metric[0].histogram.sample_count


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-62_135_596_800, -62_135_596_800), (-62_135_596_801, None), (253_402_300_798, 253_402_300_798),
        (253_402_300_799, None), (4e11, None), (-math.inf, None),
    ],
)  # fmt: skip
def test_times_that_protobuf_does_not_have(at: float, expected: float | None) -> None:
    """A time before the year 1 or after 9999 is left out."""
    series = SampleSeries(("a", "b"))
    series.born = at
    (found,) = read_messages(render([Family(METRICS["test_events_total"], [series], [1.0])], created=True))
    counter_found = found.metric[0].counter
    assert (expected is not None) == counter_found.HasField("created_timestamp")
    if expected is not None:
        assert expected == counter_found.created_timestamp.seconds


def test_every_metric_of_the_catalogue() -> None:
    """Each metric can be encoded with the name and the help of the catalogue."""
    rows = []
    for metric in CATALOG.values():
        series = SampleSeries(tuple("x" for _ in metric.labels))
        series.bounds = metric.buckets
        value: Value = 1.0
        if metric.kind is Kind.SUMMARY:
            value = Quantiles((("50", 1.0),), 1, 1.0)
        elif metric.kind is Kind.HISTOGRAM:
            counts = [1] * (len(metric.buckets) + 1)
            value = Distribution(counts, 1.0) if metric.buckets else Buckets((("1", 1),), 1, 1.0)
        rows.append(Family(metric, [series], [value]))
    found = {message.name: message.help for message in read_messages(render(rows))}
    assert {metric.name: metric.help for metric in CATALOG.values()}.items() <= found.items()


def test_process_metrics() -> None:
    """The metrics of the process are in the body, with the names, types, labels and values of the text format."""
    process = ProcessMetrics({"env": "prod"})
    messages = {message.name: message for message in read_messages(process.encode())}
    text = process.render(openmetrics=False)
    assert set(messages) == {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(dict(read_labels(one))["env"] == "prod" for message in messages.values() for one in message.metric)
    assert "COUNTER" == TYPES[messages["process_cpu_seconds_total"].type]
    (started,) = messages["process_start_time_seconds"].metric
    line = next(line for line in text.splitlines() if line.startswith('process_start_time_seconds{env="prod"}'))
    assert float(line.split()[1]) == started.gauge.value
