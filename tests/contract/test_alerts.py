# SPDX-License-Identifier: Apache-2.0
"""Alerts compared with the catalogue, their tests and their runbooks, without running a program."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from celery_redis_exporter.alerts import GROUPS, Alert
from celery_redis_exporter.alerts.files import RenderOptions, build_groups, files
from celery_redis_exporter.alerts.links import RUNBOOKS
from celery_redis_exporter.alerts.rule import Parametrised, fill
from celery_redis_exporter.alerts.selectors import select
from celery_redis_exporter.alerts.slo import Objective, build_group
from celery_redis_exporter.catalog import CATALOG, Kind
from celery_redis_exporter.cli.render_alerts import HELP
from celery_redis_exporter.settings.schema.rows import describe
from tests.contract.test_prose import FOREIGN_FLAGS, FOREIGN_NAMES, names_of_samples
from tests.support import yaml_text
from tests.support.promql import Labels, catalogued, every, matchers, mixed, result_labels, selectors

FOLDER = Path(__file__).parents[2] / "alerts"
ALERTS = [alert for group in GROUPS for alert in group.alerts]
OBJECTIVES = build_group((Objective("proj.pay", 0.995), Objective("proj.pay", 0.95, 30.0)))
ALL_GROUPS = (*GROUPS, OBJECTIVES)
EVERY_ALERT = [alert for group in ALL_GROUPS for alert in group.alerts]
HEADINGS = list(dict.fromkeys(alert.name for alert in EVERY_ALERT))
ALWAYS = {"CeleryWatchdog"}
"""Alerts that are never silent."""
OTHER_FLAGS = {"--previous", "--pid", "--bigkeys", "--latency", "--scan", "--pattern", "--config.file", "--cluster"}
"""Flags of other programs in the commands of the runbooks."""
WITHOUT_VALUE = {
    "CeleryWatchdog", "CeleryExporterDown", "CeleryExporterAbsent", "CeleryEventStreamDown", "CeleryBeatDown",
    "CeleryExporterCollectorFailing", "CeleryNoWorkersOnline", "CeleryWorkerDown", "CeleryWorkerWithoutTaskEvents",
    "RedisDown", "CeleryBrokerDown", "RedisBrokerEvictionPolicy", "RedisPersistenceFailing", "RedisReplicationBroken",
    "RedisReadOnly", "RedisSentinelDown", "RedisQuorumLost", "RedisClusterDown", "CeleryExporterCommandDenied",
}  # fmt: skip
"""Alerts about a state that is true or false, whose value adds nothing."""

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def expression(alert: Alert) -> promql.Expr:
    """Parse the expression of an alert with its default parameters."""
    return promql.parse(fill(alert.expr, alert.parameters))


@cache
def known_labels() -> dict[str, Labels]:
    """Return the labels of every metric and of every recorded rule."""
    known = catalogued()
    for group in ALL_GROUPS:
        for row in group.recordings:
            labels = result_labels(promql.parse(fill(row.expr, {})), known)
            assert labels is not None
            assert not mixed(promql.parse(fill(row.expr, {})))
            known[row.record] = labels
    return known


@cache
def recorded() -> dict[str, promql.Expr]:
    """Return the expression of every recorded rule."""
    return {row.record: promql.parse(fill(row.expr, {})) for group in ALL_GROUPS for row in group.recordings}


@cache
def cases() -> dict[str, Counter[str]]:
    """Count the firing and the silent cases of every alert in alerts/tests."""
    counts: dict[str, Counter[str]] = {alert.name: Counter() for alert in ALERTS}
    for path in sorted((FOLDER / "tests").glob("*.yml")):
        for entry in yaml_text.parse(path.read_text(encoding="utf-8"))["tests"]:
            for case in entry.get("alert_rule_test", ()):
                # The rules in alerts/tests/rules are examples, and no rules of this project.
                counts.setdefault(case["alertname"], Counter())["firing" if case["exp_alerts"] else "silent"] += 1
    return counts


def expected_alerts() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every alert of this project that a test expects, with its name."""
    ours = {alert.name for alert in ALERTS}
    for path in sorted((FOLDER / "tests").glob("*.yml")):
        for entry in yaml_text.parse(path.read_text(encoding="utf-8"))["tests"]:
            for case in entry.get("alert_rule_test", ()):
                if case["alertname"] in ours:
                    yield from ((case["alertname"], alert) for alert in case["exp_alerts"])


