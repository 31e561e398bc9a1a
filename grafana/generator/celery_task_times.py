# SPDX-License-Identifier: Apache-2.0
"""How long tasks take, what runs now, and what is due: the second half of the tasks' dashboard."""

from grafana.generator import theme
from grafana.generator.board import link
from grafana.generator.panel import Query, Word
from grafana.generator.panels import QUANTILES, Graph, Heatmap, Timeline, quantiles, spread
from grafana.generator.promql import Scope, greatest
from grafana.generator.tables import Column, Table

CHOSEN = Scope(("task", "queue"))
RUNTIME, WAIT, PREFETCH = "celery_task_runtime_seconds", "celery_task_wait_seconds", "celery_task_prefetch_seconds"
OLDEST = f"time() - min by (task) ({CHOSEN.select('celery_task_oldest_started_timestamp_seconds')})"
INTERVAL = CHOSEN.gauge("celery_task_expected_interval_seconds", "task", how="max")
LAST_SUCCESS = CHOSEN.age("celery_task_last_success_timestamp_seconds", "task")
OVERDUE = f"({LAST_SUCCESS}) / on (task) {INTERVAL}"

TIMES = (
    Heatmap(
        title="Runtime spread", unit=theme.SECONDS, height=9, empty="No execution ended", scheme="Blues",
        cells=theme.TASKS,
        meaning="How the runtimes of executions spread: the brighter, the more. Each row is a bucket of the histogram.",
        remedy="Two bands: two kinds of work under one name, or a cache that hits and misses.",
        queries=spread(CHOSEN, RUNTIME),
    ),
    Heatmap(
        title="Wait spread", unit=theme.SECONDS, height=9, empty="No execution started", scheme="Oranges",
        cells=theme.TASKS,
        meaning="How the times from publishing to the start spread. Needs task_send_sent_event.",
        remedy="A band that climbs: a queue that fills.", alerts=("CeleryTaskWaitHigh",),
        queries=spread(CHOSEN, WAIT),
    ),
    Graph(
        title="Runtime quantiles", unit=theme.SPAN, styles=QUANTILES, empty="No execution ended",
        meaning="Half, 95 % and 99 % of the executions were done within this time; and their mean. Dots are exemplars,"
        " single executions with their task's id.",
        remedy="p99 far above p95 is rare; p50 that rises is everybody's.",
        alerts=("CeleryTaskSlow", "CeleryTaskSlowest"),
        queries=(*quantiles(CHOSEN, RUNTIME), Query(CHOSEN.recorded_mean(RUNTIME), "mean")),
    ),
    Graph(
        title="Wait quantiles", unit=theme.SPAN, styles=QUANTILES, empty="No execution started",
        meaning="Half, 95 % and 99 % of the executions started within this time after they were published; and their"
        " mean.",
        remedy="Add workers for the queue, or give urgent tasks a queue of their own.", alerts=("CeleryTaskWaitHigh",),
        queries=(*quantiles(CHOSEN, WAIT), Query(CHOSEN.recorded_mean(WAIT), "mean")),
    ),
    Graph(
        title="Wait within the worker, mean", unit=theme.SPAN, styles=QUANTILES, empty="No execution started",
        meaning="The part of the wait that a task spends prefetched, in a worker that is busy with others.",
        remedy="Long: set worker_prefetch_multiplier to 1, so that idle workers take the tasks.",
        queries=(Query(CHOSEN.mean(PREFETCH), "mean"),),
    ),
    Graph(
        title="Runtime by task, mean", unit=theme.SPAN, width=12, many=True, tenfold=True, low=None,
        empty="No execution ended",
        meaning="Mean runtime of the ten slowest of the chosen tasks.", alerts=("CeleryTaskSlow",),
        remedy="A step: look for a deployment at that time.",
        links=(link("Open ${__field.labels.task}", "celery-task", "task"),),
        queries=(Query(f"topk(10, {CHOSEN.recorded_mean(RUNTIME, 'task')})", "{{task}}"),),
    ),
    Graph(
        title="Runtime by task, p95", unit=theme.SPAN, width=12, many=True, tenfold=True, low=None,
        empty="No execution ended",
        meaning="The 95th percentile of the runtime of the ten slowest of the chosen tasks.",
        remedy="A step: look for a deployment at that time.", alerts=("CeleryTaskSlowest",),
        links=(link("Open ${__field.labels.task}", "celery-task", "task"),),
        queries=(Query(f"topk(10, {CHOSEN.recorded_quantile(0.95, RUNTIME, 'task')})", "{{task}}"),),
    ),
)  # fmt: skip

