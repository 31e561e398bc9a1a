# SPDX-License-Identifier: Apache-2.0
"""Settings that choose names, labels and metrics, and the settings of tasks."""

import re

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.schema.patterns import read_replacement


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [("$1", "web"), ("${1}-x", "web-x"), ("${app}", "web"), ("plain", "plain"), (r"a\1", r"a\1"), ("$$1", "$web")],
)
def test_replacements(replacement: str, expected: str) -> None:
    """Groups are written as in Prometheus's relabelling, by number or name; a backslash is literal."""
    pattern = re.compile(r"(?P<app>.+)-[0-9]+")
    found = pattern.fullmatch("web-7")
    assert found is not None
    assert expected == found.expand(read_replacement(pattern, replacement))


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--names.task.include", "a(", "faulty regular expression"),
        ("--names.queue.rewrite", '{"a": "$1"}', r"refers to \$1"),
        ("--names.queue.rewrite", '{"(a)": "${b}"}', r"refers to \$b"),
        ("--names.queue.rewrite", "a=b", "JSON"),
        ("--metrics.labels", "queue=x", "label of the exporter's own metrics"),
        ("--metrics.labels", "le=x", "label of the exporter's own metrics"),
        ("--metrics.labels", "__name__=x", "can't be a label's name"),
        ("--metrics.labels", "9=x", "can't be a label's name"),
        ("--metrics.drop", "celery_task_wait", "did you mean celery_task"),
        ("--tasks", '{"t": {"expected_intervall": 5}}', "expected_intervall"),
        ("--tasks", '{"t": {"expected_interval": 0}}', "--tasks"),
        ("--tasks", '{"t": {"buckets": [2, 1]}}', "rising order"),
        ("--redbeat.server", "elsewhere", "broker"),
        ("--redbeat.interval", "500ms", "1s or more"),
        ("--series.zero-first", "-1", "--series.zero-first"),
    ],
)
def test_what_can_not_be_used(flag: str, value: str, message: str) -> None:
    """A wrong value is refused in one line that names the flag and the cause."""
    with pytest.raises(ConfigError, match=message) as caught:
        load([flag, value], {})
    assert flag in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tasks() -> None:
    """The settings of tasks are selected by name or pattern, and durations have the usual syntax."""
    text = '{"proj.report": {"expected_interval": "1h", "runtime_threshold": "5m"}, "proj.*": {"buckets": [1, 60]}}'
    tasks = load(["--tasks", text], {}).tasks
    assert ["proj.report", "proj.*"] == list(tasks)
    assert (3600, 300, None) == tuple(vars(tasks["proj.report"]).values())
    assert (1.0, 60.0) == tasks["proj.*"].buckets


def test_labels_are_text() -> None:
    """Values of labels are text, however YAML or a flag contains them."""
    assert {"shard": "7", "env": "prod"} == load(["--metrics.labels", "shard=7,env=prod"], {}).metrics.labels
    assert {"shard": "7"} == load([], {"EXPORTER_METRICS__LABELS": '{"shard": 7}'}).metrics.labels
