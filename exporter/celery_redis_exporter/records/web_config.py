# SPDX-License-Identifier: Apache-2.0
"""Define the security of the web server, as the settings pass it to the web layer.

Data only; reads no file and uses no library.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How to serve TLS; words and names as in the file.

    ``file`` is the web configuration file itself, which messages name. Certificate, key and the authority of clients
    are the paths of files, or else PEM text of their own (``cert``, ``key``, ``client_ca``). ``client_auth_type`` is
    NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert; without an authority the system's are trusted.
    ``client_allowed_sans`` are the names of which a client's certificate must contain one; none means any. The versions
    are TLS12 or TLS13, the lower one first. ``cipher_suites`` are IANA or OpenSSL names, unchecked; none means the
    default. ``curve`` is OpenSSL's name of the only curve, None means the default ones.
    """

    file: str
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_ca_file: str | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    cert: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    client_ca: str = field(default="", repr=False)
    client_allowed_sans: tuple[str, ...] = ()
    curve: str | None = None


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """One request every ``interval`` seconds is answered, and ``burst`` more at once after a pause."""

    interval: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What is switched on: TLS, headers of every answer, users with their bcrypt hashes (never shown), a rate limit.

    ``notes`` are for the log: what is taken and has no effect.
    """

    tls: TlsConfig | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate_limit: RequestLimit | None = None
    notes: tuple[str, ...] = ()
