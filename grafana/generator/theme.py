# SPDX-License-Identifier: Apache-2.0
"""How the dashboards look: colours that always mean the same, units, and thresholds that are the alerts' own.

Takes the alerts, gives constants. Colours are Grafana's names, so that they suit the dark and the light theme.
"""

from celery_redis_exporter.alerts import GROUPS

CALM = "transparent"
"""All is well: a tile without a colour."""
PLAIN = "text"
GOOD = "green"
WARNING = "orange"
BAD = "red"
PAST = "#8e8e8e"
LIMIT = "dark-red"
"""The colour of a limit that is drawn as a line."""

STATES = {
    "success": "green", "failure": "red", "retry": "orange", "revoked": "purple", "rejected": "dark-red",
    "received": "blue", "sent": "light-blue", "started": "yellow",
}  # fmt: skip
"""What becomes of an execution, and what is heard of it before."""
WORKERS = {"online": "green", "lost": "red", "offline": "#8e8e8e"}
QUANTILES = {"p50": "green", "p95": "orange", "p99": "red", "mean": "blue"}

TASKS = "suffix:tasks/s"
EVENTS = "suffix:events/s"
OPERATIONS = "ops"
RATIO = "percentunit"
SECONDS = "s"
"""One time, written in its largest unit. On an axis that unit would make 1,000 s 16.7 minutes."""
SPAN = "suffix:s"
"""Short times on an axis."""
AGE = "dthms"
"""Long times on an axis: hours, minutes and seconds."""
BYTES = "bytes"
BYTE_RATE = "binBps"
NUMBER = "short"
COUNT = "locale"
"""A number with all its digits, for what is counted one by one."""
WORD = "string"

LEAST = {NUMBER: 1.0, COUNT: 1.0, OPERATIONS: 1.0, RATIO: 0.01, BYTES: 1024.0, BYTE_RATE: 1024.0}
"""How far an axis goes at least; one without values would reach to 100 of whatever its unit is."""
LEAST_RATE = 0.01

Steps = tuple[tuple[float, str], ...]
"""Thresholds: from which value on which colour."""


def steps(*pairs: tuple[float | str, str]) -> Steps:
    """Give thresholds; one that is written ``Alert.parameter`` is the default of that alert."""
    return tuple((_default(value) if isinstance(value, str) else float(value), colour) for value, colour in pairs)


def least(unit: str) -> float | None:
    """Give how far an axis goes at least, nothing where every size is usual."""
    return LEAST_RATE if unit.startswith("suffix:") else LEAST.get(unit)


def _default(name: str) -> float:
    alert, _, parameter = name.partition(".")
    known = {row.name: row.parameters for group in GROUPS for row in group.alerts}
    return float(known[alert][parameter])
