# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of traffic, keys, the event loop and CPU time, from INFO stats and INFO cpu."""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import Info, Metric, counter, gauge
from celery_redis_exporter.catalog.redis_fields import info_counters, info_gauges

LATEST_FORK = gauge(
    "redis_latest_fork_seconds",
    "Duration of the last fork, during which no client is served.",
    (lb.REDIS,),
    Info("stats", "latest_fork_usec", divisor=1e6),
)

TRAFFIC = info_counters("stats", (
    ("connections_received_total", "total_connections_received", "Connections accepted."),
    ("commands_processed_total", "total_commands_processed", "Commands processed."),
    ("net_input_bytes_total", "total_net_input_bytes", "Bytes read from the network."),
    ("net_output_bytes_total", "total_net_output_bytes", "Bytes written to the network."),
    ("net_repl_input_bytes_total", "total_net_repl_input_bytes", "Bytes read for replication."),
    ("net_repl_output_bytes_total", "total_net_repl_output_bytes", "Bytes written for replication."),
    ("rejected_connections_total", "rejected_connections", "Connections over maxclients."),
    ("total_reads_processed", "total_reads_processed", "Reads from clients."),
    ("total_writes_processed", "total_writes_processed", "Writes to clients."),
    ("io_threaded_reads_processed", "io_threaded_reads_processed", "Reads from clients by threads."),
    ("io_threaded_writes_processed", "io_threaded_writes_processed", "Writes to clients by threads."),
    ("io_threaded_accept_processed_total", "io_threaded_accept_processed",
     "Connections accepted by threads, on Valkey."),
    ("io_threaded_poll_processed_total", "io_threaded_poll_processed", "Polls for events by threads, on Valkey."),
    ("io_threaded_freed_objects_total", "io_threaded_freed_objects", "Objects freed by threads, on Valkey."),
    ("io_threaded_prefetch_batches_total", "io_threaded_total_prefetch_batches",
     "Batches of keys that were fetched ahead of their commands, on Valkey."),
    ("io_threaded_prefetch_entries_total", "io_threaded_total_prefetch_entries",
     "Keys that were fetched ahead of their commands, on Valkey."),
    ("net_cluster_slot_import_bytes_total", "total_net_cluster_slot_import_bytes",
     "Bytes read for slots that came from other nodes, on Valkey."),
    ("net_cluster_slot_export_bytes_total", "total_net_cluster_slot_export_bytes",
     "Bytes written for slots that went to other nodes, on Valkey."),
    ("client_query_buffer_limit_disconnections_total", "client_query_buffer_limit_disconnections",
     "Clients cut off at their query buffer limit."),
    ("client_output_buffer_limit_disconnections_total", "client_output_buffer_limit_disconnections",
     "Clients cut off at their output buffer limit."),
    ("reply_buffer_shrinks_total", "reply_buffer_shrinks", "Times a client's reply buffer was reduced."),
    ("reply_buffer_expands_total", "reply_buffer_expands", "Times a client's reply buffer was enlarged."),
    ("client_processing_events_total", "total_client_processing_events", "Looks at what clients had sent."),
    ("client_processing_pipeline_commands_total", "avg_pipeline_length_sum", "Commands found in those looks."),
    ("client_processing_pipeline_batches_total", "avg_pipeline_length_cnt", "Looks that found a command."),
    ("unexpected_error_replies", "unexpected_error_replies", "Errors that a replica or a loaded file gave."),
    ("total_error_replies", "total_error_replies", "Error replies."),
    ("dump_payload_sanitizations", "dump_payload_sanitizations", "Payloads of RESTORE checked in depth."),
    ("acl_access_denied_auth_total", "acl_access_denied_auth", "Failed logins."),
    ("acl_access_denied_cmd_total", "acl_access_denied_cmd", "Commands refused for want of the right to them."),
    ("acl_access_denied_key_total", "acl_access_denied_key", "Commands refused for want of the right to a key."),
    ("acl_access_denied_channel_total", "acl_access_denied_channel",
     "Commands refused for want of the right to a channel."),
    ("acl_access_denied_tls_cert_total", "acl_access_denied_tls_cert", "Logins by certificate that were refused."),
    ("acl_access_denied_db_total", "acl_access_denied_db", "Commands refused for want of the right to a database."),
))  # fmt: skip

