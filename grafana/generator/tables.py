# SPDX-License-Identifier: Apache-2.0
"""Tables: one query for each column, joined by their labels.

Takes columns, gives a panel of Grafana's whose order, names, units and colours are fixed. Each query aggregates by the
same labels, so that the rows meet.
"""

import string
from dataclasses import dataclass
from typing import ClassVar

from grafana.generator import theme
from grafana.generator.panel import NOTHING, Panel, Query, Word, mappings, override, thresholds
from grafana.generator.sdk import DashboardLink, common, dashboard, prometheus, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    With ``expr`` it shows a query's values, with ``label`` what a label says, with both the label that the query
    brings. ``gauge`` draws the value as a bar besides.
    """

    name: str
    expr: str = ""
    label: str = ""
    unit: str = theme.WORD
    steps: theme.Steps = ()
    words: tuple[Word, ...] = ()
    decimals: int | None = None
    width: int | None = None
    gauge: bool = False
    high: float | None = None
    link: DashboardLink | None = None

    def properties(self) -> list[dashboard.DynamicConfigValue]:
        """Build what is particular to the column."""
        given: list[tuple[str, object]] = [("unit", self.unit), ("noValue", NOTHING)]
        if self.decimals is not None:
            given.append(("decimals", self.decimals))
        if self.width is not None:
            given.append(("custom.width", self.width))
        if self.link is not None:
            given.append(("links", [self.link]))
        if self.words:
            given.append(("mappings", mappings(self.words)))
        if self.high is not None:
            given += [("min", 0), ("max", self.high)]
        if self.gauge:
            given.append(("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
            given.append(("thresholds", thresholds(self.steps, "blue")))
        elif self.steps or self.words:
            given.append(("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
            given.append(("thresholds", thresholds(self.steps, theme.CALM)))
        return [dashboard.DynamicConfigValue(key, value) for key, value in given]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """Rows of what the columns' queries have in common; ``first`` is the column that sorts them, greatest first."""

    kind: ClassVar[str] = "table"
    at_once: ClassVar[bool] = True
    width: int = 24
    height: int = 10
    low: float | None = None
    unit: str = theme.NUMBER
    queries: tuple[Query, ...] = ()
    columns: tuple[Column, ...]
    first: str
    hidden: tuple[str, ...] = ()
    """Labels that are in the answers and say nothing."""

    def asks(self) -> tuple[Query, ...]:
        """Give a query for each column that has an expression."""
        return tuple(Query(column.expr) for column in self.columns if column.expr)

    def options(self) -> table.Options:
        """Give a table with small rows, sorted."""
        return table.Options(
            show_header=True,
            cell_height=common.TableCellHeight.SM,
            sort_by=[common.TableSortByFieldState(self.first, desc=True)],
        )

    def format(self) -> prometheus.PromQueryFormat:
        """Take each series as a row."""
        return prometheus.PromQueryFormat.TABLE

    def custom(self) -> common.TableFieldOptions:
        """Give cells whose colour comes from their columns alone."""
        return common.TableFieldOptions(
            align=common.FieldTextAlignment.AUTO,
            cell_options=common.TableAutoCellOptions(),
            inspect=False,
            filterable=False,
        )

    def transformations(self) -> list[dashboard.DataTransformerConfig]:
        """Join the queries' rows; name, order and hide their fields."""
        names: dict[str, str] = {}
        hidden = ["Time", *self.hidden]
        letters = iter(string.ascii_uppercase)
        single = len(self.asks()) == 1
        for column in self.columns:
            value = ("Value" if single else f"Value #{next(letters)}") if column.expr else ""
            if column.label:
                names[column.label] = column.name
                hidden += [value] if value else []
            else:
                names[value] = column.name
        organized = {
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: row for row, name in enumerate(names)},
            "renameByName": names,
        }
        return [
            dashboard.DataTransformerConfig("merge", options={}),
            dashboard.DataTransformerConfig("organize", options=organized),
        ]

    def overrides(self) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
        """Give each column its look."""
        return [override(column.name, column.properties()) for column in self.columns]
