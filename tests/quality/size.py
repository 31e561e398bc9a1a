# SPDX-License-Identifier: Apache-2.0
"""Print the size of the project: wheel, installed files, dependencies, lines of code and tests.

Usage: python -m tests.quality.size. Builds the wheel; measures the dependencies installed with the tests. The size of
the image is that of its base image plus the installed files.
"""

import sys
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from tests.integration.bare_installation import required
from tests.integration.installations import build
from tests.support.project_files import ROOT, project_files

FOLDERS = ("exporter", "grafana", "deploy", "tests")


def bytes_of(name: str) -> int:
    """Return the size of the files of an installed distribution."""
    files = (Path(str(file.locate())) for file in distribution(name).files or ())
    return sum(path.stat().st_size for path in files if path.is_file())


def lines_of(folder: str) -> tuple[int, int]:
    """Return the number of Python files and lines of a folder."""
    paths = [path for path in project_files() if path.is_relative_to(ROOT / folder) and path.suffix == ".py"]
    return len(paths), sum(path.read_bytes().count(b"\n") for path in paths)


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(ROOT, "wheel", Path(folder))
        packed = wheel.stat().st_size
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(row.file_size for row in archive.infolist())
    sizes = {name: bytes_of(name) for name in required("celery-redis-exporter")}
    rows = [
        ("wheel", f"{packed / 1e3:,.0f} kB"),
        ("wheel, installed", f"{unpacked / 1e3:,.0f} kB"),
        ("dependencies", f"{len(sizes)} distributions, {sum(sizes.values()) / 1e6:,.1f} MB"),
        ("image, above its base", f"{(unpacked + sum(sizes.values())) / 1e6:,.1f} MB"),
        *((f"Python in {folder}/", "{:,} files, {:,} lines".format(*lines_of(folder))) for folder in FOLDERS),
        *((f"  {name}", f"{size / 1e6:,.1f} MB") for name, size in sorted(sizes.items(), key=lambda row: -row[1])[:8]),
    ]
    sys.stdout.writelines(f"{name:<24}{value}\n" for name, value in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
