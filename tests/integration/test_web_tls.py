# SPDX-License-Identifier: Apache-2.0
"""TLS contexts from files and texts, and handshakes, most of them in memory."""

import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import TlsConfig
from celery_redis_exporter.web.listeners import bind
from celery_redis_exporter.web.server import WebServer
from celery_redis_exporter.web.tls import CIPHERS, LOOK_INTERVAL, ReloadingContext, build_context
from tests.support.certificates import Authority, encrypt
from tests.support.fakes import FakeClock

GCM = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"


class Site:
    """An authority, a server's pair, and clients that trust the authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "authority")
        self.pair = self.authority.issue("server")
        self.clock = FakeClock()
        self.config = TlsConfig(str(folder / "web.yml"), str(self.pair.certificate), str(self.pair.key))

    def client(self) -> ssl.SSLContext:
        """Return a client."""
        return ssl.create_default_context(cafile=self.authority.certificate)

    def with_file(self, key: str, path: str) -> TlsConfig:
        """Return the configuration with another file for a key, and with clients verified."""
        files = {
            "cert_file": self.config.cert_file,
            "key_file": self.config.key_file,
            "client_ca_file": str(self.authority.certificate),
        } | {key: path}
        return TlsConfig(
            self.config.file,
            files["cert_file"],
            files["key_file"],
            "VerifyClientCertIfGiven",
            files["client_ca_file"],
        )

    def file(self, name: str, text: str) -> str:
        """Write a file, and return its path."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site in a new folder."""
    return Site(tmp_path)


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Do a handshake in memory; return the client's side, or raise the error of either side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # No handshake needs more than three flights each way.
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return sides[0]


def name_of(side: ssl.SSLObject) -> str:
    """Return the common name of the other side's certificate."""
    certificate = side.getpeercert()
    assert certificate
    return str(dict(pair[0] for pair in certificate["subject"])["commonName"])  # type: ignore[misc]  # typeshed: any depth


def test_tls_1_3_and_1_2_are_spoken(site: Site) -> None:
    """By default TLS 1.3 is used, 1.2 is accepted, and no older version is."""
    context = build_context(site.config)
    old = site.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ["TLSv1.3", "TLSv1.2"] == [shake(context, client).version() for client in (site.client(), old)]
    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_versions_bound_what_is_spoken(site: Site) -> None:
    """Both sides keep to the versions of the file."""
    old = site.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake(build_context(replace(site.config, min_version="TLS13")), old)
    assert "TLSv1.2" == shake(build_context(replace(site.config, max_version="TLS12")), site.client()).version()


@pytest.mark.parametrize("name", [GCM, "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_cipher_suites_are_kept_to(site: Site, name: str) -> None:
    """A configured cipher suite, by either of its names, is the only one of TLS 1.2 that remains."""
    context = build_context(replace(site.config, max_version="TLS12", cipher_suites=(name,)))
    chosen = shake(context, site.client()).cipher()
    assert chosen is not None
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" == chosen[0]


def test_every_suite_of_the_toolkit_is_known_to_openssl(site: Site) -> None:
    """Every name in the table is accepted."""
    build_context(replace(site.config, cipher_suites=tuple(CIPHERS)))


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256 can't be chosen: the suites of TLS 1.3 are always all on"),
        ("TLS_RSA_WITH_RC4_128_SHA", "'TLS_RSA_WITH_RC4_128_SHA' is no suite of TLS 1.2 that can be used; take one"),
        ("ALL", "'ALL' is no suite"),
        ("ECDHE-RSA-NULL-SHA", "'ECDHE-RSA-NULL-SHA' is no suite"),
        ("AES128-SHA", "'AES128-SHA' is no suite"),
        ("ADH-AES256-GCM-SHA384", "'ADH-AES256-GCM-SHA384' is no suite"),
        ("ECDHE-RSA-AES128-SHA:ALL", "'ECDHE-RSA-AES128-SHA:ALL' is no suite"),
    ],
)
def test_suites_that_cannot_be_are_refused(site: Site, suite: str, message: str) -> None:
    """A cipher suite that is insecure, unknown to OpenSSL or not settable from Python is refused, not ignored."""
    with pytest.raises(ConfigError) as caught:
        build_context(replace(site.config, cipher_suites=(GCM, suite)))
    assert str(caught.value).startswith(f"{site.config.file}: tls_server_config.cipher_suites: {message}")


def test_a_key_of_another_certificate(site: Site) -> None:
    """The error for a key that does not match names both files."""
    other = site.authority.issue("other").key
    with pytest.raises(ConfigError) as caught:
        build_context(replace(site.config, key_file=str(other)))
    expected = f"{other} does not belong to {site.pair.certificate}; give the key it was made with"
    assert f"{site.config.file}: tls_server_config.key_file: {expected}" == str(caught.value)


