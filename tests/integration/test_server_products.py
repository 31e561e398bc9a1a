# SPDX-License-Identifier: Apache-2.0
"""The same situations on every available server: Redis and Valkey in several versions.

A row of SERVERS whose program is not available on this machine is printed and counted at the end of the run.
"""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing

import pytest
import redis

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.sources.key_space import KeySpaceReader, Walk
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint
from celery_redis_exporter.state.key_groups import SEGMENTS
from tests.integration.acl import ACL_LINE, CLUSTER_RIGHTS, USER, rights_of_newer
from tests.integration.checks import SOUND, check_quickly
from tests.integration.cluster_servers import OPTIONS, SLOTS, RedisCluster
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer
from tests.integration.sentinel_servers import SentinelSet
from tests.integration.suite_programs import SERVERS, server_program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

EVERY_SERVER = pytest.mark.parametrize("name", SERVERS)
SLOW = 20.0
"""Seconds until all nodes of a cluster agree."""
TOP = (sys.executable, "-m", "celery_redis_exporter", "top")
ANALYZE = (sys.executable, "-m", "celery_redis_exporter", "analyze")
NODE_OPTIONS = ("--redis.discovery-interval", "1s")


def product_of(server: RedisServer) -> tuple[str, str]:
    """Return product and version as the server itself reports them."""
    info = server.command("INFO", "server")
    if "valkey_version" in info:
        return "Valkey", info["valkey_version"]
    return "Redis", info["redis_version"]


def cluster_of(programs: Programs, name: str, count: int) -> RedisCluster:
    """Start a cluster of one product."""
    program = server_program(name)

    def start(options: Sequence[str]) -> RedisServer:
        return programs.redis(options=options, program=program)

    return RedisCluster(start, count)


def servers(**options: object) -> tuple[str, str]:
    """Return the flag that names servers."""
    return "--redis.servers", json.dumps(options)


def up(exporter: Exporter) -> dict[str, float]:
    """Return ``redis_up`` by server."""
    return {dict(labels)["redis"]: value for (_, labels), value in exporter.metrics("redis_up").items()}


@EVERY_SERVER
def test_a_server_is_called_by_its_name(programs: Programs, name: str) -> None:
    """Metrics, status, ``check``, ``analyze`` and ``top`` show the product, its version, and its mode."""
    server = programs.redis(program=server_program(name))
    product, version = product_of(server)
    assert name == "redis" or f"{product} {version}".lower().startswith(name.replace("-", " "))
    exporter = programs.listening(server)
    (labels,) = exporter.labels("redis_instance_info")
    assert "standalone" == labels["redis_mode"]
    if product == "Valkey":
        assert version == labels["valkey_version"]
    (status,) = json.loads(exporter.get("/api/v1/status").text)["redis"]
    assert (product, version, "standalone") == (status["product"], status["version"], status["mode"])
    found = check_quickly(programs, server.url())
    assert f"{product} {version}, master" in found["redis-answers"]["found"]
    text, tree = programs.run(*ANALYZE, server.url()), programs.run(*ANALYZE, server.url(), "--json")
    assert (0, 0) == (text.ended(), tree.ended())
    assert f"{product} {version}, standalone, master" in text.output()
    shown = programs.run(*TOP, "--broker-url", server.url(), "--listen=1", "--json")
    assert 0 == shown.ended()
    (status,) = json.loads(shown.output())["redis"]
    assert (product, version, False) == (status["product"], status["version"], status["read_only"])
    described = json.loads(tree.output())[0]["server"]
    assert (product, version, "standalone") == tuple(described[key] for key in ("product", "version", "redis_mode"))


@EVERY_SERVER
def test_every_node_of_a_cluster_is_found(programs: Programs, name: str) -> None:
    """From one configured node all three nodes are read, each with the state of the cluster."""
    cluster = cluster_of(programs, name, 3)
    flags = (*servers(cache={"url": cluster.nodes[0].url()}), *NODE_OPTIONS)
    exporter = programs.listening(programs.redis(), *flags)
    nodes = {f"cache/127.0.0.1:{node.port}" for node in cluster.nodes}
    eventually(lambda: up(exporter) == dict.fromkeys({"broker", *nodes}, 1), SLOW)
    for node in nodes:
        assert (1, 3) == (
            exporter.value("redis_cluster_state", redis=node),
            exporter.value("redis_cluster_known_nodes", redis=node),
        )
    assert 3 == exporter.value("celery_exporter_redis_nodes", redis="cache")


