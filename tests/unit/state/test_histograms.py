# SPDX-License-Identifier: Apache-2.0
"""Native histograms: the same observations as the classic one, within their error, and in bounded memory."""

from itertools import accumulate, pairwise
from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.catalog import NATIVE, internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.resolution import (
    FINEST_SCHEMA,
    LARGEST,
    MOST_BUCKETS,
    SMALLEST,
    ZERO_THRESHOLD,
    NativeCounts,
    fold,
    resolve,
)
from celery_redis_exporter.records.samples import Distribution
from celery_redis_exporter.records.saved_state import SavedHistogram, SavedParts
from celery_redis_exporter.state.histograms import ExemplarHistogram, Histogram, NativeHistogram
from celery_redis_exporter.state.series import NewSeries, Store

BOUNDS = (0.005, 0.5, 1.0, 60.0)
DURATIONS = st.floats(0, 1e6) | st.sampled_from((0.0, 0.5, 1.0, 2.0, 1e-12, 1e12, 1e300))


def native_of(value: Distribution) -> NativeCounts:
    """Return the native part of a value."""
    assert value.native is not None
    return value.native


def bounds_of(index: int, schema: int) -> tuple[float, float]:
    """Return the bounds of a native bucket, as Prometheus defines them."""
    return 2.0 ** ((index - 1) / 2**schema), 2.0 ** (index / 2**schema)


@given(st.lists(DURATIONS, max_size=60))
def test_native_and_classic_count_the_same(values: list[float]) -> None:
    """Each observation is in its classic bucket, and in the native bucket whose bounds it lies between."""
    histogram, classic = NativeHistogram((), BOUNDS, exemplars=True), ExemplarHistogram((), BOUNDS)
    for number, value in enumerate(values):
        for one in (histogram, classic):
            one.observe_task(value, f"{number}", 1.0)
    copied, expected = histogram.copied(), classic.copied()
    assert expected == (*copied[:3], None)
    zero, buckets = fold(native_of(copied))
    assert zero == sum(value <= ZERO_THRESHOLD for value in values)
    assert sum(buckets.values()) == len(values) - zero
    for index, count in buckets.items():
        lower, upper = bounds_of(index, native_of(copied).resolution.schema)
        upper = upper if upper <= 2.0**LARGEST else inf
        assert count == sum(lower < value <= upper for value in values if value > ZERO_THRESHOLD)


