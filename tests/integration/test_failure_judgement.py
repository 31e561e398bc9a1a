# SPDX-License-Identifier: Apache-2.0
"""How soon CeleryTaskFailureRateCritical fires on random failures, and how rarely it fires without cause.

85 executions an hour are few. If each fails with a probability of 12 %, 85 of them have at most eight failures in three
of ten cases. If each fails with 5 %, 42 of them have five or more in one of 17 cases. A fixed number of failures can't
distinguish both within an hour. The usual failure rate of the task can: if each execution fails with half a percent, 42
of them have four or more failures in one of sixteen thousand cases.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.alert_life.evaluation import Evaluation, Firing
from tests.alert_life.scenario import Scenario
from tests.alert_life.series import Recording
from tests.integration.promtools import promtool

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

CRITICAL = "CeleryTaskFailureRateCritical"
COUNTER = "celery_tasks_total"
SCRAPE, HOUR, PER_HOUR = 29.0, 3600.0, 85
SEEDS = 30
BEGINS = 5.0
"""The hour at which the failure rate increases."""
Chance = Callable[[float], float]


def outcomes(seed: int, hours: float, fails: Chance) -> Iterator[tuple[float, str]]:
    """Yield the time in seconds and the state of random executions."""
    chance, now = random.Random(seed), 0.0  # noqa: S311 -- a simulation
    while (now := now + chance.expovariate(PER_HOUR / HOUR)) < hours * HOUR:
        yield now, "failure" if chance.random() < fails(now) else "success"


def series(namespace: str, seed: int, hours: float, fails: Chance) -> dict[str, str]:
    """Return the counters of a task as scrapes read them."""
    recording, counts = Recording(frozenset({COUNTER})), {"success": 0, "failure": 0}
    where = {"job": "celery", "namespace": namespace, "instance": "exporter:9808"}
    ends = outcomes(seed, hours, fails)
    end = next(ends, None)
    for scrape in range(int(hours * HOUR / SCRAPE)):
        while end is not None and end[0] <= scrape * SCRAPE:
            counts[end[1]] += 1
            end = next(ends, None)
        labels = (("task", "shop.pay"), ("queue", "default"))
        recording.begin()
        recording.add(where, {(COUNTER, (*labels, ("state", state))): float(count) for state, count in counts.items()})
        recording.end()
    return dict(recording.rows())


def firings(folder: Path, hours: float, fails: Chance) -> list[list[Firing]]:
    """Return the alerts that fire, by seed."""
    found: list[list[Firing]] = []
    for first in range(0, SEEDS, 10):
        lives = [Scenario(f"seed-{seed}", "", hours, lambda _life: None) for seed in range(first, first + 10)]
        lived = {life.name: series(life.name, seed, hours, fails) for seed, life in enumerate(lives, first)}
        inside = folder / str(first)
        inside.mkdir()
        results = Evaluation(inside, promtool("2"), lives, "1m", lived).results()
        found += [results.get(life.name, []) for life in lives]
    return found


def minutes_to(name: str, found: list[Firing]) -> float:
    """Return the minutes from the first failures to an alert."""
    return min((firing.first - BEGINS * 60 for firing in found if firing.name == name), default=float("inf"))


def fails_in(seed: int, fails: Chance) -> float:
    """Return the share of executions that fail in the hour after the cause."""
    hour = [state for at, state in outcomes(seed, BEGINS + 1, fails) if at > BEGINS * HOUR]
    return hour.count("failure") / len(hour)


def test_one_in_eight_random_failures_are_seen_within_the_hour(tmp_path: Path) -> None:
    """The critical alert fires in each hour with more than 10 % failures, and in most of the other hours."""

    def fails(now: float) -> float:
        return 0.12 if now > BEGINS * HOUR else 0.005

    found = firings(tmp_path, BEGINS + 3, fails)
    critical = [minutes_to(CRITICAL, each) for each in found]
    late = [seed for seed, minutes in enumerate(critical) if minutes > 60]
    assert [] == [seed for seed in late if fails_in(seed, fails) > 0.1]
    assert len(late) <= SEEDS / 6
    assert min(critical) > 0
    assert max(critical) < 120


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_healthy_tasks_hardly_ever_page(tmp_path: Path, share: float) -> None:
    """A task that always fails in 1 % or 5 % fires the critical alert at most ten times in thirty days."""
    found = firings(tmp_path, 24, lambda _now: share)
    times = [sum(firing.times for firing in each if firing.name == CRITICAL) for each in found]
    assert sum(times) <= 10, times
