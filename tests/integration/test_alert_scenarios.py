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
