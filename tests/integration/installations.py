# SPDX-License-Identifier: Apache-2.0
"""Install the package as users do: built into a wheel and a source distribution, and installed outside the checkout.

Input: the checkout. Output: files, and an installation in a dedicated environment, which shares the libraries of the
tests' environment. No package index is queried.
"""

import site
import subprocess
import sys
import tarfile
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.integration.processes import clean_environment


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` of a source tree. Return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack a source distribution. Return the tree."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


class Installation:
    """A virtual environment with a wheel, and without the checkout."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        self.program = folder / "bin" / "celery-redis-exporter"
        found = self._say([self.python, "-c", "import site; print(site.getsitepackages()[0])"])
        self.packages = Path(found.strip())
        libraries = self.packages / "libraries.pth"
        libraries.write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        self._say([*pip, "--disable-pip-version-check", "--force-reinstall", wheel])

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a user, whose path does not contain the checkout."""
        return {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the console script until it ends."""
        return subprocess.run(
            [self.program, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False, timeout=50,
        )  # fmt: skip

    def _say(self, command: Sequence[str | Path]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
