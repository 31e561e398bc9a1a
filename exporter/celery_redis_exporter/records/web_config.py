"""What the HTTP side can be secured with: the words in which the settings tell the web room.

Takes and gives nothing; reads no file and knows no library. Vocabulary, like errors and records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How to serve TLS; words and names as in the file.

    ``file`` is the web configuration file itself, which messages name. ``client_auth_type`` is NoClientCert,
    VerifyClientCertIfGiven or RequireAndVerifyClientCert; the last two come with ``client_ca_file``. The versions are
    TLS12 or TLS13, the lower one first. ``cipher_suites`` are IANA or OpenSSL names, unchecked; none means the default.
    """

    file: str
    cert_file: str
    key_file: str
    client_auth_type: str = "NoClientCert"
    client_ca_file: str | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What is switched on: TLS, headers of every answer, and users with their bcrypt hashes (never shown)."""

    tls: TlsConfig | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
