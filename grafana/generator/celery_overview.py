# SPDX-License-Identifier: Apache-2.0
"""Celery, all of it: is all well, how much is done, what waits, which task gives trouble."""

from grafana.generator import theme
from grafana.generator.board import FIRING, Board, Row, firing, link, link_of_row
from grafana.generator.panel import NOTHING, UP_OR_DOWN, Query, Style, Word
from grafana.generator.panels import FLOW, LAST_WEEK, OUTCOMES, PAST, QUANTILES, Graph, Stat, Timeline, flow, quantiles
from grafana.generator.promql import (
    ALERTS_WINDOW,
    BY,
    ENDED,
    FAILED,
    QUEUE,
    RANGE,
    Scope,
    hit_rate,
    last_week,
    memory_share,
    ratio,
)
from grafana.generator.tables import Column, Table

EVERYTHING = Scope()
TO_TASK = link("Open ${__field.labels.task}", "celery-task", "task")
TO_QUEUE = link("Open ${__field.labels.queue}", "celery-queues", "queue")

NOW = (
    Stat(
        title="Alerts", unit=theme.NUMBER, steps=theme.steps((1, theme.BAD)),
        meaning="Alerts of this project that fire now, those for information left out. 0 also where alerts/ is not"
        " loaded.",
        remedy="Alerts over time names them; the runbook of each says what to do.",
        queries=(Query(f"count({firing('warning', 'critical')}) or vector(0)"),),
    ),
    Stat(
        title="Broker", unit=theme.WORD, words=UP_OR_DOWN, empty="unknown", alerts=("RedisDown", "CeleryBrokerDown"),
        meaning="Whether the broker answers the exporter.",
        remedy="Down: nothing is published or executed. See the Redis dashboard, and the reason in"
        " redis_exporter_last_scrape_error or celery_exporter_broker_last_scrape_error.",
        links=(link("Open Redis", "redis"),),
        queries=(Query(
            "min("
            + EVERYTHING.gauge("redis_up", BY, 'redis=~"broker(@.+)?"', how="max") + " or "
            + EVERYTHING.gauge("celery_exporter_broker_up", BY, how="max") + ")"
        ),),
    ),
    Stat(
        title="Events", unit=theme.WORD, words=UP_OR_DOWN, alerts=("CeleryEventStreamDown", "CeleryExporterDown"),
        meaning="Whether the exporter hears Celery's events. Down too where no exporter is scraped.",
        remedy="Down: no figure about tasks and workers moves. See the exporter's dashboard.",
        links=(link("Open the exporter", "exporter"),),
        queries=(Query(
            f"min({EVERYTHING.gauge('celery_exporter_event_stream_up', 'job, namespace', how='max')}) or vector(0)"
        ),),
    ),
    Stat(
        title="Workers online", unit=theme.NUMBER, steps=theme.steps((1, theme.CALM)), calm=theme.BAD,
        meaning="Workers that send heartbeats.", alerts=("CeleryNoWorkersOnline", "CeleryWorkerDown"),
        remedy="0: nothing is executed. The workers' dashboard shows which were lost, and when.",
        links=(link("Open the workers", "celery-workers"),),
        queries=(Query(EVERYTHING.gauge("celery_workers", where='state="online"') + " or vector(0)"),),
    ),
    Stat(
        title="Longest queue", unit=theme.COUNT, steps=theme.steps(("CeleryQueueLong.messages", theme.WARNING)),
        meaning="Messages waiting in the longest queue; coloured from where CeleryQueueLong fires.",
        remedy="Add workers for the queue, or find what publishes so much.",
        alerts=("CeleryQueueLong", "CeleryQueueBacklogGrowing"),
        links=(link("Open the queues", "celery-queues"),),
        queries=(Query(EVERYTHING.gauge("celery_queue_length", how="max")),),
    ),
    Stat(
        title="Failing", unit=theme.RATIO, decimals=1,
        steps=theme.steps(
            ("CeleryTaskFailureRateHigh.ratio", theme.WARNING), ("CeleryTaskFailureRateCritical.ratio", theme.BAD)
        ),
        meaning="Share of the executions of the last ten minutes that failed, all tasks together.",
        remedy="The table below shows which task fails; open it for its exceptions.",
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskFailureRateCritical", "CeleryFailureRateCritical"),
        links=(link("Open the tasks", "celery-task"),),
        queries=(Query(ratio(
            EVERYTHING.rate("celery_tasks_total", where=FAILED, window=ALERTS_WINDOW),
            EVERYTHING.rate("celery_tasks_total", where=ENDED, window=ALERTS_WINDOW),
        )),),
    ),
    Stat(
        title="Slowest queue", unit=theme.SECONDS, empty=NOTHING,
        steps=theme.steps(
            ("CeleryTaskWaitHigh.seconds", theme.WARNING), ("CeleryTaskWaitCritical.seconds", theme.BAD)
        ),
        meaning="In the queue where it is worst: 95 % of the executions of the last ten minutes started within this"
        " time after they were published.",
        remedy="Long waits with busy workers: add workers. Long waits with idle ones: a queue without consumers.",
        alerts=("CeleryTaskWaitHigh", "CeleryTaskWaitCritical"),
        links=(link("Open the queues", "celery-queues"),),
        queries=(Query(
            f"max({EVERYTHING.quantile(0.95, 'celery_task_wait_seconds', QUEUE, ALERTS_WINDOW)})"
        ),),
    ),
    Stat(
        title="Redis memory", unit=theme.RATIO, decimals=0, empty=NOTHING,
        steps=theme.steps(("RedisMemoryHigh.ratio", theme.WARNING), ("RedisMemoryCritical.ratio", theme.BAD)),
        meaning="Memory of the fullest server, of its limit: maxmemory, else redis.assumed_maxmemory, else the"
        " machine's memory.",
        remedy="A full broker refuses messages, or throws tasks away, as its policy says.",
        alerts=("RedisMemoryHigh", "RedisMemoryCritical"),
        links=(link("Open Redis", "redis"),),
        queries=(Query(f"max({memory_share(EVERYTHING)})"),),
    ),
)  # fmt: skip

