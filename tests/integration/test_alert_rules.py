# SPDX-License-Identifier: Apache-2.0
"""The rules, their tests and the Alertmanager example, checked by Prometheus's and Alertmanager's own tools."""

import re
from pathlib import Path

import pytest
import yaml

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import Change, RenderOptions, render_rules
from celery_redis_exporter.alerts.grafana import render_grafana
from celery_redis_exporter.alerts.slo import Objective, build_group
from tests.alert_life.inhibition import is_inhibited
from tests.integration.conftest import Programs
from tests.integration.processes import ROOT
from tests.integration.promtools import BY_BOTH, BY_EACH, MAJORS, Check, judge, promtool, said
from tests.integration.suite_programs import either_program
from tests.support import yaml_text

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

FOLDER = ROOT / "alerts"
RULES = sorted(FOLDER.glob("*.yml"))
EXAMPLE = FOLDER / "alertmanager" / "alertmanager.example.yml"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
INHIBITIONS = yaml_text.parse(EXAMPLE.read_text(encoding="utf-8"))["inhibit_rules"]
NAMES = frozenset(alert.name for group in GROUPS for alert in group.alerts) | {
    "CeleryTaskSuccessBudgetBurn",
    "CeleryTaskStartBudgetBurn",
}
WHERE = 'job="celery", namespace="shop", instance="exporter:9808", task="shop.pay", queue="payments"'


@BY_EACH
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path, major: str) -> None:
    """Prometheus 2.42 and 3.x load every file, and their linter finds nothing."""
    said(promtool(major), "check", "rules", "--lint=all", "--lint-fatal", path)


