# SPDX-License-Identifier: Apache-2.0
"""One task, or several: rate, errors, duration; then what runs, and what is due."""

from grafana.generator import theme
from grafana.generator.board import Board, Row
from grafana.generator.celery_overview import task_columns
from grafana.generator.celery_task_times import CHOSEN, PERIODIC, PRESENT, RUNTIME, TIMES, WAIT
from grafana.generator.panel import NOTHING, Query, Style
from grafana.generator.panels import FLOW, LAST_WEEK, OUTCOMES, PAST, Bars, Graph, Stat, flow
from grafana.generator.promql import ENDED, FAILED, RANGE, RATE, last_week, ratio
from grafana.generator.tables import Table

SUCCEEDED, RETRIED = 'state="success"', 'state="retry"'
RETRIED_OR_ENDED = 'state=~"success|failure|retry"'
FAILURES = theme.steps(
    ("CeleryTaskFailureRateHigh.ratio", theme.WARNING), ("CeleryTaskFailureRateCritical.ratio", theme.BAD)
)  # fmt: skip
WAITS = theme.steps(("CeleryTaskWaitHigh.seconds", theme.WARNING), ("CeleryTaskWaitCritical.seconds", theme.BAD))


def share(where: str, window: str = RATE) -> str:
    """Return the share of the executions that ended so, of those that succeeded or failed, or were retried as well."""
    whole = RETRIED_OR_ENDED if where == RETRIED else ENDED
    if window == RATE:
        parts = (CHOSEN.recorded("celery_tasks_total", where=matcher) for matcher in (where, whole))
    else:
        parts = (CHOSEN.rate("celery_tasks_total", where=matcher, window=window) for matcher in (where, whole))
    return ratio(*parts)


NOW = (
    Stat(
        title="Rate", unit=theme.TASKS, decimals=2,
        meaning="Executions that succeeded or failed, each second, over the time shown.",
        remedy="0 where there should be some: look whether it is sent, and whether its queue has consumers.",
        queries=(Query(CHOSEN.rate("celery_tasks_total", where=ENDED, window=RANGE)),),
    ),
    Stat(
        title="Succeeded", unit=theme.RATIO, decimals=1, empty=NOTHING,
        meaning="Share of the executions that succeeded, of those that succeeded or failed in the time shown.",
        remedy="The rest is under Errors.",
        queries=(Query(share(SUCCEEDED, RANGE)),),
    ),
    Stat(
        title="Failed", unit=theme.RATIO, decimals=1, steps=FAILURES,
        meaning="Share of the executions that failed in the time shown.",
        remedy="Errors tells the exceptions; the worker's log has their tracebacks.",
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskFailureRateCritical", "CeleryTaskFailing", "CeleryTaskKilled",
                "CeleryTasksExpired"),
        queries=(Query(share(FAILED, RANGE)),),
    ),
    Stat(
        title="Retried", unit=theme.RATIO, decimals=1, alerts=("CeleryTaskRetryStorm",),
        steps=theme.steps(("CeleryTaskRetryStorm.ratio", theme.WARNING)),
        meaning="Share of the executions of the time shown that ended in a retry.",
        remedy="What a task calls is down, or too slow for its time limit.",
        queries=(Query(share(RETRIED, RANGE)),),
    ),
    Stat(
        title="Runtime, p95", unit=theme.SECONDS, empty=NOTHING, alerts=("CeleryTaskSlowest",),
        steps=theme.steps(("CeleryTaskSlowest.seconds", theme.WARNING)),
        meaning="95 % of the executions of the time shown took this long or less.",
        remedy="Compare with the mean: far above it means that few executions are slow.",
        queries=(Query(CHOSEN.recorded_quantile(0.95, RUNTIME, whole=True)),),
    ),
    Stat(
        title="Wait, p95", unit=theme.SECONDS, empty=NOTHING, steps=WAITS,
        meaning="95 % of the executions of the time shown started within this time after they were published.",
        remedy="Add workers for the queue, or give urgent tasks a queue of their own.",
        alerts=("CeleryTaskWaitHigh", "CeleryTaskWaitCritical"),
        queries=(Query(CHOSEN.recorded_quantile(0.95, WAIT, whole=True)),),
    ),
    Stat(
        title="Running", unit=theme.NUMBER, decimals=0,
        meaning="Executions started and not ended.",
        remedy="A number that never falls: see the longest running ones.",
        queries=(Query(CHOSEN.gauge("celery_tasks_running")),),
    ),
    Stat(
        title="Last success", unit=theme.SECONDS, decimals=0, empty="never seen",
        meaning="How long ago an execution last succeeded, by the worker's clock.",
        remedy="Longer than its schedule: see Periodic tasks.", alerts=("CeleryPeriodicTaskStale",),
        queries=(Query(CHOSEN.age("celery_task_last_success_timestamp_seconds")),),
    ),
)  # fmt: skip

