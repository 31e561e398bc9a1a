# SPDX-License-Identifier: Apache-2.0
"""Render an analysis as text for people, or as data for JSON.

Input: facts and advice. Output: text of any width from 60 columns, or an object for JSON. Names are already printable.
"""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from celery_redis_exporter.analysis.advice import Advice
from celery_redis_exporter.analysis.facts import DatabaseFacts, GroupFacts, ServerFacts
from celery_redis_exporter.catalog.server_fields import product_of, read_product
from celery_redis_exporter.status.format import say_bytes, say_error

COLUMNS = ("group", "type", "keys", "bytes", "share", "mean", "no ttl")
LEFT = 2
"""Columns of text. The others are numbers, which are aligned to the right."""
GAP = "  "
NARROWEST_GROUP = 12
BAR = 20
LEAST_SHARE = 0.001
"""Least ratio of all bytes of a key among the largest."""


def render_report(facts: ServerFacts, advice: Sequence[Advice], width: int, shown: int) -> str:
    """Return everything as text of ``width`` columns, with ``shown`` of the largest keys."""
    lines = [*_head(facts)]
    for database in facts.databases:
        lines += ["", *_database(database, width)]
    lines += ["", *(f"db{db}: the server has no such database" for db in facts.missing)] if facts.missing else []
    lines += _largest(facts, shown)
    lines += ["", *_advice(advice, width)]
    return "\n".join([*lines, ""])


def describe_report(facts: ServerFacts, advice: Sequence[Advice]) -> dict[str, Any]:
    """Return everything for JSON."""
    product, version = read_product(facts.info)
    return {
        "url": facts.url,
        "node": facts.node or None,
        "server": {
            "product": product,
            "version": version,
            **{
                name: facts.info.get(name)
                for name in ("redis_version", "redis_mode", "role", "used_memory", "maxmemory", "maxmemory_policy")
            },
        },
        "databases": [
            {
                "db": database.db,
                "keys": database.total,
                "keys_looked_at": database.looked_at,
                "groups": [_describe(database, group) for group in database.groups],
            }
            for database in facts.databases
        ],
        "missing_databases": list(facts.missing),
        "queues": dict(facts.queues),
        "advice": [item._asdict() for item in advice],
    }


def _describe(database: DatabaseFacts, group: GroupFacts) -> dict[str, Any]:
    return {
        **group._asdict(),
        "mean_bytes": group.mean,
        "share": _share(database, group),
        "largest": [key._asdict() for key in group.largest],
    }


def _head(facts: ServerFacts) -> Iterator[str]:
    info, used, limit = facts.info, facts.number("used_memory"), facts.number("maxmemory")
    mode, role = (info.get(name, "?") for name in ("redis_mode", "role"))
    url = f"{facts.url}, node {facts.node} of its cluster" if facts.node else facts.url
    yield f"{url}: {product_of(info)}, {mode}, {role}, up {facts.number('uptime_in_days'):.0f} days"
    memory = f"memory {say_bytes(used)}"
    if limit:
        filled = min(round(BAR * used / limit), BAR)
        memory += f" of {say_bytes(limit)} [{'#' * filled}{'.' * (BAR - filled)}] {used / limit:.0%}"
    else:
        memory += ", no limit"
    yield f"{memory}, fragmentation {facts.number('mem_fragmentation_ratio'):.2f}"


def _database(database: DatabaseFacts, width: int) -> Iterator[str]:
    whole = "all" if database.looked_at >= database.total else f"{database.looked_at:,}"
    yield f"db{database.db}: {database.total:,} keys, {say_bytes(database.bytes)}; {whole} looked at"
    rows = [COLUMNS, *(_row(database, group) for group in database.groups)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    spare = width - sum(widths[1:]) - len(GAP) * (len(COLUMNS) - 1)
    widths[0] = min(widths[0], max(spare, NARROWEST_GROUP))
    for row in rows:
        cells = [
            _cut(cell, widths[place]).ljust(widths[place]) if place < LEFT else cell.rjust(widths[place])
            for place, cell in enumerate(row)
        ]
        yield GAP.join(cells).rstrip()


def _row(database: DatabaseFacts, group: GroupFacts) -> tuple[str, ...]:
    share = _share(database, group)
    return (
        group.group,
        group.type or "?",
        _about(f"{group.keys:,}", group.keys_error),
        "?" if group.bytes is None else _about(say_bytes(group.bytes), group.bytes_error or 0),
        "?" if share is None else f"{share:.1%}",
        "?" if group.mean is None else say_bytes(group.mean),
        "?" if group.without_ttl is None else f"{group.without_ttl:.0%}",
    )


def _about(text: str, error: float) -> str:
    """Return a number, with its error if it is an estimate."""
    return f"{text}{say_error(error)}"


def _share(database: DatabaseFacts, group: GroupFacts) -> float | None:
    return None if group.bytes is None or not database.bytes else group.bytes / database.bytes


def _largest(facts: ServerFacts, shown: int) -> Iterator[str]:
    least = LEAST_SHARE * sum(database.bytes for database in facts.databases)
    found = sorted(
        ((key.bytes, database.db, key.name) for database in facts.databases for group in database.groups
         for key in group.largest if key.bytes >= least),
        reverse=True,
    )[:shown]  # fmt: skip
    if found:
        yield ""
        yield "largest keys"
        for size, db, name in found:
            yield f"{say_bytes(size):>8}{GAP}db{db}{GAP}{name}"


def _advice(advice: Sequence[Advice], width: int) -> Iterator[str]:
    if not advice:
        yield "advice: none; nothing of what is looked for was found"
        return
    yield "advice"
    for item in advice:
        yield from _wrapped(f"{item.severity.upper():<8}  {item.subject}: {item.finding}", width, "")
        yield from _wrapped(f"why: {item.reason}", width, " " * 10)
        yield f"{' ' * 10}do:  {item.cure}"  # not wrapped, so that a command can be copied
        if item.command:
            yield f"{' ' * 10}run: {item.command}"


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return wrap(
        text, width, initial_indent=indent, subsequent_indent=" " * 15 if indent else " " * 10,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