def test_prometheus_loads_what_readme_names(programs: Programs) -> None:
    """With `rule_files` from the README, Prometheus starts and loads exactly the bundled groups of rules."""
    assert "`alerts/*.yml`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "rule_files: [alerts/*.yml]" in (FOLDER / "README.md").read_text(encoding="utf-8")
    config = programs.folder / "readme.yml"
    config.write_text(yaml.safe_dump({"rule_files": [f"{ROOT}/alerts/*.yml"]}), encoding="utf-8")
    said("promtool", "check", "config", config)
    prometheus = programs.prometheus(config.read_text(encoding="utf-8"))
    loaded = re.findall(r'prometheus_rule_group_rules\{rule_group="[^"]*;([^";]+)"\}', prometheus.own_metrics())
    assert sorted(group.name for group in GROUPS) == sorted(loaded)


@BY_EACH
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_rules_pass_their_tests(path: Path, major: str) -> None:
    """Every alert fires with the labels and texts that its test expects, and only when its test expects it."""
    said(promtool(major), "test", "rules", path)


def test_a_test_that_expects_something_else_fails(tmp_path: Path) -> None:
    """The tests can fail: the queue's case fails with a threshold that is one message higher."""
    rules = render_rules(GROUPS, RenderOptions(changes={"CeleryQueueLong": Change(parameters={"messages": 51})}))
    text = (FOLDER / "tests" / "celery-queues.yml").read_text(encoding="utf-8")
    (tmp_path / "rules.yml").write_text(rules, encoding="utf-8")
    (tmp_path / "test.yml").write_text(text.replace("../celery-queues.yml", "rules.yml"), encoding="utf-8")
    with pytest.raises(AssertionError, match="CeleryQueueLong"):
        said("promtool", "test", "rules", tmp_path / "test.yml")


@BY_BOTH
def test_p95_over_two_seconds_is_a_parameter(tmp_path: Path) -> None:
    """With seconds=2 an alert fires when one in twenty executions takes longer than two seconds."""
    rules = render_rules(GROUPS, RenderOptions(changes={"CeleryTaskSlowest": Change(parameters={"seconds": 2})}))
    bucket = f'celery_task_runtime_seconds_bucket{{{WHERE}, state="success", le='
    count = f'celery_task_runtime_seconds_count{{{WHERE}, state="success"}}'
    series = {
        f'{bucket}"1.0"}}': "0+10x200 2000x40",
        **dict.fromkeys((f'{bucket}"2.5"}}', f'{bucket}"+Inf"}}', count), "0+10x240"),
    }
    labels = {"severity": "info", "job": "celery", "namespace": "shop", "task": "shop.pay", "queue": "payments"}
    checks: list[Check] = [("CeleryTaskSlowest", "190m", []), ("CeleryTaskSlowest", "230m", [labels])]
    judge(tmp_path, rules, series, checks)
    judge(tmp_path, render_rules(GROUPS, RenderOptions()), series, [("CeleryTaskSlowest", "230m", [])])


@BY_BOTH
def test_redis_memory_at_80_percent_is_a_parameter(tmp_path: Path) -> None:
    """With ratio=0.8 the warning about memory fires above 80 % instead of 75 %."""
    rules = render_rules(GROUPS, RenderOptions(changes={"RedisMemoryHigh": Change(parameters={"ratio": 0.8})}))
    redis = 'job="celery", namespace="shop", instance="exporter:9808", redis="broker"'
    series = {
        f"redis_memory_used_bytes{{{redis}}}": "80x9 81x20",
        f"redis_memory_max_bytes{{{redis}}}": "100x30",
    }
    labels = {"severity": "warning", "job": "celery", "namespace": "shop", "redis": "broker"}
    judge(tmp_path, rules, series, [("RedisMemoryHigh", "9m", []), ("RedisMemoryHigh", "15m", [labels])])


@BY_BOTH
def test_a_selector_leaves_others_alone(tmp_path: Path) -> None:
    """With a selector only the series that it matches cause alerts."""
    rules = render_rules(GROUPS, RenderOptions(selector='job="celery"'))
    series = {
        'celery_queue_length{job="celery", queue="a"}': "60x30",
        'celery_queue_length{job="x", queue="b"}': "60x30",
    }
    labels = {"severity": "warning", "job": "celery", "queue": "a"}
    judge(tmp_path, rules, series, [("CeleryQueueLong", "20m", [labels])])


@BY_BOTH
def test_a_link_selects_what_the_labels_name(tmp_path: Path) -> None:
    """Both versions of Prometheus fill the variables of a dashboard's link with label values, and escape them."""
    rules = render_rules(GROUPS, RenderOptions(dashboard_url="https://g.example/d", runbook_url="https://w.example/r"))
    (tmp_path / "rules.yml").write_text(rules, encoding="utf-8")
    expected = {
        "exp_labels": {"severity": "warning", "job": "celery", "queue": "a b&c"},
        "exp_annotations": {
            "summary": "Many messages wait in a queue.",
            "description": "60 messages wait in a b&c.",
            "runbook_url": "https://w.example/r#celeryqueuelong",
            "dashboard_url": "https://g.example/d/celery-redis-exporter-queues?from=now-3h&var-job=celery&var-queue=a+b%26c",
        },
    }
    case = {"alertname": "CeleryQueueLong", "eval_time": "20m", "exp_alerts": [expected]}
    series = [{"series": 'celery_queue_length{job="celery", queue="a b&c"}', "values": "60x30"}]
    tests = [{"interval": "1m", "input_series": series, "alert_rule_test": [case]}]
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for major in MAJORS:
        said(promtool(major), "test", "rules", tmp_path / "test.yml")


@BY_BOTH
def test_grafanas_rules_fire_without_recordings(tmp_path: Path) -> None:
    """The expressions of Grafana's format fire on the same series without any recording rule."""
    document = yaml_text.parse(render_grafana(GROUPS, RenderOptions(), "prometheus", "Celery"))
    names = ("RedisMemoryHigh", "CeleryFailureRateCritical")
    rules = [
        {"alert": rule["title"], "expr": rule["data"][0]["model"]["expr"], "labels": rule["labels"]}
        for group in document["groups"]
        for rule in group["rules"]
        if rule["title"] in names
    ]
    redis = 'job="celery", redis="broker"'
    series = {
        f"redis_memory_used_bytes{{{redis}}}": "80x30",
        f"redis_memory_max_bytes{{{redis}}}": "100x30",
        f'celery_tasks_total{{{WHERE}, state="success"}}': "0+10x30",
        f'celery_tasks_total{{{WHERE}, state="failure"}}': "0+10x30",
    }
    checks: list[Check] = [
        ("RedisMemoryHigh", "20m", [{"severity": "warning", "job": "celery", "redis": "broker"}]),
        ("CeleryFailureRateCritical", "20m", [{"severity": "critical", "job": "celery", "namespace": "shop"}]),
    ]
    judge(tmp_path, yaml.safe_dump({"groups": [{"name": "grafana", "rules": rules}]}), series, checks)


@BY_BOTH
def test_an_objective_burns(tmp_path: Path) -> None:
    """A task that fails 20 times as often as its objective allows fires the fast burn alert, and one within it none."""
    groups = [build_group((Objective("shop.pay", 0.99), Objective("shop.mail", 0.99)))]
    rules = render_rules(groups, RenderOptions())
    mail = WHERE.replace("shop.pay", "shop.mail")
    series = {
        f'celery_tasks_total{{{WHERE}, state="success"}}': "0+99x120 11960+80x60 16760+100x420",
        f'celery_tasks_total{{{WHERE}, state="failure"}}': "0+1x120 140+20x60 1340x420",
        f'celery_tasks_total{{{mail}, state="success"}}': "0+995x600",
        f'celery_tasks_total{{{mail}, state="failure"}}': "0+5x600",
    }
    name = "CeleryTaskSuccessBudgetBurn"
    labels = {"severity": "critical", "job": "celery", "namespace": "shop", "task": "shop.pay", "window": "1h"}
    both = [labels, labels | {"window": "6h"}]
    judge(tmp_path, rules, series, [(name, "119m", []), (name, "179m", both), (name, "600m", [])])


@BY_BOTH
def test_an_objective_about_starts_burns(tmp_path: Path) -> None:
    """The fast burn alert fires while executions start later than the objective allows, and ends with the cause."""
    rules = render_rules([build_group((Objective("shop.pay", 0.95, 30.0),))], RenderOptions())
    series = {
        f'celery_task_wait_seconds_bucket{{{WHERE}, le="30.0"}}': "0+99x120 11880x60 11980+100x420",
        f"celery_task_wait_seconds_count{{{WHERE}}}": "0+100x600",
    }
    name = "CeleryTaskStartBudgetBurn"
    labels = {"severity": "critical", "job": "celery", "namespace": "shop", "task": "shop.pay", "window": "1h"}
    # The six-hour window is over its limit too, but not for long enough.
    judge(tmp_path, rules, series, [(name, "119m", []), (name, "179m", [labels]), (name, "600m", [])])


@pytest.mark.parametrize("name", ["amtool", "amtool-0.28", "amtool-0.33"])
def test_amtool_accepts_the_example(name: str) -> None:
    """Alertmanager 0.25, 0.28 and 0.33 load the example and its templates."""
    assert "1 templates" in said(either_program(name), "check-config", EXAMPLE)


@pytest.mark.parametrize(
    ("receivers", "labels"),
    [
        ("dead-man", ["alertname=CeleryWatchdog", "severity=none"]),
        ("telegram,email", ["alertname=CeleryNoWorkersOnline", "severity=critical"]),
        ("slack", ["alertname=CeleryWorkerDown", "severity=warning"]),
        ("discord", ["alertname=RedisHitRateLow", "severity=info"]),
        ("slack", ["alertname=SomethingElse"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_routes(receivers: str, labels: list[str]) -> None:
    """Each severity reaches the example's receivers: critical a phone and e-mail, and the watchdog its switch."""
    said("amtool", "config", "routes", "test", f"--config.file={EXAMPLE}", f"--verify.receivers={receivers}", *labels)


def matched(matchers: list[str]) -> set[str]:
    """Return the bundled alerts that match all matchers on their names. Fail for a name that does not exist."""
    left = set(NAMES)
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"?(.*?)"?', matcher)
        assert found, matcher
        label, operator, pattern = found.groups()
        if label == "alertname":
            # Alternatives outside brackets are whole names. Those inside brackets are parts of names.
            for part in re.split(r"\|(?![^()]*\))", pattern):
                assert any(re.fullmatch(part, name) for name in NAMES), f"{matcher}: {part}"
            hits = {name for name in NAMES if re.fullmatch(pattern, name)}
            left &= NAMES - hits if operator.startswith("!") else hits
    return left


@pytest.mark.parametrize("rule", INHIBITIONS, ids=lambda rule: str(rule["source_matchers"][0]))
def test_inhibitions_name_alerts_that_exist(rule: dict[str, list[str]]) -> None:
    """Each inhibition matches existing alerts, and none that could inhibit itself or the watchdog."""
    sources, targets = matched(rule["source_matchers"]), matched(rule["target_matchers"])
    assert sources
    assert targets
    assert "CeleryWatchdog" not in targets
    # A critical alert may inhibit a warning of the same name.
    assert not sources & targets or "alertname" in rule["equal"]


def test_a_shared_broker_that_is_down_is_reported_once() -> None:
    """The alert about a server inhibits those of the applications that share it, not those about other brokers."""
    group = {"cluster": "", "namespace": "shop", "job": "celery"}
    down = {"alertname": "RedisDown", "redis": "broker@redis:6379", **group}
    shop = {"alertname": "CeleryBrokerDown", "transport": "redis", "application": "shop", **group}
    assert is_inhibited(shop, [down, shop])
    assert not is_inhibited(shop | {"transport": "amqp"}, [down])
    assert not is_inhibited(shop, [down | {"redis": "results@redis:6379"}])
    assert not is_inhibited(shop, [down | {"namespace": "other"}])
