# SPDX-License-Identifier: Apache-2.0
"""Order and filter the rows of a table."""

from typing import Any

from celery_redis_exporter.records.report import WORST_FIRST, Overview, Report
from celery_redis_exporter.status.tables.columns import Order, Table


def read_order(table: Table, text: str) -> Order:
    """Return the order of ``key`` or ``-key``. If there is no such column, return the table's default order."""
    for wanted in (text, table.sort):
        for column in table.columns:
            if column.key == wanted.removeprefix("-"):
                return Order(column, wanted.startswith("-"), worst_first=wanted is table.sort)
    raise LookupError(table.sort)  # the default of the table is wrong


def arrange(
    table: Table, report: Report | Overview, order: Order, wanted: str = "", *, problems: bool = False
) -> list[Any]:
    """Return the rows in which a word contains ``wanted``, in order. Equal rows keep their order, which is by name.

    With ``problems`` only rows whose verdict is not ok are returned.
    """
    word = wanted.casefold()
    rows = [row for row in table.rows(report) if not word or any(word in text.casefold() for text in table.words(row))]
    if problems:
        rows = [row for row in rows if table.judge(row) != "ok"]
    take = order.column.order
    known = [row for row in rows if take(row) is not None]
    unknown = [row for row in rows if take(row) is None]
    ordered = [*sorted(known, key=take, reverse=order.descending), *unknown]
    if order.worst_first:
        ordered.sort(key=lambda row: WORST_FIRST.index(table.judge(row)))
    return ordered
