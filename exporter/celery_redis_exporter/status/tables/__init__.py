"""The tables of a report, the same on the page and in the terminal.

Takes a report, gives rows of text, ordered and filtered. Never knows how a row is drawn.
"""

from celery_redis_exporter.status.tables.columns import Cell, Column, Order, Table, Tone
from celery_redis_exporter.status.tables.order import arrange, read_order
from celery_redis_exporter.status.tables.rows import (
    FAILURES,
    QUEUES,
    RUNNING,
    SERVERS,
    TABLES,
    TASKS,
    WORKERS,
    tables_of,
)

__all__ = [
    "FAILURES", "QUEUES", "RUNNING", "SERVERS", "TABLES", "TASKS", "WORKERS", "Cell", "Column", "Order", "Table",
    "Tone", "arrange", "read_order", "tables_of",
]  # fmt: skip
