# SPDX-License-Identifier: Apache-2.0
"""The exporter itself: that it hears everything, sees everything, and costs little."""

from grafana.generator import theme
from grafana.generator.board import OWN_PROCESS, Board, Row
from grafana.generator.panel import NOTHING, UP_OR_DOWN, Query, Style, Word
from grafana.generator.panels import QUANTILES, Graph, Heatmap, Stat, Timeline, quantiles
from grafana.generator.promql import RANGE, RATE, Scope, greatest
from grafana.generator.tables import Column, Table

ALL = Scope()
LAG = "celery_exporter_event_lag_seconds"
FINE_OR_FAILED = (Word("1", "Fine", theme.GOOD), Word("0", "Failed", theme.BAD))


def own(name: str, window: str = "") -> str:
    """Give a metric that every process has, of the exporter alone."""
    selected = f"rate({ALL.select(name, window=window)})" if window else ALL.select(name)
    return f"{selected} {OWN_PROCESS}"


def counted(name: str) -> str:
    """Give how often something happened around each point, 0 where nothing has yet."""
    return f"{ALL.increase(name, window=RATE)} or vector(0)"


def happened(name: str, by: str) -> Query:
    """Ask the same for each value of a label."""
    return Query(ALL.increase(name, by, window=RATE), f"{{{{{by}}}}}")


def worst(name: str, by: str = "", how: str = "max") -> str:
    """Give a gauge of the exporter that does worst."""
    return f"{how} by ({by}) ({ALL.select(name)})" if by else f"{how}({ALL.select(name)})"


NOW = (
    Stat(
        title="Scraped", unit=theme.WORD, words=UP_OR_DOWN, alerts=("CeleryExporterDown", "CeleryExporterAbsent"),
        meaning="Whether Prometheus reaches every exporter.",
        remedy="Down: no figure on any of these dashboards moves. Is the process alive, is its port reachable?",
        queries=(Query(
            f"min({ALL.select('up')} and on (cluster, namespace, job, instance) last_over_time("
            + ALL.select("celery_exporter_build_info", window=RANGE) + ")) or vector(0)"
        ),),
    ),
    Stat(
        title="Event streams", unit=theme.WORD, words=UP_OR_DOWN, alerts=("CeleryEventStreamDown",),
        meaning="Whether every exporter is subscribed to Celery's events.",
        remedy="Down: is the broker up, and may its user subscribe? Events of the gap are lost.",
        queries=(Query(f"{worst('celery_exporter_event_stream_up', how='min')} or vector(0)"),),
    ),
    Stat(
        title="Last event", unit=theme.SECONDS, decimals=0, empty="none yet", alerts=("CeleryEventsSilent",),
        steps=theme.steps(("CeleryEventsSilent.seconds", theme.WARNING)),
        meaning="How long ago the last event arrived, of any type; workers' heartbeats come every two seconds.",
        remedy="Long with workers online: do they send to this broker, database and event exchange?",
        queries=(Query(ALL.age("celery_exporter_last_event_timestamp_seconds")),),
    ),
    Stat(
        title="Event lag, p95", unit=theme.SECONDS, decimals=1, empty=NOTHING,
        steps=theme.steps((5, theme.WARNING)),
        meaning="Time from the stamp of an event to its being counted, in the time shown. A sender's clock that is"
        " wrong shows here too.",
        remedy="Seconds: a wrong clock, or an exporter without CPU.",
        queries=(Query(ALL.quantile(0.95, LAG, window=RANGE)),),
    ),
    Stat(
        title="Backlog", unit=theme.BYTES, decimals=0, alerts=("CeleryEventBacklogGrowing",),
        steps=theme.steps(("CeleryEventBacklogGrowing.bytes", theme.WARNING)),
        meaning="Events that Redis holds for the exporter; it cuts the subscription at its limit.",
        remedy="Growing: give the exporter more CPU.",
        queries=(Query(worst("celery_exporter_event_backlog_bytes")),),
    ),
    Stat(
        title="Not counted", unit=theme.COUNT, decimals=0, steps=theme.steps((1, theme.WARNING)),
        meaning="Executions of the time shown that workers counted and whose events never came.",
        remedy="Look for reconnects and for a backlog at that time.", alerts=("CeleryEventsLost",),
        queries=(Query(ALL.increase("celery_worker_events_missed_total") + " or vector(0)"),),
    ),
    Stat(
        title="Failing reads", unit=theme.NUMBER, steps=theme.steps((1, theme.WARNING)),
        meaning="Background reads that failed when they last ran.", alerts=("CeleryExporterCollectorFailing",),
        remedy="Background reads shows which; the exporter's log says why.",
        queries=(Query(f"count({worst('celery_exporter_collector_success', 'collector', 'min')} == 0) or vector(0)"),),
    ),
    Stat(
        title="Series refused", unit=theme.NUMBER, decimals=0, steps=theme.steps((1, theme.WARNING)),
        meaning="New series of the time shown that did not fit any more and were counted under __overflow__.",
        remedy="Rewrite names that hold ids (names.task.rewrite), or raise the limit.",
        alerts=("CeleryExporterSeriesLimitHit",),
        queries=(Query(ALL.increase("celery_exporter_series_dropped_total") + " or vector(0)"),),
    ),
)  # fmt: skip

