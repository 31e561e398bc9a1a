"""``render alerts``: write the alert rules as an installation wants them.

Takes flags, or a YAML file of the same, writes to standard output. Reads no server. Raises ConfigError, in one line,
for an alert, a parameter or a key that does not exist, with the nearest that does.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import Change, RenderOptions, render_prometheus_rule, render_rules
from celery_redis_exporter.alerts.grafana import render_grafana
from celery_redis_exporter.alerts.rule import GROUP_BY, OF_SERIES
from celery_redis_exporter.alerts.slo import Objective, build_group
from celery_redis_exporter.cli.arguments import Parser
from celery_redis_exporter.errors import ConfigError

HELP = """\
usage: celery-redis-exporter render alerts [flags]

Print the alert rules; every flag but --format, --name, --datasource and --folder can stand in the file of --config.

  --format=rules|prometheusrule|grafana   a rules file (the default), the Prometheus operator's PrometheusRule, or
                                          Grafana-managed rules for its provisioning
  --selector='job="celery"'               matchers put into every selector
  --label=team=payments                   a label on every alert; can stand several times, as all below
  --set=CeleryQueueLong.messages=500      a parameter of an alert, in the unit that it compares
  --for=CeleryWorkerDown=10m              how long it must last
  --keep=CeleryEventsLost=1h              how long it goes on firing
  --severity=CeleryWorkerDown=critical    critical, warning or info
  --disable=RedisHitRateLow               leave an alert out
  --slo=proj.pay=99.5                     an objective: 99.5 % of the executions succeed
  --slo=proj.pay=95,30s                   95 % start within 30 s (a bucket of celery_task_wait_seconds)
  --group-by=env,job                      labels that tell applications apart; cluster,namespace,job,application
                                          without it
  --runbooks=URL, --dashboards=URL        what the links begin with
  --name=NAME                             the PrometheusRule's name
  --datasource=UID, --folder=NAME         Grafana's data source and folder
  --config=FILE                           YAML with selector, group_by, labels, alerts, disable, slo, runbooks,
                                          dashboards
"""
DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+|0")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SEVERITIES = ("critical", "warning", "info", "none")
KEYS = ("selector", "group_by", "labels", "alerts", "disable", "slo", "runbooks", "dashboards")
ALERT_KEYS = ("for", "keep_firing_for", "severity", "parameters")


def run(argv: list[str]) -> int:
    """Print the rules that the flags behind ``render alerts`` ask for; raise ConfigError for what can't be rendered."""
    if any(argument in {"-h", "--help"} for argument in argv):
        sys.stdout.write(HELP)
        return 0
    flags = _parse(argv)
    tree = _read_config(flags.config) if flags.config else {}
    objectives = tuple(_objective(text) for text in [*tree.get("slo", ()), *flags.slo])
    groups = (*GROUPS, build_group(objectives)) if objectives else GROUPS
    options = _options(flags, tree)
    if flags.format == "grafana":
        text = render_grafana(groups, options, flags.datasource, flags.folder)
    elif flags.format == "prometheusrule":
        text = render_prometheus_rule(groups, options, flags.name)
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
    for flag in ("--config", "--selector", "--group-by", "--runbooks", "--dashboards"):
        parser.add_argument(flag)
    for flag in ("--label", "--set", "--for", "--keep", "--severity", "--disable", "--slo"):
        parser.add_argument(flag, action="append", default=[])
    return parser.parse_all(argv)


def _options(flags: argparse.Namespace, tree: Mapping[str, Any]) -> RenderOptions:
    changes = {name: _change(name, values) for name, values in tree.get("alerts", {}).items()}
    for text in flags.set:
        target, value = _pair("--set", text)
        name, dot, parameter = target.partition(".")
        if not dot:
            raise ConfigError(f"--set {text}: must be ALERT.PARAMETER=NUMBER")
        known = changes.get(name, Change())
        changes[name] = replace(known, parameters={**known.parameters, parameter: _number(f"--set {text}", value)})
    for flag, key in (("for", "wait"), ("keep", "keep"), ("severity", "severity")):
        for text in getattr(flags, flag):
            name, value = _pair(f"--{flag}", text)
            check = _severity if flag == "severity" else _duration
            changed: Any = {key: check(f"--{flag} {text}", value)}
            changes[name] = replace(changes.get(name, Change()), **changed)
    given = {key: getattr(flags, key) or tree.get(key) for key in ("selector", "runbooks", "dashboards")}
    return RenderOptions(
        labels={**tree.get("labels", {}), **dict(_pair("--label", text) for text in flags.label)},
        changes=changes,
        group_by=_group_by(tree.get("group_by") if flags.group_by is None else flags.group_by.split(",")),
        disabled=frozenset([*tree.get("disable", ()), *flags.disable]),
        **{key: value.rstrip("/") for key, value in given.items() if value},
    )


