# SPDX-License-Identifier: Apache-2.0
"""The series store: bounds, overflow, copies."""

from collections.abc import Callable
from functools import partial
from typing import cast

import pytest

from celery_redis_exporter.catalog import OVERFLOW, Metric, internals
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.catalog.labels import WORKER
from celery_redis_exporter.records.samples import Distribution, Value
from celery_redis_exporter.state.histograms import ExemplarHistogram, Histogram, NativeHistogram
from celery_redis_exporter.state.series import NewSeries, Store
from tests.support.fakes import FakeClock

METRICS = (rows.TASKS, rows.TASK_WAIT, worker_rows.WORKER_UP, *internals.METRICS)


def test_same_labels_same_series() -> None:
    """The same labels return the same object, so that callers may keep it."""
    store = Store(METRICS, 10, {})
    assert store.scalar(rows.TASKS, "t", "q", "success") is store.scalar(rows.TASKS, "t", "q", "success")


def test_overflow_keeps_closed_labels_apart() -> None:
    """Series over the limit share one series per value of the bounded labels, and count as dropped."""
    store = Store(METRICS, 2, {})
    for number in range(5):
        store.scalar(rows.TASKS, f"t{number}", "q", "success").value += 1
        store.scalar(rows.TASKS, f"t{number}", "q", "failure").value += 1
    families = {family.metric: family for family in store.collect()}
    labels = {series.labels for series in families[rows.TASKS].series}
    assert {
        ("t0", "q", "success"), ("t0", "q", "failure"),
        (OVERFLOW, OVERFLOW, "success"), (OVERFLOW, OVERFLOW, "failure"),
    } == labels  # fmt: skip
    assert [1, 1, 4, 4] == sorted(value for value in families[rows.TASKS].values if isinstance(value, float | int))
    store.collect()
    assert 8 == store.scalar(internals.SERIES_DROPPED, rows.TASKS.name).value


def shown(store: Store, metric: Metric) -> list[Value | None]:
    """Return the exposed values of a metric."""
    return list(next(family.values for family in store.collect() if family.metric is metric))


def test_zero_first() -> None:
    """A new counter or histogram shows 0 for a while and then its full value; a gauge shows its value at once."""
    clock = FakeClock()
    metrics = (*METRICS, worker_rows.WORKER_PROCESSED)
    store = Store(metrics, 10, {rows.TASK_WAIT.name: (1.0,)}, NewSeries(clock, zero_first=30))
    early, spread = store.scalar(rows.TASKS, "t", "q", "failure"), store.histogram(rows.TASK_WAIT, "t", "q")
    early.value = 3
    spread.observe(0.5)
    store.scalar(worker_rows.WORKER_UP, "w").value = 1
    store.scalar(worker_rows.WORKER_PROCESSED, "w").value = 1000  # the worker counts it; it did not begin at 0 here
    for _ in range(2):
        assert [0] == shown(store, rows.TASKS)
        assert [Distribution([0, 0], 0.0)] == shown(store, rows.TASK_WAIT)
        assert [1] == shown(store, worker_rows.WORKER_UP)
        assert [1000] == shown(store, worker_rows.WORKER_PROCESSED)
    clock.advance(29)
    early.value = 4
    store.scalar(rows.TASKS, "t", "q", "success").value = 9
    assert [0, 0] == shown(store, rows.TASKS)
    clock.advance(1)
    assert [4, 0] == shown(store, rows.TASKS)
    assert 1 == sum(found.counts[0] for found in shown(store, rows.TASK_WAIT) if isinstance(found, Distribution))
    clock.advance(29)
    assert [4, 9] == shown(store, rows.TASKS)


def test_births() -> None:
    """A counter that began at 0 here has a created time; one that another program counts and a gauge have none."""
    clock = FakeClock()
    store = Store((*METRICS, worker_rows.WORKER_PROCESSED), 10, {}, NewSeries(clock))
    clock.advance(7)
    assert clock.now() == store.scalar(rows.TASKS, "t", "q", "failure").born
    assert clock.now() == store.histogram(rows.TASK_WAIT, "t", "q").born
    assert store.scalar(worker_rows.WORKER_UP, "w").born is None
    assert store.scalar(worker_rows.WORKER_PROCESSED, "w").born is None


def test_collect_copies() -> None:
    """A collected value does not change with later observations."""
    store = Store(METRICS, 10, {})
    histogram = store.histogram(rows.TASK_WAIT, "t", "q")
    histogram.observe(0.2)
    before = next(family for family in store.collect() if family.metric is rows.TASK_WAIT).values[0]
    histogram.observe(0.2)
    assert isinstance(before, Distribution)
    assert (1, 0.2) == (sum(before.counts), before.total)


def test_buckets_count_bounds_as_inside() -> None:
    """A value equal to a bound counts in that bucket (le), and one above all bounds in +Inf."""
    store = Store(METRICS, 10, {rows.TASK_WAIT.name: (1.0, 2.0)})
    histogram = store.histogram(rows.TASK_WAIT, "t", "q")
    for value in (0.5, 1.0, 1.5, 2.0, 99.0):
        histogram.observe(value)
    assert [2, 2, 1] == histogram.counts


def test_many_observations_count_like_single_ones() -> None:
    """Observations that are added together are counted in the same buckets as single ones."""
    values = (0.5, 1.0, 1.5, 2.0, 99.0)
    together, single = (Histogram((), (1.0, 2.0)) for _ in range(2))
    together.observe_all(values)
    together.observe_all(values)
    for value in values * 2:
        single.observe(value)
    assert single.counted() == together.counted() == Distribution([4, 4, 2], 208.0)


