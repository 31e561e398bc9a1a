# SPDX-License-Identifier: Apache-2.0
"""Define alerts and recording rules as data, with parameters that can be set.

Data only. An expression or a description contains ``@{name}`` in place of the parameter ``name``, and ``@{by}`` in
place of the labels that distinguish applications.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from types import MappingProxyType

GROUP_BY = ("cluster", "namespace", "job", "application")
"""Labels that distinguish applications. Labels that an installation does not have are harmless."""
OF_SERIES = ("application",)
"""Those of them that the exporter adds to the series of an application. Series such as ``up`` do not have them."""
BY = "@{by}"
TARGET = "@{target}"
"""The labels of BY that every series of a target has."""


class Parametrised(Template):
    """Text with parameters as ``@{name}``, because PromQL and Prometheus's templates use ``$`` and braces."""

    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule. ``expr`` is PromQL."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    ``wait`` is Prometheus's ``for`` and ``keep`` its ``keep_firing_for``, empty for none. ``parameters`` are numbers by
    name, in the unit of the expression. ``summary`` is fixed text, ``description`` a Prometheus template with value and
    unit. ``labels`` are added to the severity. ``panel`` is the dashboard that shows more, by its stable name.
    """

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    wait: str = ""
    keep: str = ""
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    panel: str = "celery-overview"


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated together, in order: recording rules first."""

    name: str
    recordings: tuple[Recording, ...] = ()
    alerts: tuple[Alert, ...] = ()


def show_number(value: float) -> str:
    """Return the text of a parameter. Whole numbers have no decimal point."""
    return str(int(value)) if value == int(value) else repr(value)


def once(expr: str, by: str) -> str:
    """Return the sum of what one exporter counts, or the largest sum if several count the same application.

    Several Prometheus servers that write to one store differ by their external label ``replica``.
    """
    return f"max by ({by}) (sum by ({by}, instance, replica) ({expr}))"


def fill(text: str, parameters: Mapping[str, float], group_by: Sequence[str] = GROUP_BY) -> str:
    """Insert parameters and grouping into a text of a rule. Raises KeyError for a missing parameter."""
    return Parametrised(text).substitute(
        {name: show_number(value) for name, value in parameters.items()},
        by=", ".join(group_by),
        target=", ".join(label for label in group_by if label not in OF_SERIES),
    )


def grouping_labels(expr: str) -> set[str]:
    """Return the labels by which an expression groups or matches, without those that distinguish applications."""
    lists = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expr)
    return {name.strip() for names in lists for name in names.split(",") if name.strip() and "@" not in name}


def labels_of(groups: Iterable[RuleGroup]) -> set[str]:
    """Return the labels of these groups' alerts, and those in their expressions, without those of the grouping."""
    found = {"alertname", "severity", "instance"}
    for group in groups:
        for recording in group.recordings:
            found |= grouping_labels(recording.expr)
        for alert in group.alerts:
            found |= grouping_labels(alert.expr) | set(alert.labels)
    return found
