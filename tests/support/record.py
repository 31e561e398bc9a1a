# SPDX-License-Identifier: Apache-2.0
"""Record the last programs of other Debian suites and versions of Python on which the tests passed.

    outcomes of a run -> counts -> rows of two tables in tests/README.md

A run writes the rows of the programs that it used, and leaves the others as they are. ``pyproject.toml`` declares the
versions of Python that the record lists as passed.
"""

import datetime as dt
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

MARK, END = "<!-- record: {} -->", "<!-- end of record -->"
PROGRAMS, PYTHONS = "programs", "pythons"
PROGRAM_COLUMNS = ("program", "version", "tests", "day")
PYTHON_COLUMNS = ("Python", "version", "system", "unit and contract tests", "integration tests", "day")
NOT_RUN = "not run"

Row = tuple[str, ...]
Table = dict[str, Row]
"""Rows by their first cell. Each row includes that cell."""


class Outcome(NamedTuple):
    """A test that passed or failed, and the programs of other suites that it used."""

    node: str
    passed: bool
    programs: frozenset[str] = frozenset()


def describe(outcomes: Iterable[Outcome]) -> str:
    """Return how many tests passed and failed, as a cell."""
    verdicts = [outcome.passed for outcome in outcomes]
    if not verdicts:
        return NOT_RUN
    failed = verdicts.count(False)
    return f"{verdicts.count(True):,} passed" + (f", {failed:,} failed" if failed else "")


def program_rows(outcomes: Iterable[Outcome], version: Callable[[str], str], day: dt.date) -> Table:
    """Return a row for each program that tests used; ``version`` returns a program's version."""
    used = list(outcomes)
    names = sorted({name for outcome in used for name in outcome.programs})
    tests = {name: describe(outcome for outcome in used if name in outcome.programs) for name in names}
    return {name: (name, version(name), tests[name], f"{day}") for name in names}


def python_row(outcomes: Iterable[Outcome], rows: Table, day: dt.date) -> Row:
    """Return the row of this Python. Tests that were not run keep the cell that ``rows`` has for it."""
    ran = list(outcomes)
    integration = describe(outcome for outcome in ran if outcome.node.startswith("tests/integration/"))
    others = describe(outcome for outcome in ran if not outcome.node.startswith("tests/integration/"))
    minor, system = ".".join(platform.python_version_tuple()[:2]), platform.freedesktop_os_release()["PRETTY_NAME"]
    if minor in rows:
        last = rows[minor]
        others, integration = (
            kept if cell == NOT_RUN else cell for cell, kept in ((others, last[3]), (integration, last[4]))
        )
    return (minor, platform.python_version(), system, others, integration, f"{day}")


def read_table(text: str, name: str) -> Table:
    """Return the table of a page that is between the marks of that name."""
    lines = _between(text, name).strip().splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return {row[0]: row for row in rows}


def write_table(text: str, name: str, columns: Row, rows: Mapping[str, Row]) -> str:
    """Return a page with a table replaced. Rows are in the order of their first cells."""
    cells = [columns, ("---",) * len(columns), *(rows[key] for key in sorted(rows, key=_in_order))]
    table = "\n".join(f"| {' | '.join(row)} |".replace("| --- ", "|---").replace("|--- |", "|---|") for row in cells)
    before, inside, after = text.partition(MARK.format(name) + _between(text, name))
    assert inside, name
    return f"{before}{MARK.format(name)}\n\n{table}\n\n{after}"


def passed_pythons(text: str) -> list[str]:
    """Return the versions of Python of which every recorded test passed, the unit and contract tests among them."""
    rows = read_table(text, PYTHONS)
    passed = [key for key, row in rows.items() if row[3] != NOT_RUN and "failed" not in row[3] + row[4]]
    return sorted(passed, key=_in_order)


def _between(text: str, name: str) -> str:
    found = re.search(re.escape(MARK.format(name)) + "(.*?)" + re.escape(END), text, re.DOTALL)
    assert found, f"no record of {name}"
    return found[1]


def _in_order(key: str) -> list[tuple[int, str]]:
    """Sort numbers within a name as numbers: 3.9 is before 3.11."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", key)]
