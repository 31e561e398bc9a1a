# SPDX-License-Identifier: Apache-2.0
"""Decoding of INFO texts of several servers and versions; tests/fixtures/redis/README.md states their origin."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.catalog.metric import Info
from celery_redis_exporter.catalog.redis_fields import SIGNED
from celery_redis_exporter.catalog.server_fields import REDIS_NAMES
from celery_redis_exporter.decode.redis_info import decode_info
from celery_redis_exporter.records.samples import Reading

FIXTURES = Path(__file__).parents[2] / "fixtures"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((FIXTURES / "redis").glob("*.txt"))}
DIVIDED = {"latest_fork_usec": 1e6, "slowlog_commands_time_ms_sum": 1e3, "slowlog_commands_time_ms_max": 1e3}
WORDS = {"ok": 1.0, "true": 1.0, "err": 0.0, "fail": 0.0, "false": 0.0}


class Named(NamedTuple):
    """A field and the metric of redis_exporter for it."""

    field: str
    kind: str
    name: str


NAMES = [
    Named(*line.split())
    for line in (FIXTURES / "redis_exporter" / "names.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]

FEWEST = {"garnet-2.2": 10, "pika-3.4": 8}
"""The least number of fields of Redis that a text has, where it has few."""
NUMBERED = re.compile(
    r"(cmdstat_|errorstat_|latency_percentiles_usec_|engine_\d|tls_\w+_cert_serial|used_active_time_io_thread_).*"
    r"|(db|slave|io_thread_)\d+|db\d+_distrib_[a-z]+_(items|sizes)|module"
)
IN_LABELS = {
    "role", "redis_version", "redis_build_id", "redis_mode", "server_mode", "os", "maxmemory_policy", "tcp_port",
    "run_id", "process_id", "master_replid", "valkey_version", "valkey_release_stage", "availability_zone",
    "server_time_usec",
    "slave_read_only", "master_host", "master_port", "master_1_host", "master_1_port",
}  # fmt: skip
OURS = {metric.origin.fieldname for metric in CATALOG.values() if isinstance(metric.origin, Info)}
"""Fields with a metric that redis_exporter does not have."""
OF_MASTERS = re.compile(r"master(_1)?_(link_status|last_io_seconds_ago|sync_in_progress)|slave_repl_offset")
NOT_SHOWN = {
    # Reported by other fields, or by the build.
    "arch_bits", "atomicvar_api", "config_file", "executable", "features", "gcc_version", "listener0", "lru_clock",
    "mem_allocator", "monotonic_clock", "multiplexing_api", "process_supervised", "redis_git_dirty", "redis_git_sha1",
    "server_name", "dragonfly_version", "uptime_in_days", "master_replid2", "master_failover_state",
    "used_memory_dataset_perc", "used_memory_peak_perc",
    *(f"{name}_human" for name in (
        "maxmemory", "total_system_memory", "used_memory", "used_memory_lua", "used_memory_peak", "used_memory_rss",
        "used_memory_scripts", "used_memory_vm_total",
    )),
    "paused_reason",
    # Momentary values; the counters behind them are exported.
    "instantaneous_input_kbps", "instantaneous_input_repl_kbps", "instantaneous_ops_per_sec",
    "instantaneous_output_kbps", "instantaneous_output_repl_kbps",
    # KeyDB
    "available_system_memory", "avg_lock_contention", "instantaneous_lock_contention", "master_global_link_status",
    "mvcc_depth", "storage_provider", "thread_0_clients", "thread_1_clients",
    # Dragonfly
    "async_writes_count", "bump_ups", "cache_mode", "client_read_buffer_bytes", "defrag_attempt_total",
    "defrag_realloc_total", "defrag_task_invocation_total", "delete_ttl_sec", "garbage_checked", "garbage_collected",
    "hard_evictions", "inline_keys", "listpack_blobs", "listpack_bytes", "num_buckets", "num_entries",
    "object_used_memory", "parser_err_count", "pipeline_cache_bytes", "pipeline_queue_length", "small_string_bytes",
    "stash_unloaded", "table_used_memory", "thread_count", "total_pipelined_commands", "traverse_ttl_sec",
    "used_memory_peak_rss",
    # Garnet
    "CommittedBeginAddress", "CurrentVersion", "Log.PageSizeBytes", "ReadCache.PageSizeBytes", "SystemState",
    "aof_memory_size", "available_system_memory(MB)", "commandstats_monitor", "garnet_hit_rate", "garnet_version",
    "gc_committed_bytes", "gc_heap_bytes", "instantaneous_net_input_KBps", "instantaneous_net_output_KBps",
    "latency_monitor", "monitor_freq", "monitor_task", "proc_paged_memory_size", "proc_physical_memory_size",
    "proc_physical_memory_size(MB)", "processor_count", "server_socket_0", "store_current_safe_aof_address",
    "store_index_size", "store_mainlog_memory_size", "system_page_size", "total_connections_active",
    "total_connections_disposed", "total_found", "total_main_store_size", "total_notfound",
    "total_output_buffer_rentals", "total_pending", "total_system_memory(MB)",
    # Kvrocks
    "bgsave_in_progress", "block_cache_pinned_usage[default]", "block_cache_usage", "clang_version", "disk_capacity",
    "estimate_keys[default]", "git_sha1", "is_bgsaving", "is_compacting", "kvrocks_git_sha1", "kvrocks_mode",
    "kvrocks_version", "last_bgsave_status", "last_bgsave_time", "last_bgsave_time_sec", "last_dbsize_scan_timestamp",
    "max_db_size", "monitor_clients", "num_files_at_level[default]", "rocksdb_version", "sequence", "used_db_size",
    "used_disk_percent", "used_disk_size", "used_percent", "version", "worker_cpu_time",
    # Pika
    "GET", "HGETALL", "HMSET", "INFO", "SET", "compact_cron", "compact_interval", "compression", "db_fatal",
    "db_fatal_msg", "db_memtable_usage", "db_size", "db_size_human", "db_tablereader_usage", "is_compact",
    "is_scaning_keyspace", "log_size", "log_size_human", "pika_build_compile_date", "pika_git_sha", "pika_version",
    "server_id", "sync_thread_num", "thread_num",
}  # fmt: skip
"""Fields without a metric. A new field of a new version is examined, and added here or to the catalogue."""


def fields_of(text: str) -> dict[str, str]:
    """Split a text into fields."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def decode(text: str) -> dict[tuple[str, ...], Reading]:
    """Decode a text in the form in which the server sends it."""
    samples = decode_info("r", text.replace("\n", "\r\n").encode(), (), 1.8e9).samples
    return {(sample.metric.name, *sample.labels): sample.value for sample in samples}


