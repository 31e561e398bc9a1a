# SPDX-License-Identifier: Apache-2.0
"""A dashboard of this house: variables, links and annotations that all have, and rows of panels that flow.

Takes rows, gives the SDK's dashboard in the classic schema, which Grafana 10 to 13 load. Panels stand side by side in
the order given, and none is placed by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from celery_redis_exporter.alerts.links import dashboard_uid
from grafana.generator import theme
from grafana.generator.panel import DATASOURCE, Panel
from grafana.generator.promql import SCOPE, SCOPE_OF_PROCESS, SCOPE_OF_SHARED, VARIABLES
from grafana.generator.sdk import AnnotationQuery, DashboardLink, dashboard, prometheus

TAG = "celery-redis-exporter"
COLUMNS = 24
ALERTS = 'alertstate="firing", alertname=~"(Celery|Redis).+", alertname!="CeleryWatchdog"'
FIRING = f"ALERTS{{{ALERTS}, {SCOPE_OF_SHARED}}}"
OWN_PROCESS = f"and on (cluster, namespace, job, instance) celery_exporter_build_info{{{SCOPE_OF_PROCESS}}}"
"""Narrows a metric that every process has down to the exporter."""
SOURCES = {
    "cluster": ("Cluster", "celery_exporter_build_info"),
    "namespace": ("Namespace", 'celery_exporter_build_info{cluster=~"$cluster"}'),
    "job": ("Job", 'celery_exporter_build_info{cluster=~"$cluster", namespace=~"$namespace"}'),
    "application": ("Application", f"celery_exporter_event_stream_up{{{SCOPE_OF_PROCESS}}}"),
    # Not every queue is known to both: Redis holds those of other publishers, events name those of other brokers.
    "queue": ("Queue", f'{{__name__=~"celery_queue_length|celery_tasks_received_total", {SCOPE}}}'),
    "task": ("Task", f"celery_tasks_received_total{{{SCOPE}}}"),
    "worker": ("Worker", f"celery_worker_up{{{SCOPE}}}"),
    "redis": ("Redis", f"redis_up{{{SCOPE_OF_SHARED}}}"),
}
"""Where the values of each variable come from: metrics that are there before the first worker is."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, or without one; ``closed`` shows them when asked."""

    title: str
    panels: tuple[Panel, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; ``name`` is its file's, ``answers`` its question, ``labels`` are variables besides those of all."""

    name: str
    title: str
    answers: str
    rows: tuple[Row, ...]
    labels: tuple[str, ...] = ()

    def build(self) -> dashboard.Dashboard:
        """Build the dashboard, with ids in the order of its panels."""
        return dashboard.Dashboard(
            uid=dashboard_uid(self.name),
            title=self.title,
            description=self.answers,
            tags=["celery", "redis", TAG],
            timezone="browser",
            editable=True,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime("now-1h", "now"),
            timepicker=dashboard.TimePickerConfig(refresh_intervals=["10s", "30s", "1m", "5m", "15m", "1h"]),
            refresh="30s",
            version=1,
            panels=list(_place(self.rows)),
            templating=dashboard.DashboardDashboardTemplating(_variables(self.labels)),
            annotations=dashboard.AnnotationContainer(_annotations()),
            links=[_other_dashboards()],
        )


def firing(*severities: str) -> str:
    """Select the alerts of this project that fire and are as severe as that."""
    return f'ALERTS{{severity=~"{"|".join(severities)}", {ALERTS}, {SCOPE_OF_SHARED}}}'


def link(title: str, name: str, *labels: str) -> DashboardLink:
    """Link another dashboard from a series: time and variables kept, a variable for each of the series' labels."""
    return _link(title, name, {label: f"${{__field.labels.{label}:percentencode}}" for label in labels})


def link_of_row(title: str, board: str, **fields: str) -> DashboardLink:
    """Link another dashboard from a table's row: variables by the columns that hold their values."""
    return _link(title, board, {label: f"${{__data.fields.{name}:percentencode}}" for label, name in fields.items()})


def _link(title: str, name: str, values: dict[str, str]) -> DashboardLink:
    kept = [f"${{{variable}:queryparam}}" for variable in ("datasource", *VARIABLES)]
    chosen = [f"var-{label}={value}" for label, value in values.items()]
    url = f"/d/{dashboard_uid(name)}?{'&'.join(['${__url_time_range}', *kept, *chosen])}"
    return DashboardLink(title=title, url=url)


def _other_dashboards() -> DashboardLink:
    return DashboardLink(
        title="Celery and Redis",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=[TAG],
        as_dropdown=True,
        keep_time=True,
        include_vars=True,
    )


def _place(rows: tuple[Row, ...]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    """Place panels from left to right and from top to bottom; what stands in a closed row is within its row."""
    identity, line = 1, 0
    for row in rows:
        heading = None
        if row.title:
            position = dashboard.GridPos(1, COLUMNS, 0, line)
            heading = dashboard.RowPanel(collapsed=row.closed, title=row.title, id_val=identity, grid_pos=position)
            identity, line = identity + 1, line + 1
            yield heading
        below = line
        for panels in _shelves(row.panels):
            left, height = 0, max(panel.height for panel in panels)
            for panel in panels:
                built = panel.build(identity, dashboard.GridPos(height, panel.width, left, below))
                identity, left = identity + 1, left + panel.width
                if heading is not None and row.closed:
                    heading.panels.append(built)
                else:
                    yield built
            below += height
        line = line if row.closed else below


def _shelves(panels: tuple[Panel, ...]) -> Iterator[list[Panel]]:
    """Give the panels that stand side by side; all of them are as high as the highest."""
    shelf: list[Panel] = []
    for panel in panels:
        if shelf and sum(other.width for other in shelf) + panel.width > COLUMNS:
            yield shelf
            shelf = []
        shelf.append(panel)
    yield shelf


def _variables(labels: tuple[str, ...]) -> list[dashboard.VariableModel]:
    source = dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE, name="datasource", label="Data source", query="prometheus",
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD, regex="",
    )  # fmt: skip
    return [source, *(_variable(name, *SOURCES[name]) for name in (*VARIABLES, *labels))]


def _variable(name: str, label: str, series: str) -> dashboard.VariableModel:
    query = f"label_values({series}, {name})"
    return dashboard.VariableModel(
        name=name,
        label=label,
        datasource=DATASOURCE,
        definition=query,
        query={"query": query, "refId": f"variable-{name}", "qryType": 1},
        current=dashboard.VariableOption(text=["All"], value=["$__all"], selected=True),
        multi=True,
        include_all=True,
        # Matches also where the label is absent.
        all_value=".*",
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        regex="",
    )


def _annotations() -> list[dashboard.AnnotationQuery]:
    # Where each begins: bands for as long as they last would cover the graphs.
    begun = f"{FIRING} unless {FIRING} offset $__interval"
    alerts = AnnotationQuery(
        name="Alerts",
        datasource=DATASOURCE,
        icon_color=theme.BAD,
        target=_annotation(begun),
        expr=begun,
        title_format="{{alertname}}",
        text_format="{{task}} {{queue}} {{worker}} {{redis}}",
        tag_keys="severity",
        step="30s",
    )
    # A value that is a time stamp puts one mark where the exporter started, instead of one for each sample.
    started = f"process_start_time_seconds{{{SCOPE_OF_SHARED}}} * 1000 {OWN_PROCESS}"
    starts = AnnotationQuery(
        name="Exporter starts",
        datasource=DATASOURCE,
        icon_color="blue",
        target=_annotation(started),
        expr=started,
        title_format="Exporter started",
        text_format="{{instance}}",
        use_value_for_time=True,
        step="60s",
    )
    return [alerts, starts]


def _annotation(expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery(datasource=DATASOURCE, expr=expr, ref_id="annotation", range_val=True, instant=False)
