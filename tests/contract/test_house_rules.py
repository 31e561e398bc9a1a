# SPDX-License-Identifier: Apache-2.0
"""The rules of this project that no linter checks."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.project_files import project_files

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "exporter" / "celery_redis_exporter").rglob("*.py"))
GENERATOR = sorted((ROOT / "grafana" / "generator").rglob("*.py"))
CODE = PACKAGE + GENERATOR
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEST_MODULES = [path for path in TESTS if path.name.startswith("test_")]


def name(path: Path) -> str:
    """Return the path of a file as the id of its case."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """Parse a file once."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """List the nodes that the rules need, because visiting all nodes takes longer than parsing."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.Import | ast.ImportFrom | ast.ExceptHandler
    return [node for node in ast.walk(parse(path)) if isinstance(node, kinds)]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a file."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_have_500_lines_at_most() -> None:
    """A longer file has a second subject, and is split where the subject changes."""
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {path: count for path, count in lines.items() if count > 500} == {}


def test_functions_have_40_lines_at_most() -> None:
    """A longer function does more than one thing."""
    spans = {
        (name(path), node.name): (node.end_lineno or node.lineno) - node.lineno + 1
        for path in CODE
        for node in functions(path)
    }
    assert {function: lines for function, lines in spans.items() if lines > 40} == {}


def test_modules_say_what_they_are() -> None:
    """Every module starts with a docstring."""
    assert [name(path) for path in CODE if not ast.get_docstring(parse(path))] == []


def test_time_is_asked_in_clock_py_alone() -> None:
    """No other module imports time, so none can sleep or read a clock that tests can't set."""
    importers = []
    mentioned = re.compile(r"^\s*(?:import|from)\b.*\btime\b", re.MULTILINE)  # Parsing every file takes seconds.
    for path in (path for path in CODE + TESTS if mentioned.search(path.read_text(encoding="utf-8"))):
        imported = set()
        for node in nodes(path):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
        if "time" in imported:
            importers.append(name(path))
    assert importers == ["exporter/celery_redis_exporter/clock.py"]


def test_nothing_sleeps() -> None:
    """Waiting is done on a condition, in the package and in its tests."""
    # Sleeping for 0 is asyncio's way to let other tasks run, and no waiting.
    pattern = re.compile(r"\b(time|asyncio|anyio|gevent)\.sleep\((?!0\))")
    sleepers = [name(path) for path in CODE + TESTS if pattern.search(path.read_text(encoding="utf-8"))]
    assert sleepers == []


def test_one_place_catches_everything() -> None:
    """Only the supervisor's boundary catches Exception; nothing catches more."""
    broad = set()
    for path in CODE:
        for node in nodes(path):
            if isinstance(node, ast.ExceptHandler):
                caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"all"}
                if caught & {"Exception", "BaseException", "all"}:
                    broad.add(name(path))
    assert broad <= {"exporter/celery_redis_exporter/daemon/supervisor.py"}


def test_one_place_configures_logging() -> None:
    """Only logs.py calls structlog.configure, so that every line passes the mask."""
    callers = [name(path) for path in PACKAGE if "structlog.configure(" in path.read_text(encoding="utf-8")]
    assert callers == ["exporter/celery_redis_exporter/daemon/logs.py"]


def test_every_test_states_its_truth() -> None:
    """A test function's docstring is one sentence on one line."""
    # Parsing all test modules takes seconds.
    definition = re.compile(
        r"^ *(?:async )?def (test_\w+)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\) -> [^\n]*:[^\n]*\n *(.*)$", re.MULTILINE
    )
    wrong, found = [], 0
    for path in TEST_MODULES:
        text = path.read_text(encoding="utf-8")
        tests = definition.findall(text)
        found += len(tests)
        assert len(tests) == len(re.findall(r"^ *(?:async )?def test_\w+\(", text, re.MULTILINE)), name(path)
        wrong += [(name(path), test) for test, first in tests if not re.fullmatch(r'"""[^"].*\."""(?:  #.*)?', first)]
    assert wrong == []
    assert found > 2_000


def test_files_have_no_empty_names() -> None:
    """No file name is a general word such as util or helper."""
    assert [name(path) for path in CODE if re.search(r"util|helper|common|manager|base", path.stem)] == []


def test_imports_keep_to_their_rooms() -> None:
    """import-linter's contracts in pyproject.toml hold."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_source_folder_is_not_a_package() -> None:
    """The package can't be imported a second time, as a part of ``exporter``, from the root of the repository."""
    code = "import exporter.celery_redis_exporter"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "import celery_redis_exporter" in done.stderr.splitlines()[-1]


def test_no_file_names_this_machine() -> None:
    """No file contains a path of the machine where it was written, or a package index."""
    machine_paths = r"(?<![\w./-])/(root|work|farm|tmp/venv)\b"
    package_indexes = r"\bindex[-_]url\b|pypi\.org/simple|PIP_(EXTRA_)?INDEX"
    pattern = re.compile(f"{machine_paths}|{package_indexes}")
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name(path)}: {match[0]}" for match in pattern.finditer(text) if path != Path(__file__)]
    assert found == []


def test_readme_is_short() -> None:
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_files_name_their_license() -> None:
    """Each source file begins with the identifier of the license in SPDX's form."""
    wanted = "# SPDX-License-Identifier: Apache-2.0"
    heads = {name(path): path.read_text(encoding="utf-8").splitlines()[:2] for path in CODE}
    assert [path for path, head in heads.items() if wanted not in head] == []
