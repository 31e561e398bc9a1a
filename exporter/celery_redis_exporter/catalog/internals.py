# SPDX-License-Identifier: Apache-2.0
"""Define the exporter's metrics about itself."""

from celery_redis_exporter.catalog.labels import (
    COLLECTOR,
    EVICTION,
    FIELD,
    FOUND,
    INSPECTION,
    METRIC,
    PYTHON_VERSION,
    REASON,
    REDIS,
    REDIS_COMMAND,
    REDIS_PY_VERSION,
    RESULT,
    SCRAPE_ERROR,
    TRANSPORT,
    TYPE,
    VERSION,
)
from celery_redis_exporter.catalog.metric import CommandOrigin, EventOrigin, Metric, Own, counter, gauge, histogram

PASSIVE = "AMQP queue.declare (passive)"

BUILD_INFO = gauge(
    "celery_exporter_build_info",
    "1, with the versions in the labels.",
    (VERSION, PYTHON_VERSION, REDIS_PY_VERSION),
)
STREAM_UP = gauge("celery_exporter_event_stream_up", "1 while subscribed to the broker's events.")
STREAM_RECONNECTS = counter(
    "celery_exporter_event_stream_reconnects_total",
    "Losses of the event stream: refused, timeout, dns, tls, auth, noperm, nomaster, loading, masterdown, moved, "
    "clusterdown, busy, maxclients, denied, address, closed, protocol, bug.",
    (REASON,),
)
STREAM_GAP = counter(
    "celery_exporter_event_stream_gap_seconds_total",
    "Time without a subscription since the first one; events of such a gap are lost, Redis does not keep them.",
)
LAST_EVENT = gauge(
    "celery_exporter_last_event_timestamp_seconds",
    "Arrival of the last event of any type; absent until the first.",
)
EVENTS = counter("celery_exporter_events_total", "Events folded, by type.", (TYPE,), EventOrigin(("all",)))
EVENTS_INVALID = counter(
    "celery_exporter_events_invalid_total",
    "Messages or events skipped, by reason: envelope, serializer (pickle is never read), body, schema, size (more than "
    "32 MiB).",
    (REASON,),
    EventOrigin(("all",)),
)
BINDINGS_INVALID = counter(
    "celery_exporter_bindings_invalid_total",
    "Bindings of queues on Redis that could not be read, each once: they have another separator than "
    "broker_transport_options.sep and kombu's own, or are no bindings of kombu.",
    (),
    CommandOrigin("SMEMBERS"),
)
NAMES_CUT = counter(
    "celery_exporter_names_cut_total",
    "Names above 512 characters in events and inspect replies, which were cut; a hash of the whole name is at the end.",
)
FIELDS_IGNORED = counter(
    "celery_exporter_fields_ignored_total",
    "Optional fields of events and inspect replies that were not of the expected type; the rest was used.",
    (FIELD,),
)
EVENT_LAG = histogram(
    "celery_exporter_event_lag_seconds",
    "Time from the stamp of a message's last event to its folding. A difference between the sender's clock and the "
    "exporter's counts too, unless the exporter's was set meanwhile; below 0 is 0.",
    (),
    EventOrigin(("all",)),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
EVENT_BACKLOG = gauge(
    "celery_exporter_event_backlog_bytes",
    "Output buffer that the broker holds for the event subscription; it cuts the subscription at its limit.",
    (),
    CommandOrigin("CLIENT LIST ID"),
)
EVENT_BACKLOG_MESSAGES = gauge(
    "celery_exporter_event_backlog_messages",
    "Messages that wait in the exporter's own queue on RabbitMQ; the oldest go beyond events.queue_max_length.",
    (),
    CommandOrigin(PASSIVE),
)
BROKER_UP = gauge(
    "celery_exporter_broker_up",
    "1 if the broker answered this scrape. Redis has redis_up instead, unless several applications share it.",
    (TRANSPORT,),
    CommandOrigin(PASSIVE),
)
BROKER_LAST_SCRAPE_ERROR = gauge(
    "celery_exporter_broker_last_scrape_error",
    "1 with the reason why the broker could not be read; 0, with an empty err, if it could.",
    (TRANSPORT, SCRAPE_ERROR),
    CommandOrigin(PASSIVE),
)
BROKER_LAST_SCRAPE_DURATION = gauge(
    "celery_exporter_broker_last_scrape_duration_seconds",
    "Time to read the broker; absent if that failed.",
    (TRANSPORT,),
    CommandOrigin(PASSIVE),
)
TASKS_TRACKED = gauge("celery_exporter_tasks_tracked", "Tasks kept in memory to match their events.")
TASKS_EVICTED = counter(
    "celery_exporter_tasks_evicted_total",
    "Unfinished tasks forgotten, by reason: count, age; or runs closed unseen: inactive, lost, offline, restarted.",
    (EVICTION,),
)
TASKS_UNMATCHED = counter(
    "celery_exporter_tasks_unmatched_total",
    "Events of a task whose name was not received, so that they could not be counted under a task.",
    (TYPE,),
)
TASKS_DUPLICATE = counter(
    "celery_exporter_tasks_duplicate_total",
    "Events that report the end of an execution a second time, and were not counted.",
    (TYPE,),
)
SERIES = gauge("celery_exporter_series", "Series held, by metric.", (METRIC,))
SERIES_DROPPED = counter(
    "celery_exporter_series_dropped_total",
    "Series refused at the limit and folded into __overflow__, by metric; those of servers at each read.",
    (METRIC,),
)
SERIES_EXPIRED = counter(
    "celery_exporter_series_expired_total",
    "Series removed after their time without an event, by metric.",
    (METRIC,),
)
COLLECTOR_SUCCESS = gauge(
    "celery_exporter_collector_success",
    "1 if the collector's last run succeeded.",
    (COLLECTOR,),
)
COLLECTOR_DURATION = gauge(
    "celery_exporter_collector_duration_seconds",
    "Duration of the collector's last run.",
    (COLLECTOR,),
)
COLLECTOR_LAST_SUCCESS = gauge(
    "celery_exporter_collector_last_success_timestamp_seconds",
    "When the collector last succeeded; absent until it does.",
    (COLLECTOR,),
)
CONTROL_ENABLED = gauge(
    "celery_exporter_control_enabled",
    "1 while workers are queried; 0 where the settings switch that off, or where the broker's user may not write.",
)
CONTROL_MISSING = counter(
    "celery_exporter_control_replies_missing_total",
    "Answers of online workers that did not arrive in time, by inspect command.",
    (INSPECTION,),
)
CONTROL_INVALID = counter(
    "celery_exporter_control_replies_invalid_total",
    "Answers skipped, by reason: envelope, serializer (pickle is not read), body, schema, size, late, unknown_worker.",
    (REASON,),
)
EVENTS_ENABLED = counter(
    "celery_exporter_enable_events_sent_total",
    "Commands to workers to send task events (celery.enable_events).",
)
COMMAND_DENIED = gauge(
    "celery_exporter_command_denied",
    "1 for each command that a server refuses because a permission is missing, or does not know; tried again every 10 "
    "minutes.",
    (REDIS, REDIS_COMMAND),
)
REDIS_NODES = gauge(
    "celery_exporter_redis_nodes", "Nodes of a Redis Cluster.", (REDIS,), CommandOrigin("CLUSTER NODES")
)
REDIS_NODES_REFUSED = gauge(
    "celery_exporter_redis_nodes_refused",
    "Nodes of a cluster that are not connected to: their addresses are not among redis.allowed_addresses.",
    (REDIS,),
    CommandOrigin("CLUSTER NODES"),
)
REDIS_NODES_DROPPED = gauge(
    "celery_exporter_redis_nodes_dropped",
    "Nodes of a Redis Cluster that are not read, because there are more than redis.max_nodes.",
    (REDIS,),
    CommandOrigin("CLUSTER NODES"),
)
REDIS_VALUES_REFUSED = counter(
    "celery_exporter_redis_values_refused_total",
    "Values of INFO that were left out because they are none: no number, nan, below 0, or too large.",
    (REDIS,),
    CommandOrigin("INFO"),
)
REDIS_LOOKUPS = counter(
    "celery_exporter_redis_lookups_total",
    "Look-ups of keys that the exporter's own commands caused, which the server counts too; absent for the broker. Key "
    "groups, named keys and RedBeat's schedule cause some.",
    (REDIS, FOUND),
)
MEMORY_LIMIT = gauge(
    "celery_exporter_redis_memory_limit_bytes",
    "The server's maxmemory, or redis.assumed_maxmemory where it has none; absent where neither is set.",
    (REDIS,),
    Own("INFO memory; settings: redis.assumed_maxmemory"),
)
MEMORY_PURGES = counter(
    "celery_exporter_memory_purges_total",
    "Times that the memory guard sent MEMORY PURGE, by result: done, failed.",
    (REDIS, RESULT),
)
LOG_LINES_DROPPED = counter(
    "celery_exporter_log_lines_dropped_total",
    "Lines of the log that were dropped, because the reader of the log was too slow.",
)
RELOAD_SUCCESSFUL = gauge(
    "celery_exporter_config_last_reload_successful",
    "1 if the last reading of the settings succeeded: at the start, or after SIGHUP; 0 if what was read is not in use.",
)
RELOAD_SUCCESS_TIME = gauge(
    "celery_exporter_config_last_reload_success_timestamp_seconds",
    "The last time that the settings were read successfully: at the start, or after SIGHUP.",
)
STATE_FILE_LAST_WRITE = gauge(
    "celery_exporter_state_file_last_write_timestamp_seconds",
    "When state.file was last written; absent until it is.",
)
STATE_FILE_SIZE = gauge("celery_exporter_state_file_size_bytes", "Size of state.file when it was last written.")
STATE_FILE_FAILURES = counter(
    "celery_exporter_state_file_write_failures_total",
    "Times that state.file could not be written; absent without state.file.",
)
SCRAPE_DURATION = histogram(
    "celery_exporter_scrape_duration_seconds",
    "Time to answer a scrape: Redis reads and rendering.",
    (),
    Own(),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
UNEXPECTED_ERRORS = counter(
    "celery_exporter_unexpected_errors_total",
    "Errors that should not be possible, by the part that restarted after one; each is logged with its traceback.",
    (COLLECTOR,),
)

METRICS: tuple[Metric, ...] = (
    BUILD_INFO, STREAM_UP, STREAM_RECONNECTS, STREAM_GAP, LAST_EVENT, EVENTS, EVENTS_INVALID, BINDINGS_INVALID,
    NAMES_CUT, FIELDS_IGNORED, EVENT_LAG, EVENT_BACKLOG, EVENT_BACKLOG_MESSAGES,
    BROKER_UP, BROKER_LAST_SCRAPE_ERROR, BROKER_LAST_SCRAPE_DURATION,
    TASKS_TRACKED, TASKS_EVICTED, TASKS_UNMATCHED, TASKS_DUPLICATE, SERIES, SERIES_DROPPED,
    SERIES_EXPIRED, COLLECTOR_SUCCESS, COLLECTOR_DURATION, COLLECTOR_LAST_SUCCESS, CONTROL_ENABLED,
    CONTROL_MISSING, CONTROL_INVALID, EVENTS_ENABLED, COMMAND_DENIED, REDIS_NODES,
    REDIS_NODES_DROPPED, REDIS_NODES_REFUSED, REDIS_VALUES_REFUSED, REDIS_LOOKUPS, MEMORY_LIMIT, MEMORY_PURGES,
    LOG_LINES_DROPPED, RELOAD_SUCCESSFUL, RELOAD_SUCCESS_TIME, STATE_FILE_LAST_WRITE, STATE_FILE_SIZE,
    STATE_FILE_FAILURES, SCRAPE_DURATION, UNEXPECTED_ERRORS,
)  # fmt: skip
