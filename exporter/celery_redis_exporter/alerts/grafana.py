"""Rules in, Grafana's own alert rules out, in its file provisioning format.

Grafana compares a number with a threshold, where Prometheus asks whether there is a series at all: an expression in
between turns every series that is there, also one with the value 0, into 1.
"""

from collections.abc import Sequence
from typing import Any

from celery_redis_exporter.alerts.files import RenderOptions, build_groups, dump
from celery_redis_exporter.alerts.rule import RuleGroup

EXPRESSIONS = "__expr__"
"""Grafana's name for its own expressions, in the place of a data source."""
RANGE_SECONDS = 600
INTERVAL = "1m"
UID_LENGTH = 40


def render_grafana(groups: Sequence[RuleGroup], options: RenderOptions, datasource: str, folder: str) -> str:
    """Render a provisioning file; ``datasource`` is the uid of the Prometheus that has the metrics."""
    return dump({
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group["name"],
                "folder": folder,
                "interval": INTERVAL,
                "rules": [
                    _rule(f"{group['name']}-{number}", rule, datasource)
                    for number, rule in enumerate(group["rules"])
                ],
            }
            for group in build_groups(groups, options)
        ],
    })  # fmt: skip


def _rule(identity: str, rule: dict[str, Any], datasource: str) -> dict[str, Any]:
    query = {
        "refId": "query",
        "relativeTimeRange": {"from": RANGE_SECONDS, "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": "query", "expr": rule["expr"], "instant": True, "range": False},
    }
    if "record" in rule:
        return {
            "uid": identity[:UID_LENGTH],
            "title": rule["record"],
            "record": {"metric": rule["record"], "from": "query"},
            "data": [query],
        }
    there = "is_number($query) || is_nan($query) || is_inf($query)"
    found = {"type": "math", "refId": "there", "expression": there}
    above = {
        "type": "threshold",
        "refId": "above",
        "expression": "there",
        "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
    }
    built = {
        "uid": identity[:UID_LENGTH],
        "title": rule["alert"] if identity.rpartition("-")[0] != "celery-slo" else f"{rule['alert']} {identity}",
        "condition": "above",
        "data": [query, _expression(found), _expression(above)],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "labels": rule["labels"],
        "annotations": rule["annotations"],
    }
    if "keep_firing_for" in rule:
        built["keep_firing_for"] = rule["keep_firing_for"]
    return built


def _expression(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": model["refId"],
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": EXPRESSIONS,
        "model": model,
    }
