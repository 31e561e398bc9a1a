# SPDX-License-Identifier: Apache-2.0
"""Measure the branch coverage of decode, state and exposition by their unit tests only.

Usage: python -m tests.quality.branches. Prints a line for each layer and for each file below the limit; returns 1 if a
layer is below it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = Path("exporter/celery_redis_exporter")
LAYERS = ("decode", "state", "exposition")
LIMIT = 90.0


class Branches(NamedTuple):
    """The branches of a layer or a file, and how many of them the tests executed."""

    name: str
    covered: int
    total: int

    @property
    def percent(self) -> float:
        """Return the share in percent; 100 for code without branches."""
        return 100 * self.covered / self.total if self.total else 100.0


def measure(folder: Path) -> dict[str, Any]:
    """Run the unit tests of the layers under coverage; return its report. Raises CalledProcessError if a test fails."""
    sources = ",".join(f"celery_redis_exporter.{layer}" for layer in LAYERS)
    data, report = f"--data-file={folder / 'data'}", folder / "report.json"
    tests = [f"tests/unit/{layer}" for layer in LAYERS]
    run = [sys.executable, "-m", "coverage"]
    pytest = ["-m", "pytest", "-q", "-m", "not alone and not slow", *tests]
    subprocess.run([*run, "run", "--branch", f"--source={sources}", data, *pytest], cwd=ROOT, check=True)
    subprocess.run([*run, "json", "-q", data, "-o", str(report)], cwd=ROOT, check=True)
    tree: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return tree


def by_file(report: Mapping[str, Any]) -> list[Branches]:
    """Return the branches of each file, by its path in the package."""
    return [
        Branches(
            Path(name).relative_to(PACKAGE).as_posix(),
            file["summary"]["covered_branches"],
            file["summary"]["num_branches"],
        )
        for name, file in report["files"].items()
    ]


def by_layer(files: list[Branches]) -> list[Branches]:
    """Return the branches of each layer."""
    return [
        Branches(
            layer,
            sum(file.covered for file in files if file.name.startswith(f"{layer}/")),
            sum(file.total for file in files if file.name.startswith(f"{layer}/")),
        )
        for layer in LAYERS
    ]


def main() -> int:
    """Measure, print, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        files = by_file(measure(Path(folder)))
    layers = by_layer(files)
    below = [file for file in files if file.percent < LIMIT]
    for row in (*layers, *sorted(below, key=lambda file: file.percent)):
        sys.stdout.write(f"{row.percent:5.1f} %  {row.covered:4} of {row.total:4} branches  {row.name}\n")
    return 1 if any(layer.percent < LIMIT for layer in layers) else 0


if __name__ == "__main__":
    raise SystemExit(main())
