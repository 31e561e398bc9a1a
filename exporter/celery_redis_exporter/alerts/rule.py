"""What an alert and a recording rule are: data, and the parameters that can be set in them.

Takes nothing, gives records. An expression and a description hold ``@{name}`` where the parameter ``name`` stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from types import MappingProxyType


class Parametrised(Template):
    """Text with parameters as ``@{name}``; PromQL and Prometheus's templates use ``$`` and braces themselves."""

    delimiter = "@"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule; ``expr`` in PromQL."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    ``wait`` is Prometheus's ``for`` and ``keep`` its ``keep_firing_for``, empty for none. ``parameters`` are numbers by
    name, in the unit that the expression compares. ``summary`` is fixed text, ``description`` a template of
    Prometheus's with value and unit. ``labels`` come besides the severity. ``panel`` is the dashboard that shows more,
    by its stable name.
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
    """Write a parameter: whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(value)


def fill(text: str, parameters: Mapping[str, float]) -> str:
    """Put parameters into an expression or a description; raise KeyError for one that is missing."""
    return Parametrised(text).substitute({name: show_number(value) for name, value in parameters.items()})
