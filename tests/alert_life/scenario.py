# SPDX-License-Identifier: Apache-2.0
"""Scenarios: a simulated life in a few lines, and the alerts that are expected to fire in it.

``ordinary`` registers a life in which no bundled alert fires, although the naive rules that it names do. ``trouble``
registers a life in which exactly the named alerts fire, each within the stated time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.alert_life.agenda import HOUR
from tests.alert_life.installation import QUICK, SLOW, Installation, Pace
from tests.alert_life.recorded_names import WANTED

MOST_HOURS = 8.5
"""The longest life in hours that is evaluated once a minute; longer ones are evaluated every ten minutes."""
SHARING = 30
"""The number of lives in one Prometheus."""


def pace_of(hours: float) -> Pace:
    """Return the intervals of heartbeats and scrapes for a life of this many hours."""
    return SLOW if hours > MOST_HOURS else QUICK


class Within(NamedTuple):
    """The hour of an alert's cause, before which it must not fire, and the minutes within which it must fire."""

    cause: float
    minutes: float


class Naive(NamedTuple):
    """A rule that does not account for a scenario; ``wait`` is its ``for``."""

    expression: str
    wait: str = "5m"


def at_once(expression: str) -> Naive:
    """Return a rule without ``for``."""
    return Naive(expression, "0s")


class Life:
    """The installations of a scenario, whose namespace is the scenario's name."""

    def __init__(self, name: str, hours: float) -> None:
        self.name = name
        self.hours = hours
        self.installations: list[Installation] = []
        self._foreign: dict[str, str] = {}

    def installation(self, *settings: str, **labels: str) -> Installation:
        """Add an installation; ``settings`` are flags of its exporters, ``labels`` additional labels of its targets."""
        where = {"job": "celery", "namespace": self.name, **labels}
        made = Installation(where, WANTED, settings, pace_of(self.hours))
        self.installations.append(made)
        return made

    def foreign(self, name: str, value: float, **labels: str) -> None:
        """Add a constant series of another exporter."""
        inner = ", ".join(f'{label}="{text}"' for label, text in {**labels, "namespace": self.name}.items())
        self._foreign[f"{name}{{{inner}}}"] = f"{value}x{int(self.hours * HOUR / pace_of(self.hours).scrape)}"

    def series(self) -> dict[str, str]:
        """Run all installations; return their series."""
        rows = dict(self._foreign)
        for installation in self.installations:
            rows |= installation.run(self.hours)
        return rows


@dataclass(frozen=True)
class Scenario:
    """A life; ``naive`` are naive rules by the alert that they replace, ``fires`` the alerts that have to fire."""

    name: str
    story: str
    hours: float
    play: Callable[[Life], None]
    naive: Mapping[str, Naive] = field(default_factory=dict)
    fires: Mapping[str, Within] = field(default_factory=dict)

    def begin(self) -> Life:
        """Return the life before its first second, with all that will happen in it."""
        life = Life(self.name, self.hours)
        self.play(life)
        return life

    def live(self) -> dict[str, str]:
        """Return the series of the life."""
        return self.begin().series()

    @property
    def scrape_seconds(self) -> int:
        """Return the seconds between two scrapes."""
        return pace_of(self.hours).scrape

    @property
    def seconds(self) -> float:
        """Return the duration in seconds."""
        return self.hours * HOUR


ORDINARY: list[Scenario] = []
TROUBLES: list[Scenario] = []
Play = Callable[[Life], None]


def ordinary(hours: float, **naive: str | Naive) -> Callable[[Play], Play]:
    """Register a life in which no alert fires; ``naive`` are naive rules by the alert that they replace."""

    def register(play: Play) -> Play:
        rules = {alert: rule if isinstance(rule, Naive) else Naive(rule) for alert, rule in naive.items()}
        ORDINARY.append(Scenario(play.__name__, _story(play), hours, play, rules))
        return play

    return register


def trouble(hours: float, **fires: tuple[float, float]) -> Callable[[Play], Play]:
    """Register a life in which only these alerts fire: the hour of the cause, and the minutes after it."""

    def register(play: Play) -> Play:
        expected = {alert: Within(*when) for alert, when in fires.items()}
        TROUBLES.append(Scenario(play.__name__, _story(play), hours, play, fires=expected))
        return play

    return register


def groups(scenarios: Sequence[Scenario]) -> list[tuple[str, list[Scenario]]]:
    """Return scenarios in groups that share a Prometheus, with the interval of their evaluations.

    promtool reads at most 10,000 samples in a query, so not all scenarios fit into one Prometheus.
    """
    short = [scenario for scenario in scenarios if scenario.hours <= MOST_HOURS]
    batches = [("1m", short[start : start + SHARING]) for start in range(0, len(short), SHARING)]
    return [*batches, ("10m", [scenario for scenario in scenarios if scenario not in short])]


def _story(play: Play) -> str:
    return (play.__doc__ or "").strip()