def test_files_are_what_the_generator_writes() -> None:
    """A changed rule without its generated file is refused, and so is a file that is not generated."""
    wanted = files()
    assert sorted(wanted) == sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".yml", ".libsonnet"})
    for name, text in wanted.items():
        assert text == (FOLDER / name).read_text(encoding="utf-8"), (
            "run: python -m celery_redis_exporter.alerts.files --write"
        )


def test_names_are_unique() -> None:
    """All names of alerts and recorded rules are unique."""
    names = [alert.name for alert in ALERTS] + [row.record for group in GROUPS for row in group.recordings]
    assert len(names) == len(set(names))


def test_metrics_and_labels_exist() -> None:
    """Every metric, matcher, grouping and join of an expression exists in the catalogue."""
    for alert in EVERY_ALERT:
        labels = result_labels(expression(alert), known_labels())
        assert labels is not None, alert.name
        assert not mixed(expression(alert)), alert.name
        shown = set(re.findall(r"\$labels\.(\w+)", alert.description))
        assert set() == shown - labels, alert.name


def test_matched_values_exist() -> None:
    """A matcher on a label with a closed list of values names one of them."""
    closed = {
        (metric.name, label.name): set(re.findall(r"\w+", label.help))
        for metric in CATALOG.values()
        for label in metric.labels
        if label.closed
    }
    for alert in EVERY_ALERT:
        for selector in selectors(expression(alert)):
            for matcher in matchers(selector):
                listed = closed.get((selector.name or "", matcher.name))
                if listed is not None:
                    assert [] == [value for value in matcher.value.split("|") if value not in listed], alert.name


def test_patterns_have_no_negated_class() -> None:
    """No pattern has a class such as [^/], with which promtool 3.5 takes five times as long (see alerts/redis.py)."""
    rows = [*recorded().values(), *(expression(alert) for alert in EVERY_ALERT)]
    patterns = [matcher.value for row in rows for selector in selectors(row) for matcher in matchers(selector)]
    assert any("(@" in pattern for pattern in patterns)
    assert [] == [pattern for pattern in patterns if "[^" in pattern]


def test_thresholds_lie_within_the_buckets() -> None:
    """No quantile is compared with more than its histogram's last finite bucket, which it can't exceed."""
    for alert in EVERY_ALERT:
        for node in every(expression(alert)):
            if not isinstance(node, promql.BinaryExpr) or not isinstance(node.rhs, promql.NumberLiteral):
                continue
            compared = list(every(node.lhs))
            for name in [part.name for part in compared if isinstance(part, promql.VectorSelector)]:
                compared += every(recorded()[name]) if name in recorded() else []
            if not any(isinstance(part, promql.Call) and part.func.name == "histogram_quantile" for part in compared):
                continue
            for part in compared:
                name = part.name or "" if isinstance(part, promql.VectorSelector) else ""
                if name.endswith("_bucket"):
                    metric = CATALOG[name.removesuffix("_bucket")]
                    assert metric.kind is Kind.HISTOGRAM, alert.name
                    assert node.rhs.val < max(metric.buckets), alert.name


def test_counted_thresholds_have_half_a_unit_of_room() -> None:
    """A result of increase() is compared with half a unit more, because it extrapolates: four can become 4.1."""
    for alert in EVERY_ALERT:
        for node in every(expression(alert)):
            if isinstance(node, promql.BinaryExpr) and str(node.op) == ">":
                counted = [
                    part for part in every(node.lhs) if isinstance(part, promql.Call) and part.func.name == "increase"
                ]
                shared = any(isinstance(part, promql.BinaryExpr) for part in every(node.lhs))
                if counted and not shared:
                    assert str(node.rhs) == "0" or str(node.rhs).endswith("+ 0.5"), str(node)


def test_parameters_are_used() -> None:
    """Every declared parameter is in the expression, and every parameter in the expression is declared."""
    for alert in EVERY_ALERT:
        used = set(Parametrised(alert.expr).get_identifiers())
        assert set(alert.parameters) == used - {"by", "target"}, alert.name


