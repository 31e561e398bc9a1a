# SPDX-License-Identifier: Apache-2.0
"""Draw a report as lines of a given width and number.

Input: a report and a look. Output: styled text. Names are not trusted: characters that could move the cursor or change
the writing direction are shown as a question mark.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from celery_redis_exporter.cli.top.look import CHOICES, USUAL, Look
from celery_redis_exporter.records.report import WORST_FIRST, Overview, Report, ServerStatus, State
from celery_redis_exporter.status.format import (
    BLOCKS,
    say_bytes,
    say_count,
    say_error,
    say_last_hour,
    say_moment,
    say_rate,
    say_share,
)
from celery_redis_exporter.status.tables import (
    APPLICATIONS,
    PERIODIC,
    RUNNING,
    Cell,
    Column,
    Order,
    Table,
    Tone,
    arrange,
    read_order,
)

STYLES: dict[Tone | State, str] = {
    "": "", "ok": "green", "unknown": "dim", "warning": "yellow", "critical": "bold red", "soft": "dim",
}  # fmt: skip
SERVERS_SHOWN = 3
BAR = 16
GAP = 2
NAME = 32
"""Columns that a long name gets before other columns of the table are left out for it."""
SHORTEST_NAME = 12
"""Least columns of a name, if no other column can be left out."""
ASCII_BLOCKS = str.maketrans(BLOCKS, "._-~=+*#")
TALL = 40
"""Lines of a terminal from which on running tasks are always shown."""
LEAST = 3
"""Rows of a table that is not chosen, if there is space."""
HELP = (
    "q             quit",
    "p, space      pause",
    "tab, 1-6      choose a table: tasks, queues, workers, running, periodic tasks, Redis",
    "< >, arrows   choose the column that it is sorted by",
    "r             turn its order round",
    "/             filter by name; enter keeps it, esc clears it",
    "up, down, page up, page down, home   move",
    "any key       back",
)


@dataclass(frozen=True, slots=True)
class Frame:
    """The screen: its size (no height: unlimited), whether it is ASCII only, and the source of reports.

    ``trouble`` is why the last read failed.
    """

    width: int
    height: int | None
    ascii: bool = False
    source: str = ""
    trouble: str = ""


def draw(report: Report | Overview | None, look: Look, frame: Frame) -> list[Text]:
    """Return the lines: as many as the frame's height, or all if it has no height."""
    if look.helping:
        lines = [_title(report, look, frame), Text(), *(Text(f"  {line}") for line in HELP)]
    elif report is None:
        lines = [_title(report, look, frame), Text(), Text(frame.trouble or "listening ...", "bold")]
    elif isinstance(report, Overview):
        lines = [_title(report, look, frame), *_applications(report, look, frame)]
    else:
        top = [_title(report, look, frame), *_health(report, frame), *_servers(report, frame)]
        room = None if frame.height is None else frame.height - len(top) - 1
        lines = [*top, *_tables(report, look, frame, room)]
    lines = [cut(line, frame.width) for line in lines]
    if frame.height is None:
        return lines
    lines = lines[: frame.height - 1]
    return [*lines, *[Text()] * (frame.height - 1 - len(lines)), cut(_foot(look), frame.width)]


def plain(text: str) -> str:
    """Return the text with control characters replaced, one character for each."""
    return "".join(
        "?" if unicodedata.category(character)[0] in "CZ" and character != " " else character for character in text
    )


def cut(line: Text, width: int) -> Text:
    """Cut a line to a width."""
    line.truncate(width, overflow="crop")
    line.no_wrap = True
    return line


def _applications(report: Overview, look: Look, frame: Frame) -> list[Text]:
    """Return the table of several applications, the worst first."""
    rows = arrange(APPLICATIONS, report, read_order(APPLICATIONS, ""), look.wanted)
    title = Text(f"{APPLICATIONS.title} ", "bold").append(say_count(len(report.applications)), "dim")
    hint = Text("One of them: --application=NAME", "dim")
    order = read_order(APPLICATIONS, "")
    return [Text(), title, *lay_out(APPLICATIONS, rows[look.first :], report.time, order, frame), Text(), hint]


def _title(report: Report | Overview | None, look: Look, frame: Frame) -> Text:
    line = Text("top", "bold")
    line.append(f"  {plain(frame.source)}")
    if look.paused:
        line.append("  PAUSED", "bold yellow")
    if report is not None:
        if frame.trouble:
            line.append(f"  OLD: {plain(frame.trouble)}", "bold red")
        pieces = [say_moment(report.time), f"version {plain(report.version)}"]
        if isinstance(report, Report):
            pieces.insert(1, f"{say_rate(report.exporter.events_per_second)} events")
        _append_what_fits(line, pieces, "dim", frame)
    return line


