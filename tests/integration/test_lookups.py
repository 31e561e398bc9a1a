# SPDX-License-Identifier: Apache-2.0
"""The exporter's count of its key lookups equals the servers' count, and hit rates exclude these lookups."""

import json

import pytest

from tests.integration.cluster_servers import RedisCluster
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer
from tests.integration.suite_programs import SERVERS, server_program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

FOUND = ("hit", "miss")
NAMED = ("string", "empty", "list", "set", "zset", "hash", "stream", "gone")
FLAGS = (
    "--redis.key-space.interval", "1s", "--redis.keys", json.dumps({"cache": {"0": NAMED, "3": ["number"]}}),
    "--redis.key-values", "--redbeat.interval", "1s", "--redbeat.server", "cache",
)  # fmt: skip


def fill(server: RedisServer) -> None:
    """Create a key of each type, a RedBeat schedule, and keys to sample. Writes are not counted as lookups."""
    server.command("SET", "string", "x")
    server.command("SET", "empty", "")
    server.command("SET", "number", "2.5", db=3)
    server.command("RPUSH", "list", "a")
    server.command("SADD", "set", "a")
    server.command("ZADD", "zset", 1, "a")
    server.command("HSET", "hash", "a", "b")
    server.command("XADD", "stream", "*", "a", "b")
    server.command("ZADD", "redbeat::schedule", 1, "redbeat:there", 2, "redbeat:gone")
    server.command("HSET", "redbeat:there", "definition", "{}")
    for number in range(300):
        server.command("SET", f"cached:{number}", number, "PX", 3_600_000)


def counts(server: RedisServer) -> list[float]:
    """Return the hits and misses that a server counts."""
    with server.client() as client:
        stats = client.info("stats")
    return [stats["keyspace_hits"], stats["keyspace_misses"]]


def own(exporter: Exporter, name: str) -> list[float | None]:
    """Return the hits and misses that the exporter caused on a server."""
    found = exporter.metrics("celery_exporter_redis_lookups_total")
    metric = "celery_exporter_redis_lookups_total"
    return [found.get((metric, frozenset({("redis", name), ("found", each)}))) for each in FOUND]


@pytest.mark.parametrize("name", SERVERS)
def test_own_lookups_are_those_of_the_server(programs: Programs, name: str) -> None:
    """With no other client all hits and misses of the server are the exporter's, and there is no hit rate."""
    server = programs.redis(program=server_program(name))
    fill(server)
    servers = json.dumps({"cache": {"url": server.url()}})
    exporter = programs.listening(programs.redis(), "--redis.servers", servers, *FLAGS)
    eventually(lambda: min(counts(server)) > 20)
    eventually(lambda: own(exporter, "cache") == counts(server))
    assert [None, None] == own(exporter, "broker")
    report = json.loads(exporter.get("/api/v1/status").text)
    (cache,) = (each for each in report["redis"] if each["name"] == "cache")
    assert None is cache["hit_ratio"]


def test_nodes_of_a_cluster_have_counts_of_their_own(programs: Programs) -> None:
    """Lookups are counted under the name of their node, except those before the nodes were discovered."""
    cluster = RedisCluster(lambda options: programs.redis(options=options), 2)
    with cluster.nodes[0].client() as client:
        tag = next(tag for tag in range(100) if client.cluster("KEYSLOT", f"{{{tag}}}") < 8000)
    for number in range(50):
        cluster.nodes[0].command("SET", f"{{{tag}}}:{number}", number)
    servers = json.dumps({"cache": {"url": cluster.nodes[0].url()}})
    exporter = programs.listening(
        programs.redis(), "--redis.servers", servers, "--redis.discovery-interval", "1s",
        "--redis.key-space.interval", "1s",
    )  # fmt: skip
    name = f"cache/127.0.0.1:{cluster.nodes[0].port}"

    def before() -> list[float]:
        return [
            counted - (ours or 0) for ours, counted in zip(own(exporter, name), counts(cluster.nodes[0]), strict=True)
        ]

    eventually(lambda: (own(exporter, name)[0] or 0) > 50)
    known = eventually(lambda: before() == before() and before())
    eventually(lambda: (own(exporter, name)[0] or 0) > 150)
    eventually(lambda: before() == known)