def test_severity_and_texts() -> None:
    """Severities are known, summaries are fixed, and descriptions contain the value if it adds information."""
    for alert in EVERY_ALERT:
        assert alert.severity in {"critical", "warning", "info", "none"}, alert.name
        assert alert.summary.endswith("."), alert.name
        assert "{{" not in alert.summary, alert.name
        assert alert.description.endswith("."), alert.name
        assert (alert.name not in WITHOUT_VALUE) == ("$value" in alert.description), alert.name


def test_links_are_on_every_rule() -> None:
    """Every rendered alert links its heading in the runbooks and a dashboard."""
    for group in build_groups(ALL_GROUPS, RenderOptions()):
        for rule in group["rules"]:
            if "alert" in rule:
                annotations = rule["annotations"]
                assert f"{RUNBOOKS}#{rule['alert'].lower()}" == annotations["runbook_url"]
                assert re.fullmatch(r"/d/[a-z-]+", annotations["dashboard_url"])


@pytest.mark.parametrize("name", HEADINGS)
def test_runbook_has_all_parts(name: str) -> None:
    """The runbooks have a section for the alert: meaning, impact, diagnosis and mitigation."""
    text = (FOLDER / "runbooks.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert name in sections
    for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"**{part}.**" in sections[name]


def test_runbooks_have_no_other_sections() -> None:
    """Every section of the runbooks belongs to an alert, and the sections have the order of the rules."""
    text = (FOLDER / "runbooks.md").read_text(encoding="utf-8")
    assert HEADINGS == re.findall(r"^## (\w+)$", text, re.MULTILINE)


@each_alert
def test_cases_of_promtool(alert: Alert) -> None:
    """Every alert fires and stays silent in a test of alerts/tests."""
    counts = cases()[alert.name]
    assert counts["firing"] >= 1
    assert counts["silent"] >= 1 or alert.name in ALWAYS


def test_expected_texts_are_rendered() -> None:
    """The tests expect complete texts: a summary, a rendered description, and both links."""
    for name, alert in expected_alerts():
        annotations = alert["exp_annotations"]
        assert {"summary", "description", "runbook_url", "dashboard_url"} == set(annotations), name
        assert not re.search(r"\{\{|<no value>|NaN|%!", annotations["description"]), name


@pytest.mark.parametrize("selector", ['job="celery"', 'job=~"a|b", namespace="shop"'])
def test_selectors_are_put_into_every_metric_once(selector: str) -> None:
    """A selector adds its matchers to every metric once, and to no recorded rule, which already has them."""
    wanted = sorted((row.name, row.value) for row in matchers(promql.parse(f"up{{{selector}}}")))  # type: ignore[arg-type]
    for expr in [fill(row.expr, {}) for group in ALL_GROUPS for row in group.recordings] + [
        fill(alert.expr, alert.parameters) for alert in EVERY_ALERT
    ]:
        for before, after in zip(
            selectors(promql.parse(expr)), selectors(promql.parse(select(expr, selector))), strict=True
        ):
            old = sorted((row.name, row.value) for row in matchers(before))
            new = sorted((row.name, row.value) for row in matchers(after))
            assert (old if ":" in (before.name or "") else sorted(old + wanted)) == new


@pytest.mark.parametrize("page", ["README.md", "runbooks.md"])
def test_pages_name_what_exists(page: str) -> None:
    """Every metric, recorded rule, alert, flag and linked file that a page names exists."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    metrics = set(re.findall(r"\b((?:celery|redis)_[a-z0-9_]+[a-z0-9])\b(?!\.)", text)) - FOREIGN_NAMES
    assert set() == metrics - names_of_samples() - {"redis_max_connections"}
    rules = set(re.findall(r"\b(?:celery|redis):[a-z]\w+:\w+", text)) - {row for row in known_labels() if ":" in row}
    assert set() == {name for name in rules if "_TASK" not in name}
    words = set(re.findall(r"\b(?:Celery|Redis)[A-Z][A-Za-z]+[A-Za-z]\b", text))
    assert set() == words - set(HEADINGS) - {"RedisInsight"}
    ours = {row.flag for row in describe()} | set(re.findall(r"--[a-z-]+[a-z]", HELP)) | FOREIGN_FLAGS
    assert set() == set(re.findall(r"--[a-z][a-z.-]*[a-z]", text)) - ours - OTHER_FLAGS
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (FOLDER / link).exists(), link
