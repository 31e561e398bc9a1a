# SPDX-License-Identifier: Apache-2.0
"""Every alert has a simulated run in which it must stay silent, and one in which it must fire."""

import promql_parser as promql
import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.status.conditions import CONDITIONS, Condition
from tests.alert_life.evaluation import rules_digest
from tests.alert_life.lives import EXCEPTIONS, ORDINARY, TROUBLES
from tests.alert_life.scenario import Life, Scenario
from tests.alert_life.table import COMMAND, NONE, README, section, troubles_table
from tests.alert_life.verdicts import NOT_JUDGED, SUBJECTS
from tests.support.promql import catalogued, matchers, selectors

ALERTS = [alert.name for group in GROUPS for alert in group.alerts if alert.name not in EXCEPTIONS]
MOST_EXCEPTIONS = 3
MOST_WARNINGS = 2
SEVERITIES = ("critical", "warning", "info")
SHORT = ("busy_application", "failover", "scaled_to_zero_at_night", "rabbitmq_is_restarted")
"""Simulated runs whose series are checked here; together they have every kind of series."""


def test_lives_have_names_of_their_own() -> None:
    """The name of a simulated run is the namespace of its series, so it is unique."""
    names = [scenario.name for scenario in (*ORDINARY, *TROUBLES)]
    assert len(names) == len(set(names))


def test_a_naive_rule_fires_in_ordinary_life_for_each_alert() -> None:
    """For every alert there is an ordinary run in which a simpler rule would fire."""
    assert [] == [alert for alert in ALERTS if not any(alert in life.naive for life in ORDINARY)]


def test_a_trouble_fires_each_alert() -> None:
    """For every alert there is a run with a problem in which it must fire within a stated time."""
    assert [] == [alert for alert in ALERTS if not any(alert in life.fires for life in TROUBLES)]


def test_every_alert_has_a_verdict_or_a_reason() -> None:
    """Each alert belongs to one verdict of the report, or is listed with the reason why it belongs to none."""
    judged = [name for names in SUBJECTS.values() for name in names]
    assert sorted([*judged, *NOT_JUDGED]) == sorted(alert.name for group in GROUPS for alert in group.alerts)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.alert)
def test_conditions_are_of_alerts_of_their_subject(condition: Condition) -> None:
    """A condition of a verdict is compared with the alert of the same subject."""
    assert condition.alert in SUBJECTS[condition.subject]


def test_exceptions_are_few_and_exist() -> None:
    """The number of alerts without simulated runs of both kinds is limited, and each of them exists."""
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS
    assert EXCEPTIONS.keys() <= {alert.name for group in GROUPS for alert in group.alerts}


@pytest.mark.parametrize("life", [life for life in ORDINARY if life.name in SHORT], ids=lambda life: life.name)
def test_series_are_those_of_the_catalogue(life: Scenario) -> None:
    """Every name and label of a simulated series exists in the catalogue, and no counter falls without a restart."""
    known = catalogued()
    made = Life(life.name, hours=1.0)
    life.play(made)
    rows = made.series()
    assert len(rows) > 20
    for series, values in rows.items():
        name, labels = _parse(series)
        assert labels <= known[name], series
        metric = CATALOG.get(name)
        if metric is not None and metric.kind == "counter" and "restarted" not in life.name:
            numbers = [float(value.partition("x")[0]) for value in values.split() if value[0].isdigit()]
            assert numbers == sorted(numbers), series


def test_a_healthy_week_pages_for_nothing() -> None:
    """The table of the simulated week contains no critical notification, and at most two warnings."""
    text = section(README.read_text(encoding="utf-8"), "week")
    assert f"`{rules_digest()}`" in text, f"the rules changed; run: {COMMAND}"
    rows = [line.split(" | ") for line in text.splitlines()[2:] if line.startswith("|") and line != NONE]
    times = {severity: sum(int(row[4].strip("| ")) for row in rows if row[1] == severity) for severity in SEVERITIES}
    assert times["critical"] == 0
    assert times["warning"] <= MOST_WARNINGS


def test_the_table_of_troubles_is_what_the_lives_say() -> None:
    """The times in alerts/README.md are those that the simulated runs test."""
    assert section(README.read_text(encoding="utf-8"), "troubles") == troubles_table(), f"run: {COMMAND}"


def _parse(series: str) -> tuple[str, set[str]]:
    name, _, rest = series.partition("{")
    found = selectors(promql.parse(name + "{" + rest))
    return name, {matcher.name for matcher in matchers(found[0])}
