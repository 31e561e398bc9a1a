"""Ours against the real redis_exporter on the same servers: names, types, labels and values.

Debian's version (1.45) is older than the one whose names we have, so ours is a superset.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest
import redis

from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, parse
from tests.integration.redis_exporters import RedisExporter, is_installed
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="prometheus-redis-exporter is not on PATH"),
]

QUIET = ("--queues.discovery-interval", "0", "--celery.inspect-interval", "0", "--redis.discovery-interval", "0")
"""Flags of an exporter that does nothing between two scrapes."""

NOT_COMPARED = {
    "redis_exporter_build_info": "what it is itself; ours is celery_exporter_build_info",
    "redis_exporter_scrape_duration_seconds": "of all scrapes; ours is celery_exporter_scrape_duration_seconds",
    "redis_target_scrape_request_errors_total": "of its /scrape endpoint, which ours has not",
    "redis_last_key_groups_scrape_duration_milliseconds": "of key groups, for which each looks in its own way",
}
"""What each tells of itself alone."""
OTHER_TYPE = {"redis_expired_time_cap_reached_total": "a gauge in 1.45, a counter since"}
NEWER = {
    "redis_commands_latencies_usec": "off by default in ours; 1.45 has none, and the sum of EVAL counts EVALSHA too",
    "redis_db_keys_cached": "KeyDB's; 1.69 takes the subexpiry of Redis 7.4 for it",
}
"""What Debian 13's version (1.69) tells and Debian 12's does not."""
NEWER_LABELS = {"redis_instance_info": {"master_replid"}}
"""Labels that it has since."""

MOVING = {
    r"redis_(memory_used|mem|allocator)_\w+|redis_client_recent_max_\w+": "memory changes with every reply",
    r"redis_connected_clients": "each counts its own connections",
    r"redis_start_time_seconds": "it reckons by its own clock, ours by the server's",
    r"redis_latency_percentiles_usec": "percentiles change with every call",
    r"redis_db_avg_ttl_seconds": "it falls as time passes",
    r"redis_(connected_slave_lag_seconds|master_last_io_seconds_ago)": "it comes and goes with each second",
    r"redis_exporter_(last_scrape_\w+|scrapes_total)": "each tells of its own scrapes",
}
"""Values that may differ between two reads, and why; what only grows is held between a read before and one after."""

Key = tuple[str, frozenset[tuple[str, str]]]


class Said(NamedTuple):
    """What an exporter says of one server: types by metric, values by name and labels, without the label redis."""

    types: dict[str, str]
    values: dict[Key, float]


class Pair(NamedTuple):
    """A server read by both."""

    ours: Exporter
    redis: str
    theirs: RedisExporter

    def said_by_us(self) -> Said:
        """Scrape ours."""
        text = self.ours.get().text
        said = {}
        for (name, labels), value in parse(text).items():
            if ("redis", self.redis) in labels and name.startswith("redis_"):
                # To Prometheus an empty label is none.
                said[name, frozenset(label for label in labels if label[0] != "redis" and label[1])] = value
        return Said(types_of(text), said)

    def said_by_them(self) -> Said:
        """Scrape theirs."""
        text = self.theirs.text()
        values = {key: value for key, value in parse(text).items() if key[0].startswith("redis_")}
        return Said(types_of(text), {(name, frozenset(pair for pair in labels if pair[1])): value
                                     for (name, labels), value in values.items()})  # fmt: skip


def types_of(text: str) -> dict[str, str]:
    """Give the types of all metrics that have samples."""
    return dict(re.findall(r"^# TYPE (redis_\S+) (\S+)$", text, re.MULTILINE))


def family(name: str) -> str:
    """Give the name of a summary from that of its sum or count, any other as it is."""
    stem = re.sub("_(sum|count|bucket)$", "", name)
    return stem if stem in {*NOT_COMPARED, *NEWER} else name


def older(key: Key) -> Key:
    """Leave out the labels that Debian 12's version does not have yet."""
    name, labels = key
    return name, frozenset(label for label in labels if label[0] not in NEWER_LABELS.get(name, ()))


def may_move(name: str) -> bool:
    """Whether two reads may differ."""
    return any(re.fullmatch(pattern, name) for pattern in MOVING)


def assert_equal(pair: Pair) -> set[str]:
    """Compare a read by theirs with one by ours before it and one after; give the names compared."""
    pair.said_by_them()
    pair.said_by_us()  # so that each has seen the commands of the other
    before, theirs, after = pair.said_by_us(), pair.said_by_them(), pair.said_by_us()
    left_out = {*NOT_COMPARED, *NEWER}
    types = {name: kind for name, kind in theirs.types.items() if name not in {*OTHER_TYPE, *left_out}}
    assert types == {name: kind for name, kind in after.types.items() if name in types}
    first = {older(key): value for key, value in before.values.items()}
    last = {older(key): value for key, value in after.values.items()}
    expected = {older(key): value for key, value in theirs.values.items() if family(key[0]) not in left_out}
    assert set() == expected.keys() - last.keys()
    assert {} == {
        key: (first.get(key), value, last[key])
        for key, value in expected.items()
        if not may_move(key[0]) and not first.get(key, value) <= value <= last[key]
    }
    return {name for name, _ in expected} | types.keys()


def make_traffic(server: RedisServer) -> None:
    """Leave something behind for every metric that traffic feeds."""
    for db, name in ((0, "a"), (0, "b"), (3, "c")):
        server.command("SET", name, "value", db=db)
    server.command("SET", "d", "value", "EX", 1000)
    server.command("GETSET", "a", "other")
    server.command("LPUSH", "list", "x")
    for words in (("LPUSH", "a", "x"), ("NOCOMMAND",), ("EVALSHA", "0" * 40, "0")):
        with pytest.raises(redis.ResponseError):
            server.command(*words)
    server.command("DEBUG", "SLEEP", "0.02")
    server.command("EVAL", "return 1", "0")
    server.command("CONFIG", "SET", "slowlog-log-slower-than", "1000000")
    server.command("CONFIG", "SET", "latency-monitor-threshold", "1000000")


BUSY = (
    "--enable-debug-command", "yes", "--slowlog-log-slower-than", "10000", "--latency-monitor-threshold", "10",
    "--maxmemory", "100mb", "--databases", "20",
)  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Pair]]:
    """Give a busy master, its replica and a node of a cluster, each read by both."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("equality"), ending)
        master = programs.redis(options=BUSY)
        replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"))
        node, other = (programs.redis(options=("--cluster-enabled", "yes")) for _ in range(2))
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        node.command("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
        eventually(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"))
        eventually(lambda: b"cluster_stats_messages_pong_received" in node.command("CLUSTER", "INFO"))
        node.command("SET", "a", "b")
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
"""What must be among the metrics compared, so that the comparison means something."""


@pytest.mark.parametrize("name", ["master", "replica", "cluster"])
def test_ours_says_what_redis_exporter_says(pairs: Mapping[str, Pair], name: str) -> None:
    """Every series of redis_exporter is there, of the same type and with the same value."""
    compared = assert_equal(pairs[name])
    assert len(compared) > 100
    assert set() == SEEN[name] - compared


def test_every_exception_is_needed(pairs: Mapping[str, Pair]) -> None:
    """Nothing is excepted that does not exist in redis_exporter."""
    theirs = {family(name) for pair in pairs.values() for name, _ in pair.said_by_them().values}
    assert set() == {*NOT_COMPARED, *OTHER_TYPE, *NEWER_LABELS} - theirs
    assert [] == [pattern for pattern in MOVING if not any(re.fullmatch(pattern, name) for name in theirs)]