@pytest.mark.parametrize("schema", range(1, FINEST_SCHEMA + 1))
def test_the_bounds_are_those_of_prometheus(schema: int) -> None:
    """Every index has the bounds of Prometheus's formula, and powers of two are exact."""
    resolution = resolve(BOUNDS, schema)
    uppers: dict[int | None, float] = {}
    for upper, index in zip(resolution.bounds, resolution.native, strict=False):
        uppers[index] = max(upper, uppers.get(index, 0.0))
    assert uppers.pop(None) == 2.0**SMALLEST
    for index, upper in uppers.items():
        assert index is not None
        assert isclose(upper, bounds_of(index, schema)[1], rel_tol=1e-15)
        assert index % 2**schema or upper == 2.0 ** (index // 2**schema)
    assert [*uppers] == [*range((SMALLEST << schema) + 1, (LARGEST << schema) + 1)]


def test_bounds_of_a_lower_schema_are_bounds_of_a_higher_one() -> None:
    """Halving the resolution merges whole buckets, because each bound exists at the higher resolution too."""
    for schema in range(1, FINEST_SCHEMA + 1):
        assert set(resolve((), schema - 1).bounds) <= set(resolve((), schema).bounds)


@pytest.mark.parametrize(("exponents", "schema"), [(19, 3), (40, 2), (64, 1)])
def test_the_resolution_is_halved(exponents: int, schema: int) -> None:
    """The resolution is halved until at most 160 buckets remain, keeps every observation, and stays halved."""
    histogram = NativeHistogram((), BOUNDS, exemplars=False)
    values = [2.0 ** (SMALLEST + (step + 0.5) / 8) for step in range(exponents * 8)]
    histogram.observe_all(values)
    for _ in range(2):
        zero, buckets = fold(native_of(histogram.copied()))
        assert (0, len(values)) == (zero, sum(buckets.values()))
        assert schema == native_of(histogram.copied()).resolution.schema
        assert exponents * 2**schema == len(buckets)
        assert len(buckets) <= MOST_BUCKETS
        histogram.observe(values[0])
        values.append(values[0])
    assert [*accumulate(histogram.counts)][-1] == len(values)


def test_quantiles_are_within_the_error_of_the_schema() -> None:
    """No observation is further from its bucket's bounds than a factor of 2 ** 2 ** -schema."""
    for schema in range(1, FINEST_SCHEMA + 1):
        bounds = resolve((), schema).bounds
        assert max(upper / lower for lower, upper in pairwise(bounds)) <= 2**2**-schema * (1 + 1e-12)


@pytest.mark.parametrize("exemplars", [True, False])
def test_all_ways_of_observing_agree(exemplars: bool) -> None:  # noqa: FBT001 -- a table
    """Every method of observing counts alike, and exemplars are kept if they are enabled."""
    one, many, task, delay = (NativeHistogram((), BOUNDS, exemplars=exemplars) for _ in range(4))
    values = (0.0, 0.001, 0.5, 3.0, 1e12)
    many.observe_all(values)
    for value in values:
        one.observe(value)
        task.observe_task(value, "id", 7.0)
        delay.observe_delay(1e12 + value, 1e12, None, "id")
    assert one.copied().native == many.copied().native == task.copied().native
    assert sum(one.counts) == sum(delay.counts)
    expected = [("id", 0.001, 7.0), ("id", 0.5, 7.0), None, ("id", 3.0, 7.0), ("id", 1e12, 7.0)]
    assert task.copied().exemplars == (expected if exemplars else None)


def test_a_copy_does_not_change() -> None:
    """A copy does not change, and an idle histogram returns the same object, so that it is not encoded again."""
    histogram = NativeHistogram((), BOUNDS, exemplars=True)
    histogram.observe(1.5)
    before = histogram.copied()
    assert before is histogram.copied()
    histogram.observe(1.5)
    assert (1, 1) == (sum(before.counts), sum(native_of(before).parts.values()))
    assert Distribution([0] * 5, 0.0, None, NativeCounts(native_of(before).resolution, {})) == histogram.nothing()


def test_a_restored_histogram_goes_on() -> None:
    """A restored histogram has its saved resolution and counts, and further observations are added to them."""
    histogram, restored = (NativeHistogram((), BOUNDS, exemplars=False) for _ in range(2))
    histogram.observe_all([2.0 ** (SMALLEST + (step + 0.5) / 8) for step in range(64 * 8)])
    copied = histogram.copied()
    resolution = native_of(copied).resolution
    parts = {resolution.upper(part): count for part, count in native_of(copied).parts.items()}
    saved = SavedHistogram((), 0, copied.counts, copied.total, parts=SavedParts(resolution.schema, parts))
    assert restored.restore(saved)
    assert copied == restored.copied()
    for one in (histogram, restored):
        one.observe(0.7)
    assert histogram.copied() == restored.copied()


@pytest.mark.parametrize(
    "parts",
    [None, SavedParts(4, {1.0: 1}), SavedParts(-1, {1.0: 1}), SavedParts(3, {}), SavedParts(3, {0.1: 1}),
     SavedParts(3, {1.0: 2})],
    ids=["none", "finer", "coarser", "empty", "elsewhere", "more"],
)  # fmt: skip
def test_what_does_not_fit_is_not_restored(parts: SavedParts | None) -> None:
    """A histogram stays empty if its native buckets are missing, malformed or don't match the classic counts."""
    histogram = NativeHistogram((), BOUNDS, exemplars=True)
    assert not histogram.restore(SavedHistogram((), 0, [0, 0, 1, 0, 0], 0.7, parts=parts))
    assert histogram.nothing() == histogram.copied()._replace(exemplars=None)


def test_classic_histograms_are_restored_from_any_file() -> None:
    """A process without native histograms restores the classic counts of a file with or without native ones."""
    for parts in (None, SavedParts(3, {1.0: 1})):
        histogram = Histogram((), BOUNDS)
        assert histogram.restore(SavedHistogram((), 0, [0, 0, 1, 0, 0], 0.7, parts=parts))
        assert Distribution([0, 0, 1, 0, 0], 0.7) == histogram.copied()


def test_only_the_wanted_metrics_are_native() -> None:
    """If native histograms are enabled, only task times and event lag have native buckets."""
    metrics = (rows.TASK_WAIT, internals.EVENT_LAG, internals.SCRAPE_DURATION, *internals.METRICS)
    for new, expected in ((NewSeries(), set()), (NewSeries(native=NATIVE), {rows.TASK_WAIT, internals.EVENT_LAG})):
        store = Store(metrics, 10, {rows.TASK_WAIT.name: (1.0,)}, new)
        made = {
            rows.TASK_WAIT: store.histogram(rows.TASK_WAIT, "t", "q"),
            internals.EVENT_LAG: store.histogram(internals.EVENT_LAG),
            internals.SCRAPE_DURATION: store.histogram(internals.SCRAPE_DURATION),
        }
        assert expected == {metric for metric, one in made.items() if one.copied().native is not None}
        assert (2.0, 3.0) == store.histogram(rows.TASK_WAIT, "u", "q", bounds=(2.0, 3.0)).bounds