each_text = pytest.mark.parametrize("name", TEXTS)


@each_text
def test_every_field_of_redis_exporter_is_a_sample(name: str) -> None:
    """Each field that redis_exporter exports is exported under the same name and with the same value."""
    fields, found = fields_of(TEXTS[name]), decode(TEXTS[name])
    expected = {}
    for row in NAMES:
        if fields.get(row.field, "N/A") != "N/A":  # the value that Garnet writes
            value = fields[row.field]
            number = WORDS[value] if value in WORDS else float(value) / DIVIDED.get(row.field, 1)
            if number >= 0 or row.field in SIGNED:  # in other fields -1 is no value; redis_exporter exports it
                expected[f"redis_{row.name}", "r"] = number
    assert len(expected) >= FEWEST.get(name, 20)
    assert expected == {key: found.get(key) for key in expected}


@each_text
def test_every_other_field_is_known(name: str) -> None:
    """Each field without a metric is on the list above."""
    shown = {row.field for row in NAMES} | OURS | IN_LABELS | REDIS_NAMES.keys()
    rest = {
        field
        for field in fields_of(TEXTS[name]).keys() - shown
        if not NUMBERED.fullmatch(field) and not OF_MASTERS.fullmatch(field)
    }
    assert set() == rest - NOT_SHOWN


def test_the_list_is_not_longer_than_needed() -> None:
    """Each field on the list occurs in some server's INFO."""
    assert set() == NOT_SHOWN - {field for text in TEXTS.values() for field in fields_of(text)}