INSTANCES = Table(
    title="Exporters", first="Up for", empty="No exporter is scraped", height=5,
    meaning="Every exporter that is scraped: versions, age, and what a scrape of it costs.",
    remedy="Two of one application are a pair: gauges and counters of both count once on these dashboards.",
    columns=(
        Column(name="Instance", label="instance"),
        Column(name="Job", label="job"),
        Column(name="Version", label="version",
               expr="max by (job, instance, version, python_version, redis_py_version)"
               f" ({ALL.select('celery_exporter_build_info')})"),
        Column(name="Python", label="python_version"),
        Column(name="redis-py", label="redis_py_version"),
        Column(name="Up for", unit=theme.SECONDS, decimals=1,
               expr=f"time() - max by (job, instance) ({own('process_start_time_seconds')})"),
        Column(name="Samples", unit=theme.COUNT, decimals=0,
               expr=f"max by (job, instance) ({own('scrape_samples_scraped')})"),
        Column(name="Time of a scrape", unit=theme.SECONDS,
               expr=f"max by (job, instance) ({own('scrape_duration_seconds')})"),
        Column(name="CPU", unit=theme.RATIO, decimals=1,
               expr=f"max by (job, instance) ({own('process_cpu_seconds_total', RANGE)})"),
        Column(name="Memory", unit=theme.BYTES, decimals=1,
               expr=f"max by (job, instance) ({own('process_resident_memory_bytes')})"),
    ),
)  # fmt: skip

