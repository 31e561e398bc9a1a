"""The files of the project: what git tracks or would track; in an unpacked archive, which has no git, what lies there.

Takes nothing, gives absolute paths.
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MADE = {
    ".git", ".venv", ".peers", ".demo", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
    ".import_linter_cache", "__pycache__", "build", "dist", "node_modules",
}  # fmt: skip
"""Folders of what is made from the rest."""


def project_files() -> list[Path]:
    """List them."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        listed = [path.as_posix() for path in paths if _MADE.isdisjoint(path.parts)]
    return [ROOT / path for path in listed if path and (ROOT / path).is_file()]
