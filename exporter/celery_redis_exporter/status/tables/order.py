"""Order and filter the rows of a table."""

from typing import Any

from celery_redis_exporter.records.report import Overview, Report
from celery_redis_exporter.status.tables.columns import Order, Table


def read_order(table: Table, text: str) -> Order:
    """Return the order of ``key`` or ``-key``. If there is no such column, return the table's default order."""
    for wanted in (text, table.sort):
        for column in table.columns:
            if column.key == wanted.removeprefix("-"):
                return Order(column, wanted.startswith("-"))
    raise LookupError(table.sort)  # the default of the table is wrong


def arrange(table: Table, report: Report | Overview, order: Order, wanted: str = "") -> list[Any]:
    """Return the rows in which a word contains ``wanted``, in order. Equal rows keep their order, which is by name."""
    word = wanted.casefold()
    rows = [row for row in table.rows(report) if not word or any(word in text.casefold() for text in table.words(row))]
    take = order.column.order
    known = [row for row in rows if take(row) is not None]
    unknown = [row for row in rows if take(row) is None]
    return [*sorted(known, key=take, reverse=order.descending), *unknown]
