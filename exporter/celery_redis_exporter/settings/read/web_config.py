"""The web configuration file: TLS, headers and users, in the format of Prometheus's exporter-toolkit.

Takes a path, gives a ``WebConfig``. Checks words and shapes; certificates, keys and ciphers are checked where they are
loaded, in the web room. Never shows a hash, nor a line of the file.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.records.web_config import TlsConfig, WebConfig
from celery_redis_exporter.settings.yaml_file import read_yaml

TLS, HTTP, USERS = "tls_server_config", "http_server_config", "basic_auth_users"
TLS_KEYS = (
    "cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version", "max_version", "cipher_suites",
    "prefer_server_cipher_suites",
)  # fmt: skip
NOT_HERE = {
    (): {"rate_limit": "is not supported here; remove it"},
    (TLS,): {
        "cert": "is not supported here; write the certificate to a file and name it in cert_file",
        "key": "is not supported here; write the key to a file and name it in key_file",
        "client_ca": "is not supported here; write the certificate to a file and name it in client_ca_file",
        "client_allowed_sans": "is not supported here; let an authority of its own sign the allowed clients",
        "curve_preferences": "is not supported here; remove it",
    },
}
"""Keys that the toolkit knows and we do not, by section, with the cure."""

VERSIONS = ("TLS12", "TLS13")
VERIFYING = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
UNVERIFYING = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, as in the toolkit; with the values allowed, where it names them."""

# The last character of a salt carries two bits only; bcrypt refuses others at the first password.
BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
COSTS = range(4, 15)
"""Costs that are taken; 14 is about a second for each wrong password, on which the exporter's stop may have to wait."""


def read_web_config(name: str, written: str) -> WebConfig:
    """Read the file that the setting ``written`` names; raise ConfigError with file, key and cure."""
    tree = read_yaml(name, written)
    root = _Section(name, (), {} if tree is None else tree)
    root.close((TLS, HTTP, USERS))
    http = root.section(HTTP)
    http.close(("headers", "http2"))
    if http.flag("http2", default=False):
        raise http.fault("http2", "HTTP/2 is not spoken here; write false, or remove it")
    return WebConfig(_read_tls(root.section(TLS)), _read_headers(http.section("headers")), _read_users(root))


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
        """Refuse every other key."""
        for key in self.tree:
            if key not in known:
                cure = NOT_HERE.get(self._path, {}).get(key)
                raise self.fault(str(key), cure or f"no such key{suggest(str(key), known) or '; remove it'}")

    def section(self, key: str) -> "_Section":
        """Give the section below, empty if it is not there."""
        tree = self.tree.get(key)
        return _Section(self.file, (*self._path, key), {} if tree is None else tree)

    def text(self, key: str, default: str = "") -> str:
        """Give a text; an empty one counts as not there."""
        value = self.tree.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(key, "must be text; put it in quotes")
        return value or default

    def word(self, key: str, words: tuple[str, ...]) -> str:
        """Give one of ``words``, the first by default."""
        value = self.text(key, words[0])
        if value not in words:
            raise self.fault(key, f"must be {' or '.join(words)}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Give a truth value."""
        value = self.tree.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, "must be true or false")
        return default if value is None else value

    def path(self, key: str) -> str:
        """Give the path of a file, relative ones from the folder of this file; empty if it is not there."""
        value = self.text(key)
        return str(FilePath(self.file).parent / value) if value else ""


def _read_tls(section: _Section) -> TlsConfig | None:
    if not section.tree:
        return None
    section.close(TLS_KEYS)
    certificate, key = (_required(section, name) for name in ("cert_file", "key_file"))
    kind, authority = _read_client_auth(section)
    lowest, highest = section.word("min_version", VERSIONS), section.word("max_version", VERSIONS[::-1])
    if lowest > highest:
        raise section.fault("max_version", f"is below min_version {lowest}; raise it, or remove it")
    suites = section.tree.get("cipher_suites") or []
    if not isinstance(suites, list) or not all(isinstance(suite, str) for suite in suites):
        raise section.fault("cipher_suites", "must be a list of names, as in [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]")
    return TlsConfig(
        file=section.file,
        cert_file=certificate,
        key_file=key,
        client_auth_type=kind,
        client_ca_file=authority or None,
        min_version=lowest,
        max_version=highest,
        cipher_suites=tuple(suites),
        prefer_server_cipher_suites=section.flag("prefer_server_cipher_suites", default=True),
    )


def _required(section: _Section, key: str) -> str:
    value = section.path(key)
    if not value:
        raise section.fault(key, f"is missing; TLS needs cert_file and key_file (or remove {TLS})")
    return value


def _read_client_auth(section: _Section) -> tuple[str, str]:
    key, authority_key = "client_auth_type", "client_ca_file"
    kind, authority = section.text(key, "NoClientCert"), section.path(authority_key)
    if kind in UNVERIFYING:
        cure = "write RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        raise section.fault(key, f"{kind} would take any certificate unverified, which is not supported; {cure}")
    if kind not in (*VERIFYING, "NoClientCert"):
        raise section.fault(key, f"must be NoClientCert or {' or '.join(VERIFYING)}")
    if kind in VERIFYING and not authority:
        raise section.fault(authority_key, f"is missing; {kind} needs the authority that signs the clients")
    if authority and kind not in VERIFYING:
        raise section.fault(authority_key, f"has no effect without {key}; add {key}: RequireAndVerifyClientCert")
    return kind, authority


def _read_headers(section: _Section) -> dict[str, str]:
    section.close(HEADERS)
    headers = {name: section.text(name) for name in section.tree}
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise section.fault(name, "must be printable ASCII on one line")
        if value and HEADERS[name] and value not in HEADERS[name]:
            raise section.fault(name, f"must be {' or '.join(HEADERS[name])}")
    return {name: value for name, value in headers.items() if value}


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
