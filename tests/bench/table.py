# SPDX-License-Identifier: Apache-2.0
"""Results as markdown: rows with their goals, tables, and the marked sections of README.

Input: numbers. Output: text. Measures nothing.
"""

import platform
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.bench.subjects import REDIS_EXPORTER, REQUIREMENTS

T = TypeVar("T", int, float)
README = Path(__file__).with_name("README.md")


@dataclass(frozen=True, slots=True)
class Effort:
    """The extent of a measurement: everything, or (``quick``) just enough to check that the benchmark works."""

    quick: bool = False

    def times(self, full: int, quick: int) -> int:
        """Return a number of runs, tasks or seconds."""
        return quick if self.quick else full

    def first(self, *steps: T) -> Sequence[T]:
        """Return all steps of a curve, or its first two."""
        return steps[:2] if self.quick else steps


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the goals: ``figure`` is the value that the goal limits; ``holds`` is None if there is no goal."""

    what: str
    ours: str
    against: str
    figure: str
    goal: str
    holds: bool | None


@dataclass(slots=True)
class Report:
    """The results of a benchmark: rows of the goals, the text of its section, and plots by file name."""

    rows: list[Row] = field(default_factory=list)
    text: str = ""
    plots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the lowest and highest values around it."""

    median: float
    low: float
    high: float

    def text(self, form: str) -> str:
        """Format as ``2.5 (2.4..2.7)``."""
        return f"{self.median:{form}} ({self.low:{form}}..{self.high:{form}})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the minimum and the maximum."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, or the highest value if there are too few."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) >= 100 else max(values)


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def render_goals(rows: Iterable[Row]) -> str:
    """Return the table of the goals."""
    verdicts = {True: "yes", False: "**no**", None: ""}
    cells = [(row.what, row.ours, row.against, row.figure, row.goal, verdicts[row.holds]) for row in rows]
    return render_table(("what", "ours", "against", "figure", "goal", "holds"), cells)


def describe_machine(redis_version: str) -> str:
    """Return one line: the processor, Python, and the versions of the compared programs."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    models = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    cores = re.findall(r"^processor\s*:", text, re.MULTILINE)
    processor = f"{models[0]}, {len(cores)} cores" if models else platform.processor()
    peers = ", ".join(requirements[0].replace("==", " ") for requirements in REQUIREMENTS.values())
    debian = "Debian's " if sys.base_prefix == "/usr" and Path("/etc/debian_version").exists() else ""
    versions = f"{debian}Python {platform.python_version()}, Redis {redis_version}"
    return f"{processor}; {versions}; {peers}, Debian's {REDIS_EXPORTER}.\n"


def replace_sections(text: str, sections: dict[str, str]) -> str:
    """Replace the text between ``<!-- bench:NAME -->`` and ``<!-- /bench -->``; raise LookupError without the mark."""
    for name, content in sections.items():
        pattern = re.compile(rf"(<!-- bench:{re.escape(name)} -->\n).*?(<!-- /bench -->)", re.DOTALL)
        if not pattern.search(text):
            raise LookupError(f"README has no section bench:{name}")
        text = pattern.sub(lambda marks, content=content: f"{marks[1]}\n{content}\n{marks[2]}", text)  # type: ignore[misc]  # a lambda's default has no type
    return text
