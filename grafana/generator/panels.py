# SPDX-License-Identifier: Apache-2.0
"""The kinds of panels but for tables: tile, graph, heat map, time line, bars.

Takes what ``panel.Panel`` takes, gives the SDK's options of each kind. No pies: lengths compare, angles do not.
"""

from dataclasses import dataclass
from typing import ClassVar

from celery_redis_exporter.alerts import task_rates
from grafana.generator import theme
from grafana.generator.panel import Panel, Query, Style
from grafana.generator.promql import Scope
from grafana.generator.sdk import bargauge, common, dashboard, heatmap, prometheus, stat, statetimeline, timeseries

LAST = common.ReduceDataOptions(calcs=["lastNotNull"], values=False, fields="")
SHARES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
LAST_WEEK = "last week"
EXEMPLARS = "exemplars"
OUTCOMES = tuple(Style(state, theme.STATES[state]) for state in ("success", "failure", "retry", "revoked", "rejected"))
QUANTILES = tuple(Style(name, colour) for name, colour in theme.QUANTILES.items())
GROWTH = "in minus out"
FLOW = (Style("started", theme.STATES["started"]), Style(GROWTH, theme.STATES["sent"]))
PAST = Style(LAST_WEEK, theme.PAST, dashed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """A number that has a colour when something is wrong, and none while all is well."""

    kind: ClassVar[str] = "stat"
    at_once: ClassVar[bool] = True
    width: int = 3
    height: int = 4
    low: float | None = None

    def options(self) -> stat.Options:
        """Give a number that fills its tile."""
        return stat.Options(
            color_mode=common.BigValueColorMode.BACKGROUND_SOLID,
            graph_mode=common.BigValueGraphMode.NONE,
            justify_mode=common.BigValueJustifyMode.CENTER,
            text_mode=common.BigValueTextMode.VALUE,
            orientation=common.VizOrientation.AUTO,
            reduce_options=LAST,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Panel):
    """Lines over time.

    ``many`` puts the legend into a table, ``limits`` draws the thresholds as dashed lines, ``reach`` is how far the
    axis goes at least, else what its unit tells; ``tenfold`` is a logarithmic axis.
    """

    kind: ClassVar[str] = "timeseries"
    height: int = 9
    # No number: Grafana would draw it wherever a series has a hole, and what is not known is not 0.
    empty: str = "Nothing yet"
    stacked: bool = False
    many: bool = False
    limits: bool = False
    reach: float | None = None
    tenfold: bool = False

    def options(self) -> timeseries.Options:
        """Give a legend with the last and the greatest value, and a tooltip with all series, greatest first."""
        legend = common.VizLegendOptions(
            display_mode=common.LegendDisplayMode.TABLE if self.many else common.LegendDisplayMode.LIST,
            placement=common.LegendPlacement.BOTTOM,
            show_legend=True,
            calcs=["lastNotNull", "max"] if self.many else [],
            sort_by="Last *" if self.many else None,
            sort_desc=True if self.many else None,
        )
        tooltip = common.VizTooltipOptions(common.TooltipDisplayMode.MULTI, common.SortOrder.DESCENDING)
        return timeseries.Options(legend=legend, tooltip=tooltip)

    def colour(self) -> dashboard.FieldColor:
        """Give colours in turn: those by name are often too pale to be told apart."""
        return dashboard.FieldColor(dashboard.FieldColorModeId.PALETTE_CLASSIC)

    def custom(self) -> common.GraphFieldConfig:
        """Give thin lines, filled only where they are stacked: fillings upon each other are mud."""
        stacking = common.StackingMode.NORMAL if self.stacked else common.StackingMode.NONE
        limits = common.GraphThresholdsStyleMode.DASHED if self.limits else common.GraphThresholdsStyleMode.OFF
        return common.GraphFieldConfig(
            draw_style=common.GraphDrawStyle.LINE,
            line_width=1,
            line_interpolation=common.LineInterpolation.LINEAR,
            fill_opacity=40 if self.stacked else 0,
            gradient_mode=common.GraphGradientMode.NONE,
            show_points=common.VisibilityMode.AUTO,
            point_size=4,
            span_nulls=False,
            stacking=common.StackingConfig(stacking, "A"),
            thresholds_style=common.GraphThresholdsStyleConfig(limits),
            axis_placement=common.AxisPlacement.AUTO,
            axis_soft_max=None if self.tenfold else theme.least(self.unit) if self.reach is None else self.reach,
            scale_distribution=common.ScaleDistributionConfig(common.ScaleDistribution.LOG, log=10)
            if self.tenfold
            else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(Panel):
    """How a histogram spreads over time; ``unit`` is that of its buckets, ``cells`` that of what is in them."""

    kind: ClassVar[str] = "heatmap"
    width: int = 12
    points: int | None = 120
    cells: str = theme.NUMBER
    scheme: str = "Blues"

    def options(self) -> heatmap.Options:
        """Give cells from dark to bright, and none where nothing was observed."""
        return heatmap.Options(
            calculate=False,
            color=heatmap.HeatmapColorOptions(
                mode=heatmap.HeatmapColorMode.SCHEME,
                scale=heatmap.HeatmapColorScale.EXPONENTIAL,
                scheme=self.scheme,
                fill="dark-orange",
                exponent=0.5,
                steps=64,
            ),
            filter_values=heatmap.FilterValueRange(le=1e-9),
            rows_frame=heatmap.RowsHeatmapOptions(layout=common.HeatmapCellLayout.AUTO),
            show_value=common.VisibilityMode.NEVER,
            cell_gap=0,
            cell_values=heatmap.CellValues(unit=self.cells),
            y_axis=heatmap.YAxisConfig(unit=self.unit, axis_placement=common.AxisPlacement.LEFT, reverse=False),
            legend=heatmap.HeatmapLegend(show=True),
            tooltip=heatmap.HeatmapTooltip(
                mode=common.TooltipDisplayMode.SINGLE, y_histogram=True, show_color_scale=False
            ),
            exemplars=heatmap.ExemplarConfig("rgba(255,0,255,0.7)"),
        )

    def format(self) -> prometheus.PromQueryFormat:
        """Take the series as buckets."""
        return prometheus.PromQueryFormat.HEATMAP

    def custom(self) -> heatmap.FieldConfig:
        """Take the buckets as they come."""
        return heatmap.FieldConfig(
            scale_distribution=common.ScaleDistributionConfig(common.ScaleDistribution.LINEAR),
            hide_from=common.HideSeriesConfig(tooltip=False, legend=False, viz=False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Panel):
    """What state something was in, and when."""

    kind: ClassVar[str] = "state-timeline"
    width: int = 24
    low: float | None = None
    legend: bool = True

    def options(self) -> statetimeline.Options:
        """Give one line for each series; its colours say all."""
        return statetimeline.Options(
            show_value=common.VisibilityMode.NEVER,
            row_height=0.8,
            merge_values=True,
            align_value=common.TimelineValueAlignment.LEFT,
            legend=common.VizLegendOptions(show_legend=self.legend),
            tooltip=common.VizTooltipOptions(common.TooltipDisplayMode.SINGLE, common.SortOrder.NONE),
        )

    def custom(self) -> statetimeline.FieldConfig:
        """Give filled bars."""
        return statetimeline.FieldConfig(line_width=0, fill_opacity=80, span_nulls=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars(Panel):
    """Lengths side by side, the longest first if its query sorts; ``above`` is where long names have room."""

    kind: ClassVar[str] = "bargauge"
    at_once: ClassVar[bool] = True
    width: int = 12
    shade: str = "blue"
    above: bool = False

    def options(self) -> bargauge.Options:
        """Give horizontal bars with their names beside or above them."""
        place = common.BarGaugeNamePlacement.TOP if self.above else common.BarGaugeNamePlacement.LEFT
        return bargauge.Options(
            display_mode=common.BarGaugeDisplayMode.BASIC,
            value_mode=common.BarGaugeValueMode.TEXT,
            name_placement=place,
            sizing=common.BarGaugeSizing.AUTO,
            min_viz_width=8,
            min_viz_height=16,
            max_viz_height=28,
            orientation=common.VizOrientation.HORIZONTAL,
            legend=common.VizLegendOptions(show_legend=False),
            text=common.VizTextDisplayOptions(title_size=13, value_size=15),
            reduce_options=LAST,
        )

    def colour(self) -> dashboard.FieldColor:
        """Give one colour for all, unless there are thresholds."""
        if self.steps:
            return dashboard.FieldColor(dashboard.FieldColorModeId.THRESHOLDS)
        return dashboard.FieldColor(dashboard.FieldColorModeId.FIXED, self.shade)


def quantiles(scope: Scope, histogram: str) -> tuple[Query, ...]:
    """Return queries of the median, the 95th and the 99th percentile, and one of the exemplars."""
    if histogram not in task_rates.HISTOGRAMS:
        last = SHARES[-1]
        return tuple(Query(scope.quantile(share, histogram), name, (share, name) == last) for share, name in SHARES)
    found = tuple(Query(scope.recorded_quantile(share, histogram), name) for share, name in SHARES)
    return (*found, Query(scope.exemplars(histogram), EXEMPLARS, exemplars=True))


def flow(scope: Scope) -> tuple[Query, ...]:
    """Return queries of what starts, and of what is published beyond it: the two are equal most of the time."""
    sent, started = (scope.rate(f"celery_tasks_{name}_total") for name in ("sent", "started"))
    return Query(started, "started"), Query(f"round({sent} - {started}, 0.001)", GROWTH)


def spread(scope: Scope, histogram: str) -> tuple[Query, ...]:
    """Return queries of a recorded histogram's buckets and its exemplars, for a heatmap."""
    buckets = Query(scope.recorded(f"{histogram}_bucket", "le"), "{{le}}")
    return buckets, Query(scope.exemplars(histogram), EXEMPLARS, exemplars=True)