def _append_what_fits(line: Text, pieces: Iterable[str], style: str, frame: Frame) -> None:
    for piece in pieces:
        if cell_len(line.plain) + GAP + cell_len(piece) > frame.width:
            return
        line.append(" " * GAP + piece, style)


def _health(report: Report, frame: Frame) -> list[Text]:
    line = Text()
    for health in report.health:
        line.append(f"{health.subject} ")
        line.append(health.state.upper(), f"bold {STYLES[health.state]}")
        line.append("   ")
    reasons = [
        Text(f"  {health.subject}: {plain(health.reason)}", STYLES[health.state])
        for health in sorted(report.health, key=lambda health: WORST_FIRST.index(health.state))
        if health.reason
    ]
    hour = [Text(say_last_hour(report.last_hour), "dim")] if report.last_hour else []
    return [line, *reasons[: 2 if frame.height is not None and frame.height < TALL else None], *hour]


def _servers(report: Report, frame: Frame) -> list[Text]:
    shown = report.redis if frame.height is None else report.redis[:SERVERS_SHOWN]
    width = min(max((cell_len(plain(server.name)) for server in shown), default=0), 20)
    return [line for server in shown for line in _server(server, width, frame)]


def _server(server: ServerStatus, width: int, frame: Frame) -> list[Text]:
    line = Text(set_cell_size(plain(server.name), width), "bold")
    if not server.up:
        return [line.append(f"  down: {plain(server.error or 'unknown')}", "bold red")]
    memory = server.memory
    style = STYLES[memory.state or "ok"]
    line.append(f"  {draw_bar(memory.used_ratio, BAR, frame)} ", style)
    limit = f" of {say_bytes(memory.limit_bytes)}" if memory.limit_bytes else ""
    line.append(f"{say_share(memory.used_ratio)} {say_bytes(memory.used_bytes)}{limit}", style)
    hits, pace = say_share(server.hit_ratio), say_rate(server.operations_per_second)
    _append_what_fits(line, [f"hits {hits}", pace, f"{say_count(server.clients.clients)} clients"], "", frame)
    return [line, *_key_groups(server, width, frame)]


def _key_groups(server: ServerStatus, width: int, frame: Frame) -> list[Text]:
    known = [group for group in server.key_groups if group.memory_bytes]
    total = sum(group.memory_bytes or 0 for group in known)
    if not total:
        return []
    line = Text(" " * width + "  keys", "dim")
    sign = "+-" if frame.ascii else "±"
    shares = [(group, (group.memory_bytes or 0) / total, say_error(group.memory_error)) for group in known]
    pieces = [
        f"{plain(group.name)} {say_share(share)}{error.replace('±', sign)} {draw_bar(share, 6, frame)}"
        for group, share, error in shares
    ]
    _append_what_fits(line, pieces, "dim", frame)
    return [line]


def draw_bar(share: float | None, width: int, frame: Frame) -> str:
    """Return a bar for a ratio. It is empty if the ratio is not known."""
    full, empty = ("#", ".") if frame.ascii else ("█", "░")
    filled = round(min(max(share or 0.0, 0.0), 1.0) * width)
    return full * (filled or bool(share)) + empty * (width - (filled or bool(share)))


def _tables(report: Report, look: Look, frame: Frame, room: int | None) -> list[Text]:
    tables = [*CHOICES[:USUAL], *(table for table in CHOICES[USUAL:] if table is look.table or _is_shown(table, frame))]
    rows = {table.name: arrange(table, report, look.order(table), look.wanted) for table in tables}
    shown = _share_room({name: len(found) for name, found in rows.items()}, look.table.name, room)
    lines = []
    for table in tables:
        count = shown[table.name]
        if count is None or count >= 0:
            first = min(look.first, max(len(rows[table.name]) - (count or 0), 0)) if table is look.table else 0
            last = None if count is None else first + count
            lines += _table(
                table, rows[table.name][first:last], report, _Place(look, frame, len(rows[table.name]), first)
            )
    return lines


def _is_shown(table: Table, frame: Frame) -> bool:
    """Return whether there is space for a table that is neither chosen nor always shown."""
    return table in {RUNNING, PERIODIC} and (frame.height is None or frame.height >= TALL)


