# SPDX-License-Identifier: Apache-2.0
"""Queries that use the labels task_name and status, and a duration metric, on a real Prometheus."""

from typing import Any

import pytest
import yaml

from tests.integration.conftest import Programs, Shared
from tests.integration.processes import ROOT
from tests.integration.prometheus_server import is_installed
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH"),
]

SHIPPED = ROOT / "deploy" / "prometheus" / "relabel-task-name.yml"
QUERIES = (
    "sum by (task_name) (rate(celery_tasks_total[1m])) * 60",
    'sum(rate(celery_tasks_total{status="success"}[1m])) / sum(rate(celery_tasks_total[1m])) * 100',
    "sum by (task_name) (rate(celery_task_duration_seconds_sum[1m]) / rate(celery_task_duration_seconds_count[1m]))",
    "histogram_quantile(0.95, sum by (le, task_name) (rate(celery_task_duration_seconds_bucket[1m])))",
    "sum by (status) (celery_tasks_total)",
)
"""Tasks in a minute, success rate, mean runtime, its 95th percentile, totals by outcome: panels of a common guide."""


def test_queries_of_a_guide_return_rows(programs: Programs, shared: Shared) -> None:
    """With the shipped relabelling and rules the five queries have results, and every task is counted once."""
    config: dict[str, Any] = yaml_text.parse(SHIPPED.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str((SHIPPED.parent / name).resolve()) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{shared.exporter.port}"]}]
    prometheus = programs.prometheus(yaml.safe_dump(config))
    ours, theirs = 'celery_tasks_total{task="named"}', 'celery_tasks_total{task_name="named"}'
    shared.send("named", 1)
    eventually(lambda: prometheus.value(f"sum({theirs})") == 1)
    for number in range(3):
        shared.send("named", number)
    eventually(lambda: prometheus.value(f"sum({theirs})") == 4)
    eventually(lambda: all(rows(prometheus.query(query)) for query in QUERIES), 30)
    assert 4 == prometheus.value(f"sum({ours})")
    assert prometheus.query(f"{ours[:-1]}, state='success'}}")[0][0]["status"] == "success"
    recorded = eventually(lambda: prometheus.query('celery:tasks_completed:rate10m{task="named"}'), 30)
    assert 1 == len(recorded)
    assert not {"task_name", "status"} & set(recorded[0][0])


def rows(found: list[tuple[dict[str, str], float]]) -> list[float]:
    """Return the values that are numbers, of rows whose labels have values."""
    return [value for labels, value in found if all(labels.values()) and value == value]  # noqa: PLR0124 -- nan
