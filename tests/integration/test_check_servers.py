# SPDX-License-Identifier: Apache-2.0
"""``check``: its findings about servers and about this machine."""

import json
import socket
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis

from tests.integration.acl import RIGHTS, START, USER
from tests.integration.checks import ANY_PORT, SOUND, apply_remedy, check_quickly, findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.faulty_network import FaultyNetwork
from tests.integration.processes import free_port
from tests.integration.redis_servers import RedisServer
from tests.integration.sentinel_servers import PASSWORD, SentinelSet
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def test_an_absent_server_fails(programs: Programs) -> None:
    """A server that is down fails the check with the reason, for the server and for the events."""
    server = programs.redis()
    server.stop()
    found = check_quickly(programs, server.url())
    assert {"redis-refused", "events-broken"} <= found.keys()
    assert [f"redis-cli -h 127.0.0.1 -p {server.port} PING"] == found["redis-refused"]["remedy"]


def test_a_hanging_server_fails(programs: Programs) -> None:
    """A server that does not reply fails the check without delaying it beyond its timeouts."""
    server = programs.redis()
    server.freeze()
    patience = ("--events.idle-timeout", "1s", "--scrape.deadline", "500ms")
    found = check_quickly(programs, server.url(), *patience)
    assert {"redis-timeout", "events-broken"} <= found.keys()


def test_ways_to_fail_are_told_apart(programs: Programs) -> None:
    """An unknown host, a wrong password and TLS on a plain port have different codes."""
    server = programs.redis(password="right-PASSWORD")
    plain = server.url()
    for url, code in (
        ("redis://nowhere.invalid:6379/0", "redis-dns"),
        (server.url(password="wrong-PASSWORD"), "redis-auth"),
        (plain.replace("redis://", "rediss://"), "redis-tls-unspoken"),
    ):
        process = start_check(programs, url, "--json", "--listen=0")
        found = findings_of(process)
        assert code in found, process.output()
        assert "PASSWORD" not in process.output()


def test_passwords_that_are_missing_or_too_many_are_fixed_by_their_lines(programs: Programs) -> None:
    """A password that is missing or not required is reported once, and the printed URL works."""
    server = programs.redis(options=SOUND)
    process = start_check(programs, server.url(password="any-PASSWORD"), "--json", "--listen=0")
    found = findings_of(process)
    assert "PASSWORD" not in process.output()
    (url,) = found["redis-password-unneeded"]["remedy"]
    assert url == server.url()
    assert ([], "") == (found["events-broken"]["remedy"], found["events-broken"]["cause"])
    assert "redis-answers" in check_quickly(programs, url)
    server.command("CONFIG", "SET", "requirepass", "right")
    assert "redis-password-missing" in check_quickly(programs, url)
    assert "redis-answers" in check_quickly(programs, server.url(password="right"))


def test_a_port_with_tls_is_recognised(programs: Programs, tmp_path: Path) -> None:
    """A TLS port is recognised without TLS in the URL, and its printed URL leads to the finding about its authority."""
    authority = Authority(tmp_path, "authority")
    pair, port = authority.issue("redis"), free_port()
    files = ("--tls-cert-file", pair.certificate, "--tls-key-file", pair.key, "--tls-ca-cert-file")
    tls = ("--tls-port", port, *files, authority.certificate, "--tls-auth-clients", "no")
    programs.redis(options=[*SOUND, *map(str, tls)])
    found = check_quickly(programs, f"redis://127.0.0.1:{port}/0")
    (url,) = found["redis-tls-missing"]["remedy"]
    assert "redis-tls" in check_quickly(programs, url)
    assert "redis-answers" in check_quickly(programs, f"{url}?ssl_ca_certs={authority.certificate}")


def test_memory_disk_and_eviction_are_mended_by_their_lines(programs: Programs) -> None:
    """A broker that evicts, has no persistence or has no memory limit is a warning that its printed line fixes."""
    server = programs.redis(options=("--maxmemory-policy", "allkeys-lru"))
    codes = {"redis-eviction", "redis-persistence", "redis-memory-unlimited"}
    found = check_quickly(programs, server.url())
    assert codes <= found.keys()
    for code in codes:
        apply_remedy(found[code])
    assert set() == codes & check_quickly(programs, server.url()).keys()