@EVERY_SERVER
def test_a_replica_is_read(programs: Programs, name: str) -> None:
    """A replica shows its master's address, and both show the link between them."""
    program = server_program(name)
    master = programs.redis(program=program, options=("--repl-diskless-sync-delay", "0"))
    replica = programs.redis(program=program, options=("--replicaof", "127.0.0.1", f"{master.port}"))
    eventually(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")
    exporter = programs.listening(master, "--result-backend-url", replica.url())
    link = {"redis": "results", "master_host": "127.0.0.1", "master_port": f"{master.port}"}
    eventually(lambda: exporter.value("redis_master_link_up", **link) == 1)
    assert 1 == exporter.value("redis_slave_info", **link, read_only="1")
    eventually(lambda: exporter.value("redis_connected_slaves", redis="broker") == 1)
    report = json.loads(exporter.get("/api/v1/status").text)
    (health,) = [health for health in report["health"] if health["subject"] == "Redis"]
    assert "critical" == health["state"]
    assert "read-only replicas, to which Celery can't write: results" in health["reason"]


@EVERY_SERVER
def test_a_failover_is_followed(programs: Programs, name: str) -> None:
    """Behind Sentinel the exporter reads the master, and the new master after a failover."""
    program = server_program(name)
    options = ("--repl-diskless-sync-delay", "0")
    first = programs.redis(program=program, options=options)
    second = programs.redis(program=program, options=(*options, "--replicaof", "127.0.0.1", f"{first.port}"))
    with ExitStack() as ending:
        sentinels = SentinelSet(programs.folder, (first, second), 3, program)
        ending.callback(sentinels.stop)
        exporter = programs.listening(sentinels, "--broker-transport-options", json.dumps(sentinels.options))
        before = {
            labels["tcp_port"] for labels in exporter.labels("redis_instance_info") if labels["redis"] == "broker"
        }
        assert {f"{first.port}"} == before
        sentinels.fail_over()

        def roles() -> list[tuple[str, str]]:
            found = exporter.labels("redis_instance_info")
            return [(labels["tcp_port"], labels["role"]) for labels in found if labels["redis"] == "broker"]

        eventually(lambda: roles() == [(f"{second.port}", "master")], SLOW)
        sentinel_modes = {labels["redis_mode"] for labels in exporter.labels("redis_instance_info")
                          if re.search("/sentinel/", labels["redis"])}  # fmt: skip
        assert {"sentinel"} == sentinel_modes


@EVERY_SERVER
def test_a_full_server_says_why(programs: Programs, name: str) -> None:
    """A server that accepts no more clients is down for that reason, and not for a closed connection."""
    full = programs.redis(program=server_program(name))
    exporter = programs.listening(programs.redis(), *servers(full={"url": full.url()}))
    with full.client() as client:
        client.config_set("maxclients", 1)
        client.client_kill_filter(_type="normal", skipme=True)
        assert 1 == exporter.value("redis_exporter_last_scrape_error", redis="full", err="maxclients")
        client.config_set("maxclients", 100)
        assert 1 == exporter.value("redis_up", redis="full")


@EVERY_SERVER
def test_a_connection_that_the_server_closed_costs_nothing(programs: Programs, name: str) -> None:
    """A connection that was closed while idle is opened again by the scrape that needs it."""
    idle = programs.redis(program=server_program(name))
    exporter = programs.listening(programs.redis(), *servers(idle={"url": idle.url()}))
    counts = []
    for _ in range(4):
        idle.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        samples = [labels for _, labels in exporter.metrics() if ("redis", "idle") in labels]
        counts.append(len(samples))
        assert 1 == exporter.value("redis_up", redis="idle")
    assert min(counts) > 200


@EVERY_SERVER
def test_names_of_errors_are_bounded(programs: Programs, name: str) -> None:
    """A client that invents error names creates a limited number of series, and no scrape fails."""
    noisy = programs.redis(program=server_program(name))
    flags = (*servers(noisy={"url": noisy.url()}), "--series.max-per-metric", "100")
    exporter = programs.listening(programs.redis(), *flags)
    with noisy.client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(120):
            pipeline.execute_command("EVAL", f"return redis.error_reply('made_up_{number} now')", 0)
        pipeline.execute(raise_on_error=False)
    seen = [labels["err"] for labels in exporter.labels("redis_errors_total") if labels["redis"] == "noisy"]
    assert 1 <= len(seen) <= 101
    over = {"redis": "noisy", "err": "__overflow__"}
    if len(seen) == 101:  # Redis 6.2 to 7.2; later versions give up after 128 names
        assert 20 <= (exporter.value("redis_errors_total", **over) or 0) <= 30
        dropped = exporter.value("celery_exporter_series_dropped_total", metric="redis_errors_total")
        assert dropped is not None
        assert dropped >= 20


@EVERY_SERVER
def test_check_judges_a_cluster_as_what_it_is(programs: Programs, name: str) -> None:
    """``check`` fails for a monitored cluster only if slots are missing, and reports a cluster as result backend."""
    cluster = cluster_of(programs, name, 3)
    seed, other, _ = cluster.nodes
    broker = programs.redis(options=SOUND)
    flags = servers(cache={"url": seed.url()})
    found = check_quickly(programs, broker.url(), *flags)
    assert "cluster of 3" in found["redis-cluster-found"]["found"]
    assert {"ok", "note", "warn"} >= {finding["level"] for finding in found.values()}
    assert "redis-moved" in check_quickly(programs, broker.url(), "--result-backend-url", seed.url())
    first = other.command("CLUSTER", "NODES").decode().splitlines()
    (slots,) = [line.split(" ")[8] for line in first if "myself" in line]
    other.command("CLUSTER", "DELSLOTSRANGE", *slots.split("-"))
    eventually(lambda: b"cluster_state:fail" in other.command("CLUSTER", "INFO"), SLOW)
    found = check_quickly(programs, broker.url(), *flags)
    assert "fail" == found["redis-clusterdown"]["level"]


@EVERY_SERVER
def test_the_documented_rights_are_enough_for_a_cluster(programs: Programs, name: str) -> None:
    """With both documented ACL lines every node is read, and without the one for clusters only the configured node."""
    cluster = cluster_of(programs, name, 3)
    for node in cluster.nodes:
        node.command(*ACL_LINE.split(), *CLUSTER_RIGHTS, *rights_of_newer(node))
    seed = cluster.nodes[0]
    broker = programs.redis(options=SOUND)
    flags = servers(cache={"url": seed.url(user=USER, password="PASSWORD")})
    exporter = programs.listening(broker, *flags, *NODE_OPTIONS)
    nodes = {f"cache/127.0.0.1:{node.port}" for node in cluster.nodes}
    eventually(lambda: up(exporter) == dict.fromkeys({"broker", *nodes}, 1), SLOW)
    assert [] == exporter.labels("celery_exporter_command_denied")
    found = check_quickly(programs, broker.url(), *flags)
    assert "redis-rights-missing" not in found
    assert "redis-cluster-found" in found
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", USER, "-cluster|nodes")
    found = check_quickly(programs, broker.url(), *flags)
    assert "cluster|nodes" in found["redis-rights-missing"]["found"]
    assert any("+cluster|nodes" in line for line in found["redis-rights-missing"]["remedy"])
    process = programs.run(*ANALYZE, seed.url(user=USER, password="PASSWORD"), "--json")
    assert 0 == process.ended(), process.output()
    assert [f"localhost:{seed.port}"] == [report["node"] for report in json.loads(process.output())]


@EVERY_SERVER
def test_a_whole_cluster_is_analyzed(programs: Programs, name: str) -> None:
    """From any node the exporter analyzes each master, so that every key counts once, and no replica."""
    cluster = cluster_of(programs, name, 3)
    replica = programs.redis(options=OPTIONS, program=server_program(name))
    cluster.join(replica)
    seed, second = cluster.nodes[:2]
    replica.command("CLUSTER", "REPLICATE", seed.command("CLUSTER", "MYID").decode())
    with closing(redis.RedisCluster("127.0.0.1", seed.port, protocol=2)) as client:
        for number in range(300):
            client.set(f"user:{number}", "x")
    reports = []
    for node in (second, replica):
        process = programs.run(*ANALYZE, node.url(), "--json")
        assert 0 == process.ended(), process.output()
        reports.append(json.loads(process.output()))
    for found in reports:
        nodes = [report["node"] for report in found]
        assert sorted(f"127.0.0.1:{node.port}" for node in cluster.nodes[:3]) == sorted(nodes)
        keys = [sum(database["keys"] for database in report["databases"]) for report in found]
        assert 300 == sum(keys)
        assert all(keys)
    text = programs.run(*ANALYZE, second.url())
    assert 0 == text.ended()
    assert 3 == text.output().count(" of its cluster: ")


@EVERY_SERVER
def test_a_database_that_is_not_there_costs_itself(programs: Programs, name: str) -> None:
    """A database that the server does not have is reported as missing, together with the report of the others."""
    server = programs.redis(program=server_program(name))
    server.command("SET", "a", "b")
    command = (*ANALYZE, server.url(), "--db=0,77")
    process, text = programs.run(*command, "--json"), programs.run(*command)
    assert (0, 0) == (process.ended(), text.ended())
    (report,) = json.loads(process.output())
    assert ([77], [0]) == (report["missing_databases"], [database["db"] for database in report["databases"]])
    assert "db77: the server has no such database" in text.output()


@EVERY_SERVER
def test_key_groups_of_every_master_are_shown(programs: Programs, name: str) -> None:
    """The keys of a cluster count once, on their masters, and not again on a replica."""
    cluster = cluster_of(programs, name, 2)
    replica = programs.redis(options=OPTIONS, program=server_program(name))
    cluster.join(replica)
    seed = cluster.nodes[0]
    replica.command("CLUSTER", "REPLICATE", seed.command("CLUSTER", "MYID").decode())
    with closing(redis.RedisCluster("127.0.0.1", seed.port, protocol=2)) as client:
        for number in range(200):
            client.set(f"user:{number}", "x")
    flags = (*servers(cache={"url": seed.url()}), *NODE_OPTIONS, "--redis.key-space.interval", "1s")
    exporter = programs.listening(programs.redis(), *flags)

    def counted() -> dict[str, float]:
        found = [(dict(labels), value) for (_, labels), value in exporter.metrics("redis_key_group_count").items()]
        return {labels["redis"]: value for labels, value in found if labels["key_group"] == "user:*"}

    masters = {f"cache/127.0.0.1:{node.port}" for node in cluster.nodes[:2]}
    eventually(lambda: counted().keys() == masters and sum(counted().values()) == 200, SLOW)


@EVERY_SERVER
@pytest.mark.parametrize("options", [(), OPTIONS], ids=["alone", "cluster"])
def test_each_sweep_finds_a_key_in_the_same_segment(programs: Programs, name: str, options: Sequence[str]) -> None:
    """Batches end with their segment on every product, so that two sweeps with other batches find the same names."""
    server = programs.redis(options=options, program=server_program(name))
    if options:
        server.command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        eventually(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"), SLOW)
    with closing(redis.Redis.from_url(server.url())) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(20_000):
            pipeline.set(f"key{number}", "x")
        pipeline.execute()
    clock = SystemClock()
    reader = KeySpaceReader(Session(Endpoint(server.url(), timeout=5), clock), clock, 5, select=False)
    reader.look()
    walk = Walk(0)
    first, second = segments_of(reader, walk), segments_of(reader, walk)
    reader.close()
    assert first == second
    assert 20_000 == sum(map(len, first))
    assert all(1000 < len(segment) < 1500 for segment in first)


def segments_of(reader: KeySpaceReader, walk: Walk) -> list[list[bytes]]:
    """Return the names that a sweep finds in each segment, sorted, with those that it finds twice."""
    found: list[list[bytes]] = [[] for _ in range(SEGMENTS)]
    while True:
        batch = reader.next_batch(walk, 20_000, (), SEGMENTS)
        if batch.restarted:
            found = [[] for _ in range(SEGMENTS)]
        found[int(batch.position * SEGMENTS)] += batch.names
        if batch.complete:
            return [sorted(names) for names in found]
