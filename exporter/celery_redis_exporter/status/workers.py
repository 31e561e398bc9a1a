# SPDX-License-Identifier: Apache-2.0
"""Build the table of workers from the gauges of their heartbeats and inspection replies.

Input: the numbers of one moment. Output: a ``WorkerStatus`` per worker.
"""

from collections.abc import Mapping

from celery_redis_exporter.catalog import OVERFLOW, UNKNOWN
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.report import WorkerStatus
from celery_redis_exporter.status.last_hour import WorkerCounts
from celery_redis_exporter.status.numbers import Numbers

PERIODS = ("1m", "5m", "15m")


def read_workers(numbers: Numbers, ends: Mapping[str, tuple[int, int]]) -> list[WorkerStatus]:
    """Return every worker that is online or lost, by name. ``ends`` contains its failed and retried executions."""
    up = numbers.by(rows.WORKER_UP)
    values = {
        field: numbers.by(metric)
        for field, metric in {
            "concurrency": rows.WORKER_CONCURRENCY,
            "active": rows.WORKER_ACTIVE,
            "processed": rows.WORKER_PROCESSED,
            "reserved": rows.WORKER_RESERVED,
            "memory_bytes": rows.WORKER_MAX_RSS,
            "uptime_seconds": rows.WORKER_UPTIME,
            "last_heartbeat": rows.WORKER_LAST_HEARTBEAT,
            "clock_skew_seconds": rows.WORKER_SKEW,
        }.items()
    }
    loads: dict[str, dict[str, float]] = {}
    for (worker, period), value in numbers.values(rows.WORKER_LOAD):
        loads.setdefault(worker, {})[period] = value
    pools = numbers.listed(rows.WORKER_POOL_INFO)
    queues = numbers.listed(rows.WORKER_QUEUE_INFO)
    versions = numbers.listed(rows.WORKER_INFO)
    events, missed = numbers.by(rows.WORKER_TASK_EVENTS), numbers.by(rows.WORKER_EVENTS_MISSED)
    return [
        WorkerStatus(
            name=name,
            state="online" if up[name] else "lost",
            pool=", ".join(pools[name]) if name in pools else None,
            failed=ends.get(name, (0, 0))[0],
            retried=ends.get(name, (0, 0))[1],
            load=_load(loads.get(name, {})),
            queues=queues.get(name, []),
            sends_events=bool(events[name]) if name in events else None,
            events_missed=missed.get(name, 0),
            version=", ".join(version for version in versions.get(name, ()) if version != UNKNOWN) or None,
            **{field: by_worker[name] for field, by_worker in values.items() if name in by_worker},
        )
        for name in sorted(up)
        if name != OVERFLOW
    ]


def count_workers(numbers: Numbers) -> WorkerCounts:
    """Return how many workers are online, and how many are lost."""
    counts = numbers.by(rows.WORKERS)
    return WorkerCounts(counts.get("online", 0), counts.get("lost", 0))


def _load(by_period: dict[str, float]) -> tuple[float, float, float] | None:
    if not by_period.keys() >= set(PERIODS):
        return None
    one, five, fifteen = (by_period[period] for period in PERIODS)
    return one, five, fifteen
