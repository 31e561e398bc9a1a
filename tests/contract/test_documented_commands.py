# SPDX-License-Identifier: Apache-2.0
"""Every command on a page is run by a test, or is listed with the reason why it is not."""

import re

import pytest

from tests.support.documented_commands import NOT_RUN, PAGES, ROOT, RUN, commands

TYPED = commands()


def row(command: str) -> str:
    """Return the longest entry of the tables that a command begins with."""
    return max((start for start in (*RUN, *NOT_RUN) if command.startswith(start)), key=len, default="")


def test_the_pages_are_those_at_the_top() -> None:
    """The pages are README, CONTRIBUTING, one of each folder and those for users; each page's commands are found."""
    assert {"alerts", "deploy", "docs", "exporter", "grafana", "tests"} <= {page.parent.name for page in PAGES}
    with_blocks = {page for page in PAGES if "```sh\n" in page.read_text(encoding="utf-8")}
    assert {page.relative_to(ROOT).as_posix() for page in with_blocks} == {typed.page for typed in TYPED}


def test_a_command_has_one_row() -> None:
    """Each command has one entry, which states whether a test runs it."""
    assert [] == [f"{typed.page}: {typed.command}" for typed in TYPED if not row(typed.command)]
    assert set() == RUN.keys() & NOT_RUN.keys()


def test_no_row_is_left_over() -> None:
    """Each entry of the tables belongs to a command on a page."""
    assert set() == {*RUN, *NOT_RUN} - {row(typed.command) for typed in TYPED}


def test_few_commands_are_not_run() -> None:
    """At most ten kinds of commands are not run by tests."""
    assert len(NOT_RUN) <= 10


@pytest.mark.parametrize("named", sorted(set(RUN.values())))
def test_the_tests_exist(named: str) -> None:
    """Each test in the tables exists."""
    path, _, name = named.partition("::")
    assert re.search(rf"^def {name or 'test_'}", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
