"""Redis metrics: names, types and units of oliver006/redis_exporter, plus the label ``redis``.

One row per INFO field: adding a metric is adding a row. Rows whose origin is ``Info`` with plain labels are
decoded by walking this table; the few that need more are handled by name in ``decode/redis_server.py``.
"""

from exporter.catalog import labels as lb
from exporter.catalog.metric import Command, Info, Label, Metric, Own, counter, gauge

OK_WORDS = (("ok", 1.0), ("err", 0.0), ("fail", 0.0), ("up", 1.0), ("down", 0.0))


def _gauge(name: str, section: str, fieldname: str, help: str, **origin: object) -> Metric:  # noqa: A002 -- Prometheus's word
    return gauge(name, help, (lb.REDIS,), Info(section, fieldname, **origin))  # type: ignore[arg-type]


def _counter(name: str, section: str, fieldname: str, help: str) -> Metric:  # noqa: A002 -- Prometheus's word
    return counter(name, help, (lb.REDIS,), Info(section, fieldname))


REPLICA: tuple[Label, ...] = (lb.REDIS, lb.SLAVE_IP, lb.SLAVE_PORT, lb.SLAVE_STATE)
MASTER: tuple[Label, ...] = (lb.REDIS, lb.MASTER_HOST, lb.MASTER_PORT)

UP = gauge("redis_up", "1 if the last read of the server succeeded within its deadline.", (lb.REDIS,), Command("INFO"))
INSTANCE_INFO = gauge(
    "redis_instance_info",
    "1, with the server's identity in the labels.",
    (
        lb.REDIS, lb.ROLE, lb.REDIS_VERSION, lb.REDIS_BUILD_ID, lb.REDIS_MODE, lb.OS, lb.MAXMEMORY_POLICY,
        lb.TCP_PORT, lb.RUN_ID, lb.PROCESS_ID, lb.MASTER_REPLID,
    ),
    Info("server", "redis_version"),
)  # fmt: skip
SLAVE_INFO = gauge(
    "redis_slave_info",
    "1 on a replica, with its master in the labels.",
    (*MASTER, lb.READ_ONLY),
    Info("replication", "role"),
)
START_TIME = gauge("redis_start_time_seconds", "Start of the server.", (lb.REDIS,), Info("server", "server_time_usec"))
CONNECTED_SLAVE_OFFSET = gauge(
    "redis_connected_slave_offset_bytes",
    "Replication offset of the replica.",
    REPLICA,
    Info("replication", "slave*", "offset"),
)
CONNECTED_SLAVE_LAG = gauge(
    "redis_connected_slave_lag_seconds", "Lag of the replica.", REPLICA, Info("replication", "slave*", "lag")
)
MASTER_LINK_UP = gauge(
    "redis_master_link_up", "1 while the link to the master is up.", MASTER, Info("replication", "master_link_status")
)
MASTER_LAST_IO = gauge(
    "redis_master_last_io_seconds_ago",
    "Time since the last exchange with the master.",
    MASTER,
    Info("replication", "master_last_io_seconds_ago"),
)
MASTER_SYNC = gauge(
    "redis_master_sync_in_progress",
    "1 while a synchronisation with the master runs.",
    MASTER,
    Info("replication", "master_sync_in_progress"),
)
SLAVE_REPL_OFFSET = gauge(
    "redis_slave_repl_offset",
    "Replication offset of this replica.",
    MASTER,
    Info("replication", "slave_repl_offset"),
)
CONFIG_MAXCLIENTS = _gauge("redis_config_maxclients", "clients", "maxclients", "Connection limit.")
CONFIG_MAXMEMORY = _gauge("redis_config_maxmemory", "memory", "maxmemory", "Memory limit; 0 is none.")

SLOWLOG_LENGTH = gauge("redis_slowlog_length", "Entries in the slow log.", (lb.REDIS,), Command("SLOWLOG LEN"))
SLOWLOG_LAST_ID = gauge(
    "redis_slowlog_last_id", "Id of the newest entry of the slow log.", (lb.REDIS,), Command("SLOWLOG GET 1")
)
SLOWLOG_LAST_DURATION = gauge(
    "redis_last_slow_execution_duration_seconds",
    "Duration of the newest command in the slow log; 0 when it is empty.",
    (lb.REDIS,),
    Command("SLOWLOG GET 1"),
)
LATENCY_LAST = gauge(
    "redis_latency_spike_last",
    "When the latency spike last occurred (epoch seconds).",
    (lb.REDIS, lb.EVENT_NAME),
    Command("LATENCY LATEST"),
)
LATENCY_DURATION = gauge(
    "redis_latency_spike_duration_seconds",
    "Length of the last latency spike.",
    (lb.REDIS, lb.EVENT_NAME),
    Command("LATENCY LATEST"),
)
LAST_SCRAPE_ERROR = gauge(
    "redis_exporter_last_scrape_error",
    "1 with the reason if the last read failed, else 0.",
    (lb.REDIS, lb.SCRAPE_ERROR),
    Own(),
)
LAST_SCRAPE_DURATION = gauge(
    "redis_exporter_last_scrape_duration_seconds", "Duration of the last read.", (lb.REDIS,), Own()
)

