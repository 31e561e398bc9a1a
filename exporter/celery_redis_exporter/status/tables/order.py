"""Rows in order, and those that are wanted."""

from typing import Any

from celery_redis_exporter.records.report import Report
from celery_redis_exporter.status.tables.columns import Order, Table


def read_order(table: Table, text: str) -> Order:
    """Read ``key`` or ``-key``; what is no column's gives the table's own order."""
    for wanted in (text, table.sort):
        for column in table.columns:
            if column.key == wanted.removeprefix("-"):
                return Order(column, wanted.startswith("-"))
    raise LookupError(table.sort)  # a mistake in the table


def arrange(table: Table, report: Report, order: Order, wanted: str = "") -> list[Any]:
    """Give the rows that have a word containing ``wanted``, in order; equals stay as they come, by name."""
    word = wanted.casefold()
    rows = [row for row in table.rows(report) if not word or any(word in text.casefold() for text in table.words(row))]
    take = order.column.order
    known = [row for row in rows if take(row) is not None]
    unknown = [row for row in rows if take(row) is None]
    return [*sorted(known, key=take, reverse=order.descending), *unknown]