@each_text
def test_numbered_fields(name: str) -> None:
    """Each command, error, database, percentile, replica and master of a text has its series."""
    fields, found = fields_of(TEXTS[name]), decode(TEXTS[name])
    counted = [key[0] for key in found]
    for prefix, metric in (
        ("cmdstat_", "redis_commands_total"), ("errorstat_", "redis_errors_total"),
        ("engine_", "redis_scripting_engine_info"),
        ("latency_percentiles_usec_", "redis_latency_percentiles_usec"),
        ("used_active_time_io_thread_", "redis_active_time_io_thread_seconds_total"),
    ):  # fmt: skip
        assert sum(field.startswith(prefix) for field in fields) == counted.count(metric), prefix
    for pattern, metric in (
        (r"db\d+", "redis_db_keys"), (r"slave\d+", "redis_connected_slave_lag_seconds"),
        (r"master(_\d+)?_link_status", "redis_master_link_up"), (r"tls_\w+_serial", "redis_tls_certificate_info"),
    ):  # fmt: skip
        assert sum(re.fullmatch(pattern, field) is not None for field in fields) == counted.count(metric), pattern
    assert 1 == counted.count("redis_instance_info") == counted.count("redis_product_info")


def test_types_are_those_of_redis_exporter() -> None:
    """Each metric has the same type as in redis_exporter."""
    assert [] == [row.name for row in NAMES if row.kind != CATALOG[f"redis_{row.name}"].kind]


def test_parts_by_name() -> None:
    """The fourth part of a database's line differs by server, so it is read by its name."""
    assert 1 == decode(TEXTS["redis-8"])["redis_db_keys_with_expiring_items", "r", "db0"]
    assert 1 == decode(TEXTS["valkey-9"])["redis_db_keys_with_expiring_items", "r", "db0"]
    assert 1 == decode(TEXTS["keydb-6.3"])["redis_db_keys_cached", "r", "db0"]
    dragonfly = decode(TEXTS["dragonfly-1.36"])
    assert ("redis_db_keys_cached", "r", "db0") not in dragonfly


def test_minus_one_is_no_value() -> None:
    """The metrics of values that Dragonfly writes as -1 are absent; its client limit has Redis's names."""
    dragonfly = decode(TEXTS["dragonfly-1.36"])
    absent = {("redis_db_avg_ttl_seconds", "r", "db0"), ("redis_rejected_connections_total", "r")}
    assert not absent & dragonfly.keys()
    assert 64_000 == dragonfly["redis_max_clients", "r"] == dragonfly["redis_config_maxclients", "r"]


@pytest.mark.parametrize(
    ("name", "product", "version"),
    [
        ("redis-7.0", "Redis", "7.0.15"),
        ("valkey-9.1", "Valkey", "9.1.2"),
        ("dragonfly-1.36", "Dragonfly", None),
        ("garnet-2.2", "Garnet", "2.2.0"),
        ("kvrocks-2.17", "Kvrocks", "2.17.0"),
        ("pika-3.4", "Pika", "3.4.0"),
    ],
)
def test_products_have_their_own_name_and_version(name: str, product: str, version: str | None) -> None:
    """Each product has its own name and version; its ``redis_version`` is the version of Redis that it imitates."""
    found = [key for key in decode(TEXTS[name]) if key[0] == "redis_product_info"]
    assert [product] == [key[2] for key in found]
    assert version in {None, found[0][3]}


def test_what_other_products_do_not_report_is_absent() -> None:
    """Garnet has no section of databases and Pika one in another form: an unknown value is not exported as 0."""
    garnet, pika = decode(TEXTS["garnet-2.2"]), decode(TEXTS["pika-3.4"])
    assert "redis_db_keys" not in {key[0] for key in (*garnet, *pika)}
    assert ("redis_memory_used_bytes", "r") not in garnet
    assert ("redis_master_repl_offset", "r") not in garnet, "it is N/A"
    assert ("redis_memory_used_bytes", "r") not in decode(TEXTS["kvrocks-2.17"])
    assert ("redis_rdb_last_bgsave_duration_sec", "r") not in decode(TEXTS["kvrocks-2.17"]), "it is -1"
