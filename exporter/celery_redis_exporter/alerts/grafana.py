# SPDX-License-Identifier: Apache-2.0
"""Render rules as Grafana's alert rules, in the format of its file provisioning.

Prometheus fires an alert for every series of a result. Grafana compares a number with a threshold, so an expression in
between converts every series, including those with the value 0, to 1. The expressions of recording rules are inserted
into those of alerts, because Grafana records only where that is switched on and has a database to write to.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from celery_redis_exporter.alerts.files import RenderOptions, build_groups, dump
from celery_redis_exporter.alerts.rule import RuleGroup

EXPRESSIONS = "__expr__"
"""Grafana's name for its own expressions, used instead of a data source."""
RANGE_SECONDS = 600
INTERVAL = "1m"
UID_LENGTH = 40
HASH_LENGTH = 8
RECORDED = re.compile(r"(?<![\w:])(?:celery|redis):[\w:]+")


def render_grafana(groups: Sequence[RuleGroup], options: RenderOptions, datasource: str, folder: str) -> str:
    """Return a provisioning file. ``datasource`` is the uid of the Prometheus that has the metrics."""
    built = build_groups(groups, options)
    recorded = {rule["record"]: rule["expr"] for group in built for rule in group["rules"] if "record" in rule}
    return dump({
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group["name"],
                "folder": _literal(folder),
                "interval": INTERVAL,
                "rules": [
                    _rule(rule | {"expr": inline(rule["expr"], recorded)}, datasource)
                    for rule in group["rules"]
                    if "alert" in rule
                ],
            }
            for group in built
            if any("alert" in rule for rule in group["rules"])
        ],
    })  # fmt: skip


def inline(expr: str, recorded: Mapping[str, str]) -> str:
    """Replace recorded rules in an expression by their expressions, recursively."""
    return RECORDED.sub(
        lambda found: f"({inline(recorded[found[0]], recorded)})" if found[0] in recorded else found[0], expr
    )


def _rule(rule: dict[str, Any], datasource: str) -> dict[str, Any]:
    query = {
        "refId": "query",
        "relativeTimeRange": {"from": RANGE_SECONDS, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": "query", "expr": rule["expr"], "instant": True, "range": False},
    }
    there = "is_number($query) || is_nan($query) || is_inf($query)"
    found = {"type": "math", "refId": "there", "expression": there}
    above = {
        "type": "threshold",
        "refId": "above",
        "expression": "there",
        "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
    }
    title = _title(rule)
    built = {
        "uid": _uid(rule["alert"], title),
        "title": _literal(title),
        "condition": "above",
        "data": [query, _expression(found), _expression(above)],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "labels": {name: _literal(value) for name, value in rule["labels"].items()},
        "annotations": {name: _with_values(text) for name, text in rule["annotations"].items()},
    }
    if "keep_firing_for" in rule:
        built["keepFiringFor"] = rule["keep_firing_for"]
    return built


def _title(rule: Mapping[str, Any]) -> str:
    """Return the alert's name, with task and window if several rules have that name."""
    labels = rule["labels"]
    return " ".join([rule["alert"], *(labels[name] for name in ("task", "window") if name in labels)])


def _uid(name: str, title: str) -> str:
    """Return a uid that does not depend on other rules: the name, and a hash if the title is longer."""
    if title == name:
        return name[:UID_LENGTH]
    digest = sha256(title.encode()).hexdigest()[:HASH_LENGTH]
    return f"{name[: UID_LENGTH - HASH_LENGTH - 1]}-{digest}"


def _literal(text: str) -> str:
    """Escape text that Grafana would read as an environment variable."""
    return text.replace("$", "$$")


def _with_values(text: str) -> str:
    """Use the value of the query. In Grafana, at least before 12, ``$value`` is a text about all expressions."""
    return re.sub(r"\$value\b", "$values.query.Value", text)


def _expression(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": model["refId"],
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": EXPRESSIONS,
        "model": model,
    }
