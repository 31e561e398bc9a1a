# SPDX-License-Identifier: Apache-2.0
"""The record of a test run: the rows that it writes, and those that it keeps."""

import datetime as dt
import platform

import pytest

from tests.support import record
from tests.support.record import NOT_RUN, PROGRAM_COLUMNS, PROGRAMS, PYTHON_COLUMNS, PYTHONS, Outcome

DAY = dt.date(2026, 1, 2)
UNIT, SERVERS = "tests/unit/test_a.py::test_a", "tests/integration/test_b.py::test_b"
PAGE = f"""before
{record.MARK.format(PROGRAMS)}

| program | version | tests | day |
|---|---|---|---|
| valkey-9.1 | 9.1.2 | 3 passed | 2026-01-01 |

{record.END}
between
{record.MARK.format(PYTHONS)}

| Python | version | system | unit and contract tests | integration tests | day |
|---|---|---|---|---|---|
| 3.11 | 3.11.2 | x | 5 passed | 4 passed | 2026-01-01 |
| 3.12 | 3.12.1 | x | 5 passed | {NOT_RUN} | 2026-01-01 |
| 3.13 | 3.13.5 | x | 5 passed | 4 passed, 1 failed | 2026-01-01 |
| 3.14 | 3.14.0 | x | {NOT_RUN} | 4 passed | 2026-01-01 |

{record.END}
after
"""


def test_tests_are_counted_by_program() -> None:
    """A test counts as passed or failed for each program that it uses."""
    outcomes = [
        Outcome(SERVERS, passed=True, programs=frozenset({"redis-8.0", "valkey-9.1"})),
        Outcome(SERVERS, passed=False, programs=frozenset({"redis-8.0"})),
        Outcome(SERVERS, passed=True),
    ]
    assert {
        "redis-8.0": ("redis-8.0", "redis-8.0!", "1 passed, 1 failed", "2026-01-02"),
        "valkey-9.1": ("valkey-9.1", "valkey-9.1!", "1 passed", "2026-01-02"),
    } == record.program_rows(outcomes, lambda name: f"{name}!", DAY)


def test_a_table_is_replaced_in_its_page() -> None:
    """A written table can be read, is sorted by the numbers in the names, and leaves the rest of the page unchanged."""
    rows = {key: (key, "1", "2 passed", f"{DAY}") for key in ("valkey-10.0", "redis-8.0", "valkey-9.1")}
    page = record.write_table(PAGE, PROGRAMS, PROGRAM_COLUMNS, rows)
    assert rows == record.read_table(page, PROGRAMS)
    assert ["redis-8.0", "valkey-9.1", "valkey-10.0"] == list(record.read_table(page, PROGRAMS))
    assert PAGE == record.write_table(page, PROGRAMS, PROGRAM_COLUMNS, record.read_table(PAGE, PROGRAMS))
    assert PAGE == record.write_table(PAGE, PYTHONS, PYTHON_COLUMNS, record.read_table(PAGE, PYTHONS))


def test_what_was_not_run_keeps_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the unit tests only keeps the cell of the integration tests of its Python."""
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.6")
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "13", "6"))
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"PRETTY_NAME": "y"})
    rows = record.read_table(PAGE, PYTHONS)
    unit, both = [Outcome(UNIT, passed=True)], [Outcome(UNIT, passed=True), Outcome(SERVERS, passed=True)]
    assert "4 passed, 1 failed" == record.python_row(unit, rows, DAY)[4]
    assert ("3.13", "3.13.6", "y", "1 passed", "1 passed", "2026-01-02") == record.python_row(both, rows, DAY)
    assert ("1 passed", NOT_RUN) == record.python_row(unit, {}, DAY)[3:5]


def test_a_python_passes_without_a_failure() -> None:
    """A Python has passed if its unit and contract tests were run and no test failed."""
    assert ["3.11", "3.12"] == record.passed_pythons(PAGE)
