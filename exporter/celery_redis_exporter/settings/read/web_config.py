# SPDX-License-Identifier: Apache-2.0
"""Read the web configuration file: TLS, headers and users, in the format of Prometheus's exporter-toolkit.

Input: a path. Output: a ``WebConfig``. Words and types are checked here. Certificates, keys and ciphers are checked
when they are loaded, in the package ``web``. Neither a hash nor a line of the file is shown.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.records.web_config import RequestLimit, TlsConfig, WebConfig
from celery_redis_exporter.settings.schema.values import parse_seconds

TLS, HTTP, USERS, RATE = "tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"
TLS_KEYS = (
    "cert", "cert_file", "key", "key_file", "client_auth_type", "client_ca", "client_ca_file", "client_allowed_sans",
    "min_version", "max_version", "cipher_suites", "curve_preferences", "prefer_server_cipher_suites",
)  # fmt: skip
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
"""Curves by the toolkit's name, with OpenSSL's name."""
HTTP2_NOTE = "http2: true has no effect: HTTP/1.1 is spoken here, which Prometheus takes as well."

VERSIONS = ("TLS12", "TLS13")
VERIFYING = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
UNVERIFYING = ("RequireAnyClientCert", "RequireClientCert")
ANYONE = ("NoClientCert", "RequestClientCert")
"""Modes that accept every client, with or without a certificate."""
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that the toolkit allows, with the allowed values, where it has such a list."""

# The last character of a salt contains two bits only. bcrypt rejects others when it checks the first password.
BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
COSTS = range(4, 15)
"""Allowed costs of bcrypt. 14 takes about a second per wrong password; the exporter's stop may wait for it."""


def read_web_config(name: str, written: str) -> WebConfig:
    """Return the content of the file that the setting ``written`` names.

    Raises ConfigError with the file, the key and how to fix it.
    """
    from celery_redis_exporter.settings.yaml_file import read_yaml  # noqa: PLC0415 -- as in ``file``

    tree = read_yaml(name, written)
    root = _Section(name, (), {} if tree is None else tree)
    root.close((TLS, HTTP, USERS, RATE))
    http = root.section(HTTP)
    http.close(("headers", "http2"))
    return WebConfig(
        _read_tls(root.section(TLS)),
        _read_headers(http.section("headers")),
        _read_users(root),
        _read_rate(root.section(RATE)),
        (f"{name}: {HTTP2_NOTE}",) if http.flag("http2", default=False) else (),
    )


class _Section:
    """A mapping of the file; its faults name the file and the key."""

    def __init__(self, file: str, path: tuple[str, ...], tree: Any) -> None:  # noqa: ANN401 -- YAML is anything
        self.file, self._path = file, path
        if not isinstance(tree, Mapping):
            place = f"{file}: {'.'.join(path)}" if path else file
            raise ConfigError(f"{place}: must be a mapping, as in `{TLS}: {{cert_file: tls.crt, key_file: tls.key}}`")
        self.tree: Mapping[Any, Any] = tree

    def fault(self, key: str, text: str) -> ConfigError:
        return ConfigError(f"{self.file}: {'.'.join((*self._path, key))}: {text}")

    def close(self, known: Iterable[str]) -> None:
        """Raise ConfigError for any other key."""
        for key in self.tree:
            if key not in known:
                raise self.fault(str(key), f"no such key{suggest(str(key), known) or '; remove it'}")

    def section(self, key: str) -> "_Section":
        """Return the section under a key, or an empty one."""
        tree = self.tree.get(key)
        return _Section(self.file, (*self._path, key), {} if tree is None else tree)

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or ``default`` if it is missing or empty."""
        value = self.tree.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(key, "must be text; put it in quotes")
        return value or default

    def word(self, key: str, words: tuple[str, ...]) -> str:
        """Return one of ``words``. The first one is the default."""
        value = self.text(key, words[0])
        if value not in words:
            raise self.fault(key, f"must be {' or '.join(words)}")
        return value

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """Return a list of texts, or an empty one if the key is missing."""
        found = self.tree.get(key) or []
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise self.fault(key, f"must be a list of names, as in [{example}]")
        return tuple(found)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self.tree.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, "must be true or false")
        return default if value is None else value

    def path(self, key: str) -> str:
        """Return the path of a file, or an empty string. A relative path starts at the folder of this file."""
        value = self.text(key)
        return str(FilePath(self.file).parent / value) if value else ""


def _read_tls(section: _Section) -> TlsConfig | None:
    if not section.tree:
        return None
    section.close(TLS_KEYS)
    certificate, key = _one_of(section, "cert"), _one_of(section, "key")
    kind, authority = _read_client_auth(section)
    lowest, highest = section.word("min_version", VERSIONS), section.word("max_version", VERSIONS[::-1])
    if lowest > highest:
        raise section.fault("max_version", f"is below min_version {lowest}; raise it, or remove it")
    return TlsConfig(
        file=section.file,
        **certificate,
        **key,
        **authority,
        client_auth_type=kind,
        client_allowed_sans=_read_allowed_names(section, kind),
        min_version=lowest,
        max_version=highest,
        cipher_suites=section.texts("cipher_suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        curve=_read_curve(section),
        prefer_server_cipher_suites=section.flag("prefer_server_cipher_suites", default=True),
    )


def _one_of(section: _Section, key: str, *, required: bool = True) -> dict[str, str]:
    """Return the text under a key, or the path under the key with ``_file``."""
    text, path = section.text(key), section.path(f"{key}_file")
    if text and path:
        raise section.fault(key, f"{key}_file is given too; keep one")
    if required and not text and not path:
        raise section.fault(f"{key}_file", f"is missing; TLS needs cert_file and key_file (or remove {TLS})")
    return {key: text} if text else {f"{key}_file": path} if path else {}


def _read_client_auth(section: _Section) -> tuple[str, dict[str, str]]:
    """Return which clients are accepted, and their authority, or none if the system's authorities are trusted."""
    key, kind = "client_auth_type", section.text("client_auth_type", "NoClientCert")
    authority = _one_of(section, "client_ca", required=False)
    if kind in UNVERIFYING:
        cure = "write RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        raise section.fault(key, f"{kind} would take any certificate unverified, which is not supported; {cure}")
    if kind not in (*VERIFYING, *ANYONE):
        raise section.fault(key, f"must be NoClientCert or {' or '.join(VERIFYING)}")
    if authority and kind not in VERIFYING:
        raise section.fault(
            next(iter(authority)), f"has no effect without {key}; add {key}: RequireAndVerifyClientCert"
        )
    return "NoClientCert" if kind in ANYONE else kind, authority


