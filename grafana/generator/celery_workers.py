# SPDX-License-Identifier: Apache-2.0
"""The workers: utilisation, saturation, errors; who is there, and who was."""

from grafana.generator import theme
from grafana.generator.board import Board, Row, link, link_of_row
from grafana.generator.panel import NOTHING, Query, Style, Word
from grafana.generator.panels import Graph, Stat, Timeline
from grafana.generator.promql import RANGE, RATE, WORKER, Scope, greatest
from grafana.generator.tables import Column, Table

CHOSEN = Scope(("worker",))
UP_OR_LOST = (Word("1", "Up", theme.CALM), Word("0", "Lost", theme.BAD))
SLOTS = theme.steps(("CeleryWorkersSaturated.ratio", theme.WARNING))
ACTIVE = CHOSEN.gauge("celery_worker_tasks_active", WORKER, how="max")
CONCURRENCY = CHOSEN.gauge("celery_worker_concurrency", WORKER, how="max")
BUSY = f"{ACTIVE} / on ({WORKER}) ({CONCURRENCY} > 0)"
MEAN_BUSY = (
    f"{CHOSEN.mean_gauge('celery_worker_tasks_active', WORKER)} / on ({WORKER})"
    f" ({CHOSEN.mean_gauge('celery_worker_concurrency', WORKER)} > 0)"
)
SINCE_HEARTBEAT = CHOSEN.age("celery_worker_last_heartbeat_timestamp_seconds", WORKER)


def of_worker(name: str, where: str = "") -> str:
    """Give a gauge by worker."""
    return CHOSEN.gauge(name, WORKER, where, how="max")


NOW = (
    Stat(
        title="Online", unit=theme.NUMBER, steps=theme.steps((1, theme.CALM)), calm=theme.BAD,
        meaning="Chosen workers that send heartbeats.", alerts=("CeleryNoWorkersOnline",),
        remedy="0: nothing is executed.",
        queries=(Query(f"count({CHOSEN.gauge('celery_worker_up', WORKER, how='max')} == 1) or vector(0)"),),
    ),
    Stat(
        title="Lost", unit=theme.NUMBER, steps=theme.steps((1, theme.BAD)), alerts=("CeleryWorkerDown",),
        meaning="Workers that stopped sending heartbeats without a goodbye, within the retention.",
        remedy="Killed (out of memory?), cut off from the broker, or stuck. The time line shows since when.",
        queries=(Query(f"count({CHOSEN.gauge('celery_worker_up', WORKER, how='max')} == 0) or vector(0)"),),
    ),
    Stat(
        title="Slots busy", unit=theme.RATIO, decimals=0, empty=NOTHING, steps=SLOTS,
        meaning="Executions in progress, of those that there could be at once.", alerts=("CeleryWorkersSaturated",),
        remedy="Near 100 % while messages wait: add workers or concurrency.",
        queries=(Query(f"sum({ACTIVE} and {CONCURRENCY}) / (sum({CONCURRENCY}) > 0)"),),
    ),
    Stat(
        title="Reserved", unit=theme.NUMBER, decimals=0,
        meaning="Tasks that workers hold and have not begun, those that wait for their eta left out.",
        remedy="Many with idle workers elsewhere: set worker_prefetch_multiplier to 1.",
        queries=(Query(CHOSEN.gauge("celery_worker_tasks_reserved")),),
    ),
    Stat(
        title="Scheduled", unit=theme.NUMBER, decimals=0,
        meaning="Tasks that workers hold until their eta or the end of their countdown.",
        remedy="They are lost to other workers until then, and delivered again after the visibility timeout.",
        alerts=("CeleryTaskNearVisibilityTimeout",),
        queries=(Query(CHOSEN.gauge("celery_worker_tasks_scheduled")),),
    ),
    Stat(
        title="Starts", unit=theme.NUMBER, decimals=0,
        steps=theme.steps(("CeleryWorkerFlapping.starts", theme.WARNING)),
        meaning="How often the worker that started most did so in the time shown.",
        remedy="Again and again: it is killed, or it fails at the start. Look into its log.",
        alerts=("CeleryWorkerFlapping",),
        queries=(Query(f"max({CHOSEN.increase('celery_worker_starts_total', WORKER)})"),),
    ),
    Stat(
        title="Not counted", unit=theme.COUNT, decimals=0, steps=theme.steps((1, theme.WARNING)),
        meaning="Executions of the time shown that workers counted and whose events never came.",
        remedy="The exporter was away, or fell behind; see its dashboard.", alerts=("CeleryEventsLost",),
        queries=(Query(CHOSEN.increase("celery_worker_events_missed_total")),),
    ),
    Stat(
        title="Without events", unit=theme.NUMBER, steps=theme.steps((1, theme.WARNING)),
        meaning="Workers that execute tasks and send no task events.", alerts=("CeleryWorkerWithoutTaskEvents",),
        remedy="Start them with -E, or set worker_send_task_events.",
        queries=(Query(f"count({of_worker('celery_worker_task_events_enabled')} == 0) or vector(0)"),),
    ),
)  # fmt: skip

