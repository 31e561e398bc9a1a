# SPDX-License-Identifier: Apache-2.0
"""Tests that use programs of newer Debian suites have the mark that selects and counts them."""

import ast
import re
from pathlib import Path

import pytest

from tests.integration.suite_programs import SUITE_PROGRAMS

FOLDER = Path(__file__).parents[1] / "integration"
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
USERS = {"suite_program", "either_program", "server_program", "judge", "promtool"}
"""Names of functions that start such a program."""
MARKS = r"mark\.newest\(|\bBY_(EACH|BOTH)\b|\bSERVERS\b|promtool\(\"2\"\)"
"""Marks of tests: set by hand, or by parameters that are names of programs."""


def used(text: str) -> set[str]:
    """Return which of USERS a module imports."""
    modules = {"tests.integration.suite_programs", "tests.integration.promtools"}
    if not any(module in text for module in modules):
        return set()  # Parsing every file takes half a second.
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    return {name.name for node in imports if node.module in modules for name in node.names} & USERS


@pytest.mark.parametrize("name", [name for name, text in MODULES.items() if name.startswith("test_") and used(text)])
def test_who_uses_a_newer_program_is_marked(name: str) -> None:
    """A test module that starts a program of a newer suite marks its tests, so that ``--newest`` selects them."""
    named = [program for program in SUITE_PROGRAMS if f'"{program}"' in MODULES[name]]
    assert named or re.search(MARKS, MODULES[name])


@pytest.mark.parametrize("program", SUITE_PROGRAMS)
def test_every_program_is_used(program: str) -> None:
    """Every installed program is used by tests."""
    others = [text for name, text in MODULES.items() if name != "suite_programs.py"]
    servers = re.search(r"SERVERS = \((.*?)\)", MODULES["suite_programs.py"])
    assert servers
    assert any(f'"{program}"' in text for text in (*others, servers[1]))
