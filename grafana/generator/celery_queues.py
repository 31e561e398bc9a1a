# SPDX-License-Identifier: Apache-2.0
"""The queues: what waits, for how long, who works it off, and what will be delivered twice."""

from grafana.generator import theme
from grafana.generator.board import Board, Row, link, link_of_row
from grafana.generator.panel import NOTHING, Query, Style
from grafana.generator.panels import FLOW, LAST_WEEK, PAST, Graph, Heatmap, Stat, flow, spread
from grafana.generator.promql import ALERTS_WINDOW, BY, QUEUE, RANGE, Scope
from grafana.generator.tables import Column, Table

CHOSEN = Scope(("queue",))
WAIT = "celery_task_wait_seconds"
LENGTH = CHOSEN.gauge("celery_queue_length", QUEUE)
CONSUMERS = CHOSEN.gauge("celery_queue_consumers", QUEUE)
STARTED = CHOSEN.rate("celery_tasks_started_total", QUEUE)
STARTED_SHOWN = CHOSEN.rate("celery_tasks_started_total", QUEUE, window=RANGE)
LONG = theme.steps(("CeleryQueueLong.messages", theme.WARNING))
WAITS = theme.steps(("CeleryTaskWaitHigh.seconds", theme.WARNING), ("CeleryTaskWaitCritical.seconds", theme.BAD))
OLD = theme.steps(("CeleryQueueOldestMessageOld.seconds", theme.WARNING))
DRAIN = theme.steps(("CeleryQueueDrainTimeHigh.seconds", theme.WARNING))
LENGTH_THRESHOLD = CHOSEN.gauge("celery_queue_length_threshold", QUEUE, how="max")
WAIT_THRESHOLD = CHOSEN.gauge("celery_queue_wait_threshold_seconds", QUEUE, how="max")
OLDEST = CHOSEN.gauge("celery_queue_oldest_message_age_seconds", QUEUE, how="max")


def of_application(name: str) -> str:
    """Give a gauge that an application has once."""
    return CHOSEN.gauge(name, BY, how="max")


NOW = (
    Stat(
        title="Waiting", unit=theme.COUNT, decimals=0,
        meaning="Messages in all chosen queues together.", alerts=("CeleryQueueLong",),
        remedy="The graph below shows whether it grows.",
        queries=(Query(CHOSEN.gauge("celery_queue_length")),),
    ),
    Stat(
        title="Longest queue", unit=theme.COUNT, decimals=0, steps=LONG,
        meaning="Messages in the longest of them; coloured from where CeleryQueueLong fires.",
        remedy="Add workers for the queue, or find what publishes so much.", alerts=("CeleryQueueLong",),
        queries=(Query(f"max({LENGTH})"),),
    ),
    Stat(
        title="Oldest message", unit=theme.SECONDS, decimals=0, empty=NOTHING, steps=OLD,
        meaning="Age of the message that waits longest at the head of a queue.",
        remedy="Old in a short queue: its consumers are stuck, or there are none.",
        alerts=("CeleryQueueOldestMessageOld", "CeleryQueueStalled"),
        queries=(Query(f"max({OLDEST})"),),
    ),
    Stat(
        title="Unattended", unit=theme.NUMBER, steps=theme.steps((1, theme.BAD)), alerts=("CeleryQueueNoConsumers",),
        meaning="Queues that hold messages and that no worker consumes.",
        remedy="Start a worker with -Q for them, or fix the routing.",
        queries=(Query(f"count({LENGTH} > 0 and on ({QUEUE}) {CONSUMERS} == 0) or vector(0)"),),
    ),
    Stat(
        title="Slowest queue", unit=theme.SECONDS, empty=NOTHING, steps=WAITS,
        meaning="In the queue where it is worst: 95 % of the executions of the last ten minutes started within this"
        " time after they were published.",
        remedy="Add workers, or give urgent tasks a queue of their own.",
        alerts=("CeleryTaskWaitHigh", "CeleryTaskWaitCritical"),
        queries=(Query(f"max({CHOSEN.quantile(0.95, WAIT, QUEUE, ALERTS_WINDOW)})"),),
    ),
    Stat(
        title="Unacknowledged", unit=theme.COUNT, decimals=0,
        meaning="Messages that workers hold: prefetched, waiting for their eta, or running with acks_late.",
        remedy="Never falling: workers that died with them; they come back after the visibility timeout.",
        queries=(Query(CHOSEN.gauge("celery_unacked_messages")),),
    ),
    Stat(
        title="Overdue", unit=theme.NUMBER, decimals=0, steps=theme.steps((1, theme.BAD)),
        meaning="Unacknowledged messages past the visibility timeout: about to be run a second time.",
        remedy="Raise visibility_timeout above the longest runtime and the longest eta.",
        alerts=("CeleryTaskNearVisibilityTimeout",),
        queries=(Query(CHOSEN.gauge("celery_unacked_overdue_messages")),),
    ),
    Stat(
        title="Reply queues", unit=theme.NUMBER, decimals=0,
        meaning="Queues of answers to control commands. Orphans of tools that were killed pile up here.",
        remedy="Thousands: delete keys like *.reply.celery.pidbox that have no time to live.",
        queries=(Query(CHOSEN.gauge("celery_reply_queues")),),
    ),
)  # fmt: skip

