# SPDX-License-Identifier: Apache-2.0
"""What a scenario is: a life in a few lines, and what is expected of the alerts meanwhile.

``ordinary`` registers a life in which nothing fires, although rules that are written without its knowledge do; they
stand beside it. ``trouble`` registers one in which exactly the named alerts fire, each within the stated time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.alert_life.agenda import HOUR
from tests.alert_life.installation import QUICK, SLOW, Installation, Pace
from tests.alert_life.recorded_names import WANTED

MOST_HOURS = 8.5
"""Hours of the lives that are evaluated once a minute; longer ones are evaluated every ten minutes."""
SHARING = 30
"""Lives in one Prometheus."""


def pace_of(hours: float) -> Pace:
    """Return how often things are looked at in a life of so many hours."""
    return SLOW if hours > MOST_HOURS else QUICK


class Within(NamedTuple):
    """An alert is silent until its cause begins, so many hours after the start, and fires so many minutes later."""

    cause: float
    minutes: float


class Naive(NamedTuple):
    """A rule as people write it without the knowledge of a scenario; ``wait`` is its ``for``."""

    expression: str
    wait: str = "5m"


def at_once(expression: str) -> Naive:
    """Return a rule that waits for nothing."""
    return Naive(expression, "0s")


class Life:
    """The installations of a scenario; all have its name as their namespace."""

    def __init__(self, name: str, hours: float) -> None:
        self.name = name
        self.hours = hours
        self.installations: list[Installation] = []
        self._foreign: dict[str, str] = {}

    def installation(self, *settings: str, **labels: str) -> Installation:
        """Add an installation; ``settings`` are flags of its exporters, ``labels`` further ones of its targets."""
        where = {"job": "celery", "namespace": self.name, **labels}
        made = Installation(where, WANTED, settings, pace_of(self.hours))
        self.installations.append(made)
        return made

    def foreign(self, name: str, value: float, **labels: str) -> None:
        """Add a series of another exporter, which stays the same."""
        inner = ", ".join(f'{label}="{text}"' for label, text in {**labels, "namespace": self.name}.items())
        self._foreign[f"{name}{{{inner}}}"] = f"{value}x{int(self.hours * HOUR / pace_of(self.hours).scrape)}"

    def series(self) -> dict[str, str]:
        """Let all of them live; return their series."""
        rows = dict(self._foreign)
        for installation in self.installations:
            rows |= installation.run(self.hours)
        return rows


@dataclass(frozen=True)
class Scenario:
    """A life; ``naive`` are rules by the alert that they are written instead of, ``fires`` what has to fire."""

    name: str
    story: str
    hours: float
    tell: Callable[[Life], None]
    naive: Mapping[str, Naive] = field(default_factory=dict)
    fires: Mapping[str, Within] = field(default_factory=dict)

    def live(self) -> dict[str, str]:
        """Return the series of the life."""
        life = Life(self.name, self.hours)
        self.tell(life)
        return life.series()

    @property
    def scrape_seconds(self) -> int:
        """Seconds between two scrapes."""
        return pace_of(self.hours).scrape

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.hours * HOUR


ORDINARY: list[Scenario] = []
TROUBLES: list[Scenario] = []
Tell = Callable[[Life], None]


def ordinary(hours: float, **naive: str | Naive) -> Callable[[Tell], Tell]:
    """Register a life in which no alert fires; ``naive`` are expressions by the alert that they stand for."""

    def register(tell: Tell) -> Tell:
        rules = {alert: rule if isinstance(rule, Naive) else Naive(rule) for alert, rule in naive.items()}
        ORDINARY.append(Scenario(tell.__name__, _story(tell), hours, tell, rules))
        return tell

    return register


def trouble(hours: float, **fires: tuple[float, float]) -> Callable[[Tell], Tell]:
    """Register a life in which these alerts fire and no others: the hour of the cause, and minutes from there."""

    def register(tell: Tell) -> Tell:
        expected = {alert: Within(*when) for alert, when in fires.items()}
        TROUBLES.append(Scenario(tell.__name__, _story(tell), hours, tell, fires=expected))
        return tell

    return register


def groups(scenarios: Sequence[Scenario]) -> list[tuple[str, list[Scenario]]]:
    """Return scenarios that share a Prometheus, with the interval of evaluations that suits them.

    promtool reads 10,000 samples in a query and no more, so that not all have room in one.
    """
    short = [scenario for scenario in scenarios if scenario.hours <= MOST_HOURS]
    batches = [("1m", short[start : start + SHARING]) for start in range(0, len(short), SHARING)]
    return [*batches, ("10m", [scenario for scenario in scenarios if scenario not in short])]


def _story(tell: Tell) -> str:
    return (tell.__doc__ or "").strip()
