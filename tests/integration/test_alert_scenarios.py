"""Ordinary life and real trouble, as series of an installation: which alerts fire, judged by promtool of both lines.

Rules that are written without the knowledge of a scenario stand beside ours where that is short, and fire.
"""

from pathlib import Path

import pytest
import yaml

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import RenderOptions, render_rules
from tests.integration.promtools import Check, judge

pytestmark = pytest.mark.servers

RULES = render_rules(GROUPS, RenderOptions())
WHERE = 'job="celery", namespace="shop", instance="exporter:9808"'
SHOP = {"job": "celery", "namespace": "shop"}


def naive(name: str, expr: str, wait: str = "5m") -> str:
    """Return a rules file with one rule as people write it by hand."""
    rule = {"alert": name, "expr": expr, "for": wait, "labels": {"severity": "critical"}}
    return yaml.safe_dump({"groups": [{"name": "naive", "rules": [rule]}]})


def silent(name: str, *times: str) -> list[Check]:
    """Return the checks that an alert does not fire at these times."""
    return [(name, at, []) for at in times]


def test_four_starts_in_half_an_hour_are_not_more_than_four(tmp_path: Path) -> None:
    """Four starts in 30 minutes are no flapping, although increase() says 4.05; a fifth one is."""
    series = {f'celery_worker_starts_total{{{WHERE}, worker="w"}}': "1x20 2x30 3x30 4x30 5x120"}
    judge(tmp_path, RULES, series, silent("CeleryWorkerFlapping", *(f"{minute}m" for minute in range(5, 50))), "13s")
    rule = naive("Naive", "max by (worker) (increase(celery_worker_starts_total[30m])) > 4", "0s")
    judge(tmp_path, rule, series, [("Naive", "27m", [{"severity": "critical", "worker": "w"}])], "13s")
    more = {f'celery_worker_starts_total{{{WHERE}, worker="w"}}': "1x20 2x30 3x30 4x20 5x10 6x120"}
    firing = [SHOP | {"severity": "warning", "worker": "w"}]
    judge(tmp_path, RULES, more, [("CeleryWorkerFlapping", "27m", firing)], "13s")


def test_a_cluster_without_workers_is_seen_beside_one_that_has_some(tmp_path: Path) -> None:
    """Two clusters under one job and namespace are judged apart; by job and namespace alone one hides the other."""
    series = {
        f"{name}{{{WHERE}, cluster={cluster}{more}}}": value
        for cluster, online in (('"a"', "2x30"), ('"b"', "0x30"))
        for name, more, value in (
            ("celery_workers", ', state="online"', online),
            ("celery_exporter_event_stream_up", "", "1x30"),
            ("celery_queue_length", ', queue="mail"', "5x30"),
        )
    }
    firing = [SHOP | {"severity": "critical", "cluster": "b"}]
    judge(tmp_path, RULES, series, [("CeleryNoWorkersOnline", "20m", firing)])
    rule = naive("Naive", 'max by (job, namespace) (celery_workers{state="online"}) == 0')
    judge(tmp_path, rule, series, silent("Naive", "20m"))
    other = render_rules(GROUPS, RenderOptions(group_by=("job",)))
    judge(tmp_path, other, series, silent("CeleryNoWorkersOnline", "20m"))


def test_a_pair_of_exporters_counts_once(tmp_path: Path) -> None:
    """Two exporters of one application double no count: 15 of 15 failures in ten minutes are not 20."""
    tasks = 'job="celery", namespace="shop", task="shop.pay", queue="payments"'
    series = {
        f'{name}{{{tasks}, instance="{instance}:9808"{more}}}': value
        for instance in "ab"
        for name, more, value in (
            ("celery_tasks_total", ', state="retry"', "0+1.5x60"),
            ("celery_tasks_started_total", "", "0+1.5x60"),
            ("celery_queue_length", "", "200x60"),
        )
    }
    judge(tmp_path, RULES, series, silent("CeleryTaskRetryStorm", "50m"))
    rule = naive("Naive", 'sum by (task) (increase(celery_tasks_total{state="retry"}[10m])) >= 20')
    judge(tmp_path, rule, series, [("Naive", "50m", [{"severity": "critical", "task": "shop.pay"}])])
    firing = [SHOP | {"severity": "warning", "queue": "payments"}]
    judge(tmp_path, RULES, series, [("CeleryQueueDrainTimeHigh", "50m", firing)])