QUEUES = (
    Table(
        title="Queues", first="Waiting", empty="No queue is known", height=8,
        meaning="Every queue now, and its times over the time shown. Longest wait is the upper bound of the bucket that"
        " holds it.",
        remedy="Coloured cells are beyond the alerts' default; the settings may have others: Long from, Late from.",
        alerts=("CeleryQueueLong", "CeleryQueueNoConsumers", "CeleryQueueDrainTimeHigh"),
        columns=(
            Column(name="Queue", label="queue", link=link_of_row("Show it alone", "celery-queues", queue="Queue")),
            Column(name="Waiting", unit=theme.COUNT, decimals=0, steps=LONG, width=90, expr=LENGTH),
            Column(name="Long from", unit=theme.COUNT, decimals=0, width=90, expr=LENGTH_THRESHOLD),
            Column(name="Oldest", unit=theme.SECONDS, decimals=0, steps=OLD, width=90, expr=OLDEST),
            Column(name="Empty in", unit=theme.SECONDS, steps=DRAIN, width=90,
                   expr=f"{LENGTH} / on ({QUEUE}) ({STARTED_SHOWN} > 0)"),
            Column(name="Consumers", unit=theme.NUMBER, decimals=0, width=95, expr=CONSUMERS),
            Column(name="Slots", unit=theme.NUMBER, decimals=0, width=70,
                   expr=CHOSEN.gauge("celery_queue_concurrency", QUEUE)),
            Column(name="Published", unit=theme.TASKS, width=125,
                   expr=CHOSEN.rate("celery_tasks_sent_total", QUEUE, window=RANGE)),
            Column(name="Started", unit=theme.TASKS, width=125,
                   expr=STARTED_SHOWN),
            Column(name="In an hour", unit=theme.COUNT, decimals=0, width=95,
                   expr=f"3600 * {STARTED_SHOWN}"),
            Column(name="Wait, mean", unit=theme.SECONDS, width=100,
                   expr=CHOSEN.recorded_mean(WAIT, QUEUE, whole=True)),
            Column(name="Wait, p95", unit=theme.SECONDS, steps=WAITS, width=100,
                   expr=CHOSEN.recorded_quantile(0.95, WAIT, QUEUE, whole=True)),
            Column(name="Late from", unit=theme.SECONDS, width=90, expr=WAIT_THRESHOLD),
            Column(name="Wait, longest", unit=theme.SECONDS, width=110,
                   expr=CHOSEN.recorded_quantile(1, WAIT, QUEUE, whole=True)),
            Column(name="Job", label="job", width=80),
            Column(name="Application", label="application", width=95),
        ),
        hidden=("cluster", "namespace"),
    ),
    Graph(
        title="Messages waiting, and a week ago", unit=theme.NUMBER, stacked=True, many=True, decimals=0, width=12,
        meaning="Messages in each queue, not yet delivered to a worker. The dashed line is all of them a week ago.",
        remedy="Growing without end: more is published than worked off.", styles=(PAST,),
        alerts=("CeleryQueueLong", "CeleryQueueBacklogGrowing"),
        queries=(
            Query(LENGTH, "{{queue}}"),
            Query(f"sum(max by ({QUEUE}) (" + CHOSEN.select("celery_queue_length") + " offset 1w))",
                  LAST_WEEK),
        ),
    ),
    Graph(
        title="Started, and in minus out", unit=theme.TASKS, many=True, width=12, low=None,
        meaning="Executions that started, each second, and by how much more was published.",
        remedy="In minus out above 0: queues grow. Always below 0: publishers without task_send_sent_event.",
        styles=FLOW, queries=flow(CHOSEN),
    ),
)  # fmt: skip

