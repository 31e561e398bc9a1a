# SPDX-License-Identifier: Apache-2.0
"""Parse Redis URLs in the format of Celery and redis-py.

Input: a URL. Output: a ``RedisTarget`` that redis-py understands. Never connects. No part of a URL that could be a
secret is in a message. Standard library only.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SUPPORTED = "redis://, rediss://, valkey://, unix://, redis+socket://, sentinel:// and, for brokers, amqp:// are"
SCHEMES = {
    "redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix",
    "redis+socket": "unix",
}  # fmt: skip
WRONG_HOST = "has no valid host and port (1 to 65535); write special characters in user and password as %XX"
DEFAULT_PORT = 6379
LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})

IDENTITY = frozenset({"db", "virtual_host", "username", "password"})
TLS = frozenset({
    "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
    "ssl_ciphers", "ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile", "ssl_min_version",
    "ssl_password",
})  # fmt: skip
# The exporter sets these itself: a pool or a timeout of the application must not change a scrape's deadline.
CLIENT_TUNING = frozenset({
    "client_name", "decode_responses", "encoding", "encoding_errors", "health_check_interval", "max_connections",
    "protocol", "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive",
    "socket_read_size", "socket_timeout", "timeout",
})  # fmt: skip


Credentials = Callable[[], tuple[str, str]]
"""Returns the current user and password. Raises ConfigError if they can't be read."""


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One Redis server to read.

    ``name`` is the value of the label ``redis``. ``url`` is for redis-py and may hold a password; ``redacted`` is
    for people. ``server_key`` is equal for URLs that reach the same server, whatever the user and the database.
    ``ignored`` names query parameters that were left out because the exporter sets them itself. Where there are
    ``sentinels`` they return the server's address, and that in ``url`` means nothing. ``credentials``, where there are
    any, return user and password instead of ``url``.
    """

    name: str
    url: str = field(repr=False)
    redacted: str
    db: int
    server_key: tuple[str, int]
    ignored: tuple[str, ...] = ()
    sentinels: tuple[tuple[str, int], ...] = ()
    credentials: Credentials | None = field(default=None, repr=False, compare=False)


def scheme_of(url: str) -> str:
    """Return the scheme in lower case, or an empty string if the text is not a URL."""
    scheme, mark, _ = url.partition("://")
    return scheme.lower() if mark else ""


def parse_redis_url(name: str, url: str) -> RedisTarget:
    """Parse a URL. Raises ValueError, free of secrets, that says how to fix it.

    ``name`` becomes the target's name.
    """
    scheme = SCHEMES.get(scheme_of(url))
    if scheme is None:
        raise ValueError(_wrong_scheme(url))
    if ";" in url:
        raise ValueError("must be one URL; a list of servers is for sentinel:// and amqp:// only")
    parts = split_url(scheme, url.strip().partition("://")[2])
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    check_tls(query, IDENTITY | TLS | CLIENT_TUNING)
    db = _database(parts.path if scheme != "unix" else "", query)
    identity = _identity(parts, query)
    if scheme == "unix":
        address, server_key = _socket_address(parts)
    else:
        address, server_key = _tcp_address(parts)
    tls = {key: value for key, value in sorted(query.items()) if key in TLS}
    return RedisTarget(
        name=name,
        url=_render(scheme, _user_part(identity), address, db, tls),
        redacted=_render(scheme, "***@" if identity != ("", "") else "", address, db, _without_secrets(tls)),
        db=db,
        server_key=server_key,
        ignored=tuple(sorted(CLIENT_TUNING & query.keys())),
    )


def credentials_of(url: str) -> tuple[str, str]:
    """Return user and password of a target's ``url``."""
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def secrets_of(url: str) -> tuple[str, ...]:
    """Return every part of a URL that must not be shown, quoted and unquoted, and the URL itself if there is one.

    A list of URLs is split first.
    """
    if ";" in url:
        found = {secret for part in url.split(";") for secret in secrets_of(part)}
        return tuple(sorted(found | ({url} if found else set())))
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return (url,)
    secrets = [password] if password else [user]
    secrets += [value for key, value in parse_qsl(parts.query) if "password" in key.lower()]
    kept = {form for secret in secrets if secret for form in (secret, unquote(secret), quote(unquote(secret), safe=""))}
    return tuple(sorted(kept | ({url} if kept else set())))


