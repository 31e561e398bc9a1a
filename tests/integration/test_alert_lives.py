# SPDX-License-Identifier: Apache-2.0
"""Simulated lives of installations, evaluated by promtool of both major versions: which alerts fire when.

The verdicts of the report (page, ``top``, JSON) are compared with the alerts at some moments of each life.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.alert_life.evaluation import NAIVE, ActiveAlerts, Evaluation, Firing
from tests.alert_life.inhibition import is_inhibited
from tests.alert_life.lives import ORDINARY, TROUBLES
from tests.alert_life.scenario import Life, Scenario, groups
from tests.alert_life.verdicts import disagreement
from tests.integration.promtools import BY_BOTH, BY_EACH, MAJORS, promtool

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1800)]

INSTANTS = 12
"""The number of moments of a life at which verdicts are compared."""
LIVES = [*ORDINARY, *TROUBLES]


class Found(NamedTuple):
    """The alerts that fired, by life and major version of Prometheus; and the wrong verdicts, by life."""

    firings: dict[str, dict[str, list[Firing]]]
    disagreements: dict[str, list[str]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Simulate every life once, and evaluate the rules on it with both versions at the same time."""
    results = Found({life.name: {} for life in LIVES}, {})
    for interval, scenarios in groups(LIVES):
        _evaluate(tmp_path_factory.mktemp("lives"), interval, scenarios, results)
    return results


def _evaluate(folder: Path, interval: str, scenarios: list[Scenario], results: Found) -> None:
    step = int(interval.removesuffix("m"))
    near = max(step, 3)
    lives = {scenario.name: _judged(scenario, step) for scenario in scenarios}
    lived = {name: life.series() for name, life in lives.items()}

    def minutes(scenario: Scenario) -> list[float]:
        return [float(at) for minute in instants(scenario, step) for at in (minute - near, minute, minute + near)]

    running = {major: Evaluation(folder, promtool(major), scenarios, interval, lived, minutes) for major in MAJORS}
    try:
        for major, evaluation in running.items():
            for name, firings in evaluation.results().items():
                results.firings[name][major] = firings
        active = running["2"].active()
    finally:
        for evaluation in running.values():
            evaluation.end()
    for name, life in lives.items():
        results.disagreements[name] = _compare(life, active.get(name, {}), near)


def instants(scenario: Scenario, step: int) -> list[int]:
    """Return the minutes of a life at which verdicts are compared, all multiples of ``step``."""
    last = int(scenario.hours * 60) - 2 * step
    return [minute - minute % step for minute in range(last, 0, -max(last // INSTANTS, step))]


def _judged(scenario: Scenario, step: int) -> Life:
    life = scenario.begin()
    for installation in life.installations:
        installation.judge_at(*(minute * 60.0 for minute in instants(scenario, step)))
    return life


def _compare(life: Life, active: ActiveAlerts, near: float) -> list[str]:
    found = []
    for installation in life.installations:
        ours = {minute: [labels for labels in rows if installation.owns(labels)] for minute, rows in active.items()}
        for second, verdicts in installation.verdicts.items():
            found += [disagreement(health, ours, second / 60, near) for health in verdicts]
    return [text for text in found if text]


def notified(firings: list[Firing]) -> list[Firing]:
    """Return the firings that Alertmanager sends with the example: those of bundled rules that are not inhibited."""
    ours = [firing for firing in firings if not firing.name.startswith(NAIVE)]
    labels = [dict(firing.labels) for firing in ours]
    return [firing for firing in ours if not is_inhibited(dict(firing.labels), labels)]


@BY_EACH
@pytest.mark.parametrize("life", ORDINARY, ids=lambda life: life.name)
def test_ordinary_life_is_silent(found: Found, life: Scenario, major: str) -> None:
    """No bundled rule fires in ordinary life, while every naive rule for the same purpose does."""
    firings = found.firings[life.name].get(major, [])
    assert [] == [firing for firing in firings if not firing.name.startswith(NAIVE)]
    fired = {firing.name for firing in firings}
    assert set() == {NAIVE + alert for alert in life.naive} - fired


@BY_EACH
@pytest.mark.parametrize("life", TROUBLES, ids=lambda life: life.name)
def test_trouble_fires_in_time(found: Found, life: Scenario, major: str) -> None:
    """Each alert of a trouble fires after its cause and within the stated time, and no other alert is sent."""
    firings = found.firings[life.name].get(major, [])
    ours = [firing for firing in firings if not firing.name.startswith(NAIVE)]
    assert set() == life.fires.keys() - {firing.name for firing in ours}
    for firing in ours:
        if firing.name in life.fires:
            cause, minutes = life.fires[firing.name]
            assert cause * 60 <= firing.first <= cause * 60 + minutes, firing
    assert [] == [firing for firing in notified(firings) if firing.name not in life.fires]


@BY_BOTH
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_verdicts_agree_with_alerts(found: Found, life: Scenario) -> None:
    """A verdict is that of the alerts that are pending or firing at that moment, or is unknown for a reason."""
    assert [] == found.disagreements[life.name]


@BY_BOTH
def test_a_rule_without_its_guard_fails(found: Found) -> None:
    """The lives can make a test fail: the naive rules, judged as if they were bundled, fire in ordinary life."""
    fired = {firing.name for life in ORDINARY for rows in found.firings[life.name].values() for firing in rows}
    assert len(fired) > 50
