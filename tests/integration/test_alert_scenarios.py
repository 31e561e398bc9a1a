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


def counts(values: list[int]) -> str:
    """Return the values of a counter, one each minute, as promtool reads them."""
    return " ".join(map(str, values))


def outcomes(task: str, success: list[int], failure: list[int]) -> dict[str, str]:
    """Return the outcomes of a task, one value each minute."""
    series = f'celery_tasks_total{{{WHERE}, task="{task}", queue="payments", state='
    return {f'{series}"success"}}': counts(success), f'{series}"failure"}}': counts(failure)}


def failing_since(minute: int, per_hour: float, share: float, last: int) -> dict[str, str]:
    """Return the outcomes of a task that runs evenly, of which a share fails from a minute on."""
    ended = [int(now * per_hour / 60) for now in range(last + 1)]
    failure = [int(share * max(count - ended[minute], 0)) for count in ended]
    success = [count - failed for count, failed in zip(ended, failure, strict=True)]
    return outcomes("shop.pay", success, failure)


def test_85_executions_an_hour_with_12_percent_failures_page_within_the_hour(tmp_path: Path) -> None:
    """A task that fails in 12 % of 85 executions an hour is critical within the hour; with 3 % it is not."""
    firing = [SHOP | {"severity": "critical", "task": "shop.pay", "queue": "payments"}]
    name = "CeleryTaskFailureRateCritical"
    series = failing_since(120, 85, 0.13, 240)
    judge(tmp_path, RULES, series, [*silent(name, "60m", "120m", "130m"), (name, "179m", firing)])
    ended = "sum by (task) (rate(celery_tasks_total[10m]))"
    before = f'sum by (task) (rate(celery_tasks_total{{state="failure"}}[10m])) / {ended}'
    enough = "sum by (task) (increase(celery_tasks_total[10m])) >= 20"
    judge(tmp_path, naive("Naive", f"{before} > 0.1 and {enough}"), series, silent("Naive", "179m", "239m"))
    seldom = failing_since(120, 85, 0.03, 300)
    judge(tmp_path, RULES, seldom, silent(name, *(f"{minute}m" for minute in range(125, 300, 7))))


def test_many_tasks_that_run_rarely_page_together(tmp_path: Path) -> None:
    """A database that is gone fails 30 tasks, each of which runs twice an hour: one page, about the application."""
    ended = [now // 30 for now in range(181)]
    series: dict[str, str] = {}
    for number in range(30):
        failure = [max(count - ended[90], 0) for count in ended]
        success = [min(count, ended[90]) for count in ended]
        series |= outcomes(f"shop.{number}", success, failure)
    firing = [SHOP | {"severity": "critical"}]
    checks = [("CeleryFailureRateCritical", "130m", firing), *silent("CeleryTaskFailureRateCritical", "130m", "180m")]
    judge(tmp_path, RULES, series, [*silent("CeleryFailureRateCritical", "89m"), *checks])


def test_five_executions_a_day_page_by_the_third(tmp_path: Path) -> None:
    """Of five executions a day that all fail the third pages; every second one that fails never does."""
    name = f'celery_task_consecutive_failures{{{WHERE}, task="shop.report"}}'
    firing = [SHOP | {"severity": "critical", "task": "shop.report"}]
    checks = [*silent("CeleryTaskFailing", "8h", "9h30m"), ("CeleryTaskFailing", "10h", firing)]
    judge(tmp_path, RULES, {name: "0x10 1x287 2x287 3x287 4x287"}, checks)
    flips = {name: "0x30 1x30 2x30 0x30 1x30 0x30 1x30 2x30 0x30"}
    judge(tmp_path, RULES, flips, silent("CeleryTaskFailing", *(f"{minute}m" for minute in range(5, 270, 9))))
