# SPDX-License-Identifier: Apache-2.0
"""Clusters, named servers, changed passwords, client certificates."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.cluster_servers import RedisCluster
from tests.integration.conftest import Programs
from tests.integration.faulty_network import faulty_network
from tests.integration.processes import free_port
from tests.integration.redis_servers import RedisServer
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

NODES = "celery_exporter_redis_nodes"
SLOW = 20.0
"""Seconds until all nodes of a cluster agree."""


def servers(**options: object) -> tuple[str, str]:
    """Return the flag that names servers."""
    return "--redis.servers", json.dumps(options)


def node(server: RedisServer) -> str:
    """Return the name of a node of the cluster ``cache``."""
    return f"cache/127.0.0.1:{server.port}"


def test_every_node_of_a_cluster_is_read(programs: Programs) -> None:
    """All nodes are found from one, each named by its address, and nodes that join, fail or leave are followed."""

    def start(options: Sequence[str]) -> RedisServer:
        return programs.redis(options=options)

    cluster = RedisCluster(start, 3)
    seed, second, third = cluster.nodes
    flags = (*servers(cache={"url": seed.url()}), "--redis.discovery-interval", "1s")
    exporter = programs.listening(programs.redis(), *flags)

    def read() -> dict[str, float]:
        return {dict(labels)["redis"]: value for (_, labels), value in exporter.metrics("redis_up").items()}

    eventually(lambda: read() == {"broker": 1, node(seed): 1, node(second): 1, node(third): 1}, SLOW)
    for server in cluster.nodes:
        assert exporter.value("redis_cluster_state", redis=node(server)) == 1
        assert exporter.value("redis_cluster_known_nodes", redis=node(server)) == 3
    assert (3, 0) == (exporter.value(NODES, redis="cache"), exporter.value(f"{NODES}_dropped", redis="cache"))
    fourth = start(("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"))
    cluster.join(fourth)
    eventually(lambda: read().get(node(fourth)) == 1, SLOW)
    seed.stop()
    eventually(lambda: read() == {"broker": 1, node(seed): 0, node(second): 1, node(third): 1, node(fourth): 1}, SLOW)
    assert exporter.value("redis_exporter_last_scrape_error", redis=node(seed), err="refused") == 1
    cluster.forget(seed)
    eventually(lambda: read() == {"broker": 1, node(second): 1, node(third): 1, node(fourth): 1}, SLOW)
    assert exporter.value("celery_exporter_unexpected_errors_total", collector="redis_nodes") is None


def test_every_node_of_a_valkey_cluster_is_read(programs: Programs) -> None:
    """A seed that reports its mode as ``server_mode``, as Valkey 8 and later do, leads to all nodes."""
    # A real Redis behind a proxy that renames the field if needed. Another field becomes shorter by the byte that
    # this one gains.
    cluster = RedisCluster(lambda options: programs.redis(options=options), 2)
    seed, _ = cluster.nodes
    with faulty_network(seed.port) as valkey:
        if "redis_mode" in seed.command("INFO", "server"):
            valkey.rewrites = {b"\r\nredis_mode:": b"\r\nserver_mode:", b"\r\nredis_build_id:": b"\r\nredis_build_i:"}
        flags = servers(cache={"url": f"redis://127.0.0.1:{valkey.port}"})
        exporter = programs.listening(programs.redis(), *flags, "--redis.discovery-interval", "1s")
        nodes = {"broker", *map(node, cluster.nodes)}
        eventually(lambda: {labels["redis"] for labels in exporter.labels("redis_up")} == nodes, SLOW)
        assert 2 == exporter.value(NODES, redis="cache")


def test_nodes_elsewhere_are_not_connected_to(programs: Programs) -> None:
    """If the cluster's addresses are not allowed, only the seed is read, and no node receives a password."""
    cluster = RedisCluster(lambda options: programs.redis(options=options), 2)
    seed, other = cluster.nodes
    flags = (*servers(cache={"url": f"redis://localhost:{seed.port}"}), "--redis.discovery-interval", "1s")
    exporter = programs.listening(programs.redis(), *flags, "--redis.allowed-addresses", "10.0.0.0/8,.internal")
    eventually(lambda: exporter.value("celery_exporter_redis_nodes_refused", redis="cache") == 2)
    assert {"broker", "cache"} == {labels["redis"] for labels in exporter.labels("redis_up")}
    (line,) = exporter.lines("topology.addresses_refused")
    assert {f"127.0.0.1:{node.port}" for node in cluster.nodes} == set(line["addresses"])
    with other.client() as client:
        assert not [entry for entry in client.client_list() if entry["name"].startswith("celery-redis-exporter")]