FIRED = Timeline(
    title="Alerts over time", unit=theme.WORD, height=6, legend=False, empty="No alert fired",
    words=(Word("3", "critical", theme.BAD), Word("2", "warning", theme.WARNING), Word("1", "info", "blue")),
    meaning="Which alerts of this project fired, and when: red is critical, orange a warning, blue for information."
    " Nothing also where alerts/ is not loaded.",
    remedy="The first of several is nearest to the cause; alerts/runbooks.md says what to do.",
    queries=(Query(
        f"max by (alertname) ({firing('critical')} * 3 or {firing('warning')} * 2 or {FIRING})", "{{alertname}}"
    ),),
)  # fmt: skip

TRAFFIC = (
    Graph(
        title="Executions by outcome", unit=theme.TASKS, width=12, stacked=True, many=True,
        meaning="Executions that ended, each second. The dashed line is all of them a week ago.",
        remedy="A gap below the dashed line: less is published (see the queues) or less is worked off.",
        styles=(*OUTCOMES, PAST),
        queries=(
            Query(EVERYTHING.recorded("celery_tasks_total", "state"), "{{state}}"),
            Query(last_week(EVERYTHING.recorded("celery_tasks_total")), LAST_WEEK),
        ),
    ),
    Graph(
        title="Failing tasks", unit=theme.RATIO, width=12, many=True, limits=True, reach=0.12,
        steps=theme.steps(("CeleryTaskFailureRateHigh.ratio", theme.WARNING),
                          ("CeleryTaskFailureRateCritical.ratio", theme.BAD)),
        empty="No execution ended",
        meaning="Share of each task's executions that failed; the five worst. The dashed lines are the alerts'.",
        remedy="Click a line to open the task with its exceptions.",
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskFailureRateCritical"),
        links=(TO_TASK,),
        queries=(Query("topk(5, " + ratio(
            EVERYTHING.recorded("celery_tasks_total", "task", FAILED),
            EVERYTHING.recorded("celery_tasks_total", "task", ENDED),
        ) + ")", "{{task}}"),),
    ),
    Graph(
        title="Runtime quantiles", unit=theme.SPAN, styles=QUANTILES, empty="No execution ended",
        meaning="How long executions took: half of them, 95 % and 99 % were done within this time. Dots are"
        " exemplars, single executions with their task's id.",
        remedy="One task that gets slower shows in the table below.",
        alerts=("CeleryTaskSlow", "CeleryTaskSlowest"),
        queries=quantiles(EVERYTHING, "celery_task_runtime_seconds"),
    ),
    Graph(
        title="Wait quantiles", unit=theme.SPAN, styles=QUANTILES, empty="No execution started",
        meaning="Time from publishing, or from the eta, to the start. Needs task_send_sent_event.",
        remedy="The queues' dashboard shows which queue it is.",
        alerts=("CeleryTaskWaitHigh",),
        queries=quantiles(EVERYTHING, "celery_task_wait_seconds"),
    ),
    Graph(
        title="Started, and in minus out", unit=theme.TASKS, low=None,
        meaning="Executions that started, each second, and by how much more was published.",
        remedy="In minus out above 0: queues grow. Always below 0: publishers without task_send_sent_event.",
        styles=FLOW, queries=flow(EVERYTHING),
    ),
)  # fmt: skip