@pytest.mark.parametrize("kind", [Histogram, ExemplarHistogram, partial(NativeHistogram, exemplars=True)])
@pytest.mark.parametrize(
    ("since", "eta", "expected"),
    [(4.0, None, 6.0), (4.0, 8.0, 2.0), (4.0, 3.0, 6.0), (12.0, None, 0.0), (4.0, 12.0, 0.0)],
    ids=["no eta", "eta", "eta before", "clock ahead", "start before eta"],
)
def test_delays(kind: Callable[..., Histogram], since: float, eta: float | None, expected: float) -> None:
    """A delay starts at the publication or at a later eta, and is never negative, with exemplars or without."""
    histogram, plain = kind((), (2.0, 5.0)), Histogram((), (2.0, 5.0))
    histogram.observe_delay(10.0, since, eta, "id")
    plain.observe(expected)
    assert (plain.counts, expected) == (histogram.counts, histogram.total)


def test_whole_values_have_no_exemplars() -> None:
    """Values that include new series contain no exemplars."""
    store = Store(METRICS, 10, {rows.TASK_WAIT.name: (1.0,)}, NewSeries(FakeClock(), zero_first=30))
    store.histogram(rows.TASK_WAIT, "t", "q").observe_task(0.5, "id", 1.0)
    (family,) = store.collect(whole=True, only=frozenset((rows.TASK_WAIT,)))
    assert [Distribution([1, 0], 0.5)] == list(family.values)


def test_discard_and_expire() -> None:
    """An expired series is removed and counts as expired once, and removing an absent series changes nothing."""
    store = Store(METRICS, 10, {})
    store.scalar(worker_rows.WORKER_UP, "w")
    store.expire(worker_rows.WORKER_UP, ("w",))
    store.expire(worker_rows.WORKER_UP, ("w",))
    assert 1 == store.scalar(internals.SERIES_EXPIRED, worker_rows.WORKER_UP.name).value
    assert not store.discard(worker_rows.WORKER_UP, ("w",))


def test_number_of_series_decreases() -> None:
    """The number of series of a metric decreases when a series is removed."""
    store = Store(METRICS, 10, {})
    for worker in ("w1", "w2"):
        store.scalar(worker_rows.WORKER_UP, worker)
    numbers = []
    for _ in range(2):
        store.collect()
        numbers.append(store.scalar(internals.SERIES, worker_rows.WORKER_UP.name).value)
        store.discard(worker_rows.WORKER_UP, ("w2",))
    assert [2, 1] == numbers


def test_metrics_with_an_added_worker_label_can_be_selected() -> None:
    """A metric that has the worker label added can be collected by its catalogue entry."""
    store = Store(METRICS, 10, {}, NewSeries(by_worker=frozenset((rows.TASKS,))))
    store.scalar(rows.TASKS, "t", "q", "success", "w").value = 3
    (family,) = store.collect(only=frozenset((rows.TASKS,)))
    assert ([3], (*rows.TASKS.labels, WORKER)) == (list(family.values), family.metric.labels)


def test_undeclared_metric() -> None:
    """A metric that the store does not declare can't be written."""
    with pytest.raises(KeyError):
        Store((), 10, {}).scalar(rows.TASKS, "t", "q", "success")


def test_a_histogram_is_copied_when_it_was_observed() -> None:
    """A histogram without new observations returns the same value object; counters return their current values."""
    store, only = (
        Store(METRICS, 10, {rows.TASK_WAIT.name: (1.0,)}, NewSeries(exemplars=True)),
        frozenset((rows.TASKS, rows.TASK_WAIT)),
    )
    count, wait = store.scalar(rows.TASKS, "t", "q", "success"), store.histogram(rows.TASK_WAIT, "t", "q")
    counts, waits = store.collect(only=only)
    count.value += 1
    more, same = store.collect(only=only)
    assert ([0], [1]) == (list(counts.values), list(more.values))
    assert same.values[0] is waits.values[0]
    wait.observe_task(0.0, "id", 1.0)
    assert store.collect(only=only)[1].values[0] is not waits.values[0]
    store.scalar(rows.TASKS, "t", "q", "failure")
    assert [1, 0] == list(store.collect(only=only)[0].values)
    store.discard(rows.TASKS, ("t", "q", "failure"))
    assert [1] == list(store.collect(only=only)[0].values)
    store.discard(rows.TASKS, ("t", "q", "success"))
    assert [rows.TASK_WAIT] == [family.metric for family in store.collect(only=only)]
    store.scalar(rows.TASKS, "t", "q", "success")
    assert [[0], [Distribution([1, 0], 0.0, [("id", 0.0, 1.0), None])]] == [
        list(family.values) for family in store.collect(only=only)
    ]


def test_the_text_of_all_series_is_bounded() -> None:
    """Series that would exceed the limit of text go to the overflow series, and removed series make room."""
    store = Store(METRICS, 10_000, {rows.TASK_WAIT.name: (1.0, 2.0)}, NewSeries(most_bytes=3_000))
    store.histogram(rows.TASK_WAIT, "t" * 100, "q").observe(1)
    before = store.text_bytes()
    assert before > 5 * 100
    for number in range(100):
        store.scalar(rows.TASKS, f"{number}" * 50, "q", "success").value += 1
    families = {family.metric.name: family for family in store.collect()}
    shown = [series.labels for series in families[rows.TASKS.name].series]
    assert (OVERFLOW, OVERFLOW, "success") == shown[-1]
    assert 100 == sum(cast("list[float]", families[rows.TASKS.name].values))
    assert store.text_bytes() < 3_000 + 1_000  # the store's own metrics and the overflow series
    for labels in shown:
        store.discard(rows.TASKS, labels)
    assert store.text_bytes() < before + 1_000
    assert "fresh" == store.scalar(rows.TASKS, "fresh", "q", "success").labels[0]
