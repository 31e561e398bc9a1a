# SPDX-License-Identifier: Apache-2.0
"""TLS, client certificates and passwords on the exporter's port, with the exporter as a process.

No Redis is needed: the tests check who receives a response, not its content.
"""

import contextlib
import http.client
import json
import signal
import socket
import ssl
import sys
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.conftest import Programs
from tests.integration.exporters import Answer, Exporter
from tests.integration.processes import free_port
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

PATHS = ("/metrics", "/-/healthy", "/-/ready", "/", "/nowhere")
PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
REFUSED = (ssl.SSLError, ConnectionError)
"""Under TLS 1.3 a client learns of its refused certificate when it reads; the connection may be closed by then."""


class Site:
    """A folder with an authority, a server's certificate and a web configuration file."""

    def __init__(self, programs: Programs) -> None:
        self.folder = programs.folder / "site"
        self.folder.mkdir()
        self._programs = programs
        self.authority = Authority(self.folder, "authority")
        self.pair = self.authority.issue("server")
        self.file = self.folder / "web.yml"

    @property
    def tls(self) -> dict[str, Any]:
        """Return the section that names the pair, by relative paths."""
        return {"tls_server_config": {"cert_file": self.pair.certificate.name, "key_file": self.pair.key.name}}

    def write(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Write the file, and return the flags for it."""
        self.file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        broker = f"redis://127.0.0.1:{free_port()}/0"
        return ("--web.config.file", str(self.file), "--broker-url", broker)

    def exporter(self, config: Mapping[str, Any]) -> Exporter:
        """Start an exporter with this web configuration."""
        return self.start(*self.write(config))

    def start(self, *flags: str) -> Exporter:
        """Start an exporter with these flags."""
        return self._programs.exporter(*flags)

    def client(self) -> ssl.SSLContext:
        """Return a client that trusts the authority."""
        return ssl.create_default_context(cafile=self.authority.certificate)


@pytest.fixture
def site(programs: Programs) -> Site:
    """Return a dedicated site."""
    return Site(programs)


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Yield a listening socket to which no client should connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003 -- as in C
        yield listener


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Yield an exporter without a broker, for several tests."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("listening"), ending)
        yield programs.exporter("--broker-url", f"redis://127.0.0.1:{free_port()}/0")


def fetch(exporter: Exporter, context: ssl.SSLContext, path: str = "/metrics", **headers: str) -> Answer:
    """Send a request over TLS, on a new connection."""
    connection = http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=20, context=context)
    with closing(connection):
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def served_name(exporter: Exporter, context: ssl.SSLContext) -> str:
    """Return the common name of the certificate on a new connection."""
    with (
        socket.create_connection(("127.0.0.1", exporter.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        certificate: Any = secure.getpeercert()
    return str(dict(pair[0] for pair in certificate["subject"])["commonName"])


def test_https_is_served(site: Site) -> None:
    """With a certificate clients that trust its authority read metrics over HTTPS, and the log reports TLS."""
    exporter = site.exporter(site.tls)
    answer = fetch(exporter, site.client())
    assert (200, True) == (answer.status, b"celery_exporter_build_info" in answer.body)
    assert "https" == exporter.line("app.started")["scheme"]


def test_a_hangup_reloads_the_web_configuration(site: Site) -> None:
    """After SIGHUP new users, headers and certificates are used; a wrong certificate, or TLS off, changes nothing."""
    exporter = site.exporter(site.tls)
    assert 200 == fetch(exporter, site.client()).status
    site.pair = site.authority.issue("other")
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    headers = {"http_server_config": {"headers": {"X-Frame-Options": "deny"}}}
    site.write({**site.tls, **headers, "basic_auth_users": {"prometheus": hashed}})
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: fetch(exporter, site.client()).status == 401)
    answer = fetch(exporter, site.client(), **basic("prometheus", "right"))
    assert (200, "deny") == (answer.status, answer.headers["x-frame-options"])
    assert "other" == served_name(exporter, site.client())
    for number, wrong in enumerate(({"basic_auth_users": {"a": "b"}}, {}), start=1):
        site.write(wrong)
        exporter.process.signal(signal.SIGHUP)
        eventually(partial(_has_failed, exporter, number))
        assert 401 == fetch(exporter, site.client()).status
    assert "TLS is off now; restart for that" in exporter.lines("app.reload_failed")[-1]["error"]


def _has_failed(exporter: Exporter, times: int) -> bool:
    return len(exporter.lines("app.reload_failed")) == times


def test_without_a_file_http_is_served(programs: Programs) -> None:
    """Without a web configuration nothing changes."""
    exporter = programs.exporter("--broker-url", f"redis://127.0.0.1:{free_port()}/0")
    assert 200 == exporter.get("/-/healthy").status
    assert "http" == exporter.line("app.started")["scheme"]


@pytest.mark.parametrize("path", [
    "/metrics?target=redis://{there}/0", "/api/v1/status?target={there}&url=redis://{there}", "/-/ready?{there}",
    "/?redis://{there}", "/scrape?target=redis://{there}", "/probe?target={there}", "//{there}/metrics",
    "http://{there}/metrics",
])  # fmt: skip
def test_no_request_chooses_what_is_asked(trap: socket.socket, listening: Exporter, path: str) -> None:
    """No address in a request's path, parameters or headers receives a connection."""
    there = f"127.0.0.1:{trap.getsockname()[1]}"
    named = ("Host", "X-Forwarded-Host", "X-Forwarded-For", "Referer", "X-Redis-Url", "Upgrade")
    lines = [f"GET {path.format(there=there)} HTTP/1.1", *(f"{name}: {there}" for name in named), "Connection: close"]
    with socket.create_connection(("127.0.0.1", listening.port), timeout=10) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404", b"HTTP/1.1 503")), path
    assert b"\r\nlocation:" not in answer.lower()
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_only_the_right_authority_is_trusted(site: Site) -> None:
    """A client of another authority rejects the certificate, and plain HTTP receives no response."""
    exporter = site.exporter(site.tls)
    client = ssl.create_default_context(cafile=Authority(site.folder, "another authority").certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(exporter, client)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        exporter.get("/-/healthy")
    assert 200 == fetch(exporter, site.client(), "/-/healthy").status


def test_client_certificates_are_asked_for(site: Site) -> None:
    """With a client authority only clients with its certificate are accepted."""
    config = site.tls
    config["tls_server_config"] |= {
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": str(site.authority.certificate),
    }
    exporter = site.exporter(config)
    known, unknown = site.client(), site.client()
    known.load_cert_chain(*site.authority.issue("prometheus"))
    unknown.load_cert_chain(*Authority(site.folder, "another authority").issue("prometheus"))
    for refused in (site.client(), unknown):
        with pytest.raises(REFUSED):
            fetch(exporter, refused)
    assert 200 == fetch(exporter, known).status


def test_passwords_are_asked_for(site: Site) -> None:
    """Every path requires the right password, and the log contains neither the password nor its hash."""
    exporter = site.exporter({**site.tls, "basic_auth_users": {"prometheus": HASH}})
    client = site.client()
    refused: list[dict[str, str]] = [{}, basic("prometheus", "wrong one"), basic("nobody", PASSWORD)]
    for path in PATHS:
        answers = [fetch(exporter, client, path, **headers) for headers in refused]
        assert [401] * 3 == [answer.status for answer in answers], path
        assert all(answer.headers["www-authenticate"].startswith("Basic") for answer in answers)
        allowed = fetch(exporter, client, path, **basic("prometheus", PASSWORD)).status
        assert {"/-/ready": 503, "/nowhere": 404}.get(path, 200) == allowed, path
    output = exporter.process.output()
    encoded = basic("prometheus", PASSWORD)["Authorization"].removeprefix("Basic ")
    assert [] == [secret for secret in (PASSWORD, "wrong one", HASH, HASH[-20:], encoded) if secret in output]


def test_healthy_can_be_open(site: Site) -> None:
    """With its setting /-/healthy requires no password, and every other path still does."""
    flags = site.write({"basic_auth_users": {"prometheus": HASH}})
    exporter = site.start(*flags, "--web.open-health")
    assert [200, 200] == [exporter.get("/-/healthy", headers).status for headers in ({}, basic("nobody", "x"))]
    paths = [*PATHS, "/-/healthy/", "/-/healthy/..", "//-/healthy", "/metrics?/-/healthy", "/%2d/ready", "/-/healthyx"]
    assert {401} == {exporter.get(path).status for path in paths if path != "/-/healthy"}
    assert 200 == exporter.get("/metrics", basic("prometheus", PASSWORD)).status


def test_passwords_work_without_tls(site: Site) -> None:
    """Users can be configured without TLS, and headers with them."""
    headers = {"X-Frame-Options": "deny"}
    exporter = site.exporter({"basic_auth_users": {"prometheus": HASH}, "http_server_config": {"headers": headers}})
    answers = [exporter.get("/-/healthy", headers) for headers in ({}, basic("prometheus", PASSWORD))]
    assert [(401, "deny"), (200, "deny")] == [(answer.status, answer.headers["x-frame-options"]) for answer in answers]


def test_a_renewed_certificate_needs_no_restart(site: Site) -> None:
    """A new certificate is served soon after its files exist, and a certificate without its key never is."""
    exporter, client = site.exporter(site.tls), site.client()
    assert "server" == served_name(exporter, client)
    renewed = site.authority.issue("renewed")
    renewed.certificate.replace(site.pair.certificate)

    def refused() -> bool:
        assert "server" == served_name(exporter, client)
        return bool(exporter.lines("web.certificate_not_reloaded"))

    eventually(refused)
    renewed.key.replace(site.pair.key)
    eventually(lambda: served_name(exporter, client) == "renewed")
    assert 200 == fetch(exporter, client, "/-/healthy").status
    eventually(lambda: exporter.lines("web.certificate_reloaded"))  # a thread writes it
    assert 1 == len(exporter.lines("web.certificate_not_reloaded"))
    assert 1 == len(exporter.lines("web.certificate_reloaded"))


def test_a_stalled_handshake_delays_nobody(site: Site) -> None:
    """Clients that connect and send nothing, or half a hello, delay neither a scrape nor the stop."""
    exporter, client, clock = site.exporter(site.tls), site.client(), SystemClock()
    stalled = [socket.create_connection(("127.0.0.1", exporter.port), timeout=10) for _ in range(30)]
    for half in stalled[:15]:
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
    began = clock.monotonic()
    assert 200 == fetch(exporter, client, "/-/healthy").status
    # Stalled connections are closed after ten seconds; an exporter that waited for one could not stop earlier.
    assert clock.monotonic() - began < 8
    exporter.process.signal(signal.SIGTERM)
    assert 0 == exporter.process.ended(5)
    for connection in stalled:
        connection.close()
    assert "app.stopped" == exporter.lines()[-1]["event"]


def test_an_idle_client_does_not_delay_the_stop(site: Site) -> None:
    """An open TLS connection whose client does not respond does not delay the stop, and logs no traceback."""
    exporter = site.exporter(site.tls)
    with closing(
        http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=20, context=site.client())
    ) as connection:
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
        exporter.process.signal(signal.SIGTERM)
        assert 0 == exporter.process.ended(5)
    assert "Traceback" not in exporter.process.output()


def test_failed_handshakes_are_no_noise(site: Site) -> None:
    """Clients without TLS, or that trust another authority, write no line to the log."""
    exporter = site.exporter(site.tls)
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert not b"".join(iter(lambda: plain.recv(4096), b"")).startswith(b"HTTP")
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(exporter, ssl.create_default_context())
    assert 200 == fetch(exporter, site.client(), "/-/healthy").status
    assert {"celery_redis_exporter.daemon.service", "celery_redis_exporter.daemon.supervisor"} >= {
        line["logger"] for line in exporter.lines()
    }


def test_a_flood_of_guesses_starves_no_scrape(site: Site) -> None:
    """Under constant wrong passwords a scraper that has once used the right password always receives a response."""
    exporter = site.exporter({"basic_auth_users": {"prometheus": HASH}})
    right = basic("prometheus", PASSWORD)
    assert 200 == exporter.get("/metrics", right).status
    over, guessed = threading.Event(), threading.Semaphore(0)

    def guess(guesser: int) -> Counter[int]:
        found: Counter[int] = Counter()
        while not over.is_set():
            found[exporter.get("/metrics", basic("prometheus", f"{guesser} {found.total()}")).status] += 1
            guessed.release()
        return found

    with ThreadPoolExecutor(8) as guessers:
        guesses = [guessers.submit(guess, guesser) for guesser in range(8)]
        try:
            for _ in range(20):
                assert guessed.acquire(timeout=10)
                assert 200 == exporter.get("/metrics", right).status
        finally:
            over.set()
        answers = sum((guess.result() for guess in guesses), Counter[int]())
    assert {401, 503} == set(answers)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("change", "named"), [
    ({"basic_auth_users": {"prometheus": "SECRET"}}, "basic_auth_users.prometheus: is no bcrypt hash"),
    ({"tls_server_config": {"cert_file": "server.crt"}}, "tls_server_config.key_file: is missing"),
    ({"tls_server_config": {"cert_file": "server.crt", "key_file": "other.key"}}, "other.key does not belong to"),
    ({"tls_server_config": {"cert_file": "nowhere.crt", "key_file": "other.key"}}, "cert_file: can't read"),
    ({"basic_auth_user": {}}, "basic_auth_user: no such key; did you mean basic_auth_users?"),
])  # fmt: skip
def test_a_wrong_file_ends_it(programs: Programs, site: Site, command: str, change: dict[str, Any], named: str) -> None:
    """A wrong web configuration ends the start, and ``check``, with exit code 2 and one line without secrets."""
    site.authority.issue("other")
    process = programs.run(sys.executable, "-m", "celery_redis_exporter", command, *site.write(change))
    assert process.ended() == 2
    assert 1 == len(process.output().splitlines())
    assert f"{site.file}: " in process.output()
    assert named in process.output()
    assert "SECRET" not in process.output()


def test_the_example_is_valid(programs: Programs, site: Site) -> None:
    """The example in deploy/ serves HTTPS once its files exist."""
    example = Path(__file__).parents[2] / "deploy" / "web-config.example.yml"
    flags = site.write({})
    site.file.write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    site.pair.certificate.replace(site.folder / "tls.crt")
    site.pair.key.replace(site.folder / "tls.key")
    exporter = programs.exporter(*flags)
    answer = fetch(exporter, site.client(), "/-/healthy")
    assert (200, "nosniff") == (answer.status, answer.headers["x-content-type-options"])
