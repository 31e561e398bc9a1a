# SPDX-License-Identifier: Apache-2.0
"""``render alerts``: write the alert rules for an installation.

Input: flags, or a YAML file with the same values. Output: standard output. No server is read. Raises ConfigError, in
one line, for an unknown alert, parameter or key, with the nearest known one, and for every value that the programs
which load the rules would refuse.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from celery_redis_exporter.alerts import GROUPS, RuleGroup
from celery_redis_exporter.alerts.files import Change, RenderOptions, render_prometheus_rule, render_rules
from celery_redis_exporter.alerts.grafana import render_grafana
from celery_redis_exporter.alerts.listing import render_list
from celery_redis_exporter.alerts.rule import GROUP_BY, OF_SERIES, labels_of
from celery_redis_exporter.alerts.slo import Objective, build_group
from celery_redis_exporter.cli import render_values as values
from celery_redis_exporter.cli.arguments import Parser
from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter render alerts [flags]

Print the alert rules. A file (--config) can contain the values of all flags but
--list, --format, --name, --datasource and --folder.

  --format=rules|prometheusrule|grafana
                           a rules file (the default), the Prometheus operator's
                           PrometheusRule, or Grafana-managed rules for its
                           provisioning
  --selector='job="celery"'
                           matchers for every selector
  --label=team=payments    a label for every alert; can be repeated, as all
                           below
  --set=CeleryQueueLong.messages=500
                           a parameter of an alert, in its unit
  --for=CeleryWorkerDown=10m
                           how long the condition must hold before it fires
  --keep=CeleryEventsLost=1h
                           how long it continues to fire afterwards
  --severity=CeleryWorkerDown=critical
                           critical, warning or info
  --disable=RedisHitRateLow
                           leave an alert out
  --slo=proj.pay=99.5      an objective: 99.5 % of the executions succeed
  --slo=proj.pay=95,30s    95 % start within 30 s (a bucket of
                           celery_task_wait_seconds)
  --group-by=env,job       labels that distinguish applications; without it
                           cluster,namespace,job,application
  --runbook-url=URL        the page with the runbooks, https://...
  --dashboard-url=URL      the address of the dashboards, as in
                           https://grafana.example/d; links contain labels of
                           the alert as variables
  --name=NAME              the PrometheusRule's name
  --datasource=UID         Grafana's data source
  --folder=NAME            Grafana's folder
  --list                   print alerts, severities and parameters only
  --config=FILE            YAML with selector, group_by, labels, alerts,
                           disable, slo, runbook_url, dashboard_url
"""
KEYS = ("selector", "group_by", "labels", "alerts", "disable", "slo", "runbook_url", "dashboard_url")
ALERT_KEYS = ("for", "keep_firing_for", "severity", "parameters")


def run(argv: list[str]) -> int:
    """Print the rules that the flags after ``render alerts`` describe. Raises ConfigError for a wrong flag or value."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    flags = _parse(argv)
    tree = _merge(_read_config(flags.config) if flags.config else {}, flags)
    objectives = tuple(_objective(item) for item in tree["slo"])
    groups = (*GROUPS, build_group(objectives)) if objectives else GROUPS
    options = _options(tree, groups)
    for flag, check in (("name", values.object_name), ("datasource", values.uid), ("folder", values.title)):
        check(f"--{flag}", getattr(flags, flag))
    if flags.list:
        text = render_list(groups, options)
    elif flags.format == "grafana":
        text = render_grafana(groups, options, flags.datasource, flags.folder)
    elif flags.format == "prometheusrule":
        text = values.rule_object("--format=prometheusrule", render_prometheus_rule(groups, options, flags.name))
    else:
        text = render_rules(groups, options)
    sys.stdout.write(text)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("render alerts")
    parser.add_argument("--format", choices=("rules", "prometheusrule", "grafana"), default="rules")
    parser.add_argument("--name", default="celery-redis-exporter")
    parser.add_argument("--datasource", default="prometheus")
    parser.add_argument("--folder", default="Celery")
    parser.add_argument("--list", action="store_true")
    for flag in ("--config", "--selector", "--group-by", "--runbook-url", "--dashboard-url"):
        parser.add_argument(flag)
    for flag in ("--label", "--set", "--for", "--keep", "--severity", "--disable", "--slo"):
        parser.add_argument(flag, action="append", default=[])
    return parser.parse_all(argv)


def _read_config(name: str) -> dict[str, Any]:
    from celery_redis_exporter.settings.yaml_file import read_yaml  # noqa: PLC0415 -- imports pydantic

    tree = read_yaml(name, "--config")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(key, {}), dict) for key in ("labels", "alerts")):
        raise ConfigError(f"--config {name}: must be a mapping with any of {', '.join(KEYS)}; labels and alerts too")
    unknown = sorted(set(map(str, tree)) - set(KEYS))
    if unknown:
        raise ConfigError(f"--config {name}: no such key: {unknown[0]}; there are {', '.join(KEYS)}")
    for key in ("group_by", "disable", "slo"):
        if not isinstance(tree.get(key, []), list):
            raise ConfigError(f"--config {name}: {key} must be a list")
    return dict(tree)


def _merge(tree: Mapping[str, Any], flags: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the file and the flags by key. Flags override the file."""
    merged = dict(tree)
    for key in ("selector", "runbook_url", "dashboard_url"):
        merged[key] = tree.get(key) if getattr(flags, key) is None else getattr(flags, key)
    if flags.group_by is not None:
        merged["group_by"] = flags.group_by.split(",")
    merged["labels"] = {**tree.get("labels", {}), **dict(_pair("--label", item) for item in flags.label)}
    for key in ("disable", "slo"):
        merged[key] = [*tree.get(key, ()), *getattr(flags, key)]
    merged["alerts"] = _changes(tree.get("alerts", {}), flags)
    return merged