LOAD = (
    Graph(
        title="Messages waiting", unit=theme.NUMBER, stacked=True, many=True, decimals=0, links=(TO_QUEUE,),
        meaning="Messages in each queue, not yet delivered to a worker.",
        remedy="Growing without end: more is published than worked off.",
        alerts=("CeleryQueueLong", "CeleryQueueBacklogGrowing"),
        queries=(Query(EVERYTHING.gauge("celery_queue_length", "queue"), "{{queue}}"),),
    ),
    Graph(
        title="Busy slots", unit=theme.NUMBER, many=True, decimals=0, alerts=("CeleryWorkersSaturated",),
        meaning="Executions in progress, and how many there could be at once, of the workers that tell it.",
        remedy="Busy at the limit while messages wait: add workers or concurrency.",
        styles=(Style("busy", "blue"), Style("slots", theme.LIMIT, dashed=True, thick=2)),
        queries=(
            Query(EVERYTHING.gauge("celery_worker_tasks_active"), "busy"),
            Query(EVERYTHING.gauge("celery_worker_concurrency"), "slots"),
        ),
    ),
    Graph(
        title="Workers by state", unit=theme.NUMBER, stacked=True, many=True, decimals=0,
        meaning="Workers by state: online, lost without a goodbye, stopped cleanly within the retention.",
        remedy="Lost ones died or can't reach the broker.", alerts=("CeleryWorkerDown",),
        styles=tuple(Style(name, colour) for name, colour in theme.WORKERS.items()),
        links=(link("Open the workers", "celery-workers"),),
        queries=(Query(EVERYTHING.gauge("celery_workers", "state"), "{{state}}"),),
    ),
)  # fmt: skip


