# SPDX-License-Identifier: Apache-2.0
"""List the files of the project: those that git tracks or would track, or all files of an archive without git.

Output: absolute paths.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MADE = {
    ".git", ".venv", ".venv-wheel", ".venv-lowest", ".peers", ".demo", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache", "__pycache__", "build", "dist", "node_modules",
}  # fmt: skip
"""Folders of generated files."""


def project_files() -> list[Path]:
    """Return the files."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        listed = [path.as_posix() for path in paths if _MADE.isdisjoint(path.parts)]
    return [ROOT / path for path in listed if path and (ROOT / path).is_file()]
