# SPDX-License-Identifier: Apache-2.0
"""The web configuration file: its keys, and the errors for wrong ones."""

from pathlib import Path

import pytest

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import RequestLimit, TlsConfig, WebConfig
from celery_redis_exporter.settings import load
from celery_redis_exporter.settings.read.web_config import read_web_config

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
FULL = f"""\
tls_server_config:
  cert_file: tls.crt
  key_file: /keys/tls.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: sub/ca.crt
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers: {{X-Frame-Options: deny, Content-Security-Policy: "default-src 'none'", X-XSS-Protection: ""}}
basic_auth_users:
  prometheus: {HASH}
"""
PAIR = "cert_file: a, key_file: b"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of a web configuration file that does not exist yet."""
    return tmp_path / "web.yml"


def test_every_key_is_taken(file: Path) -> None:
    """Each key of the file is read; relative paths start at the file, and a blank header is left out."""
    file.write_text(FULL)
    config = read_web_config(str(file), "--web.config.file")
    tls = TlsConfig(
        file=str(file),
        cert_file=str(file.parent / "tls.crt"),
        key_file="/keys/tls.key",
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file=str(file.parent / "sub/ca.crt"),
        min_version="TLS12",
        max_version="TLS12",
        cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",),
        prefer_server_cipher_suites=False,
    )
    headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'none'"}
    assert WebConfig(tls, headers, {"prometheus": HASH}) == config


def test_a_certificate_and_a_key_are_enough(file: Path) -> None:
    """With only a certificate and a key, TLS 1.2 and 1.3 and every client are allowed."""
    file.write_text(f"tls_server_config: {{{PAIR}}}")
    tls = read_web_config(str(file), "x").tls
    assert TlsConfig(str(file), str(file.parent / "a"), str(file.parent / "b")) == tls
    assert ("NoClientCert", None, "TLS12", "TLS13") == (
        tls.client_auth_type,
        tls.client_ca_file,
        tls.min_version,
        tls.max_version,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n",
        "tls_server_config: {}\nhttp_server_config: {headers: {}}\nbasic_auth_users: {}\n",
    ],
)
def test_an_empty_file_switches_nothing_on(file: Path, text: str) -> None:
    """Sections without content change nothing."""
    file.write_text(text)
    assert WebConfig() == read_web_config(str(file), "x")


@pytest.mark.parametrize(
    ("argv", "environ", "settings_file"),
    [
        (["--web.config.file={}"], {}, ""),
        ([], {"EXPORTER_WEB__CONFIG__FILE": "{}"}, ""),
        ([], {}, "web: {{config: {{file: {}}}}}"),
    ],
)
def test_the_setting_is_read_from_everywhere(
    file: Path, tmp_path: Path, argv: list[str], environ: dict[str, str], settings_file: str
) -> None:
    """A flag, a variable and the settings file can name the file; its hashes are secrets then."""
    file.write_text(FULL)
    argv = [argument.format(file) for argument in argv]
    environ = {name: value.format(file) for name, value in environ.items()}
    if settings_file:
        (tmp_path / "settings.yml").write_text(settings_file.format(file))
        argv = [f"--config.file={tmp_path}/settings.yml"]
    settings = load(argv, environ)
    assert {"prometheus": HASH} == settings.web_config.users
    assert HASH in settings.secrets
    assert HASH not in repr(settings) + repr(settings.web_config)


def test_without_the_setting_nothing_is_on() -> None:
    """No file, or an empty name, is no web configuration."""
    assert [WebConfig()] * 2 == [load(argv, {}).web_config for argv in ([], ["--web.config.file="])]


def test_a_missing_file_is_told_with_the_setting(file: Path) -> None:
    """The message names the setting with the path of the file."""
    with pytest.raises(ConfigError) as caught:
        load([f"--web.config.file={file}"], {})
    assert f"--web.config.file: can't read {file}: No such file or directory" == str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", ":1: is not valid YAML; check indentation, colons and quotes"),
        ("a: !!python/object:os.system {}", ":1: is not valid YAML; check indentation, colons and quotes"),
        ("x:\n- a\nx: {}", ":3: x: is already set on line 1; keep one"),
        ("- a", ": must be a mapping, as in `tls_server_config: {cert_file: tls.crt, key_file: tls.key}`"),
        ("basic_auth_user: {}", ": basic_auth_user: no such key; did you mean basic_auth_users?"),
        ("5: {}", ": 5: no such key; remove it"),
        ("rate_limit: {interval: 1s}", ": rate_limit.burst: is missing; without it no request would be answered"),
        ("rate_limit: {interval: soon}", ": rate_limit.interval: must be a duration"),
        ("rate_limit: {interval: 1s, burst: -1}", ": rate_limit.burst: must be a whole number of requests"),
        ("rate_limit: {interval: 1s, burst: true}", ": rate_limit.burst: must be a whole number of requests"),
        ("rate_limit: {intervall: 1s}", ": rate_limit.intervall: no such key; did you mean interval?"),
        ("basic_auth_users: SECRET", ": basic_auth_users: must be a mapping, as in `tls_"),
    ],
)
def test_a_wrong_file_is_reported(file: Path, text: str, message: str) -> None:
    """The message starts with the file, and names the line or key and how to fix it."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_web_config(str(file), "x")
    assert str(caught.value).startswith(f"{file}{message}")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cert_fil: a", "cert_fil: no such key; did you mean cert_file?"),
        ("cert: SECRET, cert_file: a, key_file: b", "cert: cert_file is given too; keep one"),
        ("cert: SECRET", "key_file: is missing; TLS needs cert_file and key_file"),
        (f"{PAIR}, client_ca: SECRET, client_ca_file: c", "client_ca: client_ca_file is given too; keep one"),
        (f"{PAIR}, client_ca: SECRET", "client_ca: has no effect without client_auth_type; add"),
        (f"{PAIR}, client_allowed_sans: [a]", "client_allowed_sans: has no effect without client_auth_type"),
        (
            f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: a",
            "client_allowed_sans: must be",
        ),
        (f"{PAIR}, curve_preferences: [CurveP256, X25519]", "curve_preferences: must be one of CurveP256, CurveP384"),
        (f"{PAIR}, curve_preferences: [P256]", "curve_preferences: must be one of CurveP256, CurveP384"),
        ("min_version: TLS12", "cert_file: is missing; TLS needs cert_file and key_file (or remove tls_server_config)"),
        ("cert_file: a", "key_file: is missing; TLS needs cert_file and key_file"),
        ("cert_file: '', key_file: b", "cert_file: is missing"),
        ("cert_file: 1, key_file: b", "cert_file: must be text; put it in quotes"),
        (f"{PAIR}, client_auth_type: Always", "client_auth_type: must be NoClientCert or VerifyClientCertIfGiven or"),
        (f"{PAIR}, client_auth_type: RequireAnyClientCert", "client_auth_type: RequireAnyClientCert would take any"),
        (f"{PAIR}, client_ca_file: c", "client_ca_file: has no effect without client_auth_type; add"),
        (f"{PAIR}, client_auth_type: NoClientCert, client_ca_file: c", "client_ca_file: has no effect without"),
        (f"{PAIR}, min_version: TLS10", "min_version: must be TLS12 or TLS13"),
        (f"{PAIR}, max_version: TLS11", "max_version: must be TLS13 or TLS12"),
        (f"{PAIR}, min_version: TLS13, max_version: TLS12", "max_version: is below min_version TLS13; raise it"),
        (f"{PAIR}, cipher_suites: TLS_X", "cipher_suites: must be a list of names"),
        (f"{PAIR}, cipher_suites: [1]", "cipher_suites: must be a list of names"),
        (f"{PAIR}, prefer_server_cipher_suites: 1", "prefer_server_cipher_suites: must be true or false"),
    ],
)
def test_a_wrong_tls_key_is_reported(file: Path, text: str, message: str) -> None:
    """The message names file, section, key and solution, and repeats no inline key."""
    file.write_text(f"tls_server_config: {{{text}}}")
    with pytest.raises(ConfigError) as caught:
        read_web_config(str(file), "x")
    assert str(caught.value).startswith(f"{file}: tls_server_config.{message}")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http3: true", "http3: no such key; did you mean http2?"),
        ("headers: {Server: x}", "headers.Server: no such key; remove it"),
        ("headers: {x-frame-options: deny}", "headers.x-frame-options: no such key; did you mean X-Frame-Options?"),
        ("headers: {X-Frame-Options: maybe}", "headers.X-Frame-Options: must be deny or sameorigin"),
        ('headers: {X-XSS-Protection: "a\\nb"}', "headers.X-XSS-Protection: must be printable ASCII on one line"),
        ("headers: [a]", "headers: must be a mapping"),
    ],
)
def test_a_wrong_http_key_is_reported(file: Path, text: str, message: str) -> None:
    """Only the toolkit's headers with their values are accepted."""
    file.write_text(f"http_server_config: {{{text}}}")
    with pytest.raises(ConfigError) as caught:
        read_web_config(str(file), "x")
    assert str(caught.value).startswith(f"{file}: http_server_config.{message}")


