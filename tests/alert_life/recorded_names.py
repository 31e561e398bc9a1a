# SPDX-License-Identifier: Apache-2.0
"""Names of the samples that rules read, which are the only ones that are recorded of a simulated life."""

import promql_parser as promql

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.rule import fill
from tests.support.promql import selectors


def names_in(expression: str) -> set[str]:
    """Return the names of the metrics that an expression reads."""
    return {selector.name for selector in selectors(promql.parse(expression)) if selector.name}


WANTED = frozenset(
    name
    for group in GROUPS
    for expression in (
        *(fill(row.expr, {}) for row in group.recordings),
        *(fill(alert.expr, alert.parameters) for alert in group.alerts),
    )
    for name in names_in(expression)
) | {
    "celery_worker_tasks_processed_total", "celery_exporter_series", "celery_exporter_events_total",
    "celery_task_last_failure_timestamp_seconds", "celery_worker_last_heartbeat_timestamp_seconds",
    "celery_task_last_sent_timestamp_seconds", "celery_unacked_messages",
    "celery_exporter_tasks_tracked", "celery_queue_concurrency",
    "redis_rdb_last_save_timestamp_seconds", "redis_aof_enabled",
}  # fmt: skip
"""The names that are listed here are read only by the naive rules of the scenarios."""
