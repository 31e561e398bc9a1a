# SPDX-License-Identifier: Apache-2.0
"""Define worker metrics, which are made from worker events and from replies to inspect.

Any event of a worker shows that it is alive. The values of a worker's reply are exposed until the next round of
queries. They are not exposed for a worker that does not reply, is lost or restarts.
"""

from celery_redis_exporter.catalog.labels import (
    BEAT,
    PERIOD,
    POOL,
    QUEUE,
    SOFTWARE,
    SYSTEM,
    VERSION,
    WORKER,
    WORKER_STATE,
)
from celery_redis_exporter.catalog.metric import EventOrigin, Inspect, Metric, counter, gauge

HEARTBEAT = EventOrigin(("worker-online", "worker-heartbeat", "worker-offline"))
SNIPPET = "heartbeats with deploy/celery_events.py"

WORKER_UP = gauge(
    "celery_worker_up",
    "1 while the worker sends events or answers, 0 when it stopped without reporting that; a clean stop removes the "
    "series.",
    (WORKER,),
    HEARTBEAT,
)
WORKERS = gauge(
    "celery_workers",
    "Workers by state: online, lost (silent for too long), offline (stopped cleanly, within the retention).",
    (WORKER_STATE,),
    HEARTBEAT,
)
WORKER_LAST_HEARTBEAT = gauge(
    "celery_worker_last_heartbeat_timestamp_seconds",
    "Arrival of the last heartbeat, by the exporter's clock.",
    (WORKER,),
    HEARTBEAT,
)
WORKER_INTERVAL = gauge(
    "celery_worker_heartbeat_interval_seconds",
    "Interval between heartbeats that the worker announces.",
    (WORKER,),
    HEARTBEAT,
)
WORKER_HEARTBEATS = gauge(
    "celery_worker_heartbeats_enabled",
    "1 once the worker sent a heartbeat, 0 if it answers and never sent one (--without-heartbeat); absent until it "
    "shows.",
    (WORKER,),
    HEARTBEAT,
)
WORKER_ACTIVE = gauge(
    "celery_worker_tasks_active",
    "Executions in progress, by the worker's own count.",
    (WORKER,),
    HEARTBEAT,
)
WORKER_PROCESSED = counter(
    "celery_worker_tasks_processed_total",
    "Executions begun since the worker started, by its own count: right even across an exporter outage.",
    (WORKER,),
    HEARTBEAT,
    kept_elsewhere=True,
)
WORKER_EVENTS_MISSED = counter(
    "celery_worker_events_missed_total",
    "Executions that the worker counted and whose task-started event never arrived.",
    (WORKER,),
    EventOrigin(("worker-heartbeat", "task-started")),
)
WORKER_TASK_EVENTS = gauge(
    "celery_worker_task_events_enabled",
    "0 when the worker processes tasks and sends no task events (start it with -E); absent until that is known.",
    (WORKER,),
    EventOrigin(("worker-heartbeat", "task-started")),
)
WORKER_LOAD = gauge(
    "celery_worker_load_average",
    "Load average of the worker's machine.",
    (WORKER, PERIOD),
    HEARTBEAT,
)
WORKER_SKEW = gauge(
    "celery_worker_clock_skew_seconds",
    "Worker's clock minus exporter's clock at the last heartbeat, transport time included.",
    (WORKER,),
    HEARTBEAT,
)
WORKER_STARTS = counter(
    "celery_worker_starts_total",
    "Times the worker came online (worker-online events), for flapping.",
    (WORKER,),
    EventOrigin(("worker-online",)),
)
WORKER_INFO = gauge(
    "celery_worker_info",
    "1, with the worker's software in the labels.",
    (WORKER, VERSION, SOFTWARE, SYSTEM),
    HEARTBEAT,
)

WORKER_CONCURRENCY = gauge(
    "celery_worker_concurrency",
    "Tasks that the worker can run at once: processes, threads or greenlets, as they are now.",
    (WORKER,),
    Inspect("stats", SNIPPET),
)
WORKER_PREFETCH_COUNT = gauge(
    "celery_worker_prefetch_count",
    "Messages that the worker may hold unacknowledged, those waiting for their eta included; 0 is without limit.",
    (WORKER,),
    Inspect("stats"),
)
WORKER_RESERVED = gauge(
    "celery_worker_tasks_reserved",
    "Tasks that the worker holds, neither running nor waiting for their eta.",
    (WORKER,),
    Inspect("reserved"),
)
WORKER_SCHEDULED = gauge(
    "celery_worker_tasks_scheduled",
    "Tasks that the worker holds until their eta.",
    (WORKER,),
    Inspect("scheduled"),
)
WORKER_UPTIME = gauge(
    "celery_worker_uptime_seconds",
    "Time since the worker started.",
    (WORKER,),
    Inspect("stats"),
)
WORKER_MAX_RSS = gauge(
    "celery_worker_memory_max_rss_bytes",
    "Largest resident set so far of the worker's main process, its children not included.",
    (WORKER,),
    Inspect("stats"),
)
WORKER_POOL_INFO = gauge(
    "celery_worker_pool_info",
    "1, with the kind of the worker's pool in the label.",
    (WORKER, POOL),
    Inspect("stats"),
)
WORKER_QUEUE_INFO = gauge(
    "celery_worker_queue_info",
    "1 for each queue that the worker consumes.",
    (WORKER, QUEUE),
    Inspect("active_queues", SNIPPET),
)
BEAT_UP = gauge(
    "celery_beat_up",
    "1 if the scheduler ticks, 0 if it did before and does not now. It sends heartbeats with deploy/celery_events.py "
    "(three are missed), or answers pings: Celery 5.7 and later, with beat_enable_remote_control.",
    (BEAT,),
    Inspect("ping", "heartbeats of beat with deploy/celery_events.py"),
)

METRICS: tuple[Metric, ...] = (
    WORKER_UP, WORKERS, WORKER_LAST_HEARTBEAT, WORKER_INTERVAL, WORKER_HEARTBEATS, WORKER_ACTIVE, WORKER_PROCESSED,
    WORKER_EVENTS_MISSED, WORKER_TASK_EVENTS, WORKER_LOAD, WORKER_SKEW, WORKER_STARTS, WORKER_INFO,
    WORKER_CONCURRENCY, WORKER_PREFETCH_COUNT, WORKER_RESERVED, WORKER_SCHEDULED, WORKER_UPTIME, WORKER_MAX_RSS,
    WORKER_POOL_INFO, WORKER_QUEUE_INFO, BEAT_UP,
)  # fmt: skip
ANSWERED = frozenset(metric for metric in METRICS if isinstance(metric.origin, Inspect) and WORKER in metric.labels)
"""Metrics of a worker's replies to queries."""
MOMENTARY = frozenset((WORKER_ACTIVE, WORKER_LOAD, WORKER_SKEW))
"""Metrics of a heartbeat's current values. They are absent after the worker is lost."""
SUMMED = frozenset((WORKER_ACTIVE, WORKER_CONCURRENCY, WORKER_PREFETCH_COUNT, WORKER_RESERVED, WORKER_SCHEDULED))
"""Gauges that are summed for workers that are shown under one name. Of the other gauges the maximum is shown."""