RATES = (
    Graph(
        title="Executions by outcome", unit=theme.TASKS, width=12, stacked=True, many=True,
        meaning="Executions that ended, each second. The dashed line is all of them a week ago.",
        remedy="A gap below the dashed line: less is published, or less is worked off.",
        styles=(*OUTCOMES, PAST),
        queries=(
            Query(CHOSEN.recorded("celery_tasks_total", "state"), "{{state}}"),
            Query(last_week(CHOSEN.recorded("celery_tasks_total")), LAST_WEEK),
        ),
    ),
    Graph(
        title="Started, and in minus out", unit=theme.TASKS, width=12, many=True, low=None,
        meaning="Executions that started, each second, and by how much more was published.",
        remedy="In minus out above 0: queues grow. Always below 0: publishers without task_send_sent_event.",
        styles=FLOW, queries=flow(CHOSEN),
    ),
    Table(
        title="Tasks", first="Runs", empty=NOTHING, height=8, columns=task_columns(CHOSEN),
        meaning="The chosen tasks over the time shown. Last success is how long ago it was.",
        remedy="Coloured cells are beyond an alert's threshold. Click a task to see it alone.",
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskSlow"),
    ),
)  # fmt: skip

ERRORS = (
    Graph(
        title="Failed, retried", unit=theme.RATIO, many=True, height=9, limits=True, reach=0.12, steps=FAILURES,
        meaning="Share of the executions that failed, and that were retried. The dashed lines are the alerts'.",
        remedy="Both rising together: something that the task calls is down.", empty="No execution ended",
        styles=(Style("failed", theme.STATES["failure"]), Style("retried", theme.STATES["retry"])),
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskRetryStorm"),
        queries=(Query(share(FAILED), "failed"), Query(share(RETRIED), "retried")),
    ),
    Graph(
        title="Exceptions", unit="suffix:errors/s", stacked=True, many=True, height=9, points=288,
        meaning="Failures and retries by the class of their exception.",
        remedy="The worker's log has the tracebacks; exemplars of the runtime have ids of tasks.",
        queries=(Query(f"topk(10, {CHOSEN.rate('celery_task_exceptions_total', 'exception')})", "{{exception}}"),),
    ),
    Bars(
        title="Exceptions in the time shown", unit=theme.COUNT, width=8, height=9, decimals=0, shade="red",
        above=True,
        meaning="Failures and retries of each task by exception, most frequent first.",
        remedy="Start with the longest bar.",
        queries=(Query(
            f"sort_desc(topk(12, {CHOSEN.increase('celery_task_exceptions_total', 'task, exception')} > 0))",
            "{{exception}} in {{task}}",
        ),),
    ),
)  # fmt: skip

BOARD = Board(
    "celery-task",
    "Celery / Tasks",
    "How often does a task run, how often and why does it fail, how long does it take, is it late?",
    (
        Row("", NOW),
        Row("Rate", RATES),
        Row("Errors", ERRORS),
        Row("Duration", TIMES),
        Row("Running", PRESENT, closed=True),
        Row("Periodic tasks", PERIODIC),
    ),
    ("queue", "task"),
)
