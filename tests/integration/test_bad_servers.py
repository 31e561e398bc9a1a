# SPDX-License-Identifier: Apache-2.0
"""Servers that are not Redis, refuse, load, redirect, break off or hang: only their own metrics are missing."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.cluster_servers import RedisCluster
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

DEADLINE = 0.5
ERROR = "redis_exporter_last_scrape_error"


@contextmanager
def answering(reply: bytes | None) -> Iterator[int]:
    """Yield the port of a server that sends ``reply`` to anything and closes, or sends nothing if it is None.

    No real server can be made to break off in the middle of a reply.
    """
    open_ones: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    connection, _ = listener.accept()
                    open_ones.append(connection)
                    if reply is not None:
                        connection.recv(4096)
                        connection.sendall(reply)
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for connection in open_ones:
        connection.close()


def watching(programs: Programs, url: str) -> Exporter:
    """Start an exporter with a good broker and a bad server called ``bad``."""
    servers = json.dumps({"bad": {"url": url}})
    flags = ("--redis.servers", servers, "--scrape.deadline", f"{DEADLINE}s")
    return programs.listening(programs.redis(), *flags)


def costs_its_own(exporter: Exporter, reasons: set[str]) -> None:
    """Check that the bad server is down for one of the reasons within the deadline, and that the broker works."""
    clock = SystemClock()
    started = clock.monotonic()
    samples = exporter.metrics()
    assert clock.monotonic() - started < DEADLINE + 1
    assert samples["redis_up", frozenset({("redis", "bad")})] == 0
    found = {dict(labels)["err"] for name, labels in samples if name == ERROR and ("redis", "bad") in labels}
    assert found <= reasons
    assert len(found) == 1
    assert samples["redis_up", frozenset({("redis", "broker")})] == 1
    assert samples["celery_exporter_event_stream_up", frozenset()] == 1
    assert ("celery_unacked_messages", frozenset()) in samples
    assert exporter.get("/-/healthy").status == 200


def test_a_wrong_port(programs: Programs) -> None:
    """A port without a server is reported as refused."""
    costs_its_own(watching(programs, f"redis://127.0.0.1:{free_port()}"), {"refused"})


def test_a_wrong_password(programs: Programs) -> None:
    """A wrong or missing password is reported as auth."""
    server = programs.redis(password="right-PASSWORD")
    costs_its_own(watching(programs, server.url(password="wrong-PASSWORD")), {"auth"})
    costs_its_own(watching(programs, f"redis://127.0.0.1:{server.port}"), {"auth"})


def test_a_server_that_is_not_redis(programs: Programs) -> None:
    """A web server, here the exporter itself, is reported as a server with an invalid reply."""
    other = watching(programs, f"redis://127.0.0.1:{free_port()}")
    costs_its_own(watching(programs, f"redis://127.0.0.1:{other.port}"), {"protocol", "closed"})


def test_a_reply_cut_short(programs: Programs) -> None:
    """A reply that breaks off in the middle is reported as closed, and none of it is used."""
    with answering(b"+OK\r\n$1000\r\n# Server\r\nredis_version:7") as port:
        costs_its_own(watching(programs, f"redis://127.0.0.1:{port}"), {"closed"})


def test_a_broker_that_never_answers(programs: Programs) -> None:
    """Until the subscription is open or has failed, the exporter is not ready, and the page knows nothing of events."""
    with answering(None) as port:
        broker = f"redis://127.0.0.1:{port}"
        exporter = programs.exporter("--broker-url", broker, "--scrape.deadline=1s", "--events.idle-timeout=60s")
        ready = exporter.get("/-/ready")
        assert 503 == ready.status
        assert "Event stream: starting" in ready.text
        health = json.loads(exporter.get("/api/v1/status").body)["health"]
        assert {"subject": "Event stream", "state": "unknown", "reason": "no events are received: starting"} in health


def test_a_server_that_never_answers(programs: Programs) -> None:
    """A server that accepts connections but does not reply delays a scrape by at most the deadline."""
    with answering(None) as port:
        costs_its_own(watching(programs, f"redis://127.0.0.1:{port}"), {"timeout"})


@pytest.mark.parametrize("identity", ["", ":some-PASSWORD@"])
def test_a_server_in_protected_mode(programs: Programs, identity: str) -> None:
    """A server in protected mode is reported as denied, with or without a password."""
    with answering(b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n") as port:
        costs_its_own(watching(programs, f"redis://{identity}127.0.0.1:{port}"), {"denied"})


def test_a_server_that_loads(programs: Programs) -> None:
    """A server that loads its data is down with that reason, and its INFO metrics are still shown."""
    server = programs.redis(
        options=("--loading-process-events-interval-bytes", "1024", "--enable-debug-command", "yes")
    )
    exporter = watching(programs, server.url())
    assert exporter.value("redis_up", redis="bad") == 1
    server.command("DEBUG", "POPULATE", 3000, "key", 100)
    server.command("CONFIG", "SET", "key-load-delay", 1000)
    reloading = threading.Thread(target=server.command, args=("DEBUG", "RELOAD"))
    reloading.start()
    eventually(lambda: exporter.value(ERROR, redis="bad", err="loading") == 1)
    costs_its_own(exporter, {"loading"})
    assert exporter.value("redis_loading_dump_file", redis="bad") == 1
    server.command("CONFIG", "SET", "key-load-delay", 0)
    reloading.join(20)
    eventually(lambda: exporter.value("redis_up", redis="bad") == 1)


def test_a_broker_whose_master_is_away(programs: Programs) -> None:
    """A replica that refuses stale reads is down with that reason, and its INFO metrics are still shown."""
    server = programs.redis(options=("--replica-serve-stale-data", "no"))
    exporter = programs.listening(server)
    assert exporter.value("redis_up", redis="broker") == 1
    server.command("REPLICAOF", "127.0.0.1", free_port())
    assert exporter.value("redis_up", redis="broker") == 0
    assert exporter.value(ERROR, redis="broker", err="masterdown") == 1
    assert exporter.value("redis_memory_used_bytes", redis="broker")
    assert exporter.value("celery_queue_length", queue="celery") is None


def test_a_broker_that_is_a_node_of_a_cluster(programs: Programs) -> None:
    """A broker that is a node of a cluster is down with the reason moved, because Celery can't use a cluster."""
    cluster = RedisCluster(lambda options: programs.redis(options=options), 2)
    for node in cluster.nodes:
        exporter = programs.exporter("--broker-url", node.url(), "--queues.names", "a,b,c,d,e,f")
        assert exporter.value("redis_up", redis="broker") == 0
        assert exporter.value(ERROR, redis="broker", err="moved") == 1
        assert exporter.value("redis_cluster_state", redis="broker") == 1


def test_a_command_that_fails_costs_its_own_metrics(programs: Programs) -> None:
    """Without permission for INFO the server's metrics are missing, and queues are still read."""
    server = programs.redis()
    server.command("ACL", "SETUSER", "narrow", "on", ">narrow-PASSWORD", "~*", "&*", "+@all", "-info", "-slowlog")
    exporter = programs.exporter("--broker-url", server.url(user="narrow", password="narrow-PASSWORD"))
    programs.publisher(server).send_task("kept", queue="orders")
    eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 1)
    assert exporter.value("redis_up", redis="broker") == 0
    assert exporter.value(ERROR, redis="broker", err="noperm") == 1
    assert exporter.value("redis_memory_used_bytes", redis="broker") is None
    denied = {labels["command"] for labels in exporter.labels("celery_exporter_command_denied")}
    assert {"info"} == denied, "the rest of what it is asked about itself is not sent"
