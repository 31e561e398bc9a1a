# SPDX-License-Identifier: Apache-2.0
"""A README in every folder, or a line in the nearest one above it, states its purpose."""

import re
from pathlib import Path

import pytest

from tests.contract.test_house_rules import ROOT
from tests.fuzz.invariants import INVARIANTS
from tests.support.project_files import project_files

PACKAGE = ROOT / "exporter" / "celery_redis_exporter"
FLOOR_PLAN = (ROOT / "exporter" / "README.md").read_text(encoding="utf-8")
MIRROR, FUZZED = Path("tests/unit"), Path("tests/fixtures/fuzz")
LISTED = {MIRROR, MIRROR / "cli", MIRROR / "settings", FUZZED}
"""Folders whose subfolders mirror those of the package or the targets of the fuzzer, and need no README."""
FOLDERS = sorted({
    folder
    for path in project_files()
    for folder in path.relative_to(ROOT).parents
    if folder != Path() and not (ROOT / folder / "README.md").exists() and folder.parent not in LISTED
})  # fmt: skip
"""Folders under version control without a README, from the root of the repository."""


def page_above(folder: Path) -> Path:
    """Return the nearest README above a folder."""
    return next(above / "README.md" for above in (ROOT / folder).parents if (above / "README.md").exists())


def is_named(name: str, text: str) -> bool:
    """Return whether a page names a folder, by its name and a slash, alone or within a path."""
    return re.search(rf"(?<![\w.-]){re.escape(name)}/", text) is not None


def test_folders_are_named_by_the_page_above() -> None:
    """Each folder that has no README is named by the nearest README above it."""
    pages = {folder: page_above(folder) for folder in FOLDERS}
    unnamed = {
        str(folder): page.relative_to(ROOT)
        for folder, page in pages.items()
        if not is_named(folder.name, page.read_text(encoding="utf-8"))
    }
    assert {} == unnamed


def test_listed_folders_are_those_of_their_origin() -> None:
    """The unit tests have the folders of the package, and the fuzzer's findings those of its targets."""
    parents = {path.parent.relative_to(ROOT) for path in project_files()}
    mirrored = [folder.relative_to(MIRROR) for folder in parents if MIRROR in folder.parents]
    assert len(mirrored) > 10
    assert [] == [folder for folder in mirrored if not (PACKAGE / folder).is_dir()]
    assert set() == {folder.name for folder in parents if folder.parent == FUZZED} - INVARIANTS.keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")))
def test_the_floor_plan_has_every_module(name: str) -> None:
    """Every module at the top of the package is on the page about its architecture."""
    assert f"`{name}.py`" in FLOOR_PLAN


def test_the_floor_plan_has_nothing_else() -> None:
    """Every module and folder that the page about the architecture names exists."""
    named = re.findall(r"`((?:[a-z]\w*/)+(?:\w+\.py)?)`", FLOOR_PLAN)
    assert len(named) > 40
    tops = (PACKAGE, ROOT, ROOT / "exporter")
    assert [] == [name for name in named if not any((top / name).exists() for top in tops)]


def test_the_page_has_every_thread() -> None:
    """Every thread of the exporter is in the table of threads, by the name that it is started with."""
    modules = [
        PACKAGE / name
        for name in (
            "daemon/application.py",
            "daemon/exporter.py",
            "daemon/key_spaces.py",
            "daemon/service.py",
            "scrape/read_pool.py",
            "daemon/log_stream.py",
            "web/server.py",
        )
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in modules)
    started = set(re.findall(r'(?:start\(|Thread\(.*name=)f?"([a-z_]+)', text))
    assert {"event_stream", "read_", "log", "web"} <= started
    table = FLOOR_PLAN.partition("## Threads")[2]
    assert started == {name for name in started if re.search(rf"`{name}(`|<|-)", table)}
