# SPDX-License-Identifier: Apache-2.0
"""Simulated lives of installations, evaluated by promtool of both major versions: which alerts fire when."""

from pathlib import Path

import pytest

from tests.alert_life.evaluation import NAIVE, Evaluation, Firing
from tests.alert_life.inhibition import is_inhibited
from tests.alert_life.lives import ORDINARY, TROUBLES
from tests.alert_life.scenario import Scenario, groups
from tests.integration.promtools import BY_BOTH, BY_EACH, MAJORS, promtool

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

Found = dict[str, dict[str, list[Firing]]]
"""The alerts that fired, by life and major version of Prometheus."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Simulate every life once, and evaluate the rules on it with both versions at the same time."""
    results: Found = {scenario.name: {} for scenario in (*ORDINARY, *TROUBLES)}
    for interval, scenarios in groups([*ORDINARY, *TROUBLES]):
        lived = {scenario.name: scenario.live() for scenario in scenarios}
        folder: Path = tmp_path_factory.mktemp("lives")
        running = {major: Evaluation(folder, promtool(major), scenarios, interval, lived) for major in MAJORS}
        try:
            for major, evaluation in running.items():
                for name, firings in evaluation.results().items():
                    results[name][major] = firings
        finally:
            for evaluation in running.values():
                evaluation.end()
    return results


def notified(firings: list[Firing]) -> list[Firing]:
    """Return the firings that Alertmanager sends with the example: those of bundled rules that are not inhibited."""
    ours = [firing for firing in firings if not firing.name.startswith(NAIVE)]
    labels = [dict(firing.labels) for firing in ours]
    return [firing for firing in ours if not is_inhibited(dict(firing.labels), labels)]


@BY_EACH
@pytest.mark.parametrize("life", ORDINARY, ids=lambda life: life.name)
def test_ordinary_life_is_silent(found: Found, life: Scenario, major: str) -> None:
    """No bundled rule fires in ordinary life, while every naive rule for the same purpose does."""
    firings = found[life.name].get(major, [])
    assert [] == [firing for firing in firings if not firing.name.startswith(NAIVE)]
    fired = {firing.name for firing in firings}
    assert set() == {NAIVE + alert for alert in life.naive} - fired


@BY_EACH
@pytest.mark.parametrize("life", TROUBLES, ids=lambda life: life.name)
def test_trouble_fires_in_time(found: Found, life: Scenario, major: str) -> None:
    """Each alert of a trouble fires after its cause and within the stated time, and no other alert is sent."""
    firings = found[life.name].get(major, [])
    ours = [firing for firing in firings if not firing.name.startswith(NAIVE)]
    assert set() == life.fires.keys() - {firing.name for firing in ours}
    for firing in ours:
        if firing.name in life.fires:
            cause, minutes = life.fires[firing.name]
            assert cause * 60 <= firing.first <= cause * 60 + minutes, firing
    assert [] == [firing for firing in notified(firings) if firing.name not in life.fires]


@BY_BOTH
def test_a_rule_without_its_guard_fails(found: Found) -> None:
    """The lives can make a test fail: the naive rules, judged as if they were bundled, fire in ordinary life."""
    fired = {firing.name for life in ORDINARY for rows in found[life.name].values() for firing in rows}
    assert len(fired) > 50
