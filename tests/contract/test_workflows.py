# SPDX-License-Identifier: Apache-2.0
"""The forge's workflows are valid, pinned, have least permissions, and are run by tests if that is possible."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import yaml_text
from tests.support.workflow_steps import FORGE_ONLY, ROOT, RUN, WORKFLOWS, Step, steps

STEPS = steps()
TREES = {path.name: yaml_text.parse(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
PAGE = (ROOT / "deploy" / "docs" / "releasing.md").read_text(encoding="utf-8")
WRITES = {
    ("release.yml", "build"): {"id-token", "attestations"},
    ("release.yml", "pypi"): {"id-token"},
    ("release.yml", "image"): {"packages", "id-token", "attestations"},
    ("release.yml", "chart"): {"packages"},
    ("release.yml", "announce"): {"contents"},
}
"""The jobs with permission to write, and their permissions."""


def run(name: str, *arguments: str, folder: Path = ROOT) -> str:
    """Run a linter of the development environment and return its output; skip the test without it."""
    own = str(Path(sys.executable).parent)
    program = shutil.which(name, path=os.pathsep.join([own, os.environ["PATH"]]))
    if program is None:
        pytest.skip(f"needs {name}, which pip installs on Linux on x86_64")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return f"{done.returncode}\n{done.stdout}"


def test_actionlint_finds_nothing() -> None:
    """Syntax, expressions and commands of every workflow are valid."""
    assert run("actionlint", "-no-color", "-oneline", *map(str, WORKFLOWS)) == "0\n"


def test_zizmor_finds_nothing() -> None:
    """No workflow has a known weakness."""
    found = run("zizmor", "--offline", "--no-progress", "--color=never", ".github")
    assert found.startswith("0\n"), found


@pytest.mark.parametrize(
    ("old", "new", "linter"),
    [
        ("container: python:${{ matrix.python }}", "container: python:${{ matrix.level }}", "actionlint"),
        ("run: bash .ci/run", "run: echo ${{ github.head_ref }}", "zizmor"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "zizmor"),
    ],
)
def test_the_linters_can_fail(tmp_path: Path, old: str, new: str, linter: str) -> None:
    """A mistake in a workflow is found."""
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / ".github" / "workflows" / "test.yml"
    broken.parent.mkdir(parents=True)
    broken.write_text(text.replace(old, new), encoding="utf-8")
    arguments = ("-no-color", str(broken)) if linter == "actionlint" else ("--offline", "--no-progress", str(broken))
    assert not run(linter, *arguments, folder=tmp_path).startswith("0\n")


@pytest.mark.parametrize("name", TREES)
def test_permissions_are_the_least(name: str) -> None:
    """A workflow has no permissions; its jobs have those that they need, and only the release writes."""
    assert {} == TREES[name]["permissions"]
    for job, tree in TREES[name]["jobs"].items():
        writes = {scope for scope, level in tree["permissions"].items() if level == "write"}
        assert writes == WRITES.get((name, job), set()), job


def actions() -> set[tuple[str, str, str]]:
    """Return the actions of all workflows: name, commit, and version in the comment."""
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    return {found for text in texts for found in re.findall(r"uses: ([\w.-]+/[\w./-]+)@(\S+)(?: # (\S+))?", text)}


def test_actions_are_pinned_and_listed() -> None:
    """Each action is pinned by a commit, with its version, and is in the table of the page."""
    assert len(actions()) >= 7
    assert [] == [
        name for name, commit, version in actions() if not re.fullmatch(r"[0-9a-f]{40}", commit) or not version
    ]
    listed = set(re.findall(r"^\| `([\w./-]+)` \| (v[\d.]+) \| `([0-9a-f]{40})` \|", PAGE, re.MULTILINE))
    assert {(name, version, commit) for name, commit, version in actions()} == listed


def test_nothing_is_stored_and_no_owner_is_named() -> None:
    """Workflows read no secrets, and read the repository's name from the variables of the run."""
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert "secrets." not in text
        registries = re.findall(r"(?:ghcr|docker)\.io/(\S+)", text)
        assert [] == [place for place in registries if not place.startswith(("${GITHUB_REPOSITORY", "$"))]


def test_the_matrix_has_every_supported_python() -> None:
    """The wheel is tested on each Python version of its classifiers, beginning with requires-python."""
    tested = TREES["test.yml"]["jobs"]["wheel"]["strategy"]["matrix"]["python"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tested == re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert f'requires-python = ">={tested[0]}"' in project


def row(step: Step) -> str:
    """Return the longest entry of the tables that a step's command begins with."""
    return max((start for start in (*RUN, *FORGE_ONLY) if step.command.startswith(start)), key=len, default="")


@pytest.mark.parametrize("step", STEPS, ids=[f"{step.job}: {step.command.splitlines()[0]}" for step in STEPS])
def test_a_step_has_one_row(step: Step) -> None:
    """A step has one entry, which states whether a test or only a forge runs it."""
    assert row(step)


def test_no_row_is_left_over() -> None:
    """Each entry of the tables belongs to a step, and each test that it names exists."""
    assert set() == {*RUN, *FORGE_ONLY} - {row(step) for step in STEPS}
    assert set() == RUN.keys() & FORGE_ONLY.keys()
    for named in set(RUN.values()):
        path, _, name = named.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_the_page_lists_what_only_a_forge_runs() -> None:
    """The page on releases has a row for each step that no test runs, with the reason."""
    missing = [start for start, reason in FORGE_ONLY.items() if f"| `{start.strip()}` | {reason} |" not in PAGE]
    assert [] == missing


def updated(tree: dict[str, Any]) -> dict[str, set[str]]:
    """Return the folders that each ecosystem of Dependabot watches."""
    return {
        row["package-ecosystem"]: {*row.get("directories", ()), *filter(None, [row.get("directory")])}
        for row in tree["updates"]
    }


def test_updates_cover_everything_that_is_pinned() -> None:
    """Dependabot watches workflows, Python packages, the image and the services of Compose, in folders that exist."""
    watched = updated(yaml_text.parse((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8")))
    assert {"github-actions", "pip", "docker", "docker-compose"} == watched.keys()
    assert all((ROOT / folder.strip("/")).is_dir() for folders in watched.values() for folder in folders)
