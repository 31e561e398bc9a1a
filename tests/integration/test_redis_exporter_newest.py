# SPDX-License-Identifier: Apache-2.0
"""Ours against the newest redis_exporter, on every available server: names, types, labels and values.

A difference fails unless ACCEPTED contains it, with a reason.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Literal, NamedTuple

import pytest

from tests.integration.cluster_servers import OPTIONS
from tests.integration.conftest import Programs
from tests.integration.redis_exporters import RedisExporter
from tests.integration.side_by_side import BUSY, QUIET, Key, Pair, make_traffic
from tests.integration.suite_programs import SERVERS, server_program, suite_program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.newest("redis_exporter-1.86"), pytest.mark.timeout(300)]

FLAGS = ("-include-system-metrics", "-include-modules-metrics")
"""Metrics that redis_exporter has on request only, and ours always."""


class Difference(NamedTuple):
    """An accepted difference: names of series, which exporter has them, and why.

    ``values`` are series that both exporters have, and that may change between two reads.
    """

    names: str
    where: Literal["theirs", "ours", "values"]
    reason: str


ACCEPTED = (
    Difference("redis_product_info", "ours", "product and version of servers that are not Redis"),
    Difference("redis_exporter_build_info", "theirs", "what it is itself; ours is celery_exporter_build_info"),
    Difference("redis_exporter_scrape_duration_seconds", "theirs", "of all scrapes; ours is celery_exporter_scrape_*"),
    Difference("redis_target_scrape_request_errors_total", "theirs", "of its endpoint /scrape, which ours has not"),
    Difference("redis_last_key_groups_scrape_duration_milliseconds", "theirs", "of key groups, which are off here"),
    Difference("redis_db_keys_cached", "theirs", "KeyDB's; it takes the fourth number of any server's line for it"),
    Difference("redis_db_keys_with_expiring_items", "ours", "what that number is on Redis 7.4 and Valkey 9"),
    Difference(r"redis_(io_thread_\w+|io_threaded_(accept|poll|freed|prefetch)\w+)", "ours", "it does not read these"),
    Difference(r"redis_(aof_rewrites|rdb_saves_consecutive|current_(cow|fork|save))\w*", "ours", "as above"),
    Difference(r"redis_(forks_total|(current_)?active_defrag_seconds\w*|rss_overhead_\w+)", "ours", "as above"),
    Difference(r"redis_(paused\w*|clients_hz|slot_migration_fork_in_progress)", "ours", "as above"),
    Difference(r"redis_(mem_replica_full_sync_buffer|mem_cluster_slot|net_cluster_slot)\w+", "ours", "as above"),
    Difference(r"redis_db_keys_by_(size|items)", "ours", "as above"),
    Difference("redis_cluster_links_buffer_limit_exceeded_total", "ours", "it shows fields that begin with cluster_"),
    Difference(r"redis_(scripting_engine|tls_\w*cert|active_time|acl_access_denied_(db|tls))\w*", "ours",
               "it reads these since a later version"),
    Difference(r"redis_(expired_(fields|keys_with_volatile)|mem_replicas_repl)\w*", "ours", "as above"),
    Difference(r"redis_replicas_(waiting_psync|repl_buffer)\w*", "ours", "as above"),
    Difference(r"redis_commandlog_\w+", "ours", "its probe for the command log finds none on Valkey"),
    Difference(r"redis_(memory_used|mem|allocator|rss)_\w+|redis_client_recent_max_\w+", "values",
               "memory changes with every reply"),
    Difference("redis_connected_clients|redis_pubsub_clients", "values", "each counts its own connections"),
    Difference("redis_start_time_seconds", "values", "it reckons by its own clock, ours by the server's"),
    Difference("redis_latency_percentiles_usec", "values", "percentiles change with every call"),
    Difference("redis_commands_latencies_usec_sum", "values", "it adds EVAL and EVALSHA up, by a pattern"),
    Difference("redis_db_avg_ttl_seconds", "values", "it falls as time passes"),
    Difference("redis_(connected_slave_lag_seconds|master_last_io_seconds_ago)", "values", "each second moves it"),
    Difference("redis_instantaneous_eventloop_\\w+", "values", "of the last moments"),
    Difference(r"redis_exporter_(last_scrape_\w+|scrapes_total)", "values", "each tells of its own scrapes"),
)  # fmt: skip
LABELS = {("redis_instance_info", "redis_mode"): "Valkey calls the field server_mode, which it does not read"}
"""Labels that only ours has, with the reason."""
ROLES = ("master", "replica", "node")
USED: set[Difference | tuple[str, str]] = set()
"""Differences that were needed so far."""
RAN: set[tuple[str, str]] = set()


@pytest.fixture(scope="module", params=SERVERS)
def pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Pair]]:
    """Yield a busy master, its replica and a node of a cluster of one product, each read by both."""
    program, theirs = server_program(request.param), suite_program("redis_exporter-1.86")
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("newest"), ending)
        options = (*BUSY, "--repl-diskless-sync-delay", "0")
        master = programs.redis(options=options, program=program)
        replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"), program=program)
        node = programs.redis(options=OPTIONS, program=program)
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: b"cluster_state:ok" in node.command("CLUSTER", "INFO"))
        make_traffic(master)
        eventually(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")
        eventually(lambda: master.command("INFO", "replication")["slave0"]["state"] == "online")
        named = dict(zip(ROLES, (master, replica, node), strict=True))
        servers = json.dumps({role: {"url": server.url(), "discover": False} for role, server in named.items()})
        quiet = (*QUIET, "--redis.key-space.interval", "0", "--redis.latency-histogram")
        ours = programs.listening(programs.redis(), "--redis.servers", servers, *quiet)
        yield {
            role: Pair(ours, role, RedisExporter(programs, server.port, program=theirs, flags=FLAGS))
            for role, server in named.items()
        }


def accepted(name: str, where: str) -> bool:
    """Return whether a difference of a series is accepted, and record that it was needed."""
    stem = re.sub("_(sum|count|bucket)$", "", name)
    for difference in ACCEPTED:
        if difference.where == where and any(re.fullmatch(difference.names, each) for each in (name, stem)):
            USED.add(difference)
            return True
    return False


def without_labels(key: Key, theirs: Mapping[Key, float]) -> Key:
    """Remove the labels that only ours has, if theirs has the same series without them."""
    name, labels = key
    left = frozenset(label for label in labels if (name, label[0]) not in LABELS)
    if left != labels and key not in theirs and (name, left) in theirs:
        USED.update((name, label[0]) for label in labels - left)
        return name, left
    return key


@pytest.mark.parametrize("role", ROLES)
def test_differences_are_accepted_ones(pairs: Mapping[str, Pair], role: str, request: pytest.FixtureRequest) -> None:
    """Every series of one exporter exists in the other, with the same type and value, or is accepted with a reason."""
    pair = pairs[role]
    pair.said_by_them()
    pair.said_by_us()  # so that each read includes the other's commands
    before, theirs, after = pair.said_by_us(), pair.said_by_them(), pair.said_by_us()
    last = {without_labels(key, theirs.values): value for key, value in after.values.items()}
    first = {without_labels(key, theirs.values): value for key, value in before.values.items()}
    assert [] == [key for key in theirs.values if key not in last and not accepted(key[0], "theirs")]
    names = {name for name, _ in theirs.values}
    assert set() == {name for name, _ in last if name not in names and not accepted(name, "ours")}
    common = {key: value for key, value in theirs.values.items() if key in last}
    assert {} == {
        key: (first.get(key), value, last[key])
        for key, value in common.items()
        if not first.get(key, value) <= value <= last[key] and not accepted(key[0], "values")
    }
    shared = theirs.types.keys() & after.types.keys()
    assert {name: theirs.types[name] for name in shared} == {name: after.types[name] for name in shared}
    assert len(common) > 200
    RAN.add((str(request.node.callspec.params["pairs"]), role))


def test_every_accepted_difference_is_needed() -> None:
    """Every accepted difference occurs on some server, after all servers and roles were compared."""
    if len(RAN) < len(SERVERS) * len(ROLES):
        pytest.skip("not every server was compared")
    moving = {difference for difference in ACCEPTED if difference.where == "values"}  # a value may not have changed
    assert set() == {*ACCEPTED, *LABELS} - USED - moving
