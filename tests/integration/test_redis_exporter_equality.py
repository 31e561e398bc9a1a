# SPDX-License-Identifier: Apache-2.0
"""Ours against the real redis_exporter on the same servers: names, types, labels and values.

Debian's version (1.45) is older than the one whose names we use, so ours is a superset.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.integration.conftest import Programs
from tests.integration.redis_exporters import RedisExporter, is_installed
from tests.integration.side_by_side import BUSY, QUIET, Key, Pair, make_traffic
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="prometheus-redis-exporter is not on PATH"),
]

NOT_COMPARED = {
    "redis_exporter_build_info": "what it is itself; ours is celery_exporter_build_info",
    "redis_exporter_scrape_duration_seconds": "of all scrapes; ours is celery_exporter_scrape_duration_seconds",
    "redis_target_scrape_request_errors_total": "of its /scrape endpoint, which ours has not",
    "redis_last_key_groups_scrape_duration_milliseconds": "of key groups, for which each looks in its own way",
}
"""Metrics that each exporter has about itself only."""
OTHER_TYPE = {"redis_expired_time_cap_reached_total": "a gauge in 1.45, a counter since"}
NEWER = {
    "redis_commands_latencies_usec": "off by default in ours; 1.45 has none, and the sum of EVAL counts EVALSHA too",
    "redis_db_keys_cached": "KeyDB's; 1.69 takes the subexpiry of Redis 7.4 for it",
}
"""Metrics of Debian 13's version (1.69) that Debian 12's version does not have."""
OF_LISTS = re.compile(r"redis_db\d+_distrib_\w+")
"""Names that it makes of the sizes of keys in Redis 8, ``1=3,2=1``, whose beginning it takes for a number."""
NEWER_LABELS = {"redis_instance_info": {"master_replid"}}
"""Labels of Debian 13's version that Debian 12's version does not have."""

MOVING = {
    r"redis_(memory_used|mem|allocator)_\w+|redis_client_recent_max_\w+": "memory changes with every reply",
    r"redis_connected_clients": "each counts its own connections",
    r"redis_start_time_seconds": "it reckons by its own clock, ours by the server's",
    r"redis_latency_percentiles_usec|redis_instantaneous_eventloop_\w+": "they change with every call",
    r"redis_db_avg_ttl_seconds": "it falls as time passes",
    r"redis_(connected_slave_lag_seconds|master_last_io_seconds_ago)": "it comes and goes with each second",
    r"redis_exporter_(last_scrape_\w+|scrapes_total)": "each tells of its own scrapes",
}
"""Values that may differ between two reads, and why; growing values must be between a read before and one after."""


def family(name: str) -> str:
    """Return the name of a summary from that of its sum or count, and any other unchanged."""
    stem = re.sub("_(sum|count|bucket)$", "", name)
    return stem if stem in {*NOT_COMPARED, *NEWER} else name


def older(key: Key) -> Key:
    """Remove the labels that Debian 12's version does not have yet."""
    name, labels = key
    return name, frozenset(label for label in labels if label[0] not in NEWER_LABELS.get(name, ()))


def may_move(name: str) -> bool:
    """Return whether two reads may differ."""
    return any(re.fullmatch(pattern, name) for pattern in MOVING)


def is_compared(name: str) -> bool:
    """Return whether a metric is compared."""
    return name not in {*NOT_COMPARED, *NEWER} and OF_LISTS.fullmatch(name) is None


def assert_equal(pair: Pair) -> set[str]:
    """Compare a read of redis_exporter with our reads before and after it; return the names compared."""
    pair.said_by_them()
    pair.said_by_us()  # so that each read includes the other's commands
    before, theirs, after = pair.said_by_us(), pair.said_by_them(), pair.said_by_us()
    types = {name: kind for name, kind in theirs.types.items() if name not in OTHER_TYPE and is_compared(name)}
    assert types == {name: kind for name, kind in after.types.items() if name in types}
    first = {older(key): value for key, value in before.values.items()}
    last = {older(key): value for key, value in after.values.items()}
    expected = {older(key): value for key, value in theirs.values.items() if is_compared(family(key[0]))}
    assert {} == {key: value for key, value in expected.items() if key not in last}
    assert {} == {
        key: (first.get(key), value, last[key])
        for key, value in expected.items()
        if not may_move(key[0]) and not first.get(key, value) <= value <= last[key]
    }
    return {name for name, _ in expected} | types.keys()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Pair]]:
    """Yield a busy master, its replica and a node of a cluster, each read by both."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("equality"), ending)
        master = programs.redis(options=BUSY)
        if "valkey_version" in master.command("INFO", "server"):
            pytest.skip("1.45 does not know Valkey; test_redis_exporter_newest.py compares with a version that does")
        replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"))
        node, other = (programs.redis(options=("--cluster-enabled", "yes")) for _ in range(2))
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        node.command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
        eventually(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"))
        eventually(lambda: b"cluster_stats_messages_pong_received" in node.command("CLUSTER", "INFO"))
        # In Redis 8 used_memory_dataset of an empty node is below 0 at times, and written without its sign.
        node.command("SET", "a", "b" * 1_000_000)
        make_traffic(master)
        eventually(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")
        eventually(lambda: master.command("INFO", "replication")["slave0"]["state"] == "online")
        replicated = programs.listening(master, "--result-backend-url", replica.url(), *QUIET)
        clustered = programs.listening(programs.redis(), "--result-backend-url", node.url(), *QUIET)
        yield {
            "master": Pair(replicated, "broker", RedisExporter(programs, master.port)),
            "replica": Pair(replicated, "results", RedisExporter(programs, replica.port)),
            "cluster": Pair(clustered, "results", RedisExporter(programs, node.port)),
        }


SEEN = {
    "master": {
        "redis_commands_total", "redis_commands_failed_calls_total", "redis_commands_rejected_calls_total",
        "redis_errors_total", "redis_latency_percentiles_usec", "redis_latency_percentiles_usec_sum",
        "redis_latency_spike_last", "redis_slowlog_length", "redis_last_slow_execution_duration_seconds",
        "redis_db_keys", "redis_db_avg_ttl_seconds", "redis_connected_slave_offset_bytes", "redis_config_io_threads",
        "redis_latest_fork_seconds", "redis_dump_payload_sanitizations", "redis_io_threaded_reads_processed",
    },
    "replica": {"redis_slave_info", "redis_master_link_up", "redis_slave_repl_offset", "redis_slave_priority"},
    "cluster": {"redis_cluster_state", "redis_cluster_slots_assigned", "redis_cluster_messages_sent_total",
                "redis_cluster_stats_messages_ping_sent"},
}  # fmt: skip
"""Metrics that must be among those compared, so that the comparison is meaningful."""


@pytest.mark.parametrize("name", ["master", "replica", "cluster"])
def test_ours_says_what_redis_exporter_says(pairs: Mapping[str, Pair], name: str) -> None:
    """Every series of redis_exporter exists, with the same type and value."""
    compared = assert_equal(pairs[name])
    assert len(compared) > 100
    assert set() == SEEN[name] - compared


def test_every_exception_is_needed(pairs: Mapping[str, Pair]) -> None:
    """Every exception names a metric that exists in redis_exporter."""
    theirs = {family(name) for pair in pairs.values() for name, _ in pair.said_by_them().values}
    assert set() == {*NOT_COMPARED, *OTHER_TYPE, *NEWER_LABELS} - theirs
    assert [] == [pattern for pattern in MOVING if not any(re.fullmatch(pattern, name) for name in theirs)]