INFO_ROWS: tuple[Metric, ...] = (
    _gauge("redis_uptime_in_seconds", "server", "uptime_in_seconds", "Time since the server started."),
    _gauge("redis_connected_clients", "clients", "connected_clients", "Client connections, replicas excepted."),
    _gauge("redis_blocked_clients", "clients", "blocked_clients", "Clients waiting in a blocking call."),
    _gauge("redis_max_clients", "clients", "maxclients", "Connection limit."),
    CONFIG_MAXCLIENTS,
    _gauge("redis_client_recent_max_output_buffer_bytes", "clients", "client_recent_max_output_buffer",
           "Largest output buffer of a client of late."),
    _gauge("redis_client_recent_max_input_buffer_bytes", "clients", "client_recent_max_input_buffer",
           "Largest input buffer of a client of late."),
    _gauge("redis_memory_used_bytes", "memory", "used_memory", "Memory allocated by Redis."),
    _gauge("redis_memory_used_rss_bytes", "memory", "used_memory_rss", "Resident memory of the process."),
    _gauge("redis_memory_used_peak_bytes", "memory", "used_memory_peak", "Peak of the memory allocated."),
    _gauge("redis_memory_used_overhead_bytes", "memory", "used_memory_overhead", "Memory for internal structures."),
    _gauge("redis_memory_used_startup_bytes", "memory", "used_memory_startup", "Memory used at the start."),
    _gauge("redis_memory_used_dataset_bytes", "memory", "used_memory_dataset", "Memory for the data."),
    _gauge("redis_memory_used_lua_bytes", "memory", "used_memory_lua", "Memory of the Lua engine."),
    _gauge("redis_memory_max_bytes", "memory", "maxmemory", "Memory limit; 0 is none."),
    CONFIG_MAXMEMORY,
    _gauge("redis_total_system_memory_bytes", "memory", "total_system_memory", "Memory of the machine."),
    _gauge("redis_mem_fragmentation_ratio", "memory", "mem_fragmentation_ratio", "Resident over allocated memory."),
    _gauge("redis_mem_clients_normal", "memory", "mem_clients_normal", "Memory of normal clients, in bytes."),
    _gauge("redis_lazyfree_pending_objects", "memory", "lazyfree_pending_objects", "Objects waiting to be freed."),
    _gauge("redis_active_defrag_running", "memory", "active_defrag_running", "1 while defragmentation runs."),
    _gauge("redis_loading_dump_file", "persistence", "loading", "1 while a dump is being loaded."),
    _gauge("redis_rdb_changes_since_last_save", "persistence", "rdb_changes_since_last_save",
           "Changes since the last dump."),
    _gauge("redis_rdb_bgsave_in_progress", "persistence", "rdb_bgsave_in_progress", "1 while a dump is written."),
    _gauge("redis_rdb_last_save_timestamp_seconds", "persistence", "rdb_last_save_time", "Last successful dump."),
    _gauge("redis_rdb_last_bgsave_status", "persistence", "rdb_last_bgsave_status",
           "1 if the last dump succeeded; at 0 Redis may refuse writes.", words=OK_WORDS),
    _gauge("redis_rdb_last_bgsave_duration_sec", "persistence", "rdb_last_bgsave_time_sec",
           "Duration of the last dump; -1 if none."),
    _gauge("redis_rdb_current_bgsave_duration_sec", "persistence", "rdb_current_bgsave_time_sec",
           "Duration of the running dump; -1 if none."),
    _gauge("redis_aof_enabled", "persistence", "aof_enabled", "1 if the append-only file is on."),
    _gauge("redis_aof_rewrite_in_progress", "persistence", "aof_rewrite_in_progress",
           "1 while the append-only file is rewritten."),
    _gauge("redis_aof_last_bgrewrite_status", "persistence", "aof_last_bgrewrite_status",
           "1 if the last rewrite succeeded.", words=OK_WORDS),
    _gauge("redis_aof_last_write_status", "persistence", "aof_last_write_status",
           "1 if the last write to the append-only file succeeded.", words=OK_WORDS),
    _gauge("redis_aof_current_size_bytes", "persistence", "aof_current_size", "Size of the append-only file."),
    _counter("redis_connections_received_total", "stats", "total_connections_received", "Connections accepted."),
    _counter("redis_commands_processed_total", "stats", "total_commands_processed", "Commands processed."),
    _counter("redis_net_input_bytes_total", "stats", "total_net_input_bytes", "Bytes read from the network."),
    _counter("redis_net_output_bytes_total", "stats", "total_net_output_bytes", "Bytes written to the network."),
    _counter("redis_rejected_connections_total", "stats", "rejected_connections", "Connections over maxclients."),
    _counter("redis_expired_keys_total", "stats", "expired_keys", "Keys expired."),
    _counter("redis_evicted_keys_total", "stats", "evicted_keys", "Keys evicted at the memory limit."),
    _counter("redis_keyspace_hits_total", "stats", "keyspace_hits", "Look-ups that found their key."),
    _counter("redis_keyspace_misses_total", "stats", "keyspace_misses", "Look-ups that did not find their key."),
    _gauge("redis_pubsub_channels", "stats", "pubsub_channels", "Channels with a subscriber."),
    _gauge("redis_pubsub_patterns", "stats", "pubsub_patterns", "Patterns with a subscriber."),
    _gauge("redis_latest_fork_usec", "stats", "latest_fork_usec", "Duration of the last fork, in microseconds."),
    _counter("redis_client_output_buffer_limit_disconnections_total", "stats",
             "client_output_buffer_limit_disconnections", "Clients cut off at their output buffer limit."),
    _gauge("redis_connected_slaves", "replication", "connected_slaves", "Replicas connected."),
    _gauge("redis_master_repl_offset", "replication", "master_repl_offset", "Replication offset of the server."),
    _gauge("redis_replication_backlog_bytes", "replication", "repl_backlog_size", "Size of the backlog."),
    _counter("redis_cpu_sys_seconds_total", "cpu", "used_cpu_sys", "System CPU time."),
    _counter("redis_cpu_user_seconds_total", "cpu", "used_cpu_user", "User CPU time."),
    _counter("redis_cpu_sys_children_seconds_total", "cpu", "used_cpu_sys_children",
             "System CPU time of child processes."),
    _counter("redis_cpu_user_children_seconds_total", "cpu", "used_cpu_user_children",
             "User CPU time of child processes."),
    _gauge("redis_cluster_enabled", "cluster", "cluster_enabled", "1 in cluster mode."),
    counter("redis_commands_total", "Calls by command.", (lb.REDIS, lb.CMD),
            Info("commandstats", "cmdstat_*", "calls")),
    counter("redis_commands_duration_seconds_total", "Time spent in a command.", (lb.REDIS, lb.CMD),
            Info("commandstats", "cmdstat_*", "usec", 1e6)),
    counter("redis_commands_rejected_calls_total", "Calls refused before execution.", (lb.REDIS, lb.CMD),
            Info("commandstats", "cmdstat_*", "rejected_calls")),
    counter("redis_commands_failed_calls_total", "Calls failed in execution.", (lb.REDIS, lb.CMD),
            Info("commandstats", "cmdstat_*", "failed_calls")),
    counter("redis_errors_total", "Error replies by prefix.", (lb.REDIS, lb.ERR),
            Info("errorstats", "errorstat_*", "count")),
    gauge("redis_db_keys", "Keys in the database.", (lb.REDIS, lb.DB), Info("keyspace", "db*", "keys")),
    gauge("redis_db_keys_expiring", "Keys with a time to live.", (lb.REDIS, lb.DB),
          Info("keyspace", "db*", "expires")),
    gauge("redis_db_avg_ttl_seconds", "Mean time to live of keys that have one.", (lb.REDIS, lb.DB),
          Info("keyspace", "db*", "avg_ttl", 1e3)),
)  # fmt: skip

