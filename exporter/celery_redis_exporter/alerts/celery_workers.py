# SPDX-License-Identifier: Apache-2.0
"""Rules about workers: gone, flapping, full, silent."""

from celery_redis_exporter.alerts.rule import BY, Alert, RuleGroup

WORK = (
    "on (@{by}) (max by (@{by}) (celery_queue_length) > 0"
    " or max by (@{by}) (increase(celery_tasks_sent_total[4m])) > 0"
    ' or max by (@{by}) (celery_workers{state="lost"}) > 0)'
)
"""Work that needs workers, or workers that did not stop cleanly; an idle application needs none.

What was published before the last worker stopped is no reason: the window is shorter than the alert's ``for``.
"""
LOST = 'max by (@{by}) (celery_workers{state="lost"})'
LOST_NOW = 'max by (@{by}) (celery_workers{state="lost"} @@ end())'
ONLINE = 'max by (@{by}) (celery_workers{state="online"})'
MOST_ONLINE = 'max by (@{by}) (max_over_time(celery_workers{state="online"}[1h]))'
DOWN = "max by (@{by}, worker) (celery_worker_up) == 0"
ONLINE_SINCE = f"max_over_time(({ONLINE} and on ({BY}) {LOST} >= on ({BY}) {LOST_NOW})[1h:2m])"
"""The most workers that were online since as many were lost as now: a lost one that was replaced does not lack."""
MOSTLY_DOWN = (
    "(max by (@{by}, worker) (avg_over_time(celery_worker_up[15m])) < 0.5"
    " and max by (@{by}, worker) (max_over_time(celery_worker_up[10m])) == 1"
    " and max by (@{by}, worker) (celery_worker_up) >= 0)"
)
"""One that comes back now and then. One that stopped cleanly since is shown no more."""
MOSTLY_ONLINE = 'max by (@{by}) (avg_over_time(celery_workers{state="online"}[15m]))'
QUEUES = "max by (@{by}, worker, queue) (celery_worker_queue_info)"
LENGTH = "max by (@{by}, queue) (celery_queue_length)"
OWN_LENGTH = "max by (@{by}, queue) (celery_queue_length_threshold)"
WAITING = f"({LENGTH} > {OWN_LENGTH} or ({LENGTH} > 0 unless {OWN_LENGTH}))"
"""More messages than may wait in a queue: any, where the settings allow no number."""
ACTIVE = "max by (@{by}, worker) (celery_worker_tasks_active)"
CONCURRENCY = "max by (@{by}, worker) (celery_worker_concurrency)"
HEARING = "on (@{by}) max by (@{by}) (celery_exporter_event_stream_up) == 1"

ALERTS = (
    Alert(
        "CeleryNoWorkersOnline", "critical",
        f"{ONLINE} == 0 and {HEARING} and {WORK}",
        "No Celery worker is online.",
        "No worker sends heartbeats and the exporter receives events, while work waits or workers were lost: nothing is"
        " executed.",
        wait="5m", panel="celery-workers",
    ),
    Alert(
        "CeleryWorkerDown", "warning",
        f"({DOWN} and on ({BY}) ({ONLINE} > 0 and {ONLINE_SINCE} < {MOST_ONLINE}))"
        f" or ({MOSTLY_DOWN} and on ({BY}) ({MOSTLY_ONLINE} > 0 and {MOSTLY_ONLINE} < {MOST_ONLINE} - 0.5))",
        "A Celery worker stopped sending heartbeats.",
        "{{ $labels.worker }} sends no heartbeats, or was lost for most of the last 15 minutes, and did not stop"
        " cleanly. It was not replaced: fewer workers are online than within the last hour.",
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
        f"sum by ({BY}, queue) ({QUEUES} * on ({BY}, worker) group_left () ({ACTIVE} and {CONCURRENCY}))"
        f" / (sum by ({BY}, queue) ({QUEUES} * on ({BY}, worker) group_left () {CONCURRENCY}) > 0) > @{{ratio}}"
        f" and on ({BY}, queue) {WAITING}",
        "Every process of a queue's workers is busy while tasks wait.",
        "{{ $value | humanizePercentage }} of the processes of the workers that consume {{ $labels.queue }} are busy,"
        " and more messages wait in it than may.",
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
