# SPDX-License-Identifier: Apache-2.0
"""Define what a metric is: the row from which exposition, documentation and checks are made.

Types only, without I/O. Standard library only.
"""

import enum
from dataclasses import dataclass, field

LARGEST = 2.0**63 - 1024
"""The largest number that servers count to. A larger one is a negative number that was written without its sign."""


class Kind(enum.StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Label:
    """A label, defined once for every metric that carries it.

    ``closed`` says that its values come from a fixed list in the code, so they can't grow and are kept
    apart even in the overflow series.
    """

    name: str
    help: str
    closed: bool = False


@dataclass(frozen=True, slots=True)
class EventOrigin:
    """Comes from Celery events: their types, and the Celery setting without which the metric stays empty."""

    types: tuple[str, ...]
    requires: str = ""

    def __str__(self) -> str:
        return f"events: {', '.join(self.types)}"


@dataclass(frozen=True, slots=True)
class Info:
    """Comes from Redis INFO.

    ``fieldname`` is the field (``used_memory``) or a prefix that ends in ``*`` (``cmdstat_*``), whose rest
    becomes the last label. ``part`` picks one of the ``key=value`` pairs of such a field, ``part_elsewhere`` is what
    other servers call it. The value is divided by ``divisor``; ``words`` maps values that are words to numbers. A
    number that is not from ``least`` to ``most``, in the unit of the field, is no value: servers write -1 for none, and
    numbers that overflowed.
    """

    section: str
    fieldname: str
    part: str = ""
    divisor: float = 1
    words: tuple[tuple[str, float], ...] = ()
    part_elsewhere: str = ""
    least: float = 0
    most: float = LARGEST

    def __str__(self) -> str:
        return f"INFO {self.section}: {self.fieldname}" + (f" ({self.part})" if self.part else "")


@dataclass(frozen=True, slots=True)
class CommandOrigin:
    """Comes from a Redis command other than INFO."""

    command: str

    def __str__(self) -> str:
        return self.command


@dataclass(frozen=True, slots=True)
class Inspect:
    """Comes from the answer to one of Celery's inspect commands; ``otherwise`` is another source of it."""

    command: str
    otherwise: str = ""

    def __str__(self) -> str:
        return f"inspect: {self.command}" + (f"; {self.otherwise}" if self.otherwise else "")


@dataclass(frozen=True, slots=True)
class Own:
    """Measured by the exporter on itself, or derived from its settings."""

    source: str = "exporter"

    def __str__(self) -> str:
        return self.source


Origin = EventOrigin | Info | CommandOrigin | Inspect | Own


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric family.

    ``labels`` are in the order in which values are given; exposition sorts them by name. ``buckets`` are the
    upper bounds of a histogram without ``+Inf``, in the metric's unit; empty if a server chooses them, as it does the
    quantiles of a summary.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    origin: Origin = field(default_factory=Own)
    buckets: tuple[float, ...] = ()
    kept_elsewhere: bool = False
    """Whether another program counts, so that the first value is not always 0."""

    @property
    def starts_at_zero(self) -> bool:
        """Whether the metric's series begin at 0 when they are made."""
        return self.kind is not Kind.GAUGE and not self.kept_elsewhere

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label names, in declaration order."""
        return tuple(label.name for label in self.labels)


def counter(
    name: str,
    help: str,  # noqa: A002 -- `help` is Prometheus's word
    labels: tuple[Label, ...] = (),
    origin: Origin = Own(),  # immutable
    *,
    kept_elsewhere: bool = False,
) -> Metric:
    """Declare a counter."""
    return Metric(name, Kind.COUNTER, help, labels, origin, kept_elsewhere=kept_elsewhere)


def gauge(name: str, help: str, labels: tuple[Label, ...] = (), origin: Origin = Own()) -> Metric:  # noqa: A002 -- as above
    """Declare a gauge."""
    return Metric(name, Kind.GAUGE, help, labels, origin)


def histogram(
    name: str,
    help: str,  # noqa: A002 -- `help` is Prometheus's word
    labels: tuple[Label, ...] = (),
    origin: Origin = Own(),
    *,
    buckets: tuple[float, ...] = (),
) -> Metric:
    """Declare a histogram with the default ``buckets`` (settings may override them), or with those of a server."""
    return Metric(name, Kind.HISTOGRAM, help, labels, origin, buckets)


def summary(name: str, help: str, labels: tuple[Label, ...] = (), origin: Origin = Own()) -> Metric:  # noqa: A002 -- as above
    """Declare a summary; its quantiles are those that a server has."""
    return Metric(name, Kind.SUMMARY, help, labels, origin)
