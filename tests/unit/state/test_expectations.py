# SPDX-License-Identifier: Apache-2.0
"""Expected intervals, thresholds and buckets of tasks."""

import re

from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.records.replies import PeriodicTask
from celery_redis_exporter.state.expectations import Plan
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from tests.support.lab import Lab
from tests.support.options import task_limits

PLANS = {
    "nightly": Plan(expected_interval=86_400, runtime_threshold=60),
    "proj.*": Plan(runtime_threshold=5, buckets=(1.0, 2.0)),
    "proj.slow": Plan(buckets=(100.0,)),
    "*": Plan(expected_interval=10),
}


def shown(lab: Lab) -> dict[tuple[str, str], float]:
    """Return both gauges by a short name and the task."""
    metrics = {"interval": rows.TASK_EXPECTED_INTERVAL, "threshold": rows.TASK_RUNTIME_THRESHOLD}
    return {
        (title, task): series.value
        for title, metric in metrics.items()
        for (task,), series in lab.store._scalars[metric].series.items()
    }


def test_named_tasks_are_expected_before_they_run() -> None:
    """A task named in the settings has its gauges from the start; one that matches a pattern, from its first event."""
    lab = Lab(task_limits(plans=PLANS))
    start = {("interval", "nightly"): 86_400, ("threshold", "nightly"): 60}
    assert start == shown(lab)
    lab.sent("a", 0, "proj.add")
    assert start | {("threshold", "proj.add"): 5} == shown(lab)  # only the first pattern that matches applies
    lab.sent("b", 0, "other")
    assert 10 == shown(lab)["interval", "other"]


def test_buckets_of_a_task() -> None:
    """Buckets that are set for a task apply to its times only."""
    lab = Lab(task_limits(plans=PLANS))
    for uuid, name in (("a", "proj.add"), ("b", "proj.slow"), ("c", "other")):
        lab.sent(uuid, 0, name)
        lab.received(uuid, 1, name)
        lab.started(uuid, 2)
        lab.failed(uuid, 3)
    bounds = {
        (series.labels[0], metric): series.bounds
        for metric in (rows.TASK_WAIT, rows.TASK_PREFETCH, rows.TASK_RUNTIME)
        for series in lab.store._histograms[metric].series.values()
    }
    assert {(1.0, 2.0)} == {found for (task, _), found in bounds.items() if task == "proj.add"}
    assert {(100.0,)} == {found for (task, _), found in bounds.items() if task == "proj.slow"}
    assert rows.TASK_WAIT.buckets == bounds["other", rows.TASK_WAIT]


def test_a_schedule_is_taken_over_whole() -> None:
    """The shortest entry of a schedule applies, settings override it, and removed entries are dropped."""
    lab = Lab(task_limits(plans={"nightly": Plan(expected_interval=86_400)}))
    expectations = lab.tasks.names.expectations
    expectations.learn([PeriodicTask(*plan) for plan in (("a", 60), ("a", 30), ("a", 45), ("nightly", 5), ("b", 9))])
    assert {("interval", "a"): 30, ("interval", "b"): 9, ("interval", "nightly"): 86_400} == shown(lab)
    expectations.learn([PeriodicTask("b", 9)])
    assert {("interval", "b"): 9, ("interval", "nightly"): 86_400} == shown(lab)


def test_names_of_a_schedule_follow_the_rules() -> None:
    """A schedule's tasks are expected under their shown names; hidden tasks are not expected."""
    rules = NameRules([], [re.compile("celery.*")], [Rewrite(re.compile("proj[.](.+)"), r"\g<1>")])
    lab = Lab(task_limits(naming=Naming(task=rules)))
    lab.tasks.names.expectations.learn([PeriodicTask("proj.a", 60), PeriodicTask("celery.cleanup", 60)])
    assert {("interval", "a"): 60} == shown(lab)


def test_what_is_expected_rarely_is_remembered_for_longer() -> None:
    """Series of a task that is expected rarely expire after three of its intervals instead of the usual time."""
    lab = Lab(task_limits(idle=100, plans={"weekly": Plan(expected_interval=1000)}))
    for uuid, name in (("a", "weekly"), ("b", "once")):
        lab.sent(uuid, 0, name)
        lab.received(uuid, 0, name)
        lab.started(uuid, 0)
        lab.succeeded(uuid, 1)
    lab.tasks.sweep(lab.clock.monotonic())
    for seconds, expected in ((150, ["weekly"]), (2000, ["weekly"]), (1000, [])):
        lab.clock.advance(seconds)
        lab.tasks.sweep(lab.clock.monotonic())
        assert expected == [task.name for task in lab.tasks.names]
    assert {("interval", "weekly"): 1000} == shown(lab)  # still expected
