"""Rules about tasks: failures, retries, times, periodic tasks."""

from celery_redis_exporter.alerts.rule import BY, Alert, Recording, RuleGroup, once

BY_TASK = f"{BY}, task, queue"
# celery.chord_unlock polls for the end of a chord: it is retried until all parts have ended.
RETRIES = '{state="retry", task!="celery.chord_unlock"}'

RETRIED = once(f"increase(celery_tasks_total{RETRIES}[10m])", BY_TASK)

RECORDINGS = (
    Recording(
        "celery:tasks_completed:rate10m",
        once('rate(celery_tasks_total{state=~"success|failure"}[10m])', BY_TASK),
    ),
    Recording(
        "celery:task_failure_ratio:rate10m",
        once('rate(celery_tasks_total{state="failure"}[10m])', BY_TASK) + " / (celery:tasks_completed:rate10m > 0)",
    ),
    Recording(
        "celery:task_runtime_seconds:mean10m",
        f"sum by ({BY_TASK}) (rate(celery_task_runtime_seconds_sum[10m]))"
        f" / (sum by ({BY_TASK}) (rate(celery_task_runtime_seconds_count[10m])) > 0)",
    ),
    Recording(
        "celery:task_runtime_seconds:p95_15m",
        f"histogram_quantile(0.95, sum by ({BY_TASK}, le) (rate(celery_task_runtime_seconds_bucket[15m])))",
    ),
    Recording(
        "celery:task_wait_seconds:p95_10m",
        f"histogram_quantile(0.95, sum by ({BY_TASK}, le) (rate(celery_task_wait_seconds_bucket[10m])))",
    ),
)
ENOUGH_ENDED = "celery:tasks_completed:rate10m * 600 >= @{least_executions}"

ALERTS = (
    Alert(
        "CeleryTaskFailureRateHigh", "warning",
        f"celery:task_failure_ratio:rate10m > @{{ratio}} and {ENOUGH_ENDED}",
        "A task fails often.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} failed in the"
        " last 10 minutes.",
        wait="5m", parameters={"ratio": 0.05, "least_executions": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskFailureRateCritical", "critical",
        f"celery:task_failure_ratio:rate10m > @{{ratio}} and {ENOUGH_ENDED}",
        "A large share of a task's executions fails.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} failed in the"
        " last 10 minutes.",
        wait="5m", parameters={"ratio": 0.1, "least_executions": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskRetryStorm", "warning",
        f"sum by ({BY_TASK}) (rate(celery_tasks_total{RETRIES}[10m]))"
        f" / (sum by ({BY_TASK}) (rate(celery_tasks_started_total[10m])) > 0) > @{{ratio}}"
        f" and {RETRIED} >= @{{least_retries}}",
        "A task is retried again and again.",
        "{{ $value | humanizePercentage }} of the executions of {{ $labels.task }} on {{ $labels.queue }} ended in a"
        " retry in the last 10 minutes.",
        wait="10m", parameters={"ratio": 0.5, "least_retries": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskSlow", "warning",
        "celery:task_runtime_seconds:mean10m > on (@{by}, task) group_left ()"
        " max by (@{by}, task) (celery_task_runtime_threshold_seconds)"
        " or (celery:task_runtime_seconds:mean10m > @{seconds}"
        " unless on (@{by}, task) celery_task_runtime_threshold_seconds)",
        "A task takes long on average.",
        "An execution of {{ $labels.task }} on {{ $labels.queue }} took {{ $value | humanizeDuration }} on average in"
        " the last 10 minutes.",
        wait="10m", parameters={"seconds": 60}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskSlowest", "info",
        "celery:task_runtime_seconds:p95_15m > @{seconds}"
        f" and {once('increase(celery_task_runtime_seconds_count[15m])', BY_TASK)} >= @{{least_executions}}",
        "One in twenty executions of a task takes long.",
        "The 95th percentile of the runtime of {{ $labels.task }} on {{ $labels.queue }} is"
        " {{ $value | humanizeDuration }}.",
        wait="15m", parameters={"seconds": 300, "least_executions": 20}, panel="celery-task",
    ),
    Alert(
        "CeleryTaskWaitHigh", "warning",
        "celery:task_wait_seconds:p95_10m > @{seconds}",
        "Tasks wait long before they start.",
        "One in twenty executions of {{ $labels.task }} waited {{ $value | humanizeDuration }} or longer in"
        " {{ $labels.queue }}.",
        wait="10m", parameters={"seconds": 60}, panel="celery-queues",
    ),
    Alert(
        "CeleryTaskWaitCritical", "critical",
        "celery:task_wait_seconds:p95_10m > @{seconds}",
        "Tasks wait very long before they start.",
        "One in twenty executions of {{ $labels.task }} waited {{ $value | humanizeDuration }} or longer in"
        " {{ $labels.queue }}.",
        wait="10m", parameters={"seconds": 600}, panel="celery-queues",
    ),
    Alert(
        "CeleryTaskStuck", "warning",
        "time() - min by (@{by}, task) (celery_task_oldest_started_timestamp_seconds) > @{seconds}",
        "An execution does not end.",
        "An execution of {{ $labels.task }} has been running for {{ $value | humanizeDuration }}.",
        wait="5m", parameters={"seconds": 3600}, panel="celery-task",
    ),
    Alert(
        "CeleryPeriodicTaskStale", "critical",
        "time() - max by (@{by}, task) (max_over_time(celery_task_last_success_timestamp_seconds[2d]))"
        " > on (@{by}, task) @{intervals}"
        " * max by (@{by}, task) (celery_task_expected_interval_seconds)",
        "A periodic task has not succeeded for several intervals.",
        "{{ $labels.task }} last succeeded {{ $value | humanizeDuration }} ago.",
        wait="1m", parameters={"intervals": 3}, panel="celery-task",
    ),
    Alert(
        "CeleryPeriodicTaskNeverSucceeded", "critical",
        "(@{intervals} * max by (@{by}, task) (celery_task_expected_interval_seconds)"
        " < on (@{target}) group_left ()"
        " (time() - max by (@{target})"
        " (process_start_time_seconds and on (@{target}, instance) celery_exporter_build_info)))"
        " unless on (@{by}, task) max_over_time(celery_task_last_success_timestamp_seconds[2d])",
        "A periodic task has never succeeded since the exporter started.",
        "{{ $labels.task }} has not succeeded since the exporter started, more than {{ $value | humanizeDuration }}"
        " ago.",
        wait="1m", parameters={"intervals": 3}, panel="celery-task",
    ),
)  # fmt: skip

GROUP = RuleGroup("celery-tasks", RECORDINGS, ALERTS)
