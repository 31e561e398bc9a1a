# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of commands, errors, latency and logs of slow commands.

They come from INFO commandstats, errorstats and latencystats, LATENCY, SLOWLOG, and COMMANDLOG of Valkey 8.1 and later.
"""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import CommandOrigin, Info, Metric, counter, gauge, histogram, summary

_CMD = (lb.REDIS, lb.CMD)
_EVENT = (lb.REDIS, lb.EVENT_NAME)

ROWS: tuple[Metric, ...] = (
    counter("redis_commands_total", "Calls by command.", _CMD, Info("commandstats", "cmdstat_*", "calls")),
    counter("redis_commands_duration_seconds_total", "Time spent in a command.", _CMD,
            Info("commandstats", "cmdstat_*", "usec", 1e6)),
    counter("redis_commands_rejected_calls_total", "Calls refused before execution.", _CMD,
            Info("commandstats", "cmdstat_*", "rejected_calls")),
    counter("redis_commands_failed_calls_total", "Calls failed in execution.", _CMD,
            Info("commandstats", "cmdstat_*", "failed_calls")),
    counter("redis_commands_slowlog_total", "Calls that came into the slow log.", _CMD,
            Info("commandstats", "cmdstat_*", "slowlog_count")),
    counter("redis_commands_slowlog_duration_seconds_total", "Time of calls that came into the slow log.", _CMD,
            Info("commandstats", "cmdstat_*", "slowlog_time_ms_sum", 1e3)),
    gauge("redis_commands_slowlog_duration_seconds_max", "Longest call that came into the slow log.", _CMD,
          Info("commandstats", "cmdstat_*", "slowlog_time_ms_max", 1e3)),
    counter("redis_errors_total", "Error replies by prefix.", (lb.REDIS, lb.ERR),
            Info("errorstats", "errorstat_*", "count")),
)  # fmt: skip

LATENCY_PERCENTILES = summary(
    "redis_latency_percentiles_usec",
    "Time of a command in microseconds; the quantiles are percentiles, e.g. 99.9.",
    _CMD,
    Info("latencystats", "latency_percentiles_usec_*"),
)
LATENCY_HISTOGRAM = histogram(
    "redis_commands_latencies_usec",
    "Time of a command in microseconds, in the buckets that Redis has.",
    _CMD,
    CommandOrigin("LATENCY HISTOGRAM"),
)
LATENCY_LAST = gauge(
    "redis_latency_spike_last",
    "When the latency spike last occurred (epoch seconds).",
    _EVENT,
    CommandOrigin("LATENCY LATEST"),
)
LATENCY_DURATION = gauge(
    "redis_latency_spike_duration_seconds", "Length of the last latency spike.", _EVENT, CommandOrigin("LATENCY LATEST")
)
SLOWLOG_LENGTH = gauge("redis_slowlog_length", "Entries in the slow log.", (lb.REDIS,), CommandOrigin("SLOWLOG LEN"))
SLOWLOG_LAST_ID = gauge(
    "redis_slowlog_last_id", "Id of the newest entry of the slow log.", (lb.REDIS,), CommandOrigin("SLOWLOG GET 1")
)
SLOWLOG_LAST_DURATION = gauge(
    "redis_last_slow_execution_duration_seconds",
    "Duration of the newest command in the slow log; 0 when it is empty.",
    (lb.REDIS,),
    CommandOrigin("SLOWLOG GET 1"),
)
COMMANDLOG_LENGTHS: tuple[Metric, ...] = tuple(
    gauge(
        f"redis_commandlog_{kind.replace('-', '_')}_length", text, (lb.REDIS,), CommandOrigin(f"COMMANDLOG LEN {kind}")
    )
    for kind, text in (
        ("slow", "Entries in Valkey's log of slow commands."),
        ("large-request", "Entries in Valkey's log of large requests."),
        ("large-reply", "Entries in Valkey's log of large replies."),
    )
)
"""In the order in which they are requested."""

SPECIAL: tuple[Metric, ...] = (
    LATENCY_PERCENTILES, LATENCY_HISTOGRAM, LATENCY_LAST, LATENCY_DURATION, SLOWLOG_LENGTH, SLOWLOG_LAST_ID,
    SLOWLOG_LAST_DURATION, *COMMANDLOG_LENGTHS,
)  # fmt: skip
