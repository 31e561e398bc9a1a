# SPDX-License-Identifier: Apache-2.0
"""The table of periodic tasks, and exceptions in the table of tasks."""

import pytest

from celery_redis_exporter.status.tables import TASKS, arrange, read_order, tables_of
from celery_redis_exporter.status.tables.rows import PERIODIC, find_periodic
from tests.support.reports import make_report, make_task

NOW = make_report().time


def cells(**parts: float | None) -> dict[str, str]:
    """Return the cells of one periodic task that is expected every minute."""
    report = make_report(tasks=[make_task("t", None, expected_interval_seconds=60.0, **parts)], uptime_seconds=1000.0)
    (row,) = find_periodic(report)
    return {column.key: column.cell(row, report.time).text for column in PERIODIC.columns}


@pytest.mark.parametrize(
    ("parts", "state", "next_"),
    [
        ({"last_success": NOW - 30, "last_sent": NOW - 40}, "on time", "in 20 s"),
        ({"last_success": NOW - 180, "last_sent": NOW - 100}, "on time", "40 s late"),
        ({"last_success": NOW - 181, "last_sent": None}, "overdue", "-"),
        ({"last_success": None, "last_sent": NOW}, "overdue", "in 1 min"),
    ],
)
def test_states_of_periodic_tasks(parts: dict[str, float | None], state: str, next_: str) -> None:
    """A task is overdue after three intervals without a success, as in the alert; the next run follows the last one."""
    found = cells(**parts)
    assert (state, next_, "1 min") == (found["state"], found["next"], found["every"])


def test_a_task_that_was_not_seen_yet_is_not_overdue() -> None:
    """For three intervals after a start the state of a task is unknown."""
    report = make_report(tasks=[make_task("t", expected_interval_seconds=60.0)], uptime_seconds=180.0)
    assert ["unknown"] == [row.state for row in find_periodic(report)]


def test_the_table_is_shown_if_there_are_periodic_tasks() -> None:
    """Without an expected interval there is no table of periodic tasks; overdue tasks come first."""
    late, fine = (make_task(name, expected_interval_seconds=60.0, last_success=at)
                  for name, at in (("b", NOW - 999), ("a", NOW)))  # fmt: skip
    report = make_report(tasks=[fine, late, make_task("c")])
    assert PERIODIC in tables_of(report)
    assert PERIODIC not in tables_of(make_report(tasks=[make_task("c")]))
    assert ["b", "a"] == [row.name for row in arrange(PERIODIC, report, read_order(PERIODIC, ""))]


def test_exceptions_of_a_task() -> None:
    """The cell contains the classes and their counts in the order of the report."""
    (column,) = (column for column in TASKS.columns if column.key == "exceptions")
    task = make_task("t", exceptions={"ValueError": 12.0, "KeyError": 1.0})
    assert "ValueError 12, KeyError 1" == column.cell(task, NOW).text
