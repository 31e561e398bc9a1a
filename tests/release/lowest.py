# SPDX-License-Identifier: Apache-2.0
"""Print the lowest versions of the dependencies that pyproject.toml allows, as constraints for pip.

Usage: python -m tests.release.lowest. Uses the standard library only, since it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def constraints(requirements: list[str]) -> list[str]:
    """Return ``name==version; marker`` for each requirement ``name[extra]>=version; marker``. Raise ValueError."""
    found = [re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)(;.*)?", requirement) for requirement in requirements]
    refused = [requirement for requirement, match in zip(requirements, found, strict=True) if match is None]
    if refused:
        raise ValueError(f"no lowest version: {', '.join(refused)}")
    return [f"{match[1]}=={match[2]}{match[3] or ''}" for match in found if match]


def read() -> list[str]:
    """Return the constraints of the project's dependencies."""
    with PYPROJECT.open("rb") as file:
        return constraints(tomllib.load(file)["project"]["dependencies"])


if __name__ == "__main__":
    sys.stdout.write("\n".join(read()) + "\n")