def _read_config(name: str) -> dict[str, Any]:
    from celery_redis_exporter.settings.yaml_file import read_yaml  # noqa: PLC0415 -- brings pydantic

    tree = read_yaml(name, "--config")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(key, {}), dict) for key in ("labels", "alerts")):
        raise ConfigError(f"--config {name}: must be a mapping with any of {', '.join(KEYS)}; labels and alerts too")
    unknown = sorted(set(map(str, tree)) - set(KEYS))
    if unknown:
        raise ConfigError(f"--config {name}: no such key: {unknown[0]}; there are {', '.join(KEYS)}")
    for key in ("group_by", "disable", "slo"):
        if not isinstance(tree.get(key, []), list):
            raise ConfigError(f"--config {name}: {key} must be a list")
    tree["labels"] = {str(label): str(value) for label, value in tree.get("labels", {}).items()}
    return tree


def _change(name: str, values: Any) -> Change:  # noqa: ANN401 -- YAML is anything
    if not isinstance(values, dict) or set(values) - set(ALERT_KEYS):
        raise ConfigError(f"alerts.{name}: must be a mapping with any of {', '.join(ALERT_KEYS)}")
    parameters = values.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ConfigError(f"alerts.{name}.parameters: must be a mapping of numbers")
    checked = {key: _number(f"alerts.{name}.parameters.{key}", value) for key, value in parameters.items()}
    wait, keep, severity = (values.get(key) for key in ("for", "keep_firing_for", "severity"))
    return Change(
        None if wait is None else _duration(f"alerts.{name}.for", str(wait)),
        None if keep is None else _duration(f"alerts.{name}.keep_firing_for", str(keep)),
        None if severity is None else _severity(f"alerts.{name}.severity", str(severity)),
        checked,
    )


def _objective(text: object) -> Objective:
    task, equals, promise = str(text).rpartition("=")
    share, comma, within = promise.partition(",")
    if not equals or not task:
        raise ConfigError(f"--slo {text}: must be TASK=PERCENT or TASK=PERCENT,SECONDSs, as in proj.pay=95,30s")
    seconds = _number(f"--slo {text}", within.strip().removesuffix("s")) if comma else None
    return Objective(task, round(_number(f"--slo {text}", share) / 100, 9), seconds)


def _group_by(labels: list[object] | None) -> tuple[str, ...]:
    if labels is None:
        return GROUP_BY
    names = tuple(str(label).strip() for label in labels)
    wrong = [name for name in names if not LABEL.fullmatch(name)]
    if wrong:
        raise ConfigError(f"--group-by {','.join(names)}: {wrong[0] or 'nothing'} is no name of a label")
    if len(set(names)) < len(names):
        raise ConfigError(f"--group-by {','.join(names)}: a label stands twice")
    if not set(names) - set(OF_SERIES):
        raise ConfigError("--group-by: must name a label of the targets, as in cluster,job")
    return names


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{flag} {text}: must be NAME=VALUE")
    return name, value


def _number(where: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ConfigError(f"{where}: {value} is no number") from None


def _duration(where: str, value: str) -> str:
    if not DURATION.fullmatch(value):
        raise ConfigError(f"{where}: must be a duration of Prometheus's, as in 90s or 1h30m")
    return "0s" if value == "0" else value


def _severity(where: str, value: str) -> str:
    if value not in SEVERITIES:
        raise ConfigError(f"{where}: must be one of {', '.join(SEVERITIES)}")
    return value