WAITING = (
    Heatmap(
        title="Wait spread", unit=theme.SECONDS, height=9, empty="No execution started", scheme="Oranges",
        cells=theme.TASKS,
        meaning="How the times from publishing, or from the eta, to the start spread. Needs task_send_sent_event.",
        remedy="A band that climbs: a queue that fills.", alerts=("CeleryTaskWaitHigh",),
        queries=spread(CHOSEN, WAIT),
    ),
    Graph(
        title="Wait by queue, p95", unit=theme.SPAN, many=True, width=12, empty="No execution started",
        meaning="95 % of the executions of each queue started within this time after they were published.",
        remedy="Dashed are the alerts' thresholds: those of all queues, and of a queue that has its own.", limits=True,
        steps=WAITS, styles=(Style("/^threshold of/", theme.LIMIT, dashed=True, thick=2),),
        alerts=("CeleryTaskWaitHigh", "CeleryTaskWaitCritical"),
        queries=(
            Query(CHOSEN.recorded_quantile(0.95, WAIT, QUEUE), "{{queue}}"),
            Query(WAIT_THRESHOLD, "threshold of {{queue}}"),
        ),
    ),
    Graph(
        title="Wait by queue, mean", unit=theme.SPAN, many=True, empty="No execution started",
        meaning="Mean time from publishing to the start.", alerts=("CeleryTaskWaitHigh",),
        remedy="Rising while the queue is short: tasks wait in workers; see Prefetch of the workers.",
        queries=(Query(CHOSEN.recorded_mean(WAIT, QUEUE), "{{queue}}"),),
    ),
    Graph(
        title="Oldest message by queue", unit=theme.AGE, many=True, limits=True, steps=OLD, reach=1,
        empty="Nothing waits",
        meaning="Age of the next message of each queue.", alerts=("CeleryQueueOldestMessageOld", "CeleryQueueStalled"),
        remedy="A line that climbs by a second each second: nothing is taken from the queue.",
        queries=(Query(OLDEST, "{{queue}}"),),
    ),
    Graph(
        title="Empty in", unit=theme.AGE, many=True, limits=True, steps=DRAIN, reach=1,
        empty="Nothing is worked off",
        meaning="How long each queue takes to be worked off at the present pace, if nothing were published.",
        remedy="Hours: add workers, or drop what is too late anyway (expires).", alerts=("CeleryQueueDrainTimeHigh",),
        queries=(Query(f"{LENGTH} / on ({QUEUE}) ({STARTED} > 0)", "{{queue}}"),),
    ),
)  # fmt: skip

SERVING = (
    Graph(
        title="Consumers", unit=theme.NUMBER, many=True, decimals=0, empty="No worker told its queues",
        meaning="Workers that consume each queue.", alerts=("CeleryQueueNoConsumers",),
        remedy="0 with messages waiting: nobody will ever take them.",
        links=(link("Open the workers", "celery-workers"),),
        queries=(Query(CONSUMERS, "{{queue}}"),),
    ),
    Graph(
        title="Slots by queue", unit=theme.NUMBER, many=True, decimals=0, empty="No worker reported its concurrency",
        meaning="Executions that each queue's consumers can run at once, which they share with their other queues.",
        remedy="Fewer than the tasks that come in while one runs: the queue grows.",
        queries=(Query(CHOSEN.gauge("celery_queue_concurrency", QUEUE), "{{queue}}"),),
    ),
    Graph(
        title="By priority", unit=theme.NUMBER, stacked=True, many=True, decimals=0, empty="No priorities are used",
        meaning="Messages by priority step; 0 is served first.",
        remedy="Those at the bottom wait as long as there are others.",
        queries=(Query(
            CHOSEN.gauge("celery_queue_priority_length", f"{QUEUE}, priority"), "{{queue}} {{priority}}"
        ),),
    ),
)  # fmt: skip

UNACKNOWLEDGED = (
    Graph(
        title="Unacknowledged and overdue", unit=theme.NUMBER, many=True, decimals=0, width=12,
        empty="Only known on Redis",
        meaning="Messages that workers hold, and those of them past the visibility timeout.",
        remedy="Overdue ones are about to be run a second time.", alerts=("CeleryTaskNearVisibilityTimeout",),
        styles=(Style("/^overdue/", theme.BAD),),
        queries=(
            Query(of_application("celery_unacked_messages"), "held ({{job}})"),
            Query(of_application("celery_unacked_overdue_messages"), "overdue ({{job}})"),
        ),
    ),
    Graph(
        title="Oldest unacknowledged", unit=theme.AGE, many=True, width=12, empty="Only known on Redis",
        meaning="Time since the delivery of the message that is held longest, and the visibility timeout, after which"
        " it is delivered to another worker.",
        remedy="Near the dashed line: raise visibility_timeout, or shorten the task.",
        styles=(Style("/^visibility/", theme.LIMIT, dashed=True, thick=2),),
        alerts=("CeleryTaskNearVisibilityTimeout",),
        queries=(
            Query(of_application("celery_unacked_oldest_age_seconds"), "oldest ({{job}})"),
            Query(of_application("celery_broker_visibility_timeout_seconds"), "visibility timeout ({{job}})"),
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "celery-queues",
    "Celery / Queues",
    "What waits in a queue, since when, which workers consume it, and when will it be empty?",
    (
        Row("", NOW),
        Row("Queues", QUEUES),
        Row("Waiting", WAITING),
        Row("Who serves them", SERVING),
        Row("Unacknowledged messages", UNACKNOWLEDGED, closed=True),
    ),
    ("queue",),
)
