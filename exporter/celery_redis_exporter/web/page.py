# SPDX-License-Identifier: Apache-2.0
"""Render the status page: one HTML document that loads no other file.

Input: a report and a view (filter, order). Output: HTML, with all input escaped. The state is never queried.
"""

from base64 import b64encode
from collections import Counter
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from urllib.parse import urlencode

from celery_redis_exporter.records.report import (
    WORST_FIRST,
    ExporterStatus,
    Health,
    Overview,
    Report,
    Unacked,
)
from celery_redis_exporter.status.format import say_bytes, say_count, say_duration, say_last_hour, say_moment, say_rate
from celery_redis_exporter.status.overview import worst_of
from celery_redis_exporter.status.tables import APPLICATIONS, QUEUES, SERVERS, Table, tables_of
from celery_redis_exporter.web.tables import render_facts, render_servers, render_table
from celery_redis_exporter.web.view import USUAL, View

NAME = "celery-redis-exporter"
HEALTHY = "./-/healthy"
_LINKS = (("metrics", "Metrics"), ("./api/v1/status", "JSON"), ("./-/ready", "Ready?"), (HEALTHY, "Healthy?"))


@cache
def read_asset(name: str) -> str:
    """Return a style sheet or script of the package."""
    return files("celery_redis_exporter.web").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def content_security_policy() -> str:
    """Return the policy of the page: only its own style and its one script, which may load the page itself again."""
    script = b64encode(sha256(read_asset("page.js").encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def render_page(report: Report, view: View, telemetry_path: str) -> str:
    """Return the page as HTML.

    ``telemetry_path`` is the path of the metrics. Links are relative, so that they work behind a proxy that adds a
    prefix. For one of several applications there is a link to all of them.
    """
    return render_document(_title(report, view), _main(report, view), view, telemetry_path)


def render_overview(overview: Overview, view: View, telemetry_path: str) -> str:
    """Return the page of several applications as HTML, with a link to the page of each. See ``render_page``."""
    worst = overview.applications[0] if overview.applications else None
    title = "OK" if worst is None or worst.state == "ok" else f"{worst.name} {worst.state.upper()}"
    main = (
        f'{_stamp(overview.time, view)}<ul class="health">{_states(overview)}</ul>'
        f'<section id="{APPLICATIONS.name}">{render_table(APPLICATIONS, overview, view)}</section>'
        f"<footer>Version {escape(overview.version)}, up for {escape(say_duration(overview.uptime_seconds))}. "
        "Servers that several applications use are on the page of each of them.</footer>"
    )
    return render_document(f"{title} - {NAME}", main, view, telemetry_path)


def _states(overview: Overview) -> str:
    """Render how many applications are in each state, the worst first."""
    counts = Counter(one.state for one in overview.applications)
    return "".join(
        f'<li class="{state}">{counts[state]} of {len(overview.applications)} <b>{state.upper()}</b></li>'
        for state in WORST_FIRST
        if counts[state]
    )


def render_document(title: str, main: str, view: View, telemetry_path: str) -> str:
    """Return a whole document. ``main`` is HTML, ``title`` is text."""
    again = f'<noscript><meta http-equiv="refresh" content="{view.refresh}"></noscript>' if view.refresh else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>{again}<style>{read_asset('page.css')}</style></head>\n"
        f'<body data-refresh="{view.refresh}">{_header(view, telemetry_path)}\n'
        f"<main>{main}</main>\n<script>{read_asset('page.js')}</script></body></html>\n"
    )


def _title(report: Report, view: View) -> str:
    name = f"{view.application} - {NAME}" if view.application else NAME
    worst = worst_of(report.health)
    return f"OK - {name}" if worst is None or worst.state == "ok" else f"{worst.subject} {worst.state.upper()} - {name}"


def _header(view: View, telemetry_path: str) -> str:
    wanted = f"?{urlencode({'application': view.application})}" if view.application else ""
    paths = {"metrics": f"./{telemetry_path.lstrip('/')}{wanted}"} | {
        path: f"{path}{wanted if path != HEALTHY else ''}" for path, _ in _LINKS if path != "metrics"
    }
    links = "".join(f'<a href="{escape(paths[path])}">{text}</a>' for path, text in _LINKS)
    if view.application:
        links = f'<a href="./">All applications</a>{links}'
    kept = "".join(f'<input type="hidden" name="{name}" value="{escape(order)}">' for name, order in view.sorts.items())
    if view.application:
        kept += f'<input type="hidden" name="application" value="{escape(view.application)}">'
    if view.problems:
        kept += '<input type="hidden" name="problems" value="1">'
    if view.refresh != USUAL:
        kept += f'<input type="hidden" name="refresh" value="{view.refresh}">'
    heading = escape(view.application) if view.application else NAME
    return (
        f"<header><h1>{heading}</h1><nav>{links}</nav>"
        f'<form method="get">{kept}<input type="search" name="q" value="{escape(view.wanted)}" maxlength="200" '
        'placeholder="Filter by name" aria-label="Filter by name"><button>Filter</button></form></header>'
    )


def _main(report: Report, view: View) -> str:
    health = "".join(_health(one) for one in report.health)
    sections = "".join(_section(table, report, view) for table in tables_of(report))
    return (
        f'{_stamp(report.time, view)}<ul class="health">{health}</ul>{_last_hour(report)}{sections}'
        f"<section><h2>Exporter <small>{escape(f'version {report.version}')}</small></h2>"
        f"{render_facts(_facts(report.exporter, report))}</section>{_footer(report)}"
    )


def _stamp(now: float, view: View) -> str:
    text = escape(say_moment(now))
    if view.refresh:
        text += f' · refreshed every {view.refresh} s · <a href="{escape(view.refreshed(0).address)}">pause</a>'
    else:
        text += f' · paused · <a href="{escape(view.refreshed(USUAL).address)}">go on</a>'
    other = "show everything" if view.problems else "show problems only"
    text += f' · <a href="{escape(view.filtered(problems=not view.problems).address)}">{other}</a>'
    return f'<p class="stamp">{text} <span id="away" class="away" hidden>No answer: this is old.</span></p>'


def _health(health: Health) -> str:
    first, *others = health.reason.split("; ")
    more = f" (and {len(others)} more)" if others else ""
    reason = f'<p title="{escape(health.reason)}">{escape(first + more)}</p>' if first else ""
    return f'<li class="{health.state}">{escape(health.subject)} <b>{health.state.upper()}</b>{reason}</li>'


def _section(table: Table, report: Report, view: View) -> str:
    extra = ""
    if table is SERVERS:
        extra = render_servers(report, view)
    elif table is QUEUES and report.unacked:
        extra = render_facts(_unacked(report.unacked))
    return f'<section id="{table.name}">{render_table(table, report, view)}{extra}</section>'


def _unacked(unacked: Unacked) -> list[tuple[str, str, bool]]:
    return [
        ("Unacknowledged", say_count(unacked.messages), False),
        ("Longest", say_duration(unacked.oldest_age_seconds), False),
        ("Past the visibility timeout", say_count(unacked.overdue), bool(unacked.overdue)),
        ("Visibility timeout", say_duration(unacked.visibility_timeout_seconds), False),
    ]


def _last_hour(report: Report) -> str:
    """Render the totals of all tasks."""
    return f'<p class="hour">{escape(say_last_hour(report.last_hour))}</p>' if report.last_hour else ""


def _facts(exporter: ExporterStatus, report: Report) -> list[tuple[str, str, bool]]:
    """Return names, values, and whether each value is a warning."""
    return [
        ("Events", say_rate(exporter.events_per_second), False),
        ("Lag, p95", say_duration(exporter.lag_p95_seconds), False),
        ("Executions not seen", say_count(exporter.events_missed), bool(exporter.events_missed)),
        ("Not listening", say_duration(exporter.gap_seconds), bool(exporter.gap_seconds)),
        ("Unreadable messages", say_count(exporter.events_invalid), bool(exporter.events_invalid)),
        ("Events without a task", say_count(exporter.tasks_unmatched), False),
        ("Backlog in Redis", say_bytes(exporter.backlog_bytes), bool(exporter.backlog_bytes)),
        ("Tasks in memory", say_count(exporter.tasks_tracked), False),
        ("Series", say_count(exporter.series), False),
        ("Series refused", say_count(exporter.series_dropped), bool(exporter.series_dropped)),
        ("Up for", say_duration(report.uptime_seconds), False),
    ]


def _footer(report: Report) -> str:
    checks = " · ".join(f"{escape(one.check)}: {escape(one.state)} {escape(one.detail)}" for one in report.checks)
    window = escape(say_duration(report.window_seconds))
    return (
        f"<footer>{checks}<br>Counts are since the exporter started; rates are of the last minute or two; shares and "
        f"percentiles of the last {window}. Times of events are by their senders' clocks.</footer>"
    )