def _wrong_scheme(url: str) -> str:
    scheme = scheme_of(url)
    # The text before :// in a broken URL may be anything, so only plain words are repeated.
    if scheme and len(scheme) <= 32 and all(c.isalnum() or c in "+-." for c in scheme):
        return f"{scheme}:// is not supported by this version; {SUPPORTED}"
    return f"must be a URL such as redis://localhost:6379/0; {SUPPORTED} supported"


def split_url(scheme: str, rest: str) -> SplitResult:
    """Split the part after ``://``. Raises ValueError, free of secrets, that says how to fix it."""
    if "#" in rest:
        raise ValueError("contains #, which ends a URL; write it as %23 in user and password")
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, valid = SplitResult("", "", "", "", ""), False
    if not valid:
        raise ValueError(WRONG_HOST)
    return parts


def check_tls(query: dict[str, str], known: Iterable[str]) -> None:
    """Check that query parameters are known, and the value of the TLS parameter.

    Raises ValueError, free of secrets, that says how to fix it.
    """
    known = set(known)
    for key in query:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            cure = f"did you mean {near[0]}?" if near else "remove it"
            # An unknown name may be the end of a password that contains ?, so only plain words are repeated.
            shown = f" {key}" if near else ""
            raise ValueError(f"has an unknown query parameter{shown}; {cure}")
    if "ssl_keyfile" in query and "ssl_certfile" not in query:
        raise ValueError("has a query parameter ssl_keyfile without ssl_certfile; give the certificate too")
    if "ssl_cert_reqs" in query:
        word = query["ssl_cert_reqs"].lower().removeprefix("ssl.").removeprefix("cert_")
        if word not in {"none", "optional", "required"}:
            raise ValueError("has a query parameter ssl_cert_reqs that is not none, optional or required")
        query["ssl_cert_reqs"] = word


def _database(path: str, query: dict[str, str]) -> int:
    text = query.get("virtual_host") or query.get("db") or unquote(path)
    text = text.strip("/") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("has a database that is not a number of 0 or more, as in redis://localhost:6379/0")
    return int(text)


def _identity(parts: SplitResult, query: dict[str, str]) -> tuple[str, str]:
    user = unquote(parts.username or "") or query.get("username", "")
    password = unquote(parts.password or "") or query.get("password", "")
    return user, password


def _user_part(identity: tuple[str, str]) -> str:
    user, password = (quote(part, safe="") for part in identity)
    if not (user or password):
        return ""
    return f"{user}:{password}@" if password else f"{user}@"


def _socket_address(parts: SplitResult) -> tuple[str, tuple[str, int]]:
    path = unquote(parts.path)
    if parts.hostname or len(path) < 2:
        raise ValueError("must name a socket with three slashes, as in unix:///run/redis/redis.sock?db=0")
    return quote(path), (path, 0)


def _tcp_address(parts: SplitResult) -> tuple[str, tuple[str, int]]:
    host = unquote(parts.hostname or "localhost")
    port = parts.port or DEFAULT_PORT
    if any(c.isspace() or c in "@/" for c in host):
        raise ValueError(WRONG_HOST)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}", ("localhost" if host in LOOPBACK else host, port)


def _without_secrets(query: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in query.items() if key not in {"ssl_password", "ssl_ca_data"}}


def _render(scheme: str, user_part: str, address: str, db: int, query: dict[str, str]) -> str:
    if scheme == "unix":
        return f"unix://{user_part}{address}?{urlencode({'db': db, **query})}"
    tail = f"?{urlencode(query)}" if query else ""
    return f"{scheme}://{user_part}{address}/{db}{tail}"
