# SPDX-License-Identifier: Apache-2.0
"""Render the tables, trend lines and bars of the status page.

Input: tables and reports. Output: HTML, with all input escaped.
"""

from collections.abc import Sequence
from html import escape

from celery_redis_exporter.records.report import KeyGroup, Overview, Report, ServerStatus
from celery_redis_exporter.status.format import say_bytes, say_count, say_error, say_rate, say_share
from celery_redis_exporter.status.tables import SERVERS, Cell, Column, Order, Table, arrange
from celery_redis_exporter.web.view import View

CARDS = 20
"""Servers whose details are shown."""
GROUPS = 12
"""Groups of keys that are shown for each server."""
_WIDTH, _HEIGHT = 200, 36


def render_table(table: Table, report: Report | Overview, view: View) -> str:
    """Render a table under its title, with the number of its rows."""
    order = view.order(table.name)
    rows = arrange(table, report, order, view.wanted, problems=view.problems)
    shown = rows if table.name in view.whole else rows[: table.shown]
    total = len(table.rows(report))
    count = say_count(total) if len(rows) == total else f"{say_count(len(rows))} of {say_count(total)}"
    title = f"<h2>{table.title} <small>{count}</small></h2>"
    if not rows:
        text = table.empty if not total else _none(view)
        return f'{title}<div class="scroll"><p class="none">{escape(text)}</p></div>'
    head = "".join(_head(table, column, order, view) for column in table.columns)
    body = "".join(
        f"<tr>{''.join(_cell(column, row, report.time) for column in table.columns)}</tr>\n" for row in shown
    )
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>'
        f"{_more(table, len(rows), view)}</div>"
    )


def _none(view: View) -> str:
    """Return why no row of a table that has rows is shown."""
    named = " and has this in its name" if view.wanted else ""
    return f"None is in trouble{named}." if view.problems else "None has this in its name."


def render_servers(report: Report, view: View) -> str:
    """Render the details of servers that do not fit into a table row: trends and groups of keys."""
    servers = arrange(SERVERS, report, view.order(SERVERS.name), view.wanted, problems=view.problems)
    cards = "".join(_card(server) for server in servers[:CARDS])
    return f'<div class="cards">{cards}</div>' if cards else ""


def render_facts(facts: Sequence[tuple[str, str, bool]]) -> str:
    """Render names and values. Values with a warning are highlighted.

    ``facts`` contains the name, the value, and whether the value is a warning.
    """
    parts = (
        f'<div><dt>{escape(name)}</dt><dd class="{"warning" if warns else ""}">{escape(value)}</dd></div>'
        for name, value, warns in facts
    )
    return f"<dl>{''.join(parts)}</dl>"


def _head(table: Table, column: Column, order: Order, view: View) -> str:
    is_sorted = column.key == order.column.key
    # The first click on the heading of a number shows the largest first, on that of a name the first in the alphabet.
    # The next click reverses the order.
    descending = not order.descending if is_sorted else column.numeric
    address = view.sorted_by(table.name, f"-{column.key}" if descending else column.key).address
    arrow = (" ▾" if order.descending else " ▴") if is_sorted else ""
    sort = f' aria-sort="{"descending" if order.descending else "ascending"}"' if is_sorted else ""
    hint = f' title="{escape(column.hint)}"' if column.hint else ""
    link = f'<a href="{escape(address)}#{table.name}">{escape(column.title)}{arrow}</a>'
    return f'<th class="{_classes(column)}" scope="col"{sort}{hint}>{link}</th>'


def _cell(column: Column, row: object, now: float) -> str:
    cell = column.cell(row, now)
    hint = f' title="{escape(cell.hint)}"' if cell.hint else ""
    text = escape(cell.text)
    if cell.application:
        text = f'<a href="{escape(View(application=cell.application).address)}">{text}</a>'
    if cell.trend:
        text = _svg(draw_trend(cell.trend, 0.0, None), f"{column.title}: {cell.hint or 'nothing'}", "trend") or text
    return f'<td class="{_classes(column, cell)}"{hint}>{text}{_bar(cell.share)}</td>'


