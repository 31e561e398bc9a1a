# SPDX-License-Identifier: Apache-2.0
"""The interface compared with that of the last release: differences are named in the changelog."""

from dataclasses import replace

import pytest

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.settings.schema.rows import describe
from celery_redis_exporter.status.schema import build_schema
from tests.release.snapshot import (
    CHANGELOG,
    Difference,
    compare,
    interface,
    metric_entries,
    read,
    schema_entries,
    setting_entries,
    unnamed,
)

ADDED = "## [Unreleased]\n\n### Added\n\n- {}\n\n## [1.0.0] - 2026-01-01\n\n### Removed\n\n- `celery_tasks_total`\n"
CHANGED = ADDED.replace("### Added", "### Changed")


@pytest.mark.pinned
def test_the_changelog_names_every_difference() -> None:
    """Each difference from the last release is in CHANGELOG.md; before a release write a new snapshot."""
    assert [] == unnamed(compare(read(), interface()), CHANGELOG.read_text(encoding="utf-8"))


def test_the_snapshot_has_every_interface() -> None:
    """Metrics, settings, the schema, commands and the library are compared."""
    kinds = {entry.partition(" ")[0] for entry in read()}
    assert {"metric", "setting", "schema", "command", "library"} == kinds
    assert [] == compare(interface(), interface())


def test_a_renamed_metric_fails() -> None:
    """A renamed metric is one that was removed and one that was added, and the removed one is listed as a change."""
    before = metric_entries(CATALOG.values())
    renamed = [
        replace(metric, name="celery_executions_total") if metric.name == "celery_tasks_total" else metric
        for metric in CATALOG.values()
    ]
    differences = compare(before, metric_entries(renamed))
    removed = Difference("removed", "metric celery_tasks_total")
    assert [Difference("added", "metric celery_executions_total"), removed] == differences
    assert differences == unnamed(differences, ADDED.format("nothing"))
    assert [removed] == unnamed(differences, ADDED.format("`celery_executions_total` instead of `celery_tasks_total`"))
    assert [] == unnamed(differences, CHANGED.format("`celery_executions_total` instead of `celery_tasks_total`"))


def test_a_label_a_default_and_a_field_are_compared() -> None:
    """Changes of a metric's labels, of a default and of a schema field's type are found."""
    metric = CATALOG["celery_tasks_total"]
    without = metric_entries([replace(metric, labels=metric.labels[1:])])
    assert [Difference("changed", "metric celery_tasks_total")] == compare(metric_entries([metric]), without)
    row = next(row for row in describe() if row.key == "workers.max")
    other = setting_entries([replace(row, default="7")])
    assert [Difference("changed", "setting workers.max")] == compare(setting_entries([row]), other)
    schema = build_schema()
    before = schema_entries(schema)
    schema["$defs"]["Report"]["properties"]["version"] = {"type": "integer"}
    assert [Difference("changed", "schema Report/version")] == compare(before, schema_entries(schema))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("`workers.max` is 7", True),
        ("`--workers.max`", True),
        ("`workers.maximum` is 7", False),
        ("`queues.workers.max`", False),
        ("`workers.max.more`", False),
        ("Now workers.max.", True),
    ],
)
def test_a_name_is_whole(line: str, named: bool) -> None:  # noqa: FBT001 -- a table's column
    """A part of another name is no mention, nor is the section of an earlier release."""
    change = Difference("changed", "setting workers.max")
    assert named == (unnamed([change], CHANGED.format(line)) == [])
    assert unnamed([Difference("removed", "metric celery_tasks_total")], CHANGED.format(line))
