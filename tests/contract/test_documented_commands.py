"""Every command that a page tells people to type is run by a test, or stands among those that are not, and why."""

import re

import pytest

from tests.support.documented_commands import NOT_RUN, PAGES, ROOT, RUN, Typed, commands

TYPED = commands()
each_command = pytest.mark.parametrize("typed", TYPED, ids=[f"{typed.page}: {typed.command}" for typed in TYPED])


def rows(command: str) -> list[str]:
    """Give the beginnings in the tables that a command has."""
    return [start for start in (*RUN, *NOT_RUN) if command.startswith(start)]


def test_the_pages_are_those_at_the_top() -> None:
    """The pages are README, CONTRIBUTING and one of each folder, and each with commands has some here."""
    assert {"alerts", "deploy", "exporter", "grafana", "tests"} <= {page.parent.name for page in PAGES}
    with_blocks = {page for page in PAGES if "```sh\n" in page.read_text(encoding="utf-8")}
    assert {page.relative_to(ROOT).as_posix() for page in with_blocks} == {typed.page for typed in TYPED}


@each_command
def test_a_command_has_one_row(typed: Typed) -> None:
    """A command is either run by a test or not, and one row says so."""
    assert len(rows(typed.command)) == 1


def test_no_row_is_left_over() -> None:
    """Each row of the tables belongs to a command that still stands on a page."""
    assert set() == {*RUN, *NOT_RUN} - {row for typed in TYPED for row in rows(typed.command)}


@pytest.mark.parametrize("named", sorted(set(RUN.values())))
def test_the_tests_exist(named: str) -> None:
    """Each test that is said to run a command is there."""
    path, _, name = named.partition("::")
    assert re.search(rf"^def {name or 'test_'}", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
