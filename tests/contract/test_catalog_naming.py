"""The catalogue keeps Prometheus's naming rules and its own."""

import re

import pytest

from exporter.catalog import CATALOG, Kind, Metric, labels
from exporter.catalog.metric import Label

OWN = [metric for metric in CATALOG.values() if not metric.name.startswith("redis_")]
ALL = list(CATALOG.values())
DECLARED_LABELS = [label for label in vars(labels).values() if isinstance(label, Label)]
WRONG_UNITS = re.compile(r"_(ms|msec|milliseconds|usec|microseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)")
# Celery's own word, and no histogram is called celery_worker_prefetch.
ENDS_LIKE_A_SUFFIX = {"celery_worker_prefetch_count"}
IDENTIFYING = {"uuid", "task_id", "id", "args", "kwargs", "result", "traceback", "message"}


def by_name(metric: Metric) -> str:
    """Name the case after the metric."""
    return metric.name


@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_name_and_help_are_well_formed(metric: Metric) -> None:
    """A name is snake_case under one of three prefixes; a help is a sentence on one line."""
    assert re.fullmatch(r"(celery|redis)_[a-z0-9_]*[a-z0-9]", metric.name)
    assert "__" not in metric.name
    assert metric.help.endswith(".")
    assert metric.help[0].isupper() or metric.help[0].isdigit()
    assert "\n" not in metric.help


@pytest.mark.parametrize("metric", OWN, ids=by_name)
def test_own_counters_and_only_they_end_in_total(metric: Metric) -> None:
    """_total says counter, and a counter says _total; Redis metrics have their upstream names."""
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")


@pytest.mark.parametrize("metric", OWN, ids=by_name)
def test_own_metrics_are_in_base_units(metric: Metric) -> None:
    """No scaled unit in a name; a reserved word of the exposition format is no name's end."""
    assert not WRONG_UNITS.search(metric.name)
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created")) or metric.name in ENDS_LIKE_A_SUFFIX


@pytest.mark.parametrize("metric", OWN, ids=by_name)
def test_times_carry_their_unit(metric: Metric) -> None:
    """Durations and ages end in _seconds, points in time in _timestamp_seconds, sizes in _bytes."""
    stem = metric.name.removesuffix("_total")
    for word, end in (("timestamp", "_timestamp_seconds"), ("age", "_seconds"), ("duration", "_seconds")):
        if word in stem.split("_") and "average" not in stem:
            assert stem.endswith(end)
    if metric.kind is Kind.HISTOGRAM:
        assert stem.endswith("_seconds")


@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_labels_are_declared_once_and_identify_no_message(metric: Metric) -> None:
    """Labels come from labels.py, no two of a metric share a name, none could hold an id or user data."""
    assert [label for label in metric.labels if not any(label is known for known in DECLARED_LABELS)] == []
    assert len(set(metric.label_names)) == len(metric.label_names)
    assert IDENTIFYING.isdisjoint(metric.label_names)
    assert [name for name in metric.label_names if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "le"] == []


@pytest.mark.parametrize("metric", ALL, ids=by_name)
def test_histograms_and_only_they_have_rising_buckets(metric: Metric) -> None:
    """Bounds rise, start above 0 and leave +Inf to the renderer."""
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert all(0 < bound < float("inf") for bound in metric.buckets)


@pytest.mark.parametrize("metric", [m for m in ALL if m.name.startswith("redis_")], ids=by_name)
def test_redis_metrics_say_which_server(metric: Metric) -> None:
    """Each carries the label redis, first."""
    assert metric.label_names[:1] == ("redis",)


@pytest.mark.parametrize("label", DECLARED_LABELS, ids=lambda label: label.name)
def test_every_label_is_explained(label: Label) -> None:
    """A label's help is a sentence."""
    assert label.help.endswith(".")