@pytest.mark.parametrize(
    ("user", "hashed", "message"),
    [
        ("u", "SECRET", "u: is no bcrypt hash; make one with `htpasswd -nBC 10 USER`, without `USER:`"),
        ("u", f"u:{HASH}", "u: is no bcrypt hash"),
        ("u", HASH[:-1], "u: is no bcrypt hash"),
        ("u", "", "u: is no bcrypt hash"),
        ("u", "12", "u: is no bcrypt hash"),
        ("u", HASH.replace("zou", "zoz"), "u: is no bcrypt hash"),
        ("u", HASH.replace("2y", "2"), "u: is no bcrypt hash"),
        ("u", HASH.replace("$10$", "$03$"), "u: has a bcrypt cost that is not 4 to 14; 10 is usual"),
        ("u", HASH.replace("$10$", "$18$"), "u: has a bcrypt cost that is not 4 to 14; 10 is usual"),
        ('"a:b"', HASH, "a:b: a user's name can't hold a colon"),
        ("7", HASH, "7: is no text; put the user's name in quotes"),
    ],
)
def test_a_wrong_user_is_reported(file: Path, user: str, hashed: str, message: str) -> None:
    """The message names the user and never the text in place of the hash."""
    file.write_text(f"basic_auth_users: {{{user}: {hashed}}}")
    with pytest.raises(ConfigError) as caught:
        read_web_config(str(file), "x")
    assert str(caught.value).startswith(f"{file}: basic_auth_users.{message}")
    assert "SECRET" not in str(caught.value)
    assert "$2" not in str(caught.value)