def _changes(tree: Mapping[object, Any], flags: argparse.Namespace) -> dict[str, Change]:
    changes = {str(name): _change(f"alerts.{name}", changed) for name, changed in tree.items()}
    for item in flags.set:
        target, value = _pair("--set", item)
        name, dot, parameter = target.partition(".")
        if not dot:
            raise ConfigError(f"--set {item}: must be ALERT.PARAMETER=NUMBER")
        known = changes.get(name, Change())
        changes[name] = replace(
            known, parameters={**known.parameters, parameter: values.number(f"--set {item}", value)}
        )
    for flag, key, check in (
        ("for", "wait", values.duration), ("keep", "keep", values.duration), ("severity", "severity", values.severity),
    ):  # fmt: skip
        for item in getattr(flags, flag):
            name, value = _pair(f"--{flag}", item)
            changed: Any = {key: check(f"--{flag} {item}", value)}
            changes[name] = replace(changes.get(name, Change()), **changed)
    return changes


def _options(tree: Mapping[str, Any], groups: Sequence[RuleGroup]) -> RenderOptions:
    grouped = GROUP_BY if tree.get("group_by") is None else _group_by(tree["group_by"])
    taken = {*labels_of(groups), *grouped}
    labels = {
        str(name): values.label(f"--label {name}={value}", str(name), value, taken)
        for name, value in tree["labels"].items()
    }
    checks = {"selector": values.selector, "runbook_url": values.url, "dashboard_url": values.url}
    return RenderOptions(
        labels=labels,
        changes=tree["alerts"],
        group_by=grouped,
        disabled=frozenset(values.text("--disable", name) for name in tree["disable"]),
        **{
            key: check(f"--{key.replace('_', '-')}", tree[key])
            for key, check in checks.items()
            if tree[key] is not None
        },
    )


def _group_by(names: Sequence[object]) -> tuple[str, ...]:
    shown = ",".join(map(str, names))
    found = values.group_by(f"--group-by {shown}", names, labels_of(GROUPS) - set(GROUP_BY))
    if not set(found) - set(OF_SERIES):
        raise ConfigError("--group-by: must name a label of the targets, as in cluster,job")
    return found


def _change(where: str, changed: Any) -> Change:  # noqa: ANN401 -- YAML is anything
    if not isinstance(changed, dict) or set(changed) - set(ALERT_KEYS):
        raise ConfigError(f"{where}: must be a mapping with any of {', '.join(ALERT_KEYS)}")
    parameters = changed.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ConfigError(f"{where}.parameters: must be a mapping of numbers")
    checks = {"for": values.duration, "keep_firing_for": values.duration, "severity": values.severity}
    wait, keep, severity = (
        None if changed.get(key) is None else check(f"{where}.{key}", changed[key]) for key, check in checks.items()
    )
    return Change(
        wait, keep, severity,
        {str(key): values.number(f"{where}.parameters.{key}", value) for key, value in parameters.items()},
    )  # fmt: skip


def _objective(item: object) -> Objective:
    shown = values.text("--slo", item)
    task, equals, promise = shown.rpartition("=")
    share, comma, within = promise.partition(",")
    if not equals or not task:
        raise ConfigError(f"--slo {shown}: must be TASK=PERCENT or TASK=PERCENT,SECONDSs, as in proj.pay=95,30s")
    seconds = values.number(f"--slo {shown}", within.strip().removesuffix("s")) if comma else None
    return Objective(task, round(values.number(f"--slo {shown}", share) / 100, 9), seconds)


def _pair(flag: str, item: str) -> tuple[str, str]:
    name, equals, value = values.text(flag, item).partition("=")
    if not equals or not name:
        raise ConfigError(f"{flag} {item}: must be NAME=VALUE")
    return name, value
