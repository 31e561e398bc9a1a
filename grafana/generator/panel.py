# SPDX-License-Identifier: Apache-2.0
"""What every panel of this house has, and what becomes of it in Grafana's model.

Takes queries and words, gives the SDK's panel. A panel without a meaning, a unit and a word for "nothing" can't be
written; sizes are in Grafana's grid of 24 columns.
"""

import string
from dataclasses import dataclass
from typing import ClassVar

from grafana.generator import theme
from grafana.generator.promql import is_recorded
from grafana.generator.sdk import DashboardLink, common, dashboard, prometheus

RUNBOOKS = "alerts/runbooks.md"
"""What the links to runbooks begin with, as in the alerts; ``render dashboards --runbook-url`` replaces it."""
NOTHING = "-"
"""Shown for a time or an age of what did not happen: 0 s would be wrong."""
DATASOURCE = common.DataSourceRef("prometheus", "${datasource}")
DASHES = [8, 8]
EVALUATED = "1m"
"""How often Prometheus evaluates rules where nothing else is set: points of a graph are no closer."""
WITHOUT_RULES = ", or the rules of alerts/ are not loaded"
POINTS_OF_RECORDED = 288
"""Over a day a point each five minutes, which is the window of the recorded rates."""


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are called: a word, or labels as ``{{label}}``."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """How a series looks; ``name`` is its legend, or a regular expression between slashes.

    ``thick`` is for a line that others may lie upon, which would hide it.
    """

    name: str
    colour: str
    dashed: bool = False
    unit: str = ""
    thick: int = 1

    def build(self) -> dashboard.DashboardFieldConfigSourceOverrides:
        """Build the override: fixed colour; a dashed line is a limit or the past, and never stacked."""
        found: list[dashboard.DynamicConfigValue] = []
        if self.colour:
            found.append(dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": self.colour}))
        if self.dashed:
            found += [
                dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": DASHES}),
                dashboard.DynamicConfigValue("custom.fillOpacity", 0),
                dashboard.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}),
            ]
        if self.thick > 1:
            found.append(dashboard.DynamicConfigValue("custom.lineWidth", self.thick))
        if self.unit:
            found.append(dashboard.DynamicConfigValue("unit", self.unit))
            found.append(dashboard.DynamicConfigValue("custom.axisPlacement", "right"))
        return override(self.name, found)


@dataclass(frozen=True, slots=True)
class Word:
    """What a value is called, and its colour."""

    value: str
    text: str
    colour: str


UP_OR_DOWN = (Word("1", "Up", theme.CALM), Word("0", "Down", theme.BAD))
FINE_OR_FAILED = (Word("1", "Fine", theme.CALM), Word("0", "Failed", theme.BAD))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. ``remedy`` says what to do, ``alerts`` which runbooks say more, ``empty`` what stands for nothing.

    ``points`` is how many values of a series are enough: fewer than there are pixels where many lines would be a block.
    """

    kind: ClassVar[str]
    at_once: ClassVar[bool] = False
    """Whether the value at the end of the time shown is wanted, and not its course."""

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: str
    remedy: str = ""
    alerts: tuple[str, ...] = ()
    width: int = 8
    height: int = 8
    steps: theme.Steps = ()
    calm: str = theme.CALM
    empty: str = "0"
    decimals: int | None = None
    low: float | None = 0
    high: float | None = None
    words: tuple[Word, ...] = ()
    styles: tuple[Style, ...] = ()
    links: tuple[DashboardLink, ...] = ()
    points: int | None = None

    def build(self, identity: int, position: dashboard.GridPos) -> dashboard.Panel:
        """Build the panel; ``identity`` is unique within its dashboard."""
        return dashboard.Panel(
            type_val=self.kind,
            id_val=identity,
            title=self.title,
            description=self.describe(),
            datasource=DATASOURCE,
            grid_pos=position,
            max_data_points=self.points or (POINTS_OF_RECORDED if self.is_recorded() else None),
            interval=EVALUATED if self.is_recorded() else None,
            targets=[
                self.target(query, name) for query, name in zip(self.asks(), string.ascii_uppercase, strict=False)
            ],
            transformations=self.transformations() or None,
            options=self.options(),
            field_config=dashboard.FieldConfigSource(self.defaults(), self.overrides()),
        )

    def is_recorded(self) -> bool:
        """Whether it reads recorded rules, which have a value a minute at most."""
        return any(is_recorded(query.expr) for query in self.asks())

    def asks(self) -> tuple[Query, ...]:
        """Give the queries, in the order of their letters."""
        return self.queries

    def describe(self) -> str:
        """Give the panel's description in Markdown: meaning, what to do, runbooks."""
        books = ", ".join(f"[{name}]({RUNBOOKS}#{name.lower()})" for name in self.alerts)
        return "\n\n".join(part for part in (self.meaning, self.remedy, books and f"Runbooks: {books}") if part)

    def target(self, query: Query, name: str) -> prometheus.Dataquery:
        """Build a query; ``name`` is its letter."""
        return prometheus.Dataquery(
            datasource=DATASOURCE,
            editor_mode=prometheus.QueryEditorMode.CODE,
            expr=query.expr,
            legend_format=query.legend or "__auto",
            ref_id=name,
            instant=self.at_once,
            range_val=not self.at_once,
            exemplar=query.exemplars,
            format_val=self.format(),
        )

    def defaults(self) -> dashboard.FieldConfig:
        """Build what holds for every series."""
        return dashboard.FieldConfig(
            unit=self.unit,
            decimals=self.decimals,
            min_val=self.low,
            max_val=self.high,
            no_value=self.empty + (WITHOUT_RULES if self.is_recorded() and not self.at_once else ""),
            links=list(self.links) or None,
            mappings=mappings(self.words),
            thresholds=thresholds(self.steps, self.calm),
            color=self.colour(),
            custom=self.custom(),
        )

    def format(self) -> prometheus.PromQueryFormat:
        """Give how Prometheus's answer is read."""
        return prometheus.PromQueryFormat.TIME_SERIES

    def colour(self) -> dashboard.FieldColor:
        """Give where colours come from: the thresholds."""
        return dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS)

    def custom(self) -> object | None:
        """Give what this kind of panel has for each series."""
        return None

    def options(self) -> object:
        """Give what this kind of panel has as a whole."""
        raise NotImplementedError

    def transformations(self) -> list[dashboard.DataTransformerConfig]:
        """Give what is done with the answers before they are drawn."""
        return []

    def overrides(self) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
        """Give what holds for single series."""
        return [style.build() for style in self.styles]


def override(
    name: str, properties: list[dashboard.DynamicConfigValue]
) -> dashboard.DashboardFieldConfigSourceOverrides:
    """Build an override for the series or the column of a name, or of a regular expression between slashes."""
    matcher = dashboard.MatcherConfig("byRegexp" if name.startswith("/") else "byName", name)
    return dashboard.DashboardFieldConfigSourceOverrides(matcher=matcher, properties=properties)


def thresholds(steps: theme.Steps, calm: str) -> dashboard.ThresholdsConfig:
    """Build thresholds; ``calm`` is the colour below the first."""
    rows = [dashboard.Threshold(None, calm), *(dashboard.Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig(dashboard.ThresholdsMode.ABSOLUTE, rows)


def mappings(words: tuple[Word, ...]) -> list[dashboard.ValueMapping] | None:
    """Build what values are called."""
    if not words:
        return None
    named = {
        word.value: dashboard.ValueMappingResult(text=word.text, color=word.colour, index=row)
        for row, word in enumerate(words)
    }
    return [dashboard.ValueMap(named)]