def test_a_full_memory_and_a_small_buffer_are_mended_by_their_lines(programs: Programs) -> None:
    """Nearly full memory and a small output buffer for subscribers are warnings that their printed lines fix."""
    limits = ("--client-output-buffer-limit", "pubsub 1mb 512kb 60")
    server = programs.redis(options=(*SOUND, *limits))
    server.command("SET", "ballast", "x" * 30_000_000)
    with server.client() as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.25))
    found = check_quickly(programs, server.url())
    codes = {"redis-memory-full", "redis-buffers"}
    assert codes <= found.keys()
    for code in codes:
        apply_remedy(found[code])
    assert set() == codes & check_quickly(programs, server.url()).keys()


def test_a_broker_over_its_limit_refuses(programs: Programs) -> None:
    """A broker that refuses messages because its memory is full fails the check, and the printed line fixes it."""
    server = programs.redis(options=SOUND)
    server.command("SET", "ballast", "x" * 8_000_000)
    server.command("CONFIG", "SET", "maxmemory", "5mb")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        server.command("LPUSH", "celery", "x")
    found = check_quickly(programs, server.url())
    refusing = found["redis-memory-refusing"]
    assert ("fail", True) == (refusing["level"], "publishing is refused now" in refusing["found"])
    apply_remedy(refusing)
    server.command("LPUSH", "celery", "x")
    assert "redis-memory-refusing" not in check_quickly(programs, server.url())


def test_a_broker_that_can_not_save_fails(programs: Programs) -> None:
    """A broker that refuses writes after a failed dump fails the check, also for a user without CONFIG GET."""
    server = programs.redis(options=(*SOUND, "--appendonly", "no", "--save", "3600 1"))
    obstacle = server.folder / "dump.rdb"
    obstacle.mkdir()  # a dump can't be renamed to the name of a folder
    server.command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all", "-config")
    server.command("BGSAVE")
    eventually(lambda: refuses_writes(server))
    urls = {server.url(): "are", server.url(user="reader", password="pw"): "may be"}
    for url, effect in urls.items():
        failed = check_quickly(programs, url)["redis-persistence-failed"]
        assert ("fail", f"the last dump failed, and writes {effect} refused") == (failed["level"], failed["found"])
    obstacle.rmdir()
    server.command("SAVE")
    assert "redis-persistence-failed" not in check_quickly(programs, server.url())


def refuses_writes(server: RedisServer) -> bool:
    """Return whether Redis refuses a write because it can't save."""
    try:
        server.command("LPUSH", "celery", "x")
    except redis.ResponseError as error:
        return "MISCONF" in str(error)
    return False


def test_a_replica_is_no_broker(programs: Programs) -> None:
    """A replica as a broker fails the check, and the finding contains the address of its master."""
    master = programs.redis(options=SOUND)
    replica = programs.redis(options=(*SOUND, "--replicaof", f"127.0.0.1 {master.port}"))
    found = check_quickly(programs, replica.url())
    assert f"127.0.0.1:{master.port}" in found["redis-read-only"]["found"]
    assert "fail" == found["redis-read-only"]["level"]
    (line,) = check_quickly(programs, replica.url(3))["redis-read-only"]["remedy"]
    assert f"--broker-url={master.url(3)}" == line
    assert "redis-read-only" not in check_quickly(programs, line.partition("=")[2])


def test_a_sentinel_is_no_broker(programs: Programs) -> None:
    """A sentinel as a Redis server fails the check, and the flags of the finding lead to its master."""
    master = programs.redis(options=SOUND)
    with ExitStack() as ending:
        sentinels = SentinelSet(programs.folder, (master,), 1)
        ending.callback(sentinels.stop)
        url = f"redis://:{PASSWORD}@127.0.0.1:{sentinels.sentinels[0].port}/0"
        found = check_quickly(programs, url)
        assert not {"redis-answers", "redis-rights-missing", "redis-memory-unlimited"} & found.keys()
        broker, name = found["redis-sentinel"]["remedy"]
        options = ("--broker-transport-options.sentinel-kwargs.password", PASSWORD)
        found = check_quickly(programs, broker.partition("=")[2].replace("***@", ""), name, *options)
    assert "redis-answers" in found
    assert "redis-sentinel" not in found


def test_a_slow_way_is_reported(programs: Programs) -> None:
    """A server that takes long to reply to PING is a warning, and a near one is not."""
    server = programs.redis(options=SOUND)
    with closing(FaultyNetwork(server.port)) as network:
        url = f"redis://127.0.0.1:{network.port}/0"
        assert "redis-slow" not in check_quickly(programs, url)
        network.delay = 0.06
        found = check_quickly(programs, url)
    assert 50 <= float(found["redis-slow"]["found"].split()[-2])


