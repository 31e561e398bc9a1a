# SPDX-License-Identifier: Apache-2.0
"""Render rules to files: Prometheus's rules, the operator's PrometheusRule, Grafana's alert rules.

``python -m celery_redis_exporter.alerts.files --write`` writes the files in ``alerts/`` with the default options.
Raises ConfigError for an alert or a parameter that does not exist, with the nearest one that does.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.links import DASHBOARDS, RUNBOOKS, dashboard_link, runbook_link
from celery_redis_exporter.alerts.mixin import render_mixin
from celery_redis_exporter.alerts.rule import GROUP_BY, Alert, RuleGroup, fill
from celery_redis_exporter.alerts.selectors import select_guarded
from celery_redis_exporter.errors import ConfigError

TARGET = Path(__file__).parents[3] / "alerts"
MANY = 10


@dataclass(frozen=True, slots=True)
class Change:
    """Changes of one alert. A field that is None changes nothing."""

    wait: str | None = None
    keep: str | None = None
    severity: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How rules are rendered.

    ``selector`` is added to every selector of the exporter's metrics, as in ``job="celery"``. ``labels`` are added to
    every alert. ``changes`` and ``disabled`` are by alert name. ``group_by`` contains the labels that distinguish
    applications.
    """

    selector: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    runbook_url: str = RUNBOOKS
    dashboard_url: str = DASHBOARDS
    group_by: Sequence[str] = GROUP_BY


def adjust(groups: Iterable[RuleGroup], options: RenderOptions) -> list[RuleGroup]:
    """Return the groups with the changes of the options. Raises ConfigError for names that do not exist."""
    alerts = {alert.name: alert for group in groups for alert in group.alerts}
    for name in (*options.changes, *options.disabled):
        if name not in alerts:
            raise ConfigError(f"there is no alert {name}{_nearest(name, alerts)}")
    adjusted = []
    for group in groups:
        kept = [alert for alert in group.alerts if alert.name not in options.disabled]
        changed = tuple(_change(alert, options.changes.get(alert.name, Change())) for alert in kept)
        adjusted.append(replace(group, alerts=changed))
    return adjusted


def build_groups(groups: Iterable[RuleGroup], options: RenderOptions) -> list[dict[str, Any]]:
    """Return the groups in the structure of Prometheus's rules file."""
    return [
        {
            "name": group.name,
            "rules": [
                *({"record": row.record, "expr": _expression(row.expr, {}, options)} for row in group.recordings),
                *(_build_alert(alert, options) for alert in group.alerts),
            ],
        }
        for group in adjust(tuple(groups), options)
        if group.recordings or group.alerts
    ]


def render_rules(groups: Sequence[RuleGroup], options: RenderOptions) -> str:
    """Render a rules file."""
    return dump({"groups": build_groups(groups, options)})


def render_prometheus_rule(
    groups: Sequence[RuleGroup], options: RenderOptions, name: str = "celery-redis-exporter"
) -> str:
    """Render a PrometheusRule of the Prometheus operator."""
    return dump({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "celery-redis-exporter"}},
        "spec": {"groups": build_groups(groups, options)},
    })  # fmt: skip


def _change(alert: Alert, change: Change) -> Alert:
    for name, value in change.parameters.items():
        if name not in alert.parameters:
            raise ConfigError(f"{alert.name} has no parameter {name}{_nearest(name, alert.parameters)}")
        if name == "ratio" and alert.parameters[name] <= 1 < value:
            raise ConfigError(f"{alert.name}.{name}={value:g}: is a share, 1 at most: 0.8 is 80 %")
    return replace(
        alert,
        wait=alert.wait if change.wait is None else change.wait,
        keep=alert.keep if change.keep is None else change.keep,
        severity=alert.severity if change.severity is None else change.severity,
        parameters={**alert.parameters, **change.parameters},
    )


def _build_alert(alert: Alert, options: RenderOptions) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "alert": alert.name,
        "expr": _expression(alert.expr, alert.parameters, options),
    }
    if alert.wait:
        rule["for"] = alert.wait
    if alert.keep:
        rule["keep_firing_for"] = alert.keep
    rule["labels"] = {"severity": alert.severity, **alert.labels, **options.labels}
    rule["annotations"] = {
        "summary": alert.summary,
        "description": fill(alert.description, alert.parameters),
        "runbook_url": runbook_link(alert, options.runbook_url),
        "dashboard_url": dashboard_link(alert, options.dashboard_url, options.group_by),
    }
    return rule


def _expression(text: str, parameters: Mapping[str, float], options: RenderOptions) -> str:
    return select_guarded(fill(text, parameters, options.group_by), options.selector)


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), 3)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; there are {', '.join(known)}" if len(known) < MANY else "; render alerts --list prints all"


class _Dumper(yaml.SafeDumper):
    """Writes long texts over several lines, and indents lists as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- PyYAML's signature
        super().increase_indent(flow, False)  # noqa: FBT003 -- as above


def dump(document: object) -> str:
    """Return YAML in the given order, with long texts over several lines."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=116, allow_unicode=True)


COMMAND = "python -m celery_redis_exporter.alerts.files --write"
HEAD = f"# Written by `{COMMAND}`; change alerts/ in the package, or `render alerts`.\n"


def files() -> dict[str, str]:
    """Return every file of ``alerts/`` that this module writes, by name."""
    rules = {f"{group.name}.yml": HEAD + render_rules([group], RenderOptions()) for group in GROUPS}
    return rules | {"mixin.libsonnet": render_mixin(GROUPS, COMMAND)}


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m celery_redis_exporter.alerts.files --write")
    TARGET.mkdir(exist_ok=True)
    for filename, text in files().items():
        (TARGET / filename).write_text(text, encoding="utf-8")
