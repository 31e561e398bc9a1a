# SPDX-License-Identifier: Apache-2.0
"""The steps of the release workflow that run without a forge, in order, on a copy of the tree prepared for a tag."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.integration.processes import clean_environment
from tests.release.tag import PLACES, faults
from tests.support import yaml_text
from tests.support.project_files import project_files
from tests.support.workflow_steps import ORDER, ROOT, RUN, steps

TAG = "v9.8.7"
ADDRESS = "https://forge.example/Someone/exporter"
CHANGE = "- Everything is released.\n"


def git(tree: Path, *arguments: str) -> None:
    """Run git with an author for the tests."""
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *author, *arguments], cwd=tree, check=True)


def copy_tree(folder: Path) -> Path:
    """Copy what git tracks."""
    for path in project_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return folder


def set_version(tree: Path) -> None:
    """Prepare the release of the tag: versions and changelog."""
    for name, pattern in PLACES.items():
        path = tree / name
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for index, line in enumerate(lines):
            if found := re.match(pattern, line.rstrip("\n")):
                lines[index] = line.replace(found[1], TAG.removeprefix("v"))
        path.write_text("".join(lines), encoding="utf-8")
    changelog = tree / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    section = f"## [9.8.7] - 2026-01-01\n\n### Added\n\n{CHANGE}\n## ["
    changelog.write_text(text.replace("## [", section, 1), encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the tree, prepared for the tag and committed, like the checkout on a forge."""
    copied = copy_tree(tmp_path / "tree")
    set_version(copied)
    for command in ("init --quiet", "add --all", "commit --quiet --message=All"):
        git(copied, *command.split())
    return copied


def test_a_tag_of_another_version_is_refused(tree: Path) -> None:
    """Each place that states a version other than the tag is reported, and a prepared tree has no error."""
    assert [] == faults(TAG, tree)
    assert len(PLACES) + 1 == len(faults("v9.8.8", tree))
    assert ["9.8.7: a tag is v, three numbers and perhaps aN, bN or rcN, as in v1.0.0"] == faults("9.8.7", tree)
    (tree / "CHANGELOG.md").write_text("## [Unreleased]\n", encoding="utf-8")
    assert ["CHANGELOG.md: no section '## [9.8.7] - YYYY-MM-DD'"] == faults(TAG, tree)


def assert_addresses(tree: Path, wheel: Path) -> None:
    """Check the repository's address in chart and package, the links of the description, and the flag."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("celery_redis_exporter-9.8.7.dist-info/METADATA").decode()
        assert b"\nPUBLISHED = True\n" in archive.read("celery_redis_exporter/errors.py")
    assert f"Project-URL: Changelog, {ADDRESS}/blob/{TAG}/CHANGELOG.md\n" in metadata
    linked = re.findall(rf"\]\({ADDRESS}/(?:blob|raw)/{TAG}/([^)#]+)", metadata)
    assert len(linked) > 10
    assert [] == [path for path in linked if not (tree / path).exists()]
    assert [] == re.findall(r"\]\((?!https?:|#)[^)]*\)", metadata)
    chart = yaml_text.parse((tree / "deploy/helm/celery-redis-exporter/Chart.yaml").read_text(encoding="utf-8"))
    values = (tree / "deploy/helm/celery-redis-exporter/values.yaml").read_text(encoding="utf-8")
    assert ("ghcr.io/someone/exporter" in values, "registry.example" in values) == (True, False)
    assert (ADDRESS, [ADDRESS]) == (chart["home"], chart["sources"])
    assert (tree / chart["icon"].removeprefix(f"{ADDRESS}/raw/{TAG}/")).is_file()


def test_the_steps_of_a_release_in_order(tree: Path) -> None:
    """The steps for a tag make wheel, source distribution, notes and checksums, with the same bytes twice."""
    mine = [step.command for step in steps() if step.workflow == "release.yml"]
    mine = [
        command for command in mine if any(command.startswith(start) for start, test in RUN.items() if test == ORDER)
    ]
    assert len(mine) == 6
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = clean_environment() | {
        "TAG": TAG, "PATH": programs, "PYTHONPATH": "",
        "GITHUB_SERVER_URL": "https://forge.example", "GITHUB_REPOSITORY": "Someone/exporter",
    }  # fmt: skip
    sums = []
    for _ in range(2):
        for command in mine:
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", command], cwd=tree, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        sums.append((tree / "dist" / "SHA256SUMS").read_text(encoding="utf-8"))
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tree / "dist", check=True)
        built = sorted(path.name for path in (tree / "dist").iterdir())
        assert [
            "SHA256SUMS",
            "celery_redis_exporter-9.8.7-py3-none-any.whl",
            "celery_redis_exporter-9.8.7.tar.gz",
        ] == built
        assert_addresses(tree, tree / "dist" / built[1])
        shutil.rmtree(tree / "dist")
        git(tree, "checkout", "--quiet", ".")
    assert sums[0] == sums[1]
    assert (tree / "notes.md").read_text(encoding="utf-8") == f"### Added\n\n{CHANGE}"