def test_sentinels_without_a_quorum_are_reported(programs: Programs) -> None:
    """If the other sentinels are gone, the check reports that the last one has no quorum."""
    master = programs.redis(options=SOUND)
    replica = ("--replicaof", "127.0.0.1", f"{master.port}", "--repl-diskless-sync-delay", "0")
    second = programs.redis(options=(*SOUND, *replica))
    with ExitStack() as ending:
        sentinels = SentinelSet(programs.folder, (master, second), 3)
        ending.callback(sentinels.stop)
        arguments = (sentinels.url(), "--broker-transport-options", json.dumps(sentinels.options))
        assert "sentinel-quorum" not in check_quickly(programs, *arguments)
        for gone in sentinels.sentinels[1:]:
            gone.process.kill()
        # One query only: a lost sentinel counts as back for a moment when the connection to it is retried.
        found = eventually(lambda: check_quickly(programs, *arguments).get("sentinel-quorum", {}), within=40)
    assert "NOQUORUM" in found["found"]
    (line,) = found["remedy"]
    assert line.startswith(f"redis-cli -h 127.0.0.1 -p {sentinels.sentinels[0].port} SENTINEL CKQUORUM ")
    assert "PASSWORD" not in json.dumps(found)


def test_remedies_behind_sentinels_change_the_master(programs: Programs) -> None:
    """A line that changes a server goes to the master, and not to the sentinel that is the first in the URL."""
    master = programs.redis(options=("--appendonly", "yes"))
    with ExitStack() as ending:
        sentinels = SentinelSet(programs.folder, (master,), 1)
        ending.callback(sentinels.stop)
        arguments = (sentinels.url(), "--broker-transport-options", json.dumps(sentinels.options))
        apply_remedy(check_quickly(programs, *arguments)["redis-memory-unlimited"])
        assert "redis-memory-unlimited" not in check_quickly(programs, *arguments)


def test_another_result_server_is_looked_at(programs: Programs) -> None:
    """Each server of the settings has separate findings, and a server of results may evict keys."""
    broker = programs.redis(options=SOUND)
    results = programs.redis(options=(*SOUND, "--maxmemory-policy", "allkeys-lru"))
    process = start_check(programs, broker.url(), "--result-backend-url", results.url(), "--listen=0", "--strict")
    assert process.ended(20) == 0, process.output()
    assert "OK    redis results" in process.output()


def test_the_database_of_the_url_needs_its_right(programs: Programs) -> None:
    """A user without permission to select the database gets a line that grants it."""
    server = programs.redis(options=SOUND)
    server.command("ACL", "SETUSER", USER, *START, *RIGHTS, "&/3.celeryev/*")
    url = server.url(3, USER, "PASSWORD")
    found = check_quickly(programs, url)
    apply_remedy(found["redis-noperm"])
    assert "redis-noperm" not in check_quickly(programs, url)


def test_the_port_of_the_metrics_is_tried(programs: Programs) -> None:
    """A free listen address is OK, a used one is a note, and one of another machine is a failure."""
    server = programs.redis(options=SOUND)

    def codes(address: str) -> set[str]:
        found = check_quickly(programs, server.url(), "--web.listen-address", address)
        return {code for code in found if "web" in code}

    assert {"web-port-free"} == codes(ANY_PORT[1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert {"web-port-taken"} == codes(f"127.0.0.1:{taken.getsockname()[1]}")
    assert {"web-port-denied"} == codes("192.0.2.1:9808")


@pytest.mark.parametrize(
    ("days", "purpose", "code"),
    [(90, "serverAuth", "valid"), (5, "serverAuth", "ends"), (90, "clientAuth", "invalid")],
)
def test_the_certificate_is_read(programs: Programs, tmp_path: Path, days: int, purpose: str, code: str) -> None:
    """A certificate that expires soon or that scrapers would reject is a finding."""
    pair = Authority(tmp_path, "authority").issue("exporter")
    new = ("openssl", "req", "-x509", "-key", pair.key, "-out", pair.certificate, "-subj", "/CN=exporter")
    subprocess.run([*new, "-days", str(days), "-addext", f"extendedKeyUsage={purpose}"], check=True)
    file = tmp_path / "web.yml"
    text = f"tls_server_config: {{cert_file: {pair.certificate}, key_file: {pair.key}}}\n"
    file.write_text(text, encoding="utf-8")
    server = programs.redis(options=SOUND)
    found = check_quickly(programs, server.url(), "--web.config.file", str(file))
    assert [f"web-certificate-{code}"] == [name for name in found if "certificate" in name]
