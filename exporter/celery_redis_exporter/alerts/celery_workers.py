"""Rules about workers: gone, flapping, full, silent."""

from celery_redis_exporter.alerts.rule import BY, Alert, RuleGroup

ONLINE = 'max by (@{by}) (celery_workers{state="online"})'
HEARING = "on (@{by}) max by (@{by}) (celery_exporter_event_stream_up) == 1"

ALERTS = (
    Alert(
        "CeleryNoWorkersOnline", "critical",
        f"{ONLINE} == 0 and {HEARING}",
        "No Celery worker is online.",
        "No worker sends heartbeats, and the exporter hears events: nothing is executed.",
        wait="5m", panel="celery-workers",
    ),
    Alert(
        "CeleryWorkerDown", "warning",
        f"max by ({BY}, worker) (celery_worker_up) == 0 and on ({BY}) {ONLINE} > 0",
        "A Celery worker died without a goodbye.",
        "{{ $labels.worker }} sends no heartbeat any more and did not stop cleanly.",
        wait="5m", panel="celery-workers",
    ),
    Alert(
        "CeleryWorkerFlapping", "warning",
        "max by (@{by}, worker) (increase(celery_worker_starts_total[30m])) > @{starts} + 0.5",
        "A Celery worker starts again and again.",
        '{{ $labels.worker }} started {{ $value | printf "%.0f" }} times in half an hour.',
        keep="15m", parameters={"starts": 4}, panel="celery-workers",
    ),
    Alert(
        "CeleryWorkersSaturated", "warning",
        # Only workers that reported both count: a worker that was not queried has no known concurrency.
        "sum by (@{by}) (celery_worker_tasks_active and celery_worker_concurrency)"
        " / (sum by (@{by}) (celery_worker_concurrency) > 0) > @{ratio}"
        " and on (@{by}) sum by (@{by}) (celery_queue_length) > 0",
        "Every slot of the workers is taken while tasks wait.",
        "{{ $value | humanizePercentage }} of the workers' slots are busy, and queues are not empty.",
        wait="30m", parameters={"ratio": 0.95}, panel="celery-workers",
    ),
    Alert(
        "CeleryWorkerWithoutTaskEvents", "warning",
        "max by (@{by}, worker) (celery_worker_task_events_enabled) == 0",
        "A worker executes tasks and sends no task events.",
        "{{ $labels.worker }} executes tasks that no metric counts: start it with -E, or set celery.enable_events.",
        wait="10m", panel="celery-workers",
    ),
    Alert(
        "CeleryWorkerClockSkew", "warning",
        "max by (@{by}, worker) (abs(celery_worker_clock_skew_seconds)) > @{seconds}",
        "A worker's clock is wrong.",
        "The clock of {{ $labels.worker }} is {{ $value | humanizeDuration }} away from the exporter's: waiting times"
        " and schedules are wrong.",
        wait="10m", parameters={"seconds": 30}, panel="celery-workers",
    ),
    Alert(
        "CeleryBeatDown", "critical",
        "max by (@{by}) (celery_beat_up) == 0",
        "Celery beat is down.",
        "No scheduler ticks or answers that did before: periodic tasks are not sent.",
        wait="3m",
    ),
)  # fmt: skip

GROUP = RuleGroup("celery-workers", (), ALERTS)