def task_columns(scope: Scope) -> tuple[Column, ...]:
    """Give the table of tasks, over the time shown."""
    ended = scope.increase("celery_tasks_total", "task", ENDED)
    return (
        Column(name="Task", label="task", link=link_of_row("Open the task", "celery-task", task="Task")),
        Column(name="Runs", unit=theme.COUNT, decimals=0, width=80, expr=ended),
        Column(name="Rate", unit=theme.TASKS, width=130,
               expr=scope.rate("celery_tasks_total", "task", ENDED, RANGE)),
        Column(name="Failing", unit=theme.RATIO, decimals=1, width=80,
               steps=theme.steps(("CeleryTaskFailureRateHigh.ratio", theme.WARNING),
                                 ("CeleryTaskFailureRateCritical.ratio", theme.BAD)),
               expr=ratio(scope.increase("celery_tasks_total", "task", FAILED), ended)),
        Column(name="Retries", unit=theme.COUNT, decimals=0, width=80,
               expr=scope.increase("celery_tasks_total", "task", 'state="retry"')),
        Column(name="Runtime, mean", unit=theme.SECONDS, width=120,
               steps=theme.steps(("CeleryTaskSlow.seconds", theme.WARNING)),
               expr=scope.recorded_mean("celery_task_runtime_seconds", "task", whole=True)),
        Column(name="Runtime, p95", unit=theme.SECONDS, width=120,
               steps=theme.steps(("CeleryTaskSlowest.seconds", theme.WARNING)),
               expr=scope.recorded_quantile(0.95, "celery_task_runtime_seconds", "task", whole=True)),
        Column(name="Wait, p95", unit=theme.SECONDS, width=110,
               steps=theme.steps(("CeleryTaskWaitHigh.seconds", theme.WARNING),
                                 ("CeleryTaskWaitCritical.seconds", theme.BAD)),
               expr=scope.recorded_quantile(0.95, "celery_task_wait_seconds", "task", whole=True)),
        Column(name="Waiting", unit=theme.NUMBER, decimals=0, width=80,
               expr=scope.gauge("celery_tasks_waiting", "task")),
        Column(name="Running", unit=theme.NUMBER, decimals=0, width=80,
               expr=scope.gauge("celery_tasks_running", "task")),
        Column(name="Last success", unit=theme.SECONDS, decimals=0, width=110,
               expr=scope.age("celery_task_last_success_timestamp_seconds", "task")),
    )  # fmt: skip


TASKS = (
    Table(
        title="Tasks", first="Runs", empty=NOTHING, height=11, columns=task_columns(EVERYTHING),
        meaning="Every task over the time shown, most executed first. Last success is how long ago it was.",
        remedy="Coloured cells are beyond an alert's threshold. Click a task to see its times and exceptions.",
        alerts=("CeleryTaskFailureRateHigh", "CeleryTaskSlow"),
    ),
)  # fmt: skip

REDIS = (
    Graph(
        title="Redis memory, of its limit", unit=theme.RATIO, many=True, reach=1, limits=True,
        steps=theme.steps(("RedisMemoryHigh.ratio", theme.WARNING), ("RedisMemoryCritical.ratio", theme.BAD)),
        meaning="Memory of each server, of maxmemory, of the assumed limit, or of the machine's memory.",
        remedy="The Redis dashboard shows which keys take it.", alerts=("RedisMemoryHigh", "RedisMemoryWillFill"),
        links=(link("Open Redis", "redis", "redis"),),
        queries=(Query(f"max by (redis) ({memory_share(EVERYTHING)})", "{{redis}}"),),
    ),
    Graph(
        title="Redis operations", unit=theme.OPERATIONS, many=True, links=(link("Open Redis", "redis", "redis"),),
        meaning="Commands that each server processed, each second.",
        remedy="Far more than executions explain: a client that polls for results.",
        queries=(Query(EVERYTHING.rate("redis_commands_processed_total", "redis"), "{{redis}}"),),
    ),
    Graph(
        title="Redis hit rate", unit=theme.RATIO, many=True, reach=1, empty="No look-ups", alerts=("RedisHitRateLow",),
        meaning="Share of look-ups that found their key, without brokers and the exporter's own look-ups. Waiting for"
        " results of unfinished tasks counts as misses.",
        remedy="Low on a cache: keys expire or are evicted too early.",
        queries=(Query(hit_rate(EVERYTHING, "redis"), "{{redis}}"),),
    ),
)  # fmt: skip

BOARD = Board(
    "celery-overview",
    "Celery / Overview",
    "Does everything work? How many tasks are executed, how many wait, and which tasks fail?",
    (
        Row("", (*NOW, FIRED)),
        Row("Traffic", TRAFFIC),
        Row("Load", LOAD),
        Row("Tasks", TASKS),
        Row("Redis", REDIS),
    ),
)