EVENTS = (
    Graph(
        title="Events by type", unit=theme.EVENTS, stacked=True, many=True, width=12,
        meaning="Events that were counted, each second.",
        remedy="Only worker-heartbeat: workers without -E.",
        queries=(Query(ALL.rate("celery_exporter_events_total", "type"), "{{type}}"),),
    ),
    Heatmap(
        title="Event lag", unit=theme.SECONDS, height=9, empty="No event came",
        meaning="How the times from an event's stamp to its being counted spread.",
        remedy="A band far above the others: one sender whose clock is late.",
        queries=(Query(ALL.buckets(LAG), "{{le}}"),),
    ),
    Graph(
        title="Event lag quantiles", unit=theme.SPAN, styles=QUANTILES, empty="No event came", width=6,
        meaning="Half, 95 % and 99 % of the events were counted within this time.",
        remedy="Seconds: a wrong clock, or an exporter without CPU.",
        queries=quantiles(ALL, LAG),
    ),
    Graph(
        title="Backlog by exporter", unit=theme.BYTES, many=True, width=6, alerts=("CeleryEventBacklogGrowing",),
        meaning="Events that Redis holds for each exporter.",
        remedy="Growing: give the exporter more CPU.", empty="Only known on Redis", limits=True,
        steps=theme.steps(("CeleryEventBacklogGrowing.bytes", theme.WARNING)),
        queries=(Query(worst("celery_exporter_event_backlog_bytes", "instance"), "{{instance}}"),),
    ),
    Graph(
        title="Interruptions", unit=theme.NUMBER, many=True, decimals=0, width=6, empty="None",
        meaning="Losses of the event stream around each point, by reason.",
        remedy="closed again and again: Redis cuts clients off whose buffer is full.",
        alerts=("CeleryEventStreamDown",),
        queries=(happened("celery_exporter_event_stream_reconnects_total", "reason"),),
    ),
    Graph(
        title="Lost, invalid, unmatched", unit=theme.NUMBER, many=True, decimals=0, width=6,
        meaning="What could not be counted around each point: events that never came by the workers' own count,"
        " messages that can't be read, ends of tasks whose name was never heard, and reports of an end that was counted"
        " before.",
        remedy="invalid with the reason serializer: a publisher that pickles.",
        alerts=("CeleryEventsLost", "CeleryEventsInvalid", "CeleryEventsUnmatched", "CeleryTasksForgotten"),
        styles=(Style("lost", theme.BAD), Style("invalid", "orange"), Style("unmatched", "yellow"),
                Style("told twice", "blue")),
        queries=(
            Query(counted("celery_worker_events_missed_total"), "lost"),
            Query(counted("celery_exporter_events_invalid_total"), "invalid"),
            Query(counted("celery_exporter_tasks_unmatched_total"), "unmatched"),
            Query(counted("celery_exporter_tasks_duplicate_total"), "told twice"),
        ),
    ),
)  # fmt: skip

SCRAPES = (
    Heatmap(
        title="Time of a scrape", unit=theme.SECONDS, height=8, empty="Nothing was scraped", scheme="Greens",
        meaning="How long scrapes took the exporter: reading Redis and rendering.",
        remedy="At the deadline (scrape.deadline): a server that hangs.",
        queries=(Query(ALL.buckets("celery_exporter_scrape_duration_seconds"), "{{le}}"),),
    ),
    Graph(
        title="Samples of a scrape", unit=theme.NUMBER, many=True, width=6,
        meaning="Samples that Prometheus got from each exporter.",
        remedy="Growing without end: names that hold ids. See Series.",
        queries=(Query(f"max by (instance) ({own('scrape_samples_scraped')})", "{{instance}}"),),
    ),
    Graph(
        title="Series", unit=theme.NUMBER, stacked=True, many=True, width=6,
        meaning="Series that the exporter holds, the ten metrics with the most.",
        remedy="Rewrite names that hold ids (names.task.rewrite).", alerts=("CeleryExporterSeriesLimitHit",),
        queries=(Query(f"topk(10, {worst('celery_exporter_series', 'metric')})", "{{metric}}"),),
    ),
)  # fmt: skip

READS = (
    Timeline(
        title="Background reads", unit=theme.WORD, width=12, height=8, words=FINE_OR_FAILED, empty="None has run",
        meaning="Whether the last run of each read succeeded: queues, workers' answers, the key space, schedules.",
        remedy="Failed: the exporter's log says why.", alerts=("CeleryExporterCollectorFailing",),
        queries=(Query(worst("celery_exporter_collector_success", "collector", "min"), "{{collector}}"),),
    ),
    Graph(
        title="Time of background reads", unit=theme.SPAN, many=True, points=120, width=12, empty="None has run",
        meaning="How long the last run of each read took. No scrape waits for them.",
        remedy="Long for the key space: many keys; it gives way to others.",
        queries=(Query(worst("celery_exporter_collector_duration_seconds", "collector"), "{{collector}}"),),
    ),
    Graph(
        title="Since the last success", unit=theme.AGE, many=True, width=6, empty="None has run",
        points=120,
        meaning="The longest since the point before that each read had not succeeded.",
        remedy="Growing: that read fails.", alerts=("CeleryExporterCollectorFailing",),
        queries=(Query(
            greatest(ALL.age("celery_exporter_collector_last_success_timestamp_seconds", "collector")), "{{collector}}"
        ),),
    ),
    Graph(
        title="Answers that did not come", unit=theme.NUMBER, many=True, decimals=0, width=6,
        meaning="Answers of online workers to inspect commands that did not come in time, around each point.",
        remedy="One command alone: workers that are busy in solo or gevent pools. All: is remote control disabled?",
        queries=(happened("celery_exporter_control_replies_missing_total", "command"),),
    ),
    Graph(
        title="Key space", unit=theme.RATIO, many=True, width=6, reach=1, empty="The key space is not looked at",
        meaning="Share of each database's keys that the figures about groups of keys rest on.",
        remedy="Low for long: raise redis.key_space.max_keys, or redis.key_space.duty.",
        queries=(Query(worst("celery_exporter_key_space_coverage_ratio", "redis, db"), "{{redis}} {{db}}"),),
    ),
    Table(
        title="Commands refused", first="Command", width=6, empty="None", alerts=("CeleryExporterCommandDenied",),
        meaning="Commands that a server refuses to the exporter, or does not know; their metrics are missing.",
        remedy="Give its user the permissions of deploy/docs/permissions-and-cost.md, or leave it so: nothing else"
        " depends on them.",
        columns=(
            Column(name="Server", label="redis"),
            Column(name="Command", label="command", expr=worst("celery_exporter_command_denied", "redis, command")),
        ),
    ),
)  # fmt: skip

