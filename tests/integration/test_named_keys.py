# SPDX-License-Identifier: Apache-2.0
"""Keys named in the settings, on every available server, beside redis_exporter."""

import json

import pytest

from tests.integration.acl import START, USER
from tests.integration.cluster_servers import RedisCluster
from tests.integration.conftest import Programs
from tests.integration.exporters import Samples, parse
from tests.integration.redis_exporters import RedisExporter
from tests.integration.redis_servers import RedisServer
from tests.integration.suite_programs import SERVERS, server_program, suite_program
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

KEYS = {"0": ["string", "number", "list", "gone"], "3": ["hash", "zset", "set", "stream"]}
SINGLE = ",".join(f"db{db}={name}" for db, names in KEYS.items() for name in names)
RIGHTS = (
    "%R~*", "+info", "+ping", "+client|setname", "+slowlog", "+latency", "+config|get",
    "+type", "+memory|usage", "+select", "+strlen", "+llen", "+scard", "+zcard", "+hlen", "+xlen", "+getrange",
)  # fmt: skip


def fill(server: RedisServer) -> None:
    """Create a key of each type, except one of the names."""
    server.command("SET", "string", "x" * 100)
    server.command("SET", "number", "-2.5")
    server.command("RPUSH", "list", *range(7))
    server.command("HSET", "hash", *range(8), db=3)
    server.command("ZADD", "zset", 1, "a", 2, "b", db=3)
    server.command("SADD", "set", "a", "b", "c", db=3)
    server.command("XADD", "stream", "*", "a", "b", db=3)


def flags(url: str, *more: str) -> tuple[str, ...]:
    """Return the flags of an exporter that watches the keys of a server."""
    servers = json.dumps({"cache": {"url": url}})
    return ("--redis.servers", servers, "--redis.keys", json.dumps({"cache": KEYS}), *more)


def of_keys(samples: Samples, name: str) -> dict[tuple[str, str], float]:
    """Return the values of a metric by database and key."""
    found = [(dict(labels), value) for (metric, labels), value in samples.items() if metric == name]
    return {(labels["db"], labels["key"]): value for labels, value in found}


@pytest.mark.newest("redis_exporter-1.86")
@pytest.mark.parametrize("name", SERVERS)
def test_named_keys_are_those_of_redis_exporter(programs: Programs, name: str) -> None:
    """Size, memory and value of each key equal redis_exporter's, and a missing key has size 0."""
    server = programs.redis(program=server_program(name))
    theirs = RedisExporter(
        programs, server.port, program=suite_program("redis_exporter-1.86"), flags=("-check-single-keys", SINGLE)
    )
    fill(server)
    exporter = programs.listening(programs.redis(), *flags(server.url(), "--redis.key-values"))
    sizes = {("db0", "string"): 100, ("db0", "number"): 4, ("db0", "list"): 7, ("db0", "gone"): 0,
             ("db3", "hash"): 4, ("db3", "zset"): 2, ("db3", "set"): 3, ("db3", "stream"): 1}  # fmt: skip
    eventually(lambda: of_keys(exporter.metrics(), "redis_key_size") == sizes)
    ours, other = exporter.metrics(), parse(theirs.text())
    assert sizes == of_keys(other, "redis_key_size")
    for metric in ("redis_key_memory_usage_bytes", "redis_key_value"):
        assert of_keys(other, metric) == of_keys(ours, metric) != {}
    server.command("DEL", "list")
    server.command("SET", "list", "now a string")
    eventually(lambda: of_keys(exporter.metrics(), "redis_key_size").get(("db0", "list")) == 12)
    assert 1 == exporter.value("redis_up", redis="cache")


def test_values_are_shown_on_demand(programs: Programs) -> None:
    """Without the setting for values no value is read."""
    server = programs.redis()
    fill(server)
    exporter = programs.listening(programs.redis(), *flags(server.url()))
    eventually(lambda: len(of_keys(exporter.metrics(), "redis_key_size")) == 8)
    assert {} == of_keys(exporter.metrics(), "redis_key_value")
    assert "getrange" not in str(server.command("INFO", "commandstats"))


@pytest.mark.parametrize("missing", ["", "+select", "+type", "+memory|usage", "+hlen"])
def test_a_missing_permission_costs_its_metric(programs: Programs, missing: str) -> None:
    """Without permission for SELECT or a command only the metrics that need it are missing, and the server stays up."""
    server = programs.redis()
    fill(server)
    server.command("ACL", "SETUSER", USER, *START, *(right for right in RIGHTS if right != missing))
    exporter = programs.listening(programs.redis(), *flags(server.url(user=USER, password="PASSWORD")))
    lost = {
        "": set(), "+select": {("db3", name) for name in KEYS["3"]}, "+memory|usage": set(),
        "+type": {(f"db{db}", name) for db, names in KEYS.items() for name in names}, "+hlen": {("db3", "hash")},
    }[missing]  # fmt: skip
    expected = {(f"db{db}", name) for db, names in KEYS.items() for name in names} - lost
    eventually(lambda: of_keys(exporter.metrics(), "redis_key_size").keys() == expected)
    assert 1 == exporter.value("redis_up", redis="cache")
    if missing:
        command = missing.removeprefix("+")
        eventually(lambda: exporter.value("celery_exporter_command_denied", redis="cache", command=command) == 1)


def test_keys_of_a_cluster_are_not_read(programs: Programs) -> None:
    """A server in cluster mode stays up; named keys are not read there, since other nodes may store them."""
    cluster = RedisCluster(lambda options: programs.redis(options=options), 2)
    more = ("--redis.discovery-interval", "0")
    exporter = programs.listening(programs.redis(), *flags(cluster.nodes[0].url(), *more))
    for _ in range(3):
        assert 1 == exporter.value("redis_up", redis="cache")
    assert {} == of_keys(exporter.metrics(), "redis_key_size")