PRESENT = (
    Graph(
        title="Running by task", unit=theme.NUMBER, stacked=True, many=True, decimals=0,
        meaning="Executions started and not ended.",
        remedy="One task that fills all slots: give it a queue and workers of its own.",
        queries=(Query(CHOSEN.gauge("celery_tasks_running", "task"), "{{task}}"),),
    ),
    Graph(
        title="Longest running", unit=theme.AGE, many=True, empty="Nothing runs", limits=True,
        steps=theme.steps(("CeleryTaskStuck.seconds", theme.WARNING)),
        meaning="For how long the oldest execution of each task has been running.",
        remedy="A line that climbs without end: an execution that hangs. Set time limits.", alerts=("CeleryTaskStuck",),
        queries=(Query(OLDEST, "{{task}}"),),
    ),
    Graph(
        title="By queue", unit=theme.TASKS, stacked=True, many=True,
        meaning="Executions that started, by the queue they came from.",
        remedy="The queue unknown: neither task-sent nor the worker told it.",
        links=(link("Open ${__field.labels.queue}", "celery-queues", "queue"),),
        queries=(Query(CHOSEN.rate("celery_tasks_started_total", "queue"), "{{queue}}"),),
    ),
    Graph(
        title="Revoked", unit=theme.TASKS, stacked=True, many=True, points=288,
        meaning="Executions that were taken back: terminated, expired, or revoked before they began.",
        remedy="Expired ones waited longer than they may: add workers.",
        queries=(Query(CHOSEN.rate("celery_task_revocations_total", "reason"), "{{reason}}"),),
    ),
    Graph(
        title="Outcomes by worker", unit=theme.TASKS, many=True, empty="Needs metrics.worker_label",
        meaning="Executions that ended, by worker and outcome; only where the setting metrics.worker_label is on.",
        remedy="One worker that fails alone: its machine, its version, its network.",
        links=(link("Open ${__field.labels.worker}", "celery-workers", "worker"),),
        queries=(Query(CHOSEN.rate("celery_tasks_total", "worker, state", 'worker!=""'), "{{worker}} {{state}}"),),
    ),
    Timeline(
        title="Schedulers", unit=theme.WORD, height=9, empty="No beat reports itself",
        meaning="Up while beat sends events (deploy/celery_events.py) or, from Celery 5.7 on, answers pings. More than"
        " one that is up are schedulers that send everything twice.",
        remedy="Down: start beat; meanwhile nothing periodic is sent.", alerts=("CeleryBeatDown",), width=8,
        words=(Word("1", "Up", theme.GOOD), Word("0", "Down", theme.BAD)),
        queries=(Query(CHOSEN.gauge("celery_beat_up", "beat", how="max"), "{{beat}}"),),
    ),
)  # fmt: skip

PERIODIC = (
    Table(
        title="Periodic tasks", first="Overdue", empty="No task has an expected interval", height=7, width=12,
        meaning="Tasks with a schedule, from the settings (tasks) or from RedBeat. Overdue is the time since the last"
        " success, in intervals: 1 and a little is on time.",
        remedy="Beyond 3: is beat alive, is the task sent, does it fail?",
        alerts=("CeleryPeriodicTaskStale", "CeleryPeriodicTaskNeverSucceeded"),
        columns=(
            Column(name="Task", label="task"),
            Column(name="Every", unit=theme.SECONDS, width=80, expr=INTERVAL),
            Column(name="Last sent", unit=theme.SECONDS, decimals=0, width=90,
                   expr=CHOSEN.age("celery_task_last_sent_timestamp_seconds", "task") + f" and on (task) {INTERVAL}"),
            Column(name="Last success", unit=theme.SECONDS, decimals=0, width=110,
                   expr=f"{LAST_SUCCESS} and on (task) {INTERVAL}"),
            Column(name="Last failure", unit=theme.SECONDS, decimals=0, width=110,
                   expr=CHOSEN.age("celery_task_last_failure_timestamp_seconds", "task")
                   + f" and on (task) {INTERVAL}"),
            Column(name="Overdue", unit=theme.NUMBER, decimals=1, width=110, expr=OVERDUE,
                   steps=theme.steps(("CeleryPeriodicTaskStale.intervals", theme.BAD))),
        ),
    ),
    Graph(
        title="Since the last success, in intervals", unit=theme.NUMBER, decimals=1, many=True, width=12, height=7,
        points=120,
        meaning="How late each success was, or is by now, in intervals of its schedule: 1 and a little is on time.",
        remedy="Beyond 3 pages: is beat alive, is the task sent, does it fail?", alerts=("CeleryPeriodicTaskStale",),
        limits=True, steps=theme.steps(("CeleryPeriodicTaskStale.intervals", theme.BAD)),
        empty="No task has an expected interval",
        queries=(Query(greatest(OVERDUE), "{{task}}"),),
    ),
)  # fmt: skip
