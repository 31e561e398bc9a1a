# SPDX-License-Identifier: Apache-2.0
"""Describe the interface of the package, and compare it with that of the last release.

Usage: python -m tests.release.snapshot [--write]. Prints each difference and returns 1 if CHANGELOG.md does not name
one of them; ``--write`` writes ``snapshot.json``, which a release does.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from celery_redis_exporter import Collector
from celery_redis_exporter.catalog import CATALOG, Metric
from celery_redis_exporter.cli import COMMANDS
from celery_redis_exporter.settings.schema.rows import SettingRow, describe
from celery_redis_exporter.status.schema import build_schema

SNAPSHOT = Path(__file__).with_name("snapshot.json")
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
BREAKING_SECTIONS = ("Changed", "Deprecated", "Removed", "Fixed")


class Difference(NamedTuple):
    """An entry of the interface that was added, removed or changed."""

    kind: str
    entry: str

    @property
    def name(self) -> str:
        """Return the word by which a changelog names the entry: a metric, a key, or the field of a schema."""
        return self.entry.partition(" ")[2].rpartition("/")[2]


def metric_entries(metrics: Iterable[Metric]) -> dict[str, str]:
    """Return type and labels of each metric."""
    return {f"metric {metric.name}": f"{metric.kind} {' '.join(metric.label_names)}".strip() for metric in metrics}


def setting_entries(rows: Iterable[SettingRow]) -> dict[str, str]:
    """Return kind, default and choices of each setting."""
    return {f"setting {row.key}": f"{row.kind} {row.default} {' '.join(row.choices)}".strip() for row in rows}


def schema_entries(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the type of each field of each part of a JSON schema."""
    return {
        f"schema {name}/{field}": _type(tree)
        for name, part in schema["$defs"].items()
        for field, tree in part["properties"].items()
    }


def _type(tree: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in tree.items() if key not in {"description", "title", "default"}}
    return json.dumps(kept, sort_keys=True)


def interface() -> dict[str, str]:
    """Return every entry of the interface, by name."""
    methods = {name: method for name, method in vars(Collector).items() if inspect.isfunction(method)}
    public = {name: method for name, method in methods.items() if not name.startswith("_") or name == "__init__"}
    return (
        metric_entries(CATALOG.values())
        | setting_entries(describe())
        | schema_entries(build_schema())
        | {f"command {name}": "" for name in COMMANDS}
        | {f"library Collector/{name}": str(inspect.signature(method)) for name, method in public.items()}
    )


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """Return what was added, removed and changed."""
    return [
        Difference("added" if entry not in before else "removed" if entry not in after else "changed", entry)
        for entry in sorted(before.keys() | after.keys())
        if before.get(entry) != after.get(entry)
    ]


def unnamed(differences: Iterable[Difference], changelog: str) -> list[Difference]:
    """Return the differences that the section "Unreleased" has to name and does not.

    An added entry may be named anywhere in it, other entries in a section about changes.
    """
    unreleased = re.split(r"^## \[", changelog, flags=re.MULTILINE)[1]
    parts = re.split(r"^### (\w+)\n", unreleased, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    breaking = "".join(text for title, text in sections.items() if title in BREAKING_SECTIONS)
    return [
        difference
        for difference in differences
        if not re.search(
            rf"(?<![\w.]){re.escape(difference.name)}(?!\w|\.\w)",
            unreleased if difference.kind == "added" else breaking,
        )
    ]


def read() -> dict[str, str]:
    """Return the interface of the last release."""
    entries: dict[str, str] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return entries


def main(arguments: list[str]) -> int:
    """Compare or write; return the exit code."""
    if arguments == ["--write"]:
        SNAPSHOT.write_text(json.dumps(interface(), indent=0, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    differences = compare(read(), interface())
    missing = unnamed(differences, CHANGELOG.read_text(encoding="utf-8"))
    for difference in differences:
        sys.stdout.write(
            f"{difference.kind:<8} {difference.entry}{'' if difference not in missing else ': not in CHANGELOG.md'}\n"
        )
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