PROCESS = (
    Graph(
        title="CPU of the exporter", unit=theme.RATIO, many=True, width=6,
        meaning="Share of one CPU that each exporter takes.",
        remedy="Near 100 %: see events each second; one CPU counts some hundred thousand.",
        queries=(Query(f"sum by (instance) ({own('process_cpu_seconds_total', RATE)})", "{{instance}}"),),
    ),
    Graph(
        title="Memory of the exporter", unit=theme.BYTES, many=True, width=6,
        meaning="Resident memory of each exporter.",
        remedy="Growing with Tracked tasks: ends that never come. Growing with Series: names that hold ids.",
        queries=(Query(f"max by (instance) ({own('process_resident_memory_bytes')})", "{{instance}}"),),
    ),
    Graph(
        title="Open files", unit=theme.NUMBER, many=True, decimals=0, width=6,
        meaning="File descriptors that each exporter has open.",
        remedy="Growing without end is a bug; please report it.",
        queries=(Query(f"max by (instance) ({own('process_open_fds')})", "{{instance}}"),),
    ),
    Graph(
        title="Tracked tasks", unit=theme.NUMBER, many=True, decimals=0, width=6,
        meaning="Tasks held in memory to join their events.",
        remedy="At tracking.max_tasks: the oldest are forgotten.",
        queries=(Query(worst("celery_exporter_tasks_tracked", "instance"), "{{instance}}"),),
    ),
    Graph(
        title="Forgotten tasks", unit=theme.NUMBER, many=True, decimals=0,
        meaning="Unfinished tasks that were forgotten for their age or number, and runs closed because their worker was"
        " lost, stopped, restarted or idle.",
        remedy="count: raise tracking.max_tasks.",
        queries=(happened("celery_exporter_tasks_evicted_total", "reason"),),
    ),
    Graph(
        title="Garbage collections", unit=theme.OPERATIONS, many=True,
        meaning="Collections of Python's garbage by generation.",
        remedy="Nothing by itself; many of generation 2 cost CPU.",
        queries=(Query(f"sum by (generation) ({own('python_gc_collections_total', RATE)})",
                       "generation {{generation}}"),),
    ),
    Graph(
        title="Unexpected errors", unit=theme.NUMBER, many=True, decimals=0, alerts=("CeleryExporterBug",),
        meaning="Errors that should not be possible, around each point, by the part that restarted.",
        remedy="The log has their tracebacks; please report them.", empty="None",
        queries=(happened("celery_exporter_unexpected_errors_total", "collector"),),
    ),
)  # fmt: skip

BOARD = Board(
    "exporter",
    "Celery / Exporter",
    "Does the exporter receive every event, and how much CPU and memory does it use?",
    (
        Row("", (*NOW, INSTANCES)),
        Row("Events", EVENTS),
        Row("Scrapes", SCRAPES),
        Row("Background reads", READS),
        Row("Process", PROCESS, closed=True),
    ),
)
