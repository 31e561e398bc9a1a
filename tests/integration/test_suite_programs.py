# SPDX-License-Identifier: Apache-2.0
"""Programs of other Debian suites, installed from a repository that the test makes."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.suite_programs import Apt, SuiteProgram, UnavailableError

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None, reason="needs apt"),
]

WANTED = SuiteProgram("made", ("newest-made",), "made", "1.0")


def publish(repository: Path, version: str) -> None:
    """Replace the repository's content with one version of a package that contains its own version."""
    shutil.rmtree(repository, ignore_errors=True)
    package = repository / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "made").write_text(version, encoding="utf-8")
    control = f"Package: newest-made\nVersion: {version}\nArchitecture: all\nMaintainer: n <n@example.org>\n"
    (package / "DEBIAN" / "control").write_text(f"{control}Description: made\n", encoding="utf-8")
    name = f"newest-made_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--build", package, repository / name], check=True, capture_output=True)
    content = (repository / name).read_bytes()
    listed = f"Filename: ./{name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    (repository / "Packages").write_text(control + listed, encoding="utf-8")


def apt_of(repository: Path, folder: Path) -> Apt:
    """Return apt for the repository."""
    return Apt(f"deb [trusted=yes] file:{repository} ./", folder)


def test_lists_that_are_out_of_date_are_renewed(tmp_path: Path) -> None:
    """If a suite changed after its lists were read, its program is installed in the new version."""
    repository, made = tmp_path / "repository", tmp_path / "made"
    for version in ("1.0.1", "1.0.2"):
        publish(repository, version)
        for folder in (made, tmp_path / "apt" / "archives"):
            shutil.rmtree(folder, ignore_errors=True)
        made.mkdir()
        apt_of(repository, tmp_path / "apt").install(WANTED, made)
        assert version == (made / "made").read_text(encoding="utf-8")


def test_a_later_version_is_taken(tmp_path: Path) -> None:
    """A suite with a later version provides the program, as sid does every week."""
    publish(tmp_path / "repository", "1.10.0")
    made = tmp_path / "made"
    made.mkdir()
    apt_of(tmp_path / "repository", tmp_path / "apt").install(WANTED, made)
    assert "1.10.0" == (made / "made").read_text(encoding="utf-8")


def test_an_earlier_version_is_not_taken(tmp_path: Path) -> None:
    """A suite with an earlier version than the tests require does not provide the program."""
    publish(tmp_path / "repository", "0.11.0")
    (tmp_path / "made").mkdir()
    with pytest.raises(UnavailableError, match=r"the suite has newest-made 0\.11\.0, wanted is 1\.0"):
        apt_of(tmp_path / "repository", tmp_path / "apt").install(WANTED, tmp_path / "made")