PRESENCE = (
    Timeline(
        title="Presence", unit=theme.WORD, height=7, empty="No worker was seen", alerts=("CeleryWorkerDown",),
        words=(Word("1", "Up", theme.GOOD), Word("0", "Lost", theme.BAD)),
        meaning="When each worker gave signs of life. A clean stop ends its line; red is a worker that was lost.",
        remedy="Many ends at once: a deployment, or the broker was away.",
        links=(link("Show ${__field.labels.worker} alone", "celery-workers", "worker"),),
        queries=(Query(of_worker("celery_worker_up"), "{{worker}}"),),
    ),
    Table(
        title="Workers", first="Busy", empty="No worker was seen", height=9,
        meaning="Every worker now. Prefetch is how many messages it may hold unacknowledged, 0 without limit."
        " Failed and retried executions by worker need metrics.worker_label (Celery / Tasks).",
        remedy="Coloured cells are beyond an alert's threshold.", alerts=("CeleryWorkerDown", "CeleryWorkersSaturated"),
        columns=(
            Column(name="Worker", label="worker",
                   link=link_of_row("Show it alone", "celery-workers", worker="Worker")),
            Column(name="State", width=70, words=UP_OR_LOST, expr=of_worker("celery_worker_up")),
            Column(name="Heartbeat", unit=theme.SECONDS, decimals=0, width=90, expr=SINCE_HEARTBEAT),
            Column(name="Busy", unit=theme.RATIO, decimals=0, gauge=True, high=1, steps=SLOTS, width=130, expr=BUSY),
            Column(name="Active", unit=theme.NUMBER, decimals=0, width=70, expr=ACTIVE),
            Column(name="Slots", unit=theme.NUMBER, decimals=0, width=70, expr=CONCURRENCY),
            Column(name="Reserved", unit=theme.NUMBER, decimals=0, width=85,
                   expr=of_worker("celery_worker_tasks_reserved")),
            Column(name="Prefetch", unit=theme.NUMBER, decimals=0, width=85,
                   expr=of_worker("celery_worker_prefetch_count")),
            Column(name="Executions", unit=theme.TASKS, decimals=2, width=110,
                   expr=CHOSEN.rate("celery_worker_tasks_processed_total", WORKER, window=RANGE)),
            Column(name="Load", unit=theme.NUMBER, decimals=2, width=70,
                   expr=of_worker("celery_worker_load_average", 'period="1m"')),
            Column(name="Memory, max", unit=theme.BYTES, decimals=0, width=110,
                   expr=of_worker("celery_worker_memory_max_rss_bytes")),
            Column(name="Up for", unit=theme.SECONDS, decimals=1, width=100,
                   expr=of_worker("celery_worker_uptime_seconds")),
            Column(name="Pool", label="pool", width=80,
                   expr=f"max by ({WORKER}, pool) ({CHOSEN.select('celery_worker_pool_info')})"),
            Column(name="Version", label="version", width=80,
                   expr=f"max by ({WORKER}, version, system) ({CHOSEN.select('celery_worker_info')})"),
            Column(name="System", label="system", width=80),
            Column(name="Job", label="job", width=80),
            Column(name="Application", label="application", width=95),
        ),
        hidden=("cluster", "namespace"),
    ),
)  # fmt: skip

