# SPDX-License-Identifier: Apache-2.0
"""Check the tag of a release against the tree, or print the notes of its version from CHANGELOG.md.

Usage: python -m tests.release.tag check TAG, or notes TAG. Returns 1 and one line for each fault. Uses the standard
library only: the release workflow runs it before anything is installed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {
    "exporter/celery_redis_exporter/__init__.py": r'^__version__ = "(.+)"$',
    "deploy/helm/celery-redis-exporter/Chart.yaml": r"^(?:version|appVersion): (.+)$",
    "deploy/docker/Dockerfile": r"^ARG VERSION=(.+)$",
    "deploy/kubernetes/base/kustomization.yaml": r"^ +newTag: (.+)$",
    "deploy/compose/.env.example": r"^# IMAGE=.+:(.+)$",
    "deploy/docs/kubernetes.md": r"^docker (?:build|push) .+:(\d\S+)(?: \.)?$",
}
"""The places of the version, and the pattern that finds it."""


def versions(root: Path) -> dict[str, set[str]]:
    """Return the versions that each of the places states."""
    return {
        name: set(re.findall(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name, pattern in PLACES.items()
    }


def notes(version: str, changelog: str) -> str:
    """Return the section of a version, without its heading. Empty if there is none."""
    pattern = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found else ""


def faults(tag: str, root: Path = ROOT) -> list[str]:
    """Return a line for each reason why the tree can't be released as ``tag``."""
    version = tag.removeprefix("v")
    if not re.fullmatch(r"v\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", tag):
        return [f"{tag}: a tag is v, three numbers and perhaps aN, bN or rcN, as in v1.0.0"]
    found = [
        f"{name}: version {', '.join(sorted(stated)) or 'missing'} instead of {version}"
        for name, stated in versions(root).items()
        if stated != {version}
    ]
    if not notes(version, (root / "CHANGELOG.md").read_text(encoding="utf-8")):
        found.append(f"CHANGELOG.md: no section '## [{version}] - YYYY-MM-DD'")
    return found


def main(arguments: list[str]) -> int:
    """Run the command and return the exit code."""
    match arguments:
        case ["check", tag]:
            lines = faults(tag)
            sys.stderr.writelines(f"{line}\n" for line in lines)
            return 1 if lines else 0
        case ["notes", tag]:
            text = notes(tag.removeprefix("v"), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
            sys.stdout.write(text)
            return 0 if text else 1
    sys.stderr.write("usage: python -m tests.release.tag check|notes TAG\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
