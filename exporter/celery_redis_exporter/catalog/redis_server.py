# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics with the names, types and units of oliver006/redis_exporter, plus the label ``redis``.

There is one row per INFO field, and one file per section: to add a metric, add a row. Rows with the origin ``Info`` and
plain labels are decoded with these tables. The few others are decoded by name in ``decode/redis_*.py``.

All metrics that redis_exporter exposes by default are here, with three differences.
``redis_total_system_memory_bytes``, which it exposes on demand, is always exposed. A label that a server does not
report is empty, which Prometheus treats like an absent label; redis_exporter leaves ``valkey_version`` and similar
labels out. Its metrics about itself are here if they describe a server; the others are ``celery_exporter_*``.

Metrics that it exposes only on demand are left out: those of single modules (``redis_search_*``, ``redis_bf_*``,
``redis_json_*``) and Tile38's SERVER EXT, each of which is another command to servers that are not Celery brokers;
CONFIG GET * (``redis_config_value``, ``redis_config_key_value``), which costs a server more than all other reads
together; single clients, streams, and scripts. A sentinel is queried for its masters' addresses, and not read as a
server.
"""

from celery_redis_exporter.catalog import (
    labels as lb,
)
from celery_redis_exporter.catalog import (
    redis_cluster,
    redis_commands,
    redis_config,
    redis_keyspace,
    redis_memory,
    redis_persistence,
    redis_replication,
    redis_stats,
)
from celery_redis_exporter.catalog.metric import CommandOrigin, Info, Metric, Own, counter, gauge
from celery_redis_exporter.catalog.redis_fields import info_gauges

UP = gauge(
    "redis_up", "1 if the last read of the server succeeded within its deadline.", (lb.REDIS,), CommandOrigin("INFO")
)
INSTANCE_INFO = gauge(
    "redis_instance_info",
    "1, with the server's identity in the labels.",
    (
        lb.REDIS, lb.ROLE, lb.REDIS_VERSION, lb.REDIS_BUILD_ID, lb.REDIS_MODE, lb.OS, lb.MAXMEMORY_POLICY,
        lb.TCP_PORT, lb.RUN_ID, lb.PROCESS_ID, lb.MASTER_REPLID, lb.VALKEY_VERSION, lb.VALKEY_RELEASE_STAGE,
        lb.AVAILABILITY_ZONE,
    ),
    Info("server", "redis_version"),
)  # fmt: skip
PRODUCT_INFO = gauge(
    "redis_product_info",
    "1, with the product and its own version in the labels. redis_version of another product is that of the Redis that "
    "it is compatible with.",
    (lb.REDIS, lb.PRODUCT, lb.PRODUCT_VERSION),
    Info("server", "redis_version"),
)
START_TIME = gauge("redis_start_time_seconds", "Start of the server.", (lb.REDIS,), Info("server", "uptime_in_seconds"))
TLS_CERTIFICATE = gauge(
    "redis_tls_certificate_info",
    "1, with the serial number of a certificate that Valkey uses in the labels.",
    (lb.REDIS, lb.CERTIFICATE, lb.SERIAL),
    Info("tls", "tls_server_cert_serial, tls_client_cert_serial, tls_ca_cert_serial"),
)
MODULE_INFO = gauge(
    "redis_module_info",
    "1, with a module that is loaded in the labels.",
    (lb.REDIS, lb.MODULE_NAME, lb.MODULE_VERSION, lb.MODULE_API, lb.MODULE_FILTERS, lb.MODULE_USED_BY, lb.MODULE_USING),
    Info("modules", "module"),
)
_THREAD = (lb.REDIS, lb.THREAD)
IO_THREAD_ROWS: tuple[Metric, ...] = (
    gauge("redis_io_thread_clients", "Clients of a thread that reads and writes.", _THREAD,
          Info("threads", "io_thread_*", "clients")),
    counter("redis_io_thread_reads_total", "Reads from clients by a thread.", _THREAD,
            Info("threads", "io_thread_*", "reads")),
    counter("redis_io_thread_writes_total", "Writes to clients by a thread.", _THREAD,
            Info("threads", "io_thread_*", "writes")),
)  # fmt: skip
_ENGINE = (lb.REDIS, lb.ENGINE, lb.MODULE, lb.ABI_VERSION)
ENGINE_INFO = gauge(
    "redis_scripting_engine_info",
    "1, with a scripting engine of Valkey in the labels.",
    _ENGINE,
    Info("scripting engines", "engine_*"),
)
ENGINE_ROWS: tuple[Metric, ...] = (
    gauge("redis_scripting_engine_memory_used_bytes", "Memory of a scripting engine.", _ENGINE,
          Info("scripting engines", "engine_*", "used_memory")),
    gauge("redis_scripting_engine_memory_overhead_bytes", "Memory for a scripting engine's structures.", _ENGINE,
          Info("scripting engines", "engine_*", "memory_overhead")),
)  # fmt: skip
LAST_SCRAPE_ERROR = gauge(
    "redis_exporter_last_scrape_error",
    "1 with the reason if the last read failed, else 0.",
    (lb.REDIS, lb.SCRAPE_ERROR),
    Own(),
)
LAST_SCRAPE_DURATION = gauge(
    "redis_exporter_last_scrape_duration_seconds", "Duration of the last read.", (lb.REDIS,), Own()
)
CONNECT_TIME = gauge(
    "redis_exporter_last_scrape_connect_time_seconds",
    "Time to connect and to learn who answers, when that was last done; connections are kept.",
    (lb.REDIS,),
    Own(),
)
SCRAPES = counter("redis_exporter_scrapes_total", "Reads of the server, failed ones included.", (lb.REDIS,), Own())

SERVER: tuple[Metric, ...] = info_gauges("server", (
    ("uptime_in_seconds", "uptime_in_seconds", "Time since the server started."),
    ("process_id", "process_id", "Process id of the server."),
    ("hz", "hz", "Times a second that the server looks after its background work."),
    ("configured_hz", "configured_hz", "The same as configured."),
    ("io_threads_active", "io_threads_active", "Whether threads read and write; the number of them on Valkey."),
    ("clients_hz", "clients_hz", "Times a second that Valkey looks after its clients."),
    # KeyDB
    ("server_threads_total", "server_threads", "Threads that serve clients, on KeyDB."),
    ("long_lock_waits_total", "long_lock_waits", "Long waits for a lock, on KeyDB."),
    ("current_client_thread", "current_client_thread", "Thread that served this read, on KeyDB."),
))  # fmt: skip

CLIENTS: tuple[Metric, ...] = info_gauges("clients", (
    ("connected_clients", "connected_clients", "Client connections, replicas excepted."),
    ("active_clients", "active_clients", "Clients that sent something of late."),
    ("blocked_clients", "blocked_clients", "Clients waiting in a blocking call."),
    ("max_clients", "maxclients", "Connection limit."),
    ("config_maxclients", "maxclients", "Connection limit."),
    ("cluster_connections", "cluster_connections", "Connections to other nodes of the cluster, roughly."),
    ("tracking_clients", "tracking_clients", "Clients that are notified of changes to keys in their caches."),
    ("pubsub_clients", "pubsub_clients", "Clients that are subscribed."),
    ("watching_clients", "watching_clients", "Clients that watch keys."),
    ("clients_in_timeout_table", "clients_in_timeout_table", "Clients whose blocking call has an end."),
    ("total_watched_keys", "total_watched_keys", "Keys that are watched."),
    ("total_blocking_keys", "total_blocking_keys", "Keys that clients wait for."),
    ("total_blocking_keys_on_nokey", "total_blocking_keys_on_nokey", "Keys whose end clients wait for."),
    ("client_longest_output_list", "client_longest_output_list", "Longest list of replies, before Redis 5."),
    ("client_biggest_input_buf", "client_biggest_input_buf", "Largest input buffer in bytes, before Redis 5."),
    ("client_recent_max_output_buffer_bytes", "client_recent_max_output_buffer",
     "Largest output buffer of a client of late."),
    ("client_recent_max_input_buffer_bytes", "client_recent_max_input_buffer",
     "Largest input buffer of a client of late."),
))  # fmt: skip
PAUSED: tuple[Metric, ...] = (
    gauge("redis_paused", "1 while Valkey lets clients wait: writes, or everything.", (lb.REDIS,),
          Info("clients", "paused_actions", words=(("none", 0.0), ("write", 1.0), ("all", 1.0)))),
    gauge("redis_paused_timeout_seconds", "Time until that ends.", (lb.REDIS,),
          Info("clients", "paused_timeout_milliseconds", divisor=1e3)),
)  # fmt: skip

OTHERS: tuple[Metric, ...] = (
    *info_gauges("cluster", (("cluster_enabled", "cluster_enabled", "1 in cluster mode."),)),
    *info_gauges("tls", (
        ("tls_server_cert_expires_in_seconds", "tls_server_cert_expires_in_seconds",
         "Time until Valkey's certificate expires; 0 without one."),
        ("tls_client_cert_expires_in_seconds", "tls_client_cert_expires_in_seconds",
         "Time until the certificate expires that Valkey shows to others; 0 without one."),
        ("tls_ca_cert_expires_in_seconds", "tls_ca_cert_expires_in_seconds",
         "Time until the certificate of Valkey's authority expires; 0 without one."),
    )),
    *info_gauges("scripting engines", (
        ("scripting_engines_count", "engines_count", "Scripting engines of Valkey."),
        ("scripting_engines_memory_used_bytes", "engines_total_used_memory", "Memory of all scripting engines."),
        ("scripting_engines_memory_overhead_bytes", "engines_total_memory_overhead",
         "Memory for the structures of all scripting engines."),
    )),
)  # fmt: skip

INFO_ROWS: tuple[Metric, ...] = (
    *SERVER, *CLIENTS, *PAUSED, *redis_memory.ROWS, *redis_persistence.ROWS, *redis_stats.ROWS, *redis_replication.ROWS,
    *OTHERS, *redis_commands.ROWS, *redis_keyspace.ROWS,
)  # fmt: skip
"""Rows that are decoded from a single field of INFO."""

SPECIAL: tuple[Metric, ...] = (
    UP, INSTANCE_INFO, PRODUCT_INFO, START_TIME, *redis_replication.SPECIAL, *redis_commands.SPECIAL, TLS_CERTIFICATE,
    MODULE_INFO,
    *IO_THREAD_ROWS, ENGINE_INFO, *ENGINE_ROWS, redis_keyspace.KEYS_BY_SIZE, redis_keyspace.KEYS_BY_ITEMS,
    LAST_SCRAPE_ERROR, LAST_SCRAPE_DURATION, CONNECT_TIME, SCRAPES,
)  # fmt: skip

METRICS: tuple[Metric, ...] = (*SPECIAL, *INFO_ROWS, *redis_cluster.ROWS, *redis_config.ROWS)
