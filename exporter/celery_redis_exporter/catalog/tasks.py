# SPDX-License-Identifier: Apache-2.0
"""Define task metrics, which are made from Celery's task events."""

from celery_redis_exporter.catalog.labels import EXCEPTION, QUEUE, REVOCATION, STATE, TASK
from celery_redis_exporter.catalog.metric import EventOrigin, Metric, Own, counter, gauge, histogram

SENT_SETTING = "task_send_sent_event"
TASK_EVENTS = "worker -E"

# The bounds exceed the longest threshold of an alert, so that no quantile is cut off below it. The last bound is 2 h.
DURATION_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200,
)  # fmt: skip

TASK_QUEUE = (TASK, QUEUE)
ENDS = ("task-succeeded", "task-failed", "task-retried", "task-revoked", "task-rejected")

TASKS_SENT = counter(
    "celery_tasks_sent_total",
    "Tasks published, retries included (task-sent events).",
    TASK_QUEUE,
    EventOrigin(("task-sent",), SENT_SETTING),
)
TASKS_RECEIVED = counter(
    "celery_tasks_received_total",
    "Tasks received by a worker (task-received events).",
    TASK_QUEUE,
    EventOrigin(("task-received",), TASK_EVENTS),
)
TASKS_STARTED = counter(
    "celery_tasks_started_total",
    "Executions started (task-started events).",
    TASK_QUEUE,
    EventOrigin(("task-started",), TASK_EVENTS),
)
TASKS = counter(
    "celery_tasks_total",
    "Executions that ended, by outcome; an execution reported twice counts once. All outcomes start at 0 together: "
    "with the first event, or before it for a registered task whose workers all consume one and the same queue.",
    (TASK, QUEUE, STATE),
    EventOrigin(ENDS, TASK_EVENTS),
)
TASK_EXCEPTIONS = counter(
    "celery_task_exceptions_total",
    "Failures and retries by exception class; classes over the limit of a task are folded into __overflow__.",
    (TASK, EXCEPTION),
    EventOrigin(("task-failed", "task-retried"), TASK_EVENTS),
)
TASK_REVOCATIONS = counter(
    "celery_task_revocations_total",
    "Revoked executions by reason: terminated, expired or revoked.",
    (TASK, REVOCATION),
    EventOrigin(("task-revoked",), TASK_EVENTS),
)
TASK_RUNTIME = histogram(
    "celery_task_runtime_seconds",
    "Execution time: Celery's own figure for success, end minus start for failure and retry.",
    (TASK, QUEUE, STATE),
    EventOrigin(("task-succeeded", "task-failed", "task-retried"), TASK_EVENTS),
    buckets=DURATION_BUCKETS,
)
TASK_WAIT = histogram(
    "celery_task_wait_seconds",
    "Time from publishing a task (or its eta, if later) to the start of its execution.",
    TASK_QUEUE,
    EventOrigin(("task-sent", "task-started"), SENT_SETTING),
    buckets=DURATION_BUCKETS,
)
TASK_PREFETCH = histogram(
    "celery_task_prefetch_seconds",
    "Time from the arrival of a task at the worker (or its eta, if later) to the start of its execution.",
    TASK_QUEUE,
    EventOrigin(("task-received", "task-started"), TASK_EVENTS),
    buckets=DURATION_BUCKETS,
)
TASKS_RUNNING = gauge(
    "celery_tasks_running",
    "Executions started and not ended.",
    TASK_QUEUE,
    EventOrigin(("task-started", *ENDS), TASK_EVENTS),
)
TASKS_WAITING = gauge(
    "celery_tasks_waiting",
    "Tasks published and not yet started or ended, counted from the exporter's start. Needs task-sent events.",
    TASK_QUEUE,
    EventOrigin(("task-sent", "task-started", *ENDS), TASK_EVENTS),
)
TASK_OLDEST_STARTED = gauge(
    "celery_task_oldest_started_timestamp_seconds",
    "Start of the execution that has been running longest; absent while none runs.",
    (TASK,),
    EventOrigin(("task-started", *ENDS), TASK_EVENTS),
)
TASK_LAST_SENT = gauge(
    "celery_task_last_sent_timestamp_seconds",
    "When the task was last published, by the publisher's clock.",
    (TASK,),
    EventOrigin(("task-sent",), SENT_SETTING),
)
TASK_LAST_SUCCESS = gauge(
    "celery_task_last_success_timestamp_seconds",
    "When the task last succeeded, by the worker's clock.",
    (TASK,),
    EventOrigin(("task-succeeded",), TASK_EVENTS),
)
TASK_LAST_FAILURE = gauge(
    "celery_task_last_failure_timestamp_seconds",
    "When the task last failed, by the worker's clock.",
    (TASK,),
    EventOrigin(("task-failed",), TASK_EVENTS),
)
TASK_CONSECUTIVE_FAILURES = gauge(
    "celery_task_consecutive_failures",
    "Executions that failed since the last one that succeeded, all queues together, counted from the exporter's start "
    "(or before, with state.file); absent until one fails.",
    (TASK,),
    EventOrigin(("task-failed", "task-succeeded"), TASK_EVENTS),
)
TASK_EXPECTED_INTERVAL = gauge(
    "celery_task_expected_interval_seconds",
    "How often the task is expected to run: from the settings (tasks), or from the schedule of beat or RedBeat.",
    (TASK,),
    Own("settings, beat with deploy/celery_events.py, or RedBeat"),
)
TASK_RUNTIME_THRESHOLD = gauge(
    "celery_task_runtime_threshold_seconds",
    "How long an execution of the task may take, from the settings (tasks).",
    (TASK,),
    Own("settings"),
)

METRICS: tuple[Metric, ...] = (
    TASKS_SENT, TASKS_RECEIVED, TASKS_STARTED, TASKS, TASK_EXCEPTIONS, TASK_REVOCATIONS,
    TASK_RUNTIME, TASK_WAIT, TASK_PREFETCH, TASKS_RUNNING, TASKS_WAITING, TASK_OLDEST_STARTED,
    TASK_LAST_SENT, TASK_LAST_SUCCESS, TASK_LAST_FAILURE, TASK_CONSECUTIVE_FAILURES,
    TASK_EXPECTED_INTERVAL, TASK_RUNTIME_THRESHOLD,
)  # fmt: skip
BY_WORKER = frozenset((TASKS_RECEIVED, TASKS_STARTED, TASKS, TASKS_RUNNING, TASK_RUNTIME, TASK_WAIT, TASK_PREFETCH))
"""Metrics that can have a worker label (metrics.worker_label), after the labels that are declared here."""