def _classes(column: Column, cell: Cell | None = None) -> str:
    names = [f"w{column.weight}"] if column.weight else []
    names += ["n"] if column.numeric else []
    if cell is not None:
        names += [cell.tone] if cell.tone else []
        names += [] if column.numeric else ["t"]
        names += ["soft"] if not column.numeric and column.weight > 1 and not cell.tone else []
    return " ".join(names)


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    return f'<span class="bar"><i style="width:{min(max(share, 0.0), 1.0) * 100:.1f}%"></i></span>'


def _more(table: Table, count: int, view: View) -> str:
    if count <= table.shown:
        return ""
    whole = table.name in view.whole
    text = f"show the first {table.shown}" if whole else f"show all {say_count(count)}"
    return f'<p class="more"><a href="{escape(view.toggled(table.name).address)}#{table.name}">{text}</a></p>'


def _card(server: ServerStatus) -> str:
    trend = server.trend
    figures = (
        _figure("Memory", say_bytes(server.memory.used_bytes), [reading.used_bytes for reading in trend], 0.0)
        + _figure("Hit rate", say_share(server.hit_ratio), [reading.hit_ratio for reading in trend], 0.0, 1.0)
        + _figure("Commands", say_rate(server.operations_per_second), [reading.operations for reading in trend], 0.0)
    )
    most = max((group.memory_bytes or 0 for group in server.key_groups), default=0)
    groups = "".join(_group(group, most) for group in server.key_groups[:GROUPS])
    left = len(server.key_groups) - GROUPS
    more = f'<p class="soft">and {say_count(left)} more groups of keys</p>' if left > 0 else ""
    if any(say_error(group.memory_error) for group in server.key_groups):
        more += '<p class="soft">Estimated from part of the keys: single large keys may be missed.</p>'
    return (
        f'<div class="card"><h3>{escape(server.name)}</h3><div class="figures">{figures}</div>'
        f'<div class="groups">{groups}</div>{more}</div>'
    )


def _figure(title: str, now: str, values: Sequence[float | None], lowest: float, highest: float | None = None) -> str:
    line = draw_trend(values, lowest, highest)
    svg = _svg(line, f"{title} over the last {len(values)} readings")
    return f"<figure><figcaption><span>{title}</span><b>{escape(now)}</b></figcaption>{svg}</figure>"


def _svg(lines: str, label: str, kind: str = "") -> str:
    """Return a picture of lines, or nothing without any."""
    if not lines:
        return ""
    size = f'class="{kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
    return f'<svg {size} role="img" aria-label="{escape(label)}">{lines}</svg>'


def draw_trend(values: Sequence[float | None], lowest: float, highest: float | None) -> str:
    """Draw lines between neighbouring values that are known.

    ``lowest`` and ``highest`` are the limits of the vertical axis; None for ``highest`` is the largest value.
    """
    known = [value for value in values if value is not None]
    top = max([highest or 0.0, *known], default=0.0)
    height = (top - lowest) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    lines: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            lines[-1].append(f"{index * step:.1f},{_HEIGHT - 2 - (value - lowest) / height * (_HEIGHT - 4):.1f}")
    return "".join(f'<polyline points="{" ".join(line)}"/>' for line in lines if len(line) > 1)


def _group(group: KeyGroup, most: float) -> str:
    share = group.memory_bytes / most if group.memory_bytes is not None and most else None
    known = group.memory_bytes is not None
    size = f"{say_bytes(group.memory_bytes)}{say_error(group.memory_error)} · " if known else ""
    keys = f"{say_count(group.keys)}{say_error(group.keys_error)} {'key' if group.keys == 1 else 'keys'}"
    return (
        f'<div class="group"><span>{escape(group.name)}</span><span class="soft">{size}{keys}</span>{_bar(share)}</div>'
    )
