# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of settings that INFO does not contain. They are read at intervals by CONFIG GET with names.

``maxmemory`` and ``maxclients`` come from INFO or, for servers whose INFO lacks them, from CONFIG.
"""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import CommandOrigin, Metric, gauge


def _from(parameter: str) -> CommandOrigin:
    return CommandOrigin(f"CONFIG GET {parameter}")


BUFFER_LIMIT = gauge(
    "redis_config_client_output_buffer_limit_bytes",
    "Limit of a client's output buffer, by class of clients.",
    (lb.REDIS, lb.CLIENT_CLASS, lb.LIMIT),
    _from("client-output-buffer-limit"),
)
BUFFER_LIMIT_SECONDS = gauge(
    "redis_config_client_output_buffer_limit_overcome_seconds",
    "Time for which a client may be over the soft limit of its output buffer.",
    (lb.REDIS, lb.CLIENT_CLASS, lb.LIMIT),
    _from("client-output-buffer-limit"),
)
PLAIN: dict[str, Metric] = {
    parameter: gauge(f"redis_{name}", text, (lb.REDIS,), _from(parameter))
    for parameter, name, text in (
        ("io-threads", "config_io_threads", "Threads for reading and writing."),
        ("repl-backlog-size", "config_repl_backlog_size", "Size of the replication backlog, in bytes."),
        ("commandlog-execution-slower-than", "commandlog_execution_slower_than",
         "Time from which Valkey logs a command as slow, in microseconds."),
        ("commandlog-slow-execution-max-len", "commandlog_slow_execution_max_len",
         "Longest that Valkey's log of slow commands may be."),
        ("commandlog-request-larger-than", "commandlog_request_larger_than",
         "Bytes from which Valkey logs a request as large."),
        ("commandlog-large-request-max-len", "commandlog_large_request_max_len",
         "Longest that Valkey's log of large requests may be."),
        ("commandlog-reply-larger-than", "commandlog_reply_larger_than",
         "Bytes from which Valkey logs a reply as large."),
        ("commandlog-large-reply-max-len", "commandlog_large_reply_max_len",
         "Longest that Valkey's log of large replies may be."),
    )
}  # fmt: skip
"""Parameters whose value is that of a metric."""

DATABASES = "databases"
CLUSTER_DATABASES = "cluster-databases"
"""The number of databases, without and with cluster mode (Valkey 9). All of them are exposed."""

ROWS: tuple[Metric, ...] = (*PLAIN.values(), BUFFER_LIMIT, BUFFER_LIMIT_SECONDS)
