# SPDX-License-Identifier: Apache-2.0
"""The catalogue keeps Prometheus's naming rules and its own."""

import re
from pathlib import Path

from celery_redis_exporter.catalog import CATALOG, Kind, labels, redis_core, redis_server
from celery_redis_exporter.catalog.metric import Label

ALERTS = Path(__file__).parents[2] / "alerts"
OWN = [metric for metric in CATALOG.values() if not metric.name.startswith("redis_")]
ALL = list(CATALOG.values())
DECLARED_LABELS = [label for label in vars(labels).values() if isinstance(label, Label)]
WRONG_UNITS = re.compile(r"_(ms|msec|milliseconds|usec|microseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)")
# Celery's own word, and no histogram is called celery_worker_prefetch.
ENDS_LIKE_A_SUFFIX = {"celery_worker_prefetch_count"}
IDENTIFYING = {"uuid", "task_id", "id", "args", "kwargs", "result", "traceback", "message"}
SAID_BY_REDIS = {("redis_sentinel_master_ckquorum_status", "message")}
"""Labels whose name sounds like a message's and whose value is the server's own words."""


def test_name_and_help_are_well_formed() -> None:
    """A name is snake_case under one of three prefixes; a help is a sentence on one line."""
    for metric in ALL:
        assert re.fullmatch(r"(celery|redis)_[a-z0-9_]*[a-z0-9]", metric.name), metric.name
        assert "__" not in metric.name, metric.name
        assert metric.help.endswith("."), metric.name
        assert metric.help[0].isupper() or metric.help[0].isdigit(), metric.name
        assert "\n" not in metric.help, metric.name


def test_own_counters_and_only_they_end_in_total() -> None:
    """_total says counter, and a counter says _total; Redis metrics have their upstream names."""
    for metric in OWN:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name


def test_own_metrics_are_in_base_units() -> None:
    """No scaled unit in a name; a reserved word of the exposition format is no name's end."""
    for metric in OWN:
        assert not WRONG_UNITS.search(metric.name), metric.name
        assert (
            not metric.name.endswith(("_count", "_sum", "_bucket", "_created")) or metric.name in ENDS_LIKE_A_SUFFIX
        ), metric.name


def test_times_carry_their_unit() -> None:
    """Durations and ages end in _seconds, points in time in _timestamp_seconds, sizes in _bytes."""
    for metric in OWN:
        stem = metric.name.removesuffix("_total")
        for word, end in (("timestamp", "_timestamp_seconds"), ("age", "_seconds"), ("duration", "_seconds")):
            if word in stem.split("_") and "average" not in stem:
                assert stem.endswith(end), metric.name
        if metric.kind is Kind.HISTOGRAM:
            assert stem.endswith("_seconds"), metric.name


def test_labels_are_declared_once_and_identify_no_message() -> None:
    """Labels come from labels.py, no two of a metric share a name, none could hold an id or user data."""
    for metric in ALL:
        assert [label for label in metric.labels if not any(label is known for known in DECLARED_LABELS)] == [], (
            metric.name
        )
        assert len(set(metric.label_names)) == len(metric.label_names), metric.name
        told = {
            label.name for label in metric.labels if not label.closed and (metric.name, label.name) not in SAID_BY_REDIS
        }
        assert IDENTIFYING.isdisjoint(told), metric.name
        assert [
            name for name in metric.label_names if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "le"
        ] == [], metric.name


def test_histograms_and_only_they_have_rising_buckets() -> None:
    """Bounds rise, start above 0 and leave +Inf to the renderer; histograms that a server keeps have none of ours."""
    for metric in ALL:
        assert (metric.kind is Kind.HISTOGRAM and metric not in redis_server.METRICS) == bool(metric.buckets), (
            metric.name
        )
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert all(0 < bound < float("inf") for bound in metric.buckets), metric.name


def test_summaries_are_only_those_of_servers() -> None:
    """Quantiles of several processes can't be put together, so that none of ours is a summary."""
    for metric in OWN:
        assert metric.kind is not Kind.SUMMARY, metric.name


def test_redis_metrics_say_which_server() -> None:
    """Each carries the label redis, first."""
    for metric in [m for m in ALL if m.name.startswith("redis_")]:
        assert metric.label_names[:1] == ("redis",), metric.name


def test_the_core_exists() -> None:
    """Each name of the core is a Redis metric, and is named once."""
    assert set() == set(redis_core.NAMES) - {metric.name for metric in redis_server.METRICS}
    assert len(set(redis_core.NAMES)) == len(redis_core.NAMES)
    assert len(redis_server.METRICS) == len(redis_core.NAMES) + len(redis_core.BEYOND)


def test_the_core_has_what_alerts_read() -> None:
    """Whoever shows the core of the Redis metrics alone still has every bundled alert."""
    redis = {metric.name for metric in redis_server.METRICS}
    rules = "\n".join(path.read_text(encoding="utf-8") for path in ALERTS.glob("*.yml"))
    read = redis & set(re.findall(r"\bredis_[a-z_]+", rules))
    assert read
    assert set() == read - set(redis_core.NAMES)


def test_every_label_is_explained() -> None:
    """A label's help is a sentence."""
    for label in DECLARED_LABELS:
        assert label.help.endswith("."), label.name