# CLUSTER INFO fields, in cluster mode only.
CLUSTER_ROWS: tuple[Metric, ...] = tuple(
    gauge(f"redis_{fieldname}", help, (lb.REDIS,), Info("CLUSTER INFO", fieldname, words=OK_WORDS))
    for fieldname, help in (
        ("cluster_state", "1 if the cluster is ok."),
        ("cluster_slots_assigned", "Slots assigned to a node."),
        ("cluster_slots_ok", "Slots served."),
        ("cluster_slots_pfail", "Slots whose node may have failed."),
        ("cluster_slots_fail", "Slots whose node has failed."),
        ("cluster_known_nodes", "Nodes known."),
        ("cluster_size", "Masters that serve slots."),
    )
)

SPECIAL: tuple[Metric, ...] = (
    UP, INSTANCE_INFO, SLAVE_INFO, START_TIME, CONNECTED_SLAVE_OFFSET, CONNECTED_SLAVE_LAG, MASTER_LINK_UP,
    MASTER_LAST_IO, MASTER_SYNC, SLAVE_REPL_OFFSET, SLOWLOG_LENGTH, SLOWLOG_LAST_ID, SLOWLOG_LAST_DURATION,
    LATENCY_LAST, LATENCY_DURATION, LAST_SCRAPE_ERROR, LAST_SCRAPE_DURATION,
)  # fmt: skip

METRICS: tuple[Metric, ...] = (*SPECIAL, *INFO_ROWS, *CLUSTER_ROWS)