def test_by_default_a_private_server_leads_to_no_public_address(programs: Programs) -> None:
    """Without the setting, if a server on loopback reports nodes on the internet, only that server is read."""
    elsewhere = "203.0.114.9"
    node_options = ("--cluster-enabled", "yes", "--cluster-announce-ip", elsewhere)
    cluster = RedisCluster(lambda options: programs.redis(options=(*options, *node_options)), 1)
    url = cluster.nodes[0].url(password="cache-PASSWORD")
    cluster.nodes[0].command("CONFIG", "SET", "requirepass", "cache-PASSWORD")
    flags = (*servers(cache={"url": url}), "--redis.discovery-interval", "1s")
    exporter = programs.listening(programs.redis(), *flags)
    eventually(lambda: exporter.value("celery_exporter_redis_nodes_refused", redis="cache") == 1)
    assert {"broker", "cache"} == {labels["redis"] for labels in exporter.labels("redis_up")}
    (line,) = exporter.lines("topology.addresses_refused")
    assert [elsewhere] == [address.rpartition(":")[0] for address in line["addresses"]]


def test_a_node_can_be_read_alone(programs: Programs) -> None:
    """If discovery is off, only the node in the URL is read, under the configured name."""
    lone = programs.redis(options=("--cluster-enabled", "yes"))
    flags = (*servers(cache={"url": lone.url(), "discover": False}), "--redis.discovery-interval", "1s")
    exporter = programs.listening(programs.redis(), *flags)
    eventually(lambda: exporter.value("redis_cluster_enabled", redis="cache") == 1)
    assert exporter.value(NODES, redis="cache") is None


def test_named_servers_have_users_of_their_own(programs: Programs, tmp_path: Path) -> None:
    """Each server is read with its own user and password, and a failure of one does not affect the others."""
    broker, cache, store = programs.redis(password="broker-PASSWORD"), programs.redis(), programs.redis()
    cache.command("ACL", "SETUSER", "reader", "on", ">cache-PASSWORD", "-@all", "+info", "+client|setname", "+slowlog")
    store.command("CONFIG", "SET", "requirepass", "store-PASSWORD")
    secret = tmp_path / "store-password"
    secret.write_text("wrong-PASSWORD\n")
    flags = servers(
        cache={"url": cache.url(user="reader", password="cache-PASSWORD")},
        store={"url": store.url(), "password_file": str(secret)},
    )
    exporter = programs.listening(broker, *flags)
    assert [1, 1, 0] == [exporter.value("redis_up", redis=name) for name in ("broker", "cache", "store")]
    assert exporter.value("redis_exporter_last_scrape_error", redis="store", err="auth") == 1
    eventually(lambda: exporter.value("celery_exporter_command_denied", redis="cache", command="latency|latest") == 1)
    refused = [line for line in exporter.lines("denials.command_refused") if line["command"] == "latency|latest"]
    assert [("cache", "ACL SETUSER <user> +latency|latest")] == [(line["redis"], line["cure"]) for line in refused]
    secret.write_text("store-PASSWORD\n")
    eventually(lambda: exporter.value("redis_up", redis="store") == 1)
    assert "PASSWORD" not in exporter.process.output()


