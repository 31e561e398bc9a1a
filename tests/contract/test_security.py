# SPDX-License-Identifier: Apache-2.0
"""The statements of SECURITY.md about code and dependencies, as far as files can prove them."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_redis_exporter.settings.schema.redis import RedisOptions
from tests.contract.test_house_rules import PACKAGE, name, parse

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "deploy").rglob("*requirements.lock"))
BUILDERS_OF_OBJECTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
"""Modules that build code or objects of any kind from bytes."""
UNSAFE_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "unsafe_load",
    "full_load",
    "load_all",
    "enable_insecure_serializers",
}
PINNED = re.compile(r"([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)((?: ; [^\\]+)?)((?: --hash=sha256:[0-9a-f]{64})+)")


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the last part of the called name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""), node


def entries(lock: Path) -> list[re.Match[str] | str]:
    """Return the requirements of a lock file, each on one line; a requirement without hashes is returned as text."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [PINNED.fullmatch(line) or line for line in joined.splitlines() if line.strip()]


def test_the_default_for_addresses_that_servers_name_is_stated() -> None:
    """SECURITY.md names the setting whose default is empty, so the rule that it states applies."""
    promise = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "`redis.allowed_addresses`" in promise
    assert () == RedisOptions().allowed_addresses


def test_bytes_become_no_objects() -> None:
    """No module imports pickle or similar modules, or evaluates text."""
    words = re.compile("|".join([*BUILDERS_OF_OBJECTS, *UNSAFE_CALLS]))
    for path in (path for path in PACKAGE if words.search(path.read_text(encoding="utf-8"))):
        _check_builders(path)


def _check_builders(path: Path) -> None:
    tree = parse(path)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert set() == {module.partition(".")[0] for module in imported} & BUILDERS_OF_OBJECTS, name(path)
    for called, node in calls(tree):
        is_method_of_re = isinstance(node.func, ast.Attribute) and called == "compile"
        assert called not in UNSAFE_CALLS or is_method_of_re, f"{name(path)}:{node.lineno}: {called}"


def names_of_yaml(tree: ast.Module) -> set[str]:
    """Return the names of the package yaml that a module uses."""
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "yaml":
            used |= {alias.name for alias in node.names}
    return used


def test_yaml_is_read_by_a_safe_loader() -> None:
    """Every module reads YAML with SafeLoader, which builds no objects."""
    readers = [path for path in PACKAGE if "yaml" in path.read_text(encoding="utf-8")]
    used = {use for path in readers for use in names_of_yaml(parse(path))}
    assert {"SafeLoader"} == {use for use in used if "load" in use.casefold()}


def test_no_code_runs_a_shell() -> None:
    """No module starts a program through a shell, and only the demo starts programs at all."""
    starters = []
    words = re.compile(r"system|popen|shell|Popen|check_output|check_call")
    for path in (path for path in PACKAGE if words.search(path.read_text(encoding="utf-8"))):
        tree = parse(path)
        for called, node in calls(tree):
            assert called not in {"system", "popen"}, name(path)
            assert not any(keyword.arg == "shell" for keyword in node.keywords), name(path)
            starters += [path.parent.name] if called in {"Popen", "check_output", "check_call"} else []
    assert {"demo"} == set(starters)


def test_there_is_a_lock_for_the_image() -> None:
    """The image has a lock file, which is among those that are checked here."""
    assert ROOT / "deploy/requirements.lock" in LOCKS


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_locks_pin_with_hashes_and_name_no_index(lock: Path) -> None:
    """Each entry is one version with the hashes of its files, and contains no address."""
    found = entries(lock)
    assert [] == [entry for entry in found if isinstance(entry, str)]
    names = [entry[1] for entry in found if not isinstance(entry, str)]
    assert sorted(set(names)) == sorted(names)
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text


def test_the_lock_holds_what_the_package_needs() -> None:
    """Every dependency of pyproject.toml is in the lock of the image, and none of the extras demo and dev is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names_of(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9._-]", text)[0].lower().replace("_", "-") for text in requirements}

    locked = {entry[1] for entry in entries(ROOT / "deploy/requirements.lock") if not isinstance(entry, str)}
    assert names_of(project["dependencies"]) <= locked
    extras = project["optional-dependencies"]
    assert set() == names_of([*extras["demo"], *extras["dev"]]) & locked