USE = (
    Graph(
        title="Slots busy by worker", unit=theme.RATIO, many=True, reach=1, limits=True, steps=SLOTS, width=12,
        height=9, points=100,
        meaning="Share of each worker's slots that are taken, on average since the point before.",
        alerts=("CeleryWorkersSaturated",),
        remedy="All near 100 % while messages wait: add workers. One alone: its queues are the long ones.",
        empty="No worker reported its concurrency",
        queries=(Query(MEAN_BUSY, "{{worker}}"),),
    ),
    Graph(
        title="Executions", unit=theme.TASKS, stacked=True, many=True, width=12, height=9,
        meaning="Executions that each worker began, by its own count.",
        remedy="One that does nothing while others are busy: does it consume the right queues?",
        queries=(Query(CHOSEN.rate("celery_worker_tasks_processed_total", WORKER), "{{worker}}"),),
    ),
    Graph(
        title="Active, reserved, scheduled", unit=theme.NUMBER, many=True, decimals=0, height=9,
        meaning="What the workers hold: in progress, prefetched, waiting for an eta; and their slots.",
        remedy="Reserved far above slots: worker_prefetch_multiplier is too large for long tasks.",
        styles=(Style("active", "blue"), Style("reserved", "orange"), Style("scheduled", "purple"),
                Style("slots", theme.LIMIT, dashed=True, thick=2)),
        queries=(
            Query(CHOSEN.gauge("celery_worker_tasks_active"), "active"),
            Query(CHOSEN.gauge("celery_worker_tasks_reserved"), "reserved"),
            Query(CHOSEN.gauge("celery_worker_tasks_scheduled"), "scheduled"),
            Query(CHOSEN.gauge("celery_worker_concurrency"), "slots"),
        ),
    ),
    Graph(
        title="Load of the machine", unit=theme.NUMBER, decimals=2, many=True, points=100,
        meaning="Load average of the last minute of each worker's machine: processes that want a CPU, or wait for a"
        " disk.",
        remedy="More than the machine has cores: tasks delay each other.",
        queries=(Query(CHOSEN.mean_gauge("celery_worker_load_average", WORKER, 'period="1m"'), "{{worker}}"),),
    ),
    Graph(
        title="Memory, greatest", unit=theme.BYTES, many=True, empty="No worker told it",
        meaning="Largest resident set so far of each worker's main process, its children not included.",
        remedy="A step at each restart: a leak. Set worker_max_tasks_per_child.",
        queries=(Query(of_worker("celery_worker_memory_max_rss_bytes"), "{{worker}}"),),
    ),
)  # fmt: skip

HEALTH = (
    Graph(
        title="Since the last heartbeat", unit=theme.AGE, many=True,
        points=120,
        meaning="The longest that each worker was not heard of since the point before.", alerts=("CeleryWorkerDown",),
        remedy="Growing: an event loop that is blocked, or a network that drops.",
        queries=(Query(greatest(SINCE_HEARTBEAT), "{{worker}}"),),
    ),
    Graph(
        title="Clock", unit=theme.SPAN, many=True, low=None, limits=True, alerts=("CeleryWorkerClockSkew",),
        steps=theme.steps(("CeleryWorkerClockSkew.seconds", theme.WARNING)),
        meaning="Each worker's clock less the exporter's. Waiting times and schedules are wrong by this much.",
        remedy="Let the machine keep its time (chrony, systemd-timesyncd).",
        queries=(Query(of_worker("celery_worker_clock_skew_seconds"), "{{worker}}"),),
    ),
    Graph(
        title="Starts over time", unit=theme.NUMBER, many=True, decimals=0, alerts=("CeleryWorkerFlapping",),
        meaning="Starts of each worker around each point.",
        remedy="Again and again: it is killed, or it fails at the start.",
        queries=(Query(CHOSEN.increase("celery_worker_starts_total", WORKER, window=RATE), "{{worker}}"),),
    ),
    Graph(
        title="Executions not counted", unit=theme.NUMBER, many=True, decimals=0, alerts=("CeleryEventsLost",),
        meaning="Executions that a worker counted and whose events never came.",
        remedy="The exporter was away, or fell behind; see its dashboard.",
        queries=(Query(CHOSEN.increase("celery_worker_events_missed_total", WORKER, window=RATE), "{{worker}}"),),
    ),
    Table(
        title="Queues that workers consume", first="Queue", width=16, height=8, empty="No worker told its queues",
        meaning="Which worker consumes which queue, as the workers told.",
        remedy="A queue that is missing here has no consumer.", alerts=("CeleryQueueNoConsumers",),
        columns=(
            Column(name="Queue", label="queue", link=link_of_row("Open the queue", "celery-queues", queue="Queue"),
                   expr=f"max by (worker, queue) ({CHOSEN.select('celery_worker_queue_info')})"),
            Column(name="Worker", label="worker"),
        ),
    ),
)  # fmt: skip

BOARD = Board(
    "celery-workers",
    "Celery / Workers",
    "Which workers are online, how busy are they, and was one lost?",
    (
        Row("", NOW),
        Row("Who is there", PRESENCE),
        Row("Utilisation and saturation", USE),
        Row("Errors", HEALTH, closed=True),
    ),
    ("worker",),
)