def test_a_granted_right_is_noticed_after_a_restart_of_the_server(programs: Programs) -> None:
    """A refused command stays refused after reconnects, and is tried again after the server restarts."""
    user = ("--user", "reader", "on", ">PASSWORD", "~*", "&*", "+@all", "-latency")
    broker, cache = programs.redis(), programs.redis(options=user)
    exporter = programs.listening(broker, *servers(cache={"url": cache.url(user="reader", password="PASSWORD")}))
    denied = {"redis": "cache", "command": "latency|latest"}
    eventually(lambda: exporter.value("celery_exporter_command_denied", **denied) == 1)

    def denials() -> int:
        return sum(int(entry[1]) for entry in cache.command("ACL", "LOG"))

    before = denials()
    assert before >= 1
    cache.command("CLIENT", "KILL", "USER", "reader")
    eventually(lambda: exporter.value("redis_up", redis="cache") == 1)
    assert exporter.value("celery_exporter_command_denied", **denied) == 1
    assert before == denials(), "it was asked again"
    cache.stop()
    cache.start()
    cache.command("ACL", "SETUSER", "reader", "+latency")  # the next scrape tries it
    eventually(lambda: exporter.value("redis_up", redis="cache") == 1)
    assert exporter.value("celery_exporter_command_denied", **denied) is None


@pytest.mark.parametrize("means", ["password", "url"])
def test_a_password_can_change_in_its_file(programs: Programs, tmp_path: Path, means: str) -> None:
    """A password changed in Redis and in its file costs one reconnect, and no restart."""
    server = programs.redis(password="first-PASSWORD")
    file = tmp_path / "secret"
    file.write_text("first-PASSWORD" if means == "password" else server.url())
    bare = f"redis://127.0.0.1:{server.port}/0"
    if means == "password":
        exporter = programs.exporter("--broker-url", bare, "--broker-password-file", str(file))
    else:
        exporter = programs.exporter(environment={"EXPORTER_BROKER_URL_FILE": str(file)})
    eventually(exporter.hears)
    server.command("CONFIG", "SET", "requirepass", "second-PASSWORD")
    server.password = "second-PASSWORD"
    file.write_text("second-PASSWORD" if means == "password" else server.url())
    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: (exporter.value("celery_exporter_event_stream_gap_seconds_total") or 0) > 0)
    eventually(exporter.hears)
    eventually(lambda: exporter.value("redis_up", redis="broker") == 1)
    assert "PASSWORD" not in exporter.process.output()


def test_certificates_of_clients(programs: Programs, tmp_path: Path) -> None:
    """A server that requires a certificate receives ours, and is down with a clear reason without one."""
    authority = Authority(tmp_path, "authority")
    own, ours, port = authority.issue("redis"), authority.issue("exporter"), free_port()
    programs.redis(options=(
        "--tls-port", f"{port}", "--tls-cert-file", f"{own.certificate}", "--tls-key-file", f"{own.key}",
        "--tls-ca-cert-file", f"{authority.certificate}", "--tls-auth-clients", "yes",
    ))  # fmt: skip
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.certificate}"
    exporter = programs.listening(
        programs.redis(),
        *servers(
            known={"url": f"{url}&ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}"},
            other={"url": url.replace("localhost", "127.0.0.1")},
        ),
    )
    assert [1] == [exporter.value("redis_up", redis="known")]


def test_one_server_is_not_read_twice(programs: Programs) -> None:
    """A named server that is the broker's is left out, and the log reports it."""
    broker = programs.redis()
    exporter = programs.listening(broker, *servers(twin={"url": f"redis://localhost:{broker.port}/5"}))
    assert [{"redis": "broker"}] == exporter.labels("redis_up")
    notes = [line["note"] for line in exporter.lines("app.configuration_noted")]
    assert ["redis.servers.twin is the server that is shown as broker already; it is not read twice."] == notes


def test_one_server_by_two_ways_is_read_once(programs: Programs) -> None:
    """A server with two addresses, here a port and a socket, is recognized by its run id and read once."""
    server = programs.redis(unix=True)
    tcp = f"redis://127.0.0.1:{server.port}/0"
    exporter = programs.exporter("--broker-url", tcp, "--result-backend-url", server.url(db=1))
    eventually(lambda: exporter.labels("redis_up") == [{"redis": "broker"}])
    (line,) = exporter.lines("duplicate_servers.server_is_another")
    assert ("results", "broker", "take results out of the settings") == (line["redis"], line["same_as"], line["cure"])
