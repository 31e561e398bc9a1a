"""What an installation has: a wheel, built and run away from the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.dashboards import boards
from tests.integration.processes import ROOT, clean_environment

PRINT = "import sys; from exporter.cli import main; sys.exit(main(['render', 'dashboards', '--output', 'written']))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, without asking any package index."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_the_dashboards(wheel: Path) -> None:
    """Every dashboard lies in the package, and nothing of what generates or draws them."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for uid in boards():
            committed = (ROOT / "grafana" / f"{uid}.json").read_bytes()
            assert committed == archive.read(f"exporter/dashboards/{uid}.json")
    assert {"exporter"} == {name.partition("/")[0] for name in names if ".dist-info/" not in name}


def test_an_installed_wheel_renders_them(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, the command finds the dashboards of the package."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = clean_environment() | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", PRINT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(boards()) == sorted(path.stem for path in (tmp_path / "written").glob("*.yaml"))
