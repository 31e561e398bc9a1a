# SPDX-License-Identifier: Apache-2.0
"""The catalogue follows Prometheus's naming rules and those of this project."""

import re
from pathlib import Path

from celery_redis_exporter.catalog import CATALOG, Kind, labels, redis_core, redis_server
from celery_redis_exporter.catalog.metric import Label

ALERTS = Path(__file__).parents[2] / "alerts"
OWN = [metric for metric in CATALOG.values() if not metric.name.startswith("redis_")]
ALL = list(CATALOG.values())
DECLARED_LABELS = [label for label in vars(labels).values() if isinstance(label, Label)]
WRONG_UNITS = re.compile(r"_(ms|msec|milliseconds|usec|microseconds|minutes|hours|kb|mb|kilobytes|percent)(_|$)")
# The name comes from Celery, and there is no histogram celery_worker_prefetch.
ENDS_LIKE_A_SUFFIX = {"celery_worker_prefetch_count"}
IDENTIFYING = {"uuid", "task_id", "id", "args", "kwargs", "result", "traceback", "message"}
SAID_BY_REDIS = {("redis_sentinel_master_ckquorum_status", "message")}
"""Labels with the name of a message's field whose value is a text of the server."""


def test_name_and_help_are_well_formed() -> None:
    """A name is snake_case under one of three prefixes; a help is a sentence on one line."""
    for metric in ALL:
        assert re.fullmatch(r"(celery|redis)_[a-z0-9_]*[a-z0-9]", metric.name), metric.name
        assert "__" not in metric.name, metric.name
        assert metric.help.endswith("."), metric.name
        assert metric.help[0].isupper() or metric.help[0].isdigit(), metric.name
        assert "\n" not in metric.help, metric.name


def test_own_counters_and_only_they_end_in_total() -> None:
    """The exporter's counters, and no other of its metrics, end in _total; Redis metrics have their upstream names."""
    for metric in OWN:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name


def test_own_metrics_are_in_base_units() -> None:
    """No name contains a scaled unit or ends in a reserved suffix of the exposition format."""
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
    """Labels come from labels.py, are unique within a metric, and can't contain ids or user data."""
    for metric in ALL:
        assert [label for label in metric.labels if not any(label is known for known in DECLARED_LABELS)] == [], (
            metric.name
        )
        assert len(set(metric.label_names)) == len(metric.label_names), metric.name
        identity = {
            label.name for label in metric.labels if not label.closed and (metric.name, label.name) not in SAID_BY_REDIS
        }
        assert IDENTIFYING.isdisjoint(identity), metric.name
        assert [
            name for name in metric.label_names if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == "le"
        ] == [], metric.name


def test_histograms_and_only_they_have_rising_buckets() -> None:
    """Bounds rise, start above 0 and leave +Inf to the renderer; histograms of servers have no bounds here."""
    for metric in ALL:
        assert (metric.kind is Kind.HISTOGRAM and metric not in redis_server.METRICS) == bool(metric.buckets), (
            metric.name
        )
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert all(0 < bound < float("inf") for bound in metric.buckets), metric.name


def test_summaries_are_only_those_of_servers() -> None:
    """None of the exporter's metrics is a summary, because quantiles of several processes can't be combined."""
    for metric in OWN:
        assert metric.kind is not Kind.SUMMARY, metric.name


def test_redis_metrics_say_which_server() -> None:
    """The first label of each Redis metric is redis."""
    for metric in [m for m in ALL if m.name.startswith("redis_")]:
        assert metric.label_names[:1] == ("redis",), metric.name


def test_the_core_exists() -> None:
    """Each name of the core is that of a Redis metric, and is listed once."""
    assert set() == set(redis_core.NAMES) - {metric.name for metric in redis_server.METRICS}
    assert len(set(redis_core.NAMES)) == len(redis_core.NAMES)
    assert len(redis_server.METRICS) == len(redis_core.NAMES) + len(redis_core.BEYOND)


def test_the_core_has_what_alerts_read() -> None:
    """The core of the Redis metrics is enough for every bundled alert."""
    redis = {metric.name for metric in redis_server.METRICS}
    rules = "\n".join(path.read_text(encoding="utf-8") for path in ALERTS.glob("*.yml"))
    read = redis & set(re.findall(r"\bredis_[a-z_]+", rules))
    assert read
    assert set() == read - set(redis_core.NAMES)


def test_every_label_is_explained() -> None:
    """A label's help is a sentence."""
    for label in DECLARED_LABELS:
        assert label.help.endswith("."), label.name