def _read_allowed_names(section: _Section, kind: str) -> tuple[str, ...]:
    key = "client_allowed_sans"
    names = section.texts(key, "prometheus.example.org")
    if names and kind not in VERIFYING:
        raise section.fault(key, "has no effect without client_auth_type: RequireAndVerifyClientCert")
    return names


def _read_curve(section: _Section) -> str | None:
    """Return the curve, or None for OpenSSL's default. Python can set only one."""
    key = "curve_preferences"
    names = section.texts(key, "CurveP256")
    if not names or set(names) == set(CURVES):
        return None
    if len(names) > 1 or names[0] not in CURVES:
        raise section.fault(key, f"must be one of {', '.join(CURVES)}, or all of them: Python can't set some")
    return CURVES[names[0]]


def _read_rate(section: _Section) -> RequestLimit | None:
    section.close(("interval", "burst"))
    try:
        interval = parse_seconds(section.tree.get("interval") or 0)
    except ValueError as error:
        raise section.fault("interval", str(error)) from None
    burst = section.tree.get("burst") or 0
    if not isinstance(burst, int) or isinstance(burst, bool) or burst < 0:
        raise section.fault("burst", "must be a whole number of requests")
    if not isinstance(interval, int | float) or interval <= 0:
        return None  # as the toolkit does
    if not burst:
        raise section.fault("burst", "is missing; without it no request would be answered")
    return RequestLimit(float(interval), burst)


def _read_headers(section: _Section) -> dict[str, str]:
    section.close(HEADERS)
    headers = {name: _scalar(section, name) for name in section.tree}
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise section.fault(name, "must be printable ASCII on one line")
        if value and HEADERS[name] and value not in HEADERS[name]:
            raise section.fault(name, f"must be {' or '.join(HEADERS[name])}")
    return {name: value for name, value in headers.items() if value}


def _scalar(section: _Section, key: str) -> str:
    """Return a text. Numbers and booleans, such as ``X-XSS-Protection: 1``, are converted to text."""
    value = section.tree[key]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else section.text(key)


def _read_users(root: _Section) -> dict[str, str]:
    section = root.section(USERS)
    for user, hashed in section.tree.items():
        if not isinstance(user, str):
            raise section.fault(str(user), "is no text; put the user's name in quotes")
        if ":" in user:
            raise section.fault(user, "a user's name can't hold a colon")
        found = BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
        if found is None:
            raise section.fault(user, "is no bcrypt hash; make one with `htpasswd -nBC 10 USER`, without `USER:`")
        if int(found[1]) not in COSTS:
            raise section.fault(user, f"has a bcrypt cost that is not {COSTS[0]} to {COSTS[-1]}; 10 is usual")
    return dict(section.tree)