@pytest.mark.parametrize("key", ["cert_file", "key_file", "client_ca_file"])
def test_a_missing_file(site: Site, key: str) -> None:
    """The error for a missing file names its key."""
    with pytest.raises(ConfigError) as caught:
        build_context(site.with_file(key, "/nowhere.pem"))
    expected = "can't read /nowhere.pem: No such file or directory; check path and rights"
    assert f"{site.config.file}: tls_server_config.{key}: {expected}" == str(caught.value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("cert_file", "holds no certificate; give one in PEM form"),
        ("key_file", "holds no private key; give one in PEM form"),
        ("client_ca_file", "holds no certificate; give one in PEM form"),
    ],
)
def test_a_file_of_something_else(site: Site, key: str, text: str) -> None:
    """The error for a file of the wrong kind names its key and shows none of its content."""
    path = site.file("else.pem", "SECRET")
    with pytest.raises(ConfigError) as caught:
        build_context(site.with_file(key, path))
    assert f"{site.config.file}: tls_server_config.{key}: {path} {text}" == str(caught.value)


def test_an_encrypted_key(site: Site) -> None:
    """A key with a passphrase is refused, without a prompt."""
    encrypt(site.pair.key, site.folder / "encrypted.key")
    with pytest.raises(ConfigError, match=r"key_file: .*encrypted.key is encrypted; give a key without a passphrase$"):
        build_context(replace(site.config, key_file=str(site.folder / "encrypted.key")))


@pytest.mark.parametrize(
    ("kind", "presents", "served"),
    [
        ("RequireAndVerifyClientCert", "ours", True),
        ("RequireAndVerifyClientCert", "theirs", False),
        ("RequireAndVerifyClientCert", "", False),
        ("VerifyClientCertIfGiven", "ours", True),
        ("VerifyClientCertIfGiven", "theirs", False),
        ("VerifyClientCertIfGiven", "", True),
    ],
)
def test_client_certificates(site: Site, kind: str, presents: str, *, served: bool) -> None:
    """Only certificates of the authority are accepted, and clients without one only if that is allowed."""
    config = replace(site.config, client_auth_type=kind, client_ca_file=str(site.authority.certificate))
    client = site.client()
    if presents:
        authority = site.authority if presents == "ours" else Authority(site.folder, "theirs")
        client.load_cert_chain(*authority.issue("client"))
    try:
        shake(build_context(config), client)
    except ssl.SSLError:
        assert not served
    else:
        assert served


def test_inline_texts_are_served(site: Site) -> None:
    """Certificate, key and authority may be written in the configuration itself."""
    config = TlsConfig(
        site.config.file,
        cert=site.pair.certificate.read_text(),
        key=site.pair.key.read_text(),
        client_auth_type="RequireAndVerifyClientCert",
        client_ca=site.authority.certificate.read_text(),
    )
    client = site.client()
    client.load_cert_chain(*site.authority.issue("client"))
    assert "server" == name_of(shake(ReloadingContext(config, site.clock), client))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cert": "SECRET"}, "cert: the text holds no certificate; give one in PEM form"),
        ({"key": "SECRET"}, "key: the text holds no private key; give one in PEM form"),
        ({"client_ca": "SECRET"}, "client_ca: the text holds no certificate; give one in PEM form"),
    ],
)
def test_a_wrong_inline_text(site: Site, changed: dict[str, str], message: str) -> None:
    """The message names the setting, and does not repeat the text."""
    texts: dict[str, Any] = {"cert": site.pair.certificate.read_text(), "key": site.pair.key.read_text()}
    config = TlsConfig(site.config.file, client_auth_type="VerifyClientCertIfGiven", **(texts | changed))
    with pytest.raises(ConfigError) as caught:
        build_context(config)
    assert f"{site.config.file}: tls_server_config.{message}" == str(caught.value)


def test_without_an_authority_the_systems_are_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Go, clients are verified by the system's authorities if the configuration names none."""
    monkeypatch.setenv("SSL_CERT_FILE", str(site.authority.certificate))
    config = replace(site.config, client_auth_type="RequireAndVerifyClientCert")
    client = site.client()
    client.load_cert_chain(*site.authority.issue("client"))
    shake(build_context(config), client)
    client = site.client()
    client.load_cert_chain(*Authority(site.folder, "theirs").issue("client"))
    with pytest.raises(ssl.SSLError):
        shake(build_context(config), client)


