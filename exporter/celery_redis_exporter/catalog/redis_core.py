# SPDX-License-Identifier: Apache-2.0
"""Select the core of the Redis metrics: those of the bundled alerts, and the few that any Celery dashboard needs.

They come from INFO without its statistics by command, CONFIG GET, and CLUSTER INFO in cluster mode, so they need fewer
reads.
"""

from celery_redis_exporter.catalog.metric import Metric
from celery_redis_exporter.catalog.redis_server import METRICS

NAMES = (
    "redis_up", "redis_exporter_last_scrape_error", "redis_exporter_last_scrape_duration_seconds",
    "redis_instance_info", "redis_start_time_seconds", "redis_uptime_in_seconds", "redis_cluster_enabled",
    "redis_cluster_state",
    "redis_connected_clients", "redis_blocked_clients", "redis_max_clients", "redis_config_maxclients",
    "redis_connections_received_total", "redis_rejected_connections_total",
    "redis_memory_used_bytes", "redis_memory_used_rss_bytes", "redis_memory_used_peak_bytes",
    "redis_memory_max_bytes", "redis_config_maxmemory", "redis_total_system_memory_bytes",
    "redis_mem_fragmentation_ratio", "redis_allocator_frag_ratio",
    "redis_loading_dump_file", "redis_rdb_changes_since_last_save", "redis_rdb_bgsave_in_progress",
    "redis_rdb_last_save_timestamp_seconds", "redis_rdb_last_bgsave_status", "redis_aof_enabled",
    "redis_aof_last_bgrewrite_status", "redis_aof_last_write_status",
    "redis_commands_processed_total", "redis_net_input_bytes_total", "redis_net_output_bytes_total",
    "redis_keyspace_hits_total", "redis_keyspace_misses_total", "redis_expired_keys_total",
    "redis_evicted_keys_total", "redis_errors_total", "redis_db_keys", "redis_db_keys_expiring",
    "redis_connected_slaves", "redis_connected_slave_offset_bytes", "redis_connected_slave_lag_seconds",
    "redis_master_repl_offset", "redis_slave_info", "redis_slave_repl_offset", "redis_master_link_up",
    "redis_master_last_io_seconds_ago", "redis_master_sync_in_progress",
)  # fmt: skip

BEYOND: tuple[Metric, ...] = tuple(metric for metric in METRICS if metric.name not in NAMES)
"""The Redis metrics that are left out if only the core is requested."""
