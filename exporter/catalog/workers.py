"""Worker metrics, folded from worker events; any event of a worker is a sign of life."""

from exporter.catalog.labels import PERIOD, SOFTWARE, SYSTEM, VERSION, WORKER, WORKER_STATE
from exporter.catalog.metric import Event, Metric, counter, gauge

HEARTBEAT = Event(("worker-online", "worker-heartbeat", "worker-offline"))

WORKER_UP = gauge(
    "celery_worker_up",
    "1 while the worker gives signs of life, 0 when lost without a goodbye; a clean stop removes the series.",
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
)
WORKER_EVENTS_MISSED = counter(
    "celery_worker_events_missed_total",
    "Executions that the worker counted and whose task-started event never arrived.",
    (WORKER,),
    Event(("worker-heartbeat", "task-started")),
)
WORKER_TASK_EVENTS = gauge(
    "celery_worker_task_events_enabled",
    "0 when the worker processes tasks and sends no task events (start it with -E); absent until it shows.",
    (WORKER,),
    Event(("worker-heartbeat", "task-started")),
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
    Event(("worker-online",)),
)
WORKER_INFO = gauge(
    "celery_worker_info",
    "1, with the worker's software in the labels.",
    (WORKER, VERSION, SOFTWARE, SYSTEM),
    HEARTBEAT,
)

METRICS: tuple[Metric, ...] = (
    WORKER_UP, WORKERS, WORKER_LAST_HEARTBEAT, WORKER_INTERVAL, WORKER_ACTIVE, WORKER_PROCESSED,
    WORKER_EVENTS_MISSED, WORKER_TASK_EVENTS, WORKER_LOAD, WORKER_SKEW, WORKER_STARTS, WORKER_INFO,
)  # fmt: skip