@pytest.mark.parametrize(("curve", "served"), [("prime256v1", True), ("secp521r1", False)])
def test_a_curve_is_kept_to(site: Site, curve: str, *, served: bool) -> None:
    """A client that supports only another curve is refused."""
    client = site.client()
    client.set_ecdh_curve("prime256v1")
    context = build_context(replace(site.config, curve=curve))
    if served:
        shake(context, client)
    else:
        with pytest.raises(ssl.SSLError):
            shake(context, client)


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [((), True), (("localhost",), True), (("other", "127.0.0.1"), True), (("other",), False), (("client",), False)],
)
def test_allowed_names_of_clients(site: Site, allowed: tuple[str, ...], *, admitted: bool) -> None:
    """A client certificate is accepted if it has one of the names; common names do not count."""
    config = replace(
        site.config,
        client_auth_type="VerifyClientCertIfGiven",
        client_ca_file=str(site.authority.certificate),
        client_allowed_sans=allowed,
    )
    listener = bind("127.0.0.1:0")
    served = WebServer([listener], PlainTextResponse("inside"), ReloadingContext(config, site.clock))
    served.start()
    for certified in (True, False):
        client = site.client()
        if certified:
            client.load_cert_chain(*site.authority.issue("client"))
        plain = socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=10)
        with client.wrap_socket(plain, server_hostname="localhost") as secure:
            assert (admitted or not certified) == is_answered(secure)
    served.stop(5)


def is_answered(client: ssl.SSLSocket) -> bool:
    """Return whether a request receives a response."""
    try:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def test_any_certificate_in_the_file_is_an_authority(site: Site) -> None:
    """As in the exporter toolkit, a trusted certificate need not be self-signed."""
    pair = site.authority.issue("client")
    client = site.client()
    client.load_cert_chain(*pair)
    kind = "RequireAndVerifyClientCert"
    shake(build_context(replace(site.config, client_auth_type=kind, client_ca_file=str(pair.certificate))), client)


def test_a_renewed_certificate_is_served(site: Site) -> None:
    """New connections use the new certificate after at most a second, and it is read once."""
    context = ReloadingContext(site.config, site.clock)
    site.authority.issue("renewed").move_to(site.pair)
    assert "server" == name_of(shake(context, site.client()))
    site.clock.advance(LOOK_INTERVAL)
    with capture_logs() as lines:
        for _ in range(3):
            assert "renewed" == name_of(shake(context, site.client()))
            site.clock.advance(LOOK_INTERVAL)
    assert ["web.certificate_reloaded"] == [line["event"] for line in lines]


def test_a_half_renewed_certificate_is_not_served(site: Site) -> None:
    """Until the new certificate has its key the old pair is served, and one line states why."""
    context = ReloadingContext(site.config, site.clock)
    renewed = site.authority.issue("renewed")
    renewed.certificate.replace(site.pair.certificate)
    with capture_logs() as lines:
        for _ in range(3):
            site.clock.advance(LOOK_INTERVAL)
            assert "server" == name_of(shake(context, site.client()))
    assert ["web.certificate_not_reloaded"] == [line["event"] for line in lines]
    renewed.key.replace(site.pair.key)
    site.clock.advance(LOOK_INTERVAL)
    assert "renewed" == name_of(shake(context, site.client()))


def test_a_certificate_that_is_gone_is_served_on(site: Site) -> None:
    """If its files are deleted the exporter keeps the loaded certificate."""
    context = ReloadingContext(site.config, site.clock)
    site.pair.certificate.unlink()
    site.clock.advance(LOOK_INTERVAL)
    with capture_logs() as lines:
        assert "server" == name_of(shake(context, site.client()))
    assert [f"{site.config.file}: tls_server_config.cert_file: can't read"] == [
        line["error"][: line["error"].index(" /")] for line in lines
    ]


def test_a_new_client_authority_is_honoured(site: Site) -> None:
    """The client authority is reloaded like the certificate: clients of the old one are no longer accepted."""
    trusted = site.folder / "clients.crt"
    trusted.write_bytes(site.authority.certificate.read_bytes())
    config = replace(site.config, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(trusted))
    context, client = ReloadingContext(config, site.clock), site.client()
    client.load_cert_chain(*site.authority.issue("client"))
    shake(context, client)
    trusted.write_bytes(Authority(site.folder, "theirs").certificate.read_bytes())
    site.clock.advance(LOOK_INTERVAL)
    with pytest.raises(ssl.SSLError):
        shake(context, client)


def test_nothing_is_read_without_a_change(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections do not reload unchanged files."""
    context = ReloadingContext(site.config, site.clock)
    monkeypatch.setattr("celery_redis_exporter.web.tls.build_context", None)
    site.clock.advance(LOOK_INTERVAL)
    assert "server" == name_of(shake(context, site.client()))