KEYS = info_counters("stats", (
    ("expired_keys_total", "expired_keys", "Keys expired."),
    ("expired_subkeys_total", "expired_subkeys", "Fields of hashes expired."),
    ("expired_keys_active_total", "expired_keys_active", "Keys expired by the search for them, and not at an access."),
    ("expired_subkeys_active_total", "expired_subkeys_active",
     "Fields of hashes expired by the search for them, and not at an access."),
    ("expired_fields_total", "expired_fields", "Fields of hashes expired, on Valkey."),
    ("expired_time_cap_reached_total", "expired_time_cap_reached_count", "Searches for expired keys cut short."),
    ("expire_cycle_cpu_time_ms_total", "expire_cycle_cpu_milliseconds",
     "CPU time of searches for expired keys, in milliseconds."),
    ("evicted_keys_total", "evicted_keys", "Keys evicted at the memory limit."),
    ("evicted_clients_total", "evicted_clients", "Clients cut off at the limit of their memory."),
    ("evicted_scripts_total", "evicted_scripts", "Scripts of EVAL forgotten to make room."),
    ("eviction_exceeded_time_ms_total", "total_eviction_exceeded_time",
     "Time spent over the memory limit, in milliseconds."),
    ("keyspace_hits_total", "keyspace_hits", "Look-ups that found their key."),
    ("keyspace_misses_total", "keyspace_misses", "Look-ups that did not find their key."),
    ("slowlog_commands_total", "slowlog_commands_count", "Commands that came into the slow log."),
    # KeyDB
    ("cached_keys_total", "cached_keys", "Keys in memory, on KeyDB with storage."),
    ("storage_provider_read_hits", "storage_provider_read_hits", "Reads that KeyDB's storage answered."),
    ("storage_provider_read_misses", "storage_provider_read_misses", "Reads that KeyDB's storage could not answer."),
))  # fmt: skip

DEFRAGMENTATION = (
    counter("redis_active_defrag_seconds_total", "Time in which memory was defragmented.", (lb.REDIS,),
            Info("stats", "total_active_defrag_time", divisor=1e3)),
    gauge("redis_current_active_defrag_seconds", "Time since defragmentation began; 0 at rest.", (lb.REDIS,),
          Info("stats", "current_active_defrag_time", divisor=1e3)),
)  # fmt: skip
FORKS = counter(
    "redis_forks_total", "Children forked, for dumps and rewrites.", (lb.REDIS,), Info("stats", "total_forks")
)

SLOW_COMMANDS = (
    counter("redis_slowlog_commands_duration_seconds_total", "Time of commands that came into the slow log.",
            (lb.REDIS,), Info("stats", "slowlog_commands_time_ms_sum", divisor=1e3)),
    gauge("redis_slowlog_commands_duration_seconds_max", "Longest command that came into the slow log.",
          (lb.REDIS,), Info("stats", "slowlog_commands_time_ms_max", divisor=1e3)),
)  # fmt: skip

EVENT_LOOP = info_counters("stats", (
    ("eventloop_cycles_total", "eventloop_cycles", "Rounds of the event loop."),
    ("eventloop_duration_sum_usec_total", "eventloop_duration_sum", "Time in the event loop, in microseconds."),
    ("eventloop_duration_cmd_sum_usec_total", "eventloop_duration_cmd_sum",
     "Time in the event loop spent on commands, in microseconds."),
    ("eventloop_cycles_with_clients_processing_total", "eventloop_cycles_with_clients_processing",
     "Rounds of the event loop that served clients."),
))  # fmt: skip

