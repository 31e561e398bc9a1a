# SPDX-License-Identifier: Apache-2.0
"""The verdicts of the report (page, ``top``, JSON) agree with the alerts at every moment of every simulated life."""

import pytest

from tests.alert_life.lives import ORDINARY, TROUBLES
from tests.alert_life.scenario import Life, Scenario, groups
from tests.alert_life.verdicts import Active, active_alerts, disagreement

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(1800)]

INSTANTS = 12
"""The number of moments of a life that are checked."""
LIVES = [*ORDINARY, *TROUBLES]


def instants(scenario: Scenario, step: int) -> list[int]:
    """Return the minutes of a life that are checked, all multiples of ``step``."""
    last = int(scenario.hours * 60) - 2 * step
    return [minute - minute % step for minute in range(last, 0, -max(last // INSTANTS, step))]


@pytest.fixture(scope="module")
def disagreements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Simulate every life once, with the verdicts of its exporters, and evaluate the rules on it."""
    found: dict[str, list[str]] = {}
    for interval, scenarios in groups(LIVES):
        step = int(interval.removesuffix("m"))
        near, lived, lives = max(step, 3), {}, {}
        for scenario in scenarios:
            life = lives[scenario.name] = Life(scenario.name, scenario.hours)
            scenario.tell(life)
            for installation in life.installations:
                installation.judge_at(*(minute * 60.0 for minute in instants(scenario, step)))
            lived[scenario.name] = life.series()

        def minutes(scenario: Scenario, step: int = step, near: int = near) -> list[float]:
            return [float(at) for minute in instants(scenario, step) for at in (minute - near, minute, minute + near)]

        active = active_alerts(tmp_path_factory.mktemp("verdicts"), scenarios, interval, lived, minutes)
        for name, life in lives.items():
            found[name] = _compare(life, active.get(name, {}), near)
    return found


def _compare(life: Life, active: Active, near: float) -> list[str]:
    found = []
    for installation in life.installations:
        ours = {minute: [labels for labels in rows if installation.owns(labels)] for minute, rows in active.items()}
        for second, verdicts in installation.verdicts.items():
            found += [disagreement(health, ours, second / 60, near) for health in verdicts]
    return [text for text in found if text]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_verdicts_agree_with_alerts(disagreements: dict[str, list[str]], life: Scenario) -> None:
    """A verdict is that of the alerts that are pending or firing at that moment, or is unknown for a reason."""
    assert [] == disagreements[life.name]
