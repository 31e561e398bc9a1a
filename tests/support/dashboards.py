# SPDX-License-Identifier: Apache-2.0
"""Read the committed dashboards: panels, queries, variables, and Grafana's substitutions in a query.

Input: the files of ``grafana/``. Output: their parts. No server is queried.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "grafana"
VARIABLE = re.compile(r"\$(?!\{?__)(?:(\w+)|\{(\w+)(?::\w+)?\})")
ALL = ".*"
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")

ROUND_STEPS = (
    (1.5, 2), (3.5, 5), (7.5, 10), (12.5, 15), (17.5, 20), (25, 30), (45, 60), (90, 120), (210, 300), (450, 600),
    (750, 900), (1050, 1200), (1500, 1800), (2700, 3600),
)  # fmt: skip
"""Rounding of Grafana: a lower bound in seconds, and the seconds to which values above it are rounded."""

Tree = dict[str, Any]


class Target(NamedTuple):
    """One query of one panel."""

    board: str
    panel: str
    name: str
    expr: str
    legend: str
    instant: bool
    unit: str

    @property
    def title(self) -> str:
        """Return the name that failures show."""
        return f"{self.board} / {self.panel} / {self.name}"


@cache
def boards() -> dict[str, Tree]:
    """Return every committed dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def with_rows(tree: Tree) -> Iterator[Tree]:
    """Yield everything that is placed on a dashboard: rows, panels, and the panels in closed rows."""
    for panel in tree["panels"]:
        yield panel
        yield from panel.get("panels", [])


def panels(tree: Tree) -> list[Tree]:
    """Return the panels of a dashboard, including those in closed rows."""
    return [panel for panel in with_rows(tree) if panel["type"] != "row"]


def targets(tree: Tree) -> list[Target]:
    """Return the queries of all panels of a dashboard."""
    names = {other["uid"]: name for name, other in boards().items()}
    return [
        Target(
            names[tree["uid"]],
            panel["title"],
            target["refId"],
            target["expr"],
            target["legendFormat"],
            target["instant"],
            panel["fieldConfig"]["defaults"]["unit"],
        )
        for panel in panels(tree)
        for target in panel["targets"]
    ]


def all_targets() -> list[Target]:
    """Return the queries of all panels of all dashboards."""
    return [target for tree in boards().values() for target in targets(tree)]


def variables(tree: Tree) -> dict[str, Tree]:
    """Return a dashboard's variables by name."""
    return {variable["name"]: variable for variable in tree["templating"]["list"]}


def queries_of_variables(tree: Tree) -> dict[str, tuple[str, str]]:
    """Return the series and the label from which each variable gets its values."""
    found = {}
    for name, variable in variables(tree).items():
        if variable["type"] == "query":
            match = LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert match, name
            found[name] = match[1], match[2]
    return found


def substitute(expr: str, values: Mapping[str, str]) -> str:
    """Replace variables by values, as Grafana does. A variable without a value matches everything."""
    return VARIABLE.sub(lambda found: values.get(found[1] or found[2], ALL), expr)


def choose_step(shown: int, points: int, floor: str) -> int:
    """Return the seconds between two points of a graph as Grafana chooses them; ``floor`` is a duration as in 15s."""
    least = int(floor[:-1]) * {"s": 1, "m": 60}[floor[-1]]
    rounded = max((length for start, length in ROUND_STEPS if start <= shown / points), default=1)
    return max(rounded, least)


def fill_times(expr: str, step: int, scrape: int, shown: int) -> str:
    """Replace Grafana's own variables by the graph's ``step``, ``scrape`` interval and range ``shown`` (seconds)."""
    rate = max(step + scrape, 4 * scrape)
    filled = expr.replace("$__rate_interval", f"{rate}s").replace("$__range", f"{shown}s")
    return filled.replace("$__interval", f"{step}s")
