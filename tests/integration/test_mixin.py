# SPDX-License-Identifier: Apache-2.0
"""The mixin, evaluated by Jsonnet: with the same values it has the rules that ``render alerts`` writes."""

import json
import shutil
from typing import Any

import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.cli.render import run
from tests.integration.processes import ROOT
from tests.integration.promtools import said
from tests.support import yaml_text

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("jsonnet") is None, reason="jsonnet is not on PATH"),
]

MIXIN = ROOT / "alerts" / "mixin.libsonnet"
LONGER = "'for': '1h', keep_firing_for: '2h', severity: 'info'"
HALVED = {
    alert.name: {name: value / 2 for name, value in alert.parameters.items()}
    for group in GROUPS
    for alert in group.alerts
}
"""Every parameter with another value, some of them fractions."""
CHANGES = ", ".join(f"{name}+: {{parameters+: {json.dumps(values)}}}" for name, values in HALVED.items())
SAME = {
    "defaults": ("", ()),
    "parameters": (
        f"alerts+: {{{CHANGES}}}",
        tuple(f"--set={alert}.{name}={value!r}" for alert, values in HALVED.items() for name, value in values.items()),
    ),
    "durations": (
        f"alerts+: {{CeleryQueueLong+: {{{LONGER}}}, CeleryEventsLost+: {{keep_firing_for: ''}}}}",
        (
            "--for=CeleryQueueLong=1h", "--keep=CeleryQueueLong=2h", "--severity=CeleryQueueLong=info",
            "--keep=CeleryEventsLost=0",
        ),
    ),
    "selector": ("""selector: 'job="a", env=~"b.*"'""", ('--selector=job="a", env=~"b.*"',)),
    "grouping": ("groupBy: ['env', 'application']", ("--group-by=env,application",)),
    "links": (
        "runbookUrl: 'https://w.example/r', dashboardUrl: 'https://g.example/d', groupBy: ['job']",
        ("--runbook-url=https://w.example/r", "--dashboard-url=https://g.example/d", "--group-by=job"),
    ),
    "labels": (
        "labels: {team: 'a'}, disabled: ['RedisDown', 'CeleryWatchdog']",
        ("--label=team=a", "--disable=RedisDown", "--disable=CeleryWatchdog"),
    ),
}  # fmt: skip
"""Contents of ``_config``, and the flags with the same meaning."""


def evaluate(config: str, field: str) -> Any:  # noqa: ANN401 -- JSON is anything
    """Return a field of the mixin with another configuration."""
    return json.loads(said("jsonnet", "-e", f"((import '{MIXIN}') + {{_config+:: {{{config}}}}}).{field}"))


@pytest.mark.parametrize("case", SAME)
def test_the_same_values_have_the_same_rules(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The rules of each group are those that ``render alerts`` writes with the same values."""
    config, flags = SAME[case]
    assert 0 == run(["alerts", *flags])
    rendered = {group["name"]: group["rules"] for group in yaml_text.parse(capsys.readouterr().out)["groups"]}
    alerts, recorded = (
        {group["name"].removesuffix("-recorded"): group["rules"] for group in evaluate(config, field)["groups"]}
        for field in ("prometheusAlerts", "prometheusRules")
    )
    assert rendered == {name: recorded.get(name, []) + rules for name, rules in alerts.items()}


def test_dashboards() -> None:
    """The mixin's dashboards are all files of grafana/."""
    boards = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "grafana").glob("*.json")}
    assert boards == evaluate("", "grafanaDashboards")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("disabled: ['RedisDwon']", "there is no RedisDwon"),
        ("alerts+: {RedisDown+: {parameters+: {ratio: 1}}}", "there is no RedisDown.ratio"),
        ("alerts+: {Redis: {}}", "there is no Redis"),
    ],
)
def test_names_that_do_not_exist_are_refused(config: str, message: str) -> None:
    """A misspelt alert or parameter is an error, as in ``render alerts``."""
    with pytest.raises(AssertionError, match=message):
        evaluate(config, "prometheusAlerts")
