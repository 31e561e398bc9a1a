# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of dumps and the append-only file, from INFO persistence."""

from celery_redis_exporter.catalog.metric import Metric
from celery_redis_exporter.catalog.redis_fields import info_counters, info_gauges

_GAUGES: tuple[Metric, ...] = info_gauges("persistence", (
    ("loading_dump_file", "loading", "1 while a dump is being loaded."),
    ("async_loading", "async_loading", "1 while a dump is being loaded and the old data still served."),
    ("rdb_changes_since_last_save", "rdb_changes_since_last_save", "Changes since the last dump."),
    ("rdb_bgsave_in_progress", "rdb_bgsave_in_progress", "1 while a dump is written."),
    ("backup_in_progress", "backup_in_progress", "1 while a backup is made."),
    ("rdb_last_save_timestamp_seconds", "rdb_last_save_time", "Last successful dump."),
    ("rdb_last_bgsave_status", "rdb_last_bgsave_status",
     "1 if the last dump succeeded; at 0 Redis may refuse writes."),
    ("rdb_last_bgsave_duration_sec", "rdb_last_bgsave_time_sec", "Duration of the last dump in seconds; -1 if none."),
    ("rdb_current_bgsave_duration_sec", "rdb_current_bgsave_time_sec",
     "Duration of the running dump in seconds; -1 if none."),
    ("rdb_saves_total", "rdb_saves", "Dumps since the start."),
    ("rdb_last_cow_size_bytes", "rdb_last_cow_size", "Memory copied during the last dump."),
    ("rdb_last_load_expired_keys", "rdb_last_load_keys_expired", "Keys left out as expired when the dump was loaded."),
    ("rdb_last_load_loaded_keys", "rdb_last_load_keys_loaded", "Keys loaded from the dump."),
    ("rdb_saves_consecutive_failures", "rdb_saves_consecutive_failures",
     "Dumps that failed since the last that did not."),
    ("aof_enabled", "aof_enabled", "1 if the append-only file is on."),
    ("aof_rewrite_in_progress", "aof_rewrite_in_progress", "1 while the append-only file is rewritten."),
    ("aof_rewrite_scheduled", "aof_rewrite_scheduled", "1 if a rewrite follows the running dump."),
    ("aof_last_rewrite_duration_sec", "aof_last_rewrite_time_sec",
     "Duration of the last rewrite in seconds; -1 if none."),
    ("aof_current_rewrite_duration_sec", "aof_current_rewrite_time_sec",
     "Duration of the running rewrite in seconds; -1 if none."),
    ("aof_last_cow_size_bytes", "aof_last_cow_size", "Memory copied during the last rewrite."),
    ("aof_current_size_bytes", "aof_current_size", "Size of the append-only file."),
    ("aof_base_size_bytes", "aof_base_size", "Size of the append-only file after the last rewrite."),
    ("aof_pending_rewrite", "aof_pending_rewrite", "1 if a rewrite follows the running dump."),
    ("aof_buffer_length", "aof_buffer_length", "Bytes not yet written to the append-only file."),
    ("aof_rewrite_buffer_length", "aof_rewrite_buffer_length", "Bytes that the running rewrite has still to take."),
    ("aof_pending_bio_fsync", "aof_pending_bio_fsync", "Flushes of the append-only file that wait."),
    ("aof_delayed_fsync", "aof_delayed_fsync", "Flushes of the append-only file that came late."),
    ("aof_last_bgrewrite_status", "aof_last_bgrewrite_status", "1 if the last rewrite succeeded."),
    ("aof_last_write_status", "aof_last_write_status", "1 if the last write to the append-only file succeeded."),
    ("aof_rewrites_consecutive_failures", "aof_rewrites_consecutive_failures",
     "Rewrites that failed since the last that did not."),
    ("current_cow_size_bytes", "current_cow_size", "Memory copied during the running dump or rewrite."),
    ("current_cow_peak_bytes", "current_cow_peak", "Peak of that."),
    ("current_cow_size_age_seconds", "current_cow_size_age", "Age of that value."),
    ("current_fork_percentage", "current_fork_perc", "How far the running dump or rewrite is, in percent."),
    ("current_save_keys_processed", "current_save_keys_processed", "Keys that the running dump or rewrite has done."),
    ("current_save_keys", "current_save_keys_total", "Keys that there were when it began."),
    ("slot_migration_fork_in_progress", "slot_migration_fork_in_progress",
     "1 while a forked process sends slots to another node, on Valkey."),
    ("module_fork_in_progress", "module_fork_in_progress", "1 while a module has a forked process."),
    ("module_fork_last_cow_size", "module_fork_last_cow_size", "Bytes copied during a module's last fork."),
))  # fmt: skip

ROWS: tuple[Metric, ...] = (
    *_GAUGES,
    *info_counters("persistence", (("aof_rewrites_total", "aof_rewrites", "Rewrites of the append-only file."),)),
)