GAUGES = info_gauges("stats", (
    ("current_eviction_exceeded_time_ms", "current_eviction_exceeded_time",
     "Time over the memory limit until now, in milliseconds; 0 below it."),
    ("expired_stale_percentage", "expired_stale_perc", "Keys that are probably expired and still there, in percent."),
    ("expired_keys_with_volatile_items_stale_percentage", "expired_keys_with_volatile_items_stale_perc",
     "Keys of which a part is probably expired and still there, in percent."),
    ("pubsub_channels", "pubsub_channels", "Channels with a subscriber."),
    ("pubsub_patterns", "pubsub_patterns", "Patterns with a subscriber."),
    ("pubsubshard_channels", "pubsubshard_channels", "Channels of shards with a subscriber."),
    ("migrate_cached_sockets_total", "migrate_cached_sockets", "Connections open for MIGRATE."),
    ("slave_expires_tracked_keys", "slave_expires_tracked_keys", "Keys that a writable replica expires by itself."),
    ("defrag_hits", "active_defrag_hits", "Values moved by defragmentation."),
    ("defrag_misses", "active_defrag_misses", "Values looked at by defragmentation and left."),
    ("defrag_key_hits", "active_defrag_key_hits", "Keys moved by defragmentation."),
    ("defrag_key_misses", "active_defrag_key_misses", "Keys looked at by defragmentation and left."),
    ("tracking_total_keys", "tracking_total_keys", "Keys whose changes clients are notified of."),
    ("tracking_total_items", "tracking_total_items", "Pairs of a key and a client that is notified of its changes."),
    ("tracking_total_prefixes", "tracking_total_prefixes", "Prefixes of keys whose changes clients are notified of."),
    ("hash_templates", "hash_templates", "Templates of hashes."),
    ("hash_template_keys", "hash_template_keys", "Hashes that share a template."),
    ("instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_cycles_per_sec",
     "Rounds of the event loop a second, of late."),
    ("instantaneous_eventloop_duration_usec", "instantaneous_eventloop_duration_usec",
     "Time of a round of the event loop, of late, in microseconds."),
    ("client_processing_pipeline_length", "avg_pipeline_length", "Commands found in a look at what a client had sent."),
    ("replica_resyncs_full", "sync_full", "Full synchronisations of replicas."),
    ("replica_partial_resync_accepted", "sync_partial_ok", "Partial synchronisations of replicas."),
    ("replica_partial_resync_denied", "sync_partial_err",
     "Partial synchronisations of replicas that could not be, and were full ones."),
))  # fmt: skip

CPU = (
    *info_counters("cpu", (
        ("cpu_sys_seconds_total", "used_cpu_sys", "System CPU time."),
        ("cpu_user_seconds_total", "used_cpu_user", "User CPU time."),
        ("cpu_sys_children_seconds_total", "used_cpu_sys_children", "System CPU time of child processes."),
        ("cpu_user_children_seconds_total", "used_cpu_user_children", "User CPU time of child processes."),
        ("cpu_sys_main_thread_seconds_total", "used_cpu_sys_main_thread", "System CPU time of the main thread."),
        ("cpu_user_main_thread_seconds_total", "used_cpu_user_main_thread", "User CPU time of the main thread."),
        ("active_time_main_thread_seconds_total", "used_active_time_main_thread",
         "Time in which the main thread worked, on Valkey."),
    )),
    counter("redis_active_time_io_thread_seconds_total", "Time in which a thread worked, on Valkey.",
            (lb.REDIS, lb.THREAD), Info("cpu", "used_active_time_io_thread_*")),
)  # fmt: skip

ROWS: tuple[Metric, ...] = (
    *TRAFFIC,
    *KEYS,
    *SLOW_COMMANDS,
    *EVENT_LOOP,
    *GAUGES,
    *DEFRAGMENTATION,
    FORKS,
    LATEST_FORK,
    *CPU,
)
