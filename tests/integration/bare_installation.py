# SPDX-License-Identifier: Apache-2.0
"""Make an installation of the wheel with its declared dependencies only: no extra and no development tool.

Output: an ``Installation`` whose libraries are links to the distributions that the wheel requires without its extras.
"""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.integration.installations import Installation


def required(name: str, extras: frozenset[str] = frozenset(), found: set[str] | None = None) -> set[str]:
    """Return the names of all installed distributions that one requires, including itself."""
    found = set() if found is None else found
    for requirement in distribution(name).requires or ():
        parts = re.match(r"([\w.-]+)(?:\[([\w,\s-]*)\])?", requirement)
        assert parts
        wanted = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if wanted and wanted[1] not in extras:
            continue
        needed = re.sub(r"[-_.]+", "-", parts[1]).lower()
        if needed in found:
            continue
        try:
            distribution(needed)
        except PackageNotFoundError:  # its marker is for other machines
            continue
        found.add(needed)
        required(needed, frozenset((parts[2] or "").replace(" ", "").split(",")), found)
    return found


def install_bare(folder: Path, wheel: Path) -> Installation:
    """Install a wheel with links to its requirements only."""
    installed = Installation(folder, wheel)
    libraries = folder / "libraries"
    libraries.mkdir()
    for name in required("celery-redis-exporter"):
        files = distribution(name).files or []
        for top in {Path(file).parts[0] for file in files} - {"..", "__pycache__"}:
            target = Path(str(distribution(name).locate_file(top)))
            if target.exists() and not (libraries / top).exists():
                (libraries / top).symlink_to(target)
    (installed.packages / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    return installed
