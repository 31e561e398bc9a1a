# SPDX-License-Identifier: Apache-2.0
"""The recording rules for migrating from Flower, compared with the catalogue and Flower's metrics."""

from pathlib import Path

import promql_parser as promql
import pytest

from tests.support import yaml_text
from tests.support.promql import catalogued, result_labels, selectors

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "flower-compat.rules.yml"
ROWS = [rule for group in yaml_text.parse(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
FLOWER = {
    "flower_events_total": {"worker", "task", "type"},
    "flower_task_runtime_seconds_bucket": {"worker", "task", "le"},
    "flower_task_runtime_seconds_sum": {"worker", "task"},
    "flower_task_runtime_seconds_count": {"worker", "task"},
    "flower_task_prefetch_time_seconds": {"worker", "task"},
    "flower_worker_prefetched_tasks": {"worker", "task"},
    "flower_worker_online": {"worker"},
    "flower_worker_number_of_currently_executing_tasks": {"worker"},
}
"""Flower 2.2's metrics and their labels (flower/events.py)."""
TYPES = {
    f"task-{end}" for end in ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected")
}
ALWAYS = {"cluster", "namespace", "job", "instance", "application", "replica"}


@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: f"{rule['record']} {rule.get('labels', {}).get('type', '')}")
def test_rules_use_what_exists(rule: dict[str, str]) -> None:
    """Every rule selects metrics and labels of the catalogue, and has only labels that Flower's metric has."""
    expression = promql.parse(rule["expr"])
    assert {row.name for row in selectors(expression)}
    labels = result_labels(expression, catalogued())
    assert labels is not None
    assert set() == {*labels, *rule.get("labels", ())} - FLOWER[rule["record"]] - ALWAYS


def test_every_metric_of_flower_is_recorded() -> None:
    """Every metric of Flower has a rule, and every type of task event has one."""
    assert FLOWER.keys() == {rule["record"] for rule in ROWS}
    assert TYPES == {rule["labels"]["type"] for rule in ROWS if rule["record"] == "flower_events_total"}
