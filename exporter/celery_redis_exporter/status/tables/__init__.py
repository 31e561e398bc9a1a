# SPDX-License-Identifier: Apache-2.0
"""Define the tables of a report, which are the same on the page and in the terminal.

Input: a report. Output: rows of text, ordered and filtered. How a row is drawn is not defined here.
"""

from celery_redis_exporter.status.tables.columns import Cell, Column, Order, Table, Tone
from celery_redis_exporter.status.tables.order import arrange, read_order
from celery_redis_exporter.status.tables.rows import (
    APPLICATIONS,
    FAILURES,
    PERIODIC,
    QUEUES,
    RUNNING,
    SERVERS,
    TABLES,
    TASKS,
    WORKERS,
    tables_of,
)

__all__ = [
    "APPLICATIONS", "FAILURES", "PERIODIC", "QUEUES", "RUNNING", "SERVERS", "TABLES", "TASKS", "WORKERS", "Cell",
    "Column", "Order", "Table", "Tone", "arrange", "read_order", "tables_of",
]  # fmt: skip