def _share_room(wanted: dict[str, int], chosen: str, room: int | None) -> dict[str, int | None]:
    """Return the number of rows of each table: few for the others, the rest for the chosen one, -1 for not shown.

    ``room`` is the number of lines, None for unlimited.
    """
    if room is None:
        return dict.fromkeys(wanted)
    head = 3  # an empty line, the title, the column headings
    others = [name for name in wanted if name != chosen]
    kept = min(wanted[chosen], max(LEAST, (room - head * len(wanted)) // 2))
    given: dict[str, int | None] = {}
    left = room - head - kept
    for place, name in enumerate(others):
        fair = left // (len(others) - place) - head
        given[name] = min(wanted[name], max(fair, 0)) if left >= head else -1
        left -= head + (given[name] or 0) if left >= head else 0
    given[chosen] = max(kept + left, 0)
    return given


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a table: its number of rows, and the first one on the screen."""

    look: Look
    frame: Frame
    count: int
    first: int


def _table(table: Table, rows: Sequence[object], report: Report, place: _Place) -> list[Text]:
    chosen = table is place.look.table
    title = Text(f"{'>' if chosen else ' '}{CHOICES.index(table) + 1} {table.title} ", "bold" if chosen else "")
    title.append(say_count(place.count), "dim")
    if len(rows) < place.count:
        title.append(f"  {place.first + 1 if rows else 0} to {place.first + len(rows)}", "dim")
    if place.look.wanted:
        title.append(f"  with {plain(place.look.wanted)!r}", "yellow")
    if not place.count:
        empty = table.empty if not table.rows(report) else "None has this in its name."
        return [Text(), title, Text(f"   {empty}", "dim")]
    return [Text(), title, *lay_out(table, rows, report.time, place.look.order(table), place.frame)]


def lay_out(table: Table, rows: Sequence[object], now: float, order: Order, frame: Frame) -> list[Text]:
    """Return rows in columns. Columns are left out until the rest fits, and the first one is shortened if necessary."""
    columns, width = list(table.columns), frame.width
    cells = {column.key: [column.cell(row, now) for row in rows] for column in columns}
    widths = {column.key: _width(column, cells[column.key], order) for column in columns}
    first = columns[0].key

    def others() -> int:
        return sum(widths[column.key] + GAP for column in columns) - widths[first]

    while others() + min(widths[first], NAME) > width and any(column.weight for column in columns):
        columns.remove(max(reversed(columns), key=lambda column: column.weight))
    widths[first] = min(widths[first], max(width - others(), SHORTEST_NAME))
    head = Text(style="dim")
    for column in columns:
        head.append(_fit(_heading(column, order), widths[column.key], numeric=column.numeric) + " " * GAP)
    lines = [head]
    for number in range(len(rows)):
        line = Text()
        for column in columns:
            cell = cells[column.key][number]
            text = plain(cell.text.translate(ASCII_BLOCKS) if frame.ascii else cell.text)
            if column is columns[0]:
                text = shorten(text, widths[first])
            text = _fit(text, widths[column.key], numeric=column.numeric)
            line.append(text + " " * GAP, STYLES[cell.tone])
        lines.append(line)
    return lines


def _heading(column: Column, order: Order) -> str:
    return column.title + (("-" if order.descending else "+") if column.key == order.column.key else "")


def _width(column: Column, cells: Sequence[Cell], order: Order) -> int:
    longest = max((cell_len(plain(cell.text)) for cell in cells), default=0)
    return max(cell_len(_heading(column, order)), min(longest, 60))


def shorten(name: str, width: int) -> str:
    """Shorten a name in its middle: most names differ in their last words, some in their first."""
    if cell_len(name) <= width:
        return name
    left = width - 1
    end = ""
    for character in reversed(name):
        if cell_len(character + end) > left * 2 // 3:
            break
        end = character + end
    return set_cell_size(name, left - cell_len(end)) + "~" + end if left > 0 else "~" * width


def _fit(text: str, width: int, *, numeric: bool) -> str:
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(width - 1, 0)) + "~"
    return " " * (width - length) + text if numeric else text + " " * (width - length)


def _foot(look: Look) -> Text:
    if look.typing:
        return Text.assemble(("filter: ", "bold"), look.wanted, ("_", "blink"))
    keys = "q quit  p pause  tab table  < > sort  r reverse  / filter  ? help"
    line = Text(keys, "dim")
    if look.wanted:
        line.append(f"  filter: {plain(look.wanted)} (esc)", "yellow")
    return line
