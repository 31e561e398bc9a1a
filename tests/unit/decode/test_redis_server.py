# SPDX-License-Identifier: Apache-2.0
"""Conversion of a Redis server's other replies than INFO to samples."""

from celery_redis_exporter.decode.redis_info import decode_info
from celery_redis_exporter.decode.redis_server import (
    count_databases,
    decode_cluster_info,
    decode_command_logs,
    decode_config,
    decode_latency_histogram,
    decode_latency_latest,
    decode_output_buffer,
    decode_settings,
    decode_slowlog,
)
from celery_redis_exporter.records.samples import Buckets, Reading, Sample


def by_name(samples: list[Sample]) -> dict[tuple[str, ...], Reading]:
    """Return the samples by metric name and labels."""
    return {(sample.metric.name, *sample.labels): sample.value for sample in samples}


def test_cluster() -> None:
    """CLUSTER INFO yields the cluster's state as a number."""
    text = (
        b"cluster_state:fail\r\ncluster_slots_fail:3\r\ncluster_size:2\r\nother:1\r\n"
        b"cluster_stats_messages_auth-req_sent:4\r\ncluster_stats_messages_sent:5\r\n"
    )
    found = by_name(decode_cluster_info("broker", text))
    assert {
        ("redis_cluster_state", "broker"): 0, ("redis_cluster_slots_fail", "broker"): 3,
        ("redis_cluster_size", "broker"): 2, ("redis_cluster_stats_messages_auth_req_sent", "broker"): 4,
        ("redis_cluster_messages_sent_total", "broker"): 5,
    } == found  # fmt: skip
    assert [] == decode_cluster_info("broker", RuntimeError("refused"))


def test_slow_log() -> None:
    """The newest entry of the slow log yields its id and its duration in seconds; an empty log yields zeros."""
    entry = [14, 1_800_000_000, 12_000, [b"KEYS", b"*"], b"127.0.0.1:1", b""]
    found = by_name(decode_slowlog("broker", 15, [entry]))
    assert {
        ("redis_slowlog_length", "broker"): 15, ("redis_slowlog_last_id", "broker"): 14,
        ("redis_last_slow_execution_duration_seconds", "broker"): 0.012,
    } == found  # fmt: skip
    assert [0, 0, 0] == list(by_name(decode_slowlog("broker", 0, [])).values())
    assert [] == decode_slowlog("broker", RuntimeError("refused"), RuntimeError("refused"))


def test_latency() -> None:
    """The latest spikes yield their time and their length in seconds; a refused command yields nothing."""
    found = by_name(decode_latency_latest("broker", [[b"fork", 1_800_000_000, 250, 900], b"odd"]))
    assert {
        ("redis_latency_spike_last", "broker", "fork"): 1_800_000_000,
        ("redis_latency_spike_duration_seconds", "broker", "fork"): 0.25,
    } == found
    assert [] == decode_latency_latest("broker", RuntimeError("refused"))


def test_output_buffer() -> None:
    """The backlog is the client's omem; a client that disconnected has none."""
    assert 20_504 == decode_output_buffer(b"id=7 addr=1:2 qbuf=0 oll=1 omem=20504 tot-mem=42 cmd=psubscribe\n")
    assert decode_output_buffer(b"") is None
    assert decode_output_buffer(RuntimeError("refused")) is None


def test_command_logs() -> None:
    """Each of Valkey's three logs yields its length; a refused one yields none."""
    found = by_name(decode_command_logs("r", [3, RuntimeError("refused"), 0]))
    assert {("redis_commandlog_slow_length", "r"): 3, ("redis_commandlog_large_reply_length", "r"): 0} == found
    assert [] == decode_command_logs("r", [None, None, None])


HISTOGRAM = [
    b"get", [b"calls", 5, b"histogram_usec", [1, 2, 4, 5]],
    b"config|get", [b"calls", 1, b"histogram_usec", [33, 1]],
    b"forgotten", [b"calls", 1, b"histogram_usec", [1, 1]],
    b"odd", [b"calls"],
]  # fmt: skip


def test_latency_histogram() -> None:
    """A command's buckets are those that Redis names, and its sum is INFO's; without a sum there is no histogram."""
    usage = {"get": (5, 9), "config|get": (1, 30), "odd": (1, 1)}
    found = by_name(decode_latency_histogram("r", HISTOGRAM, usage))
    assert {
        ("redis_commands_latencies_usec", "r", "get"): Buckets((("1", 2), ("4", 5)), 5, 9),
        ("redis_commands_latencies_usec", "r", "config|get"): Buckets((("33", 1),), 1, 30),
    } == found
    assert [] == decode_latency_histogram("r", RuntimeError("refused"), usage)


CONFIG = [
    b"databases", b"4", b"io-threads", b"2", b"repl-backlog-size", b"1048576", b"maxclients", b"9", b"maxmemory", b"0",
    b"client-output-buffer-limit", b"normal 0 0 0 slave 256 64 60", b"commandlog-execution-slower-than", b"-1",
]  # fmt: skip


def test_config() -> None:
    """CONFIG GET yields its parameters, in one reply or in several; a refused one yields none."""
    assert {"databases": "4", "maxclients": "9"} == decode_config([[b"databases", b"4"], None, [b"maxclients", b"9"]])
    assert {} == decode_config([RuntimeError("refused"), []])


def test_settings() -> None:
    """Settings are exported as redis_exporter exports them, limits only if INFO did not contain them."""
    known = decode_info("r", b"maxclients:10000\r\n", (), 0).samples
    found = by_name(decode_settings("r", decode_config([CONFIG]), known))
    limits = "redis_config_client_output_buffer_limit_bytes"
    seconds = "redis_config_client_output_buffer_limit_overcome_seconds"
    assert {
        ("redis_config_io_threads", "r"): 2, ("redis_config_repl_backlog_size", "r"): 1_048_576,
        ("redis_memory_max_bytes", "r"): 0, ("redis_config_maxmemory", "r"): 0,
        ("redis_commandlog_execution_slower_than", "r"): -1,
        (limits, "r", "normal", "hard"): 0, (limits, "r", "normal", "soft"): 0, (seconds, "r", "normal", "soft"): 0,
        (limits, "r", "slave", "hard"): 256, (limits, "r", "slave", "soft"): 64, (seconds, "r", "slave", "soft"): 60,
    } == found  # fmt: skip
    assert 9 == by_name(decode_settings("r", {"maxclients": "9"}, []))["redis_config_maxclients", "r"]


def test_databases() -> None:
    """The number of databases is the one that the server reports; in a cluster it is one, or the number of Valkey 9."""
    assert 4 == count_databases({"databases": "4"}, cluster=False)
    assert 1 == count_databases({"databases": "4"}, cluster=True)
    assert 2 == count_databases({"databases": "4", "cluster-databases": "2"}, cluster=True)
    assert 0 == count_databases({}, cluster=False) == count_databases({"databases": "many"}, cluster=False)
