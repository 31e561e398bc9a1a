# SPDX-License-Identifier: Apache-2.0
"""TLS of the HTTP server: a context that follows its files (certificate, key, client authorities).

Input: a ``TlsConfig``. Output: a context for a server. The files are read at the start. When they have changed, they
are read again at a new connection, at most once a second. A certificate that works is never replaced by one that does
not.
"""

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import structlog

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import TlsConfig

LOOK_INTERVAL = 1.0
"""Seconds between two checks of the files."""
VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
CIPHERS = {
    f"TLS_ECDHE_{signature}_WITH_{iana}": f"ECDHE-{signature}-{openssl}"
    for signature in ("ECDSA", "RSA")
    for iana, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("CHACHA20_POLY1305", "CHACHA20-POLY1305"),  # the older name in Go
        ("AES_128_CBC_SHA256", "AES128-SHA256"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
"""OpenSSL's names of the cipher suites that the Prometheus exporter toolkit accepts."""
TLS13_PREFIXES = ("TLS_AES_", "TLS_CHACHA20_")
UNAVAILABLE = "is no suite of TLS 1.2 that can be used; take one such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
NO_MATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")

log = structlog.get_logger(__name__)

Stamp = tuple[tuple[int, int, int] | None, ...]


class ReloadingContext(ssl.SSLContext):
    """A server's context whose new connections use the current content of the files.

    A new context is built each time and replaces the last one as a whole. Loading into a context in use would leave a
    new certificate beside an old key whenever the second file is written after the first. Raises ConfigError, at the
    start only. Later failures are logged, each once. Used from one thread at a time.
    """

    def __new__(cls, *_: object) -> Self:
        """Create the outer context. Only its protocol matters."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, config: TlsConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._served = self._stamp()
        self._current = build_context(config)
        self._looked = clock.monotonic()
        self._fault = ""

    def replace(self, config: TlsConfig) -> None:
        """Use another configuration for new connections. May be called from any thread.

        Raises ConfigError, and then nothing has changed.
        """
        built = build_context(config)
        self._config, self._current = config, built
        self._served, self._fault = self._stamp(), ""

    def wrap_bio(self, *arguments: Any, **keywords: Any) -> ssl.SSLObject:  # noqa: ANN401 -- passed on
        """Begin a connection. asyncio calls this for each one."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_INTERVAL:
            self._looked = now
            self._follow()
        return self._current.wrap_bio(*arguments, **keywords)

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a client is allowed, by its verified certificate as ``getpeercert`` returns it."""
        allowed = self._config.client_allowed_sans
        names = [name for _, name in (certificate or {}).get("subjectAltName", ())]
        return not allowed or not certificate or not set(allowed).isdisjoint(names)

    def _follow(self) -> None:
        # Taken before the files are read, so that a change in the meantime is noticed at the next check.
        stamp = self._stamp()
        if stamp == self._served:
            self._fault = ""
            return
        try:
            self._current = build_context(self._config)
        except ConfigError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("web.certificate_not_reloaded", error=self._fault)
            return
        self._served, self._fault = stamp, ""
        log.info("web.certificate_reloaded", file=self._config.cert_file or self._config.file)

    def _stamp(self) -> Stamp:
        return tuple(_stamp_of(path) for _, path in _files(self._config))


def build_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a server's context. Raises ConfigError: one line that names the file, the key and how to fix it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = VERSIONS[config.min_version], VERSIONS[config.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if config.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    if config.curve is not None:
        context.set_ecdh_curve(config.curve)
    if config.cipher_suites:
        context.set_ciphers(":".join(_openssl_name(config, suite) for suite in config.cipher_suites))
    for key, path in _files(config):
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise _fault(config, key, f"can't read {path}: {error.strerror}; check path and rights") from None
    _load_certificate(context, config)
    _load_authority(context, config)
    return context


def _load_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    def refuse() -> str:
        # Without this callback OpenSSL would prompt on the terminal.
        raise _fault(config, *_named(config, "key"), "is encrypted; give a key without a passphrase")

    try:
        with as_file(config.cert_file, config.cert) as certificate, as_file(config.key_file, config.key) as key:
            context.load_cert_chain(certificate, key, refuse)
    except OSError as error:
        raise _fault(config, *_blame(config, getattr(error, "reason", None) or "")) from None


@contextlib.contextmanager
def as_file(path: str, text: str) -> Iterator[str]:
    """Yield ``path``, or the path of a temporary file that contains ``text``. OpenSSL only reads files.

    The temporary file is in memory where possible.
    """
    if not text:
        yield path
        return
    if hasattr(os, "memfd_create"):  # Linux
        with os.fdopen(os.memfd_create("pem"), "w", encoding="utf-8") as memory:
            memory.write(text)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:  # readable by its owner only
        file.write(text)
        file.flush()
        yield file.name


def _named(config: TlsConfig, key: str) -> tuple[str, str]:
    """Return the setting of a certificate or key, and its name in a message."""
    if getattr(config, key):
        return key, "the text"
    return f"{key}_file", str(getattr(config, f"{key}_file"))


def _blame(config: TlsConfig, reason: str) -> tuple[str, str, str]:
    """Return the setting that is wrong, its name and what is wrong with it. OpenSSL's error names no file."""
    certificate, key = _named(config, "cert"), _named(config, "key")
    if reason in NO_MATCH:
        return *key, f"does not belong to {certificate[1]}; give the key it was made with"
    if "TOO_SMALL" in reason or "TOO_WEAK" in reason:
        return *certificate, f"is refused by OpenSSL: {reason.replace('_', ' ').lower()}; make a stronger one"
    if not _holds_certificates(config.cert_file, config.cert):
        return *certificate, "holds no certificate; give one in PEM form"
    return *key, "holds no private key; give one in PEM form"


def _load_authority(context: ssl.SSLContext, config: TlsConfig) -> None:
    context.verify_mode = CLIENTS[config.client_auth_type]
    if context.verify_mode is ssl.CERT_NONE:
        return
    # As in Go, every certificate in the file is trusted, even an authority that another authority signed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if config.client_ca_file is None and not config.client_ca:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        context.load_verify_locations(config.client_ca_file, cadata=config.client_ca or None)
    except (OSError, ValueError):
        raise _fault(config, *_named(config, "client_ca"), "holds no certificate; give one in PEM form") from None


def _holds_certificates(path: str, text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path or None, cadata=text or None)
    except (OSError, ValueError):
        return False
    return True


def _openssl_name(config: TlsConfig, suite: str) -> str:
    """Return OpenSSL's name of a suite. Raises ConfigError if OpenSSL does not have it or it is not secure."""
    name = CIPHERS.get(suite, suite)
    if suite.startswith(TLS13_PREFIXES):
        cure = "are always all on; remove it (or set max_version: TLS12)"
        raise _fault(config, "cipher_suites", f"{suite} can't be chosen: the suites of TLS 1.3 {cure}")
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        probe.set_ciphers(name)
    except ssl.SSLError:
        found = []
    else:
        # OpenSSL also accepts words such as ALL, which are not names of suites.
        found = [cipher for cipher in probe.get_ciphers() if cipher["name"] == name]
    known: dict[str, Any] = dict(found[0]) if found else {}
    strong = known.get("kea") == "kx-ecdhe" and known.get("auth") in {"auth-rsa", "auth-ecdsa"}
    if not strong or known["strength_bits"] < 128:
        raise _fault(config, "cipher_suites", f"{suite!r} {UNAVAILABLE}")
    return name


def _files(config: TlsConfig) -> Iterator[tuple[str, str]]:
    for key in ("cert_file", "key_file", "client_ca_file"):
        path = getattr(config, key)
        if path:
            yield key, path


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _fault(config: TlsConfig, key: str, *words: str) -> ConfigError:
    return ConfigError(f"{config.file}: tls_server_config.{key}: {' '.join(words)}")