TOOLKIT = f"""\
tls_server_config:
  cert: |
    PEM
  key: SECRET
  client_ca: AUTHORITY
  client_auth_type: VerifyClientCertIfGiven
  client_allowed_sans: [prometheus.example.org, 10.0.0.1]
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {{X-XSS-Protection: 1, Strict-Transport-Security: max-age=60}}
rate_limit: {{interval: 100ms, burst: 5}}
basic_auth_users: {{a: {HASH}}}
"""


def test_the_toolkits_other_keys_are_taken(file: Path) -> None:
    """Inline texts, allowed names, a curve, a rate limit, HTTP/2 and unquoted values have the toolkit's meaning."""
    file.write_text(TOOLKIT)
    config = read_web_config(str(file), "x")
    assert config.tls == TlsConfig(
        file=str(file),
        cert="PEM\n",
        key="SECRET",
        client_ca="AUTHORITY",
        client_auth_type="VerifyClientCertIfGiven",
        client_allowed_sans=("prometheus.example.org", "10.0.0.1"),
        curve="X25519",
    )
    assert "SECRET" not in repr(config)
    assert {"X-XSS-Protection": "1", "Strict-Transport-Security": "max-age=60"} == config.headers
    assert RequestLimit(0.1, 5) == config.rate_limit
    note = f"{file}: http2: true has no effect: HTTP/1.1 is spoken here, which Prometheus takes as well."
    assert (note,) == config.notes
    assert note in load([f"--web.config.file={file}"], {}).notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client_auth_type: RequestClientCert", ("NoClientCert", None)),
        ("client_auth_type: RequireAndVerifyClientCert", ("RequireAndVerifyClientCert", None)),
        ("client_auth_type: VerifyClientCertIfGiven", ("VerifyClientCertIfGiven", None)),
    ],
)
def test_an_authority_is_not_needed(file: Path, text: str, expected: tuple[str, str | None]) -> None:
    """Without an authority the system's are trusted; a client certificate that is not verified is not requested."""
    file.write_text(f"tls_server_config: {{{PAIR}, {text}}}")
    tls = read_web_config(str(file), "x").tls
    assert tls is not None
    assert expected == (tls.client_auth_type, tls.client_ca_file)


@pytest.mark.parametrize("text", ["{}", "{burst: 5}", "{interval: 0, burst: 5}", "{interval: 0s}"])
def test_a_rate_without_interval_is_no_limit(file: Path, text: str) -> None:
    """As in the toolkit, an interval of 0 switches the limit off."""
    file.write_text(f"rate_limit: {text}")
    assert read_web_config(str(file), "x").rate_limit is None


def test_all_curves_are_the_default(file: Path) -> None:
    """Naming every curve restricts nothing."""
    file.write_text(f"tls_server_config: {{{PAIR}, curve_preferences: [X25519, CurveP521, CurveP384, CurveP256]}}")
    tls = read_web_config(str(file), "x").tls
    assert tls is not None
    assert tls.curve is None
