# SPDX-License-Identifier: Apache-2.0
"""Parse Sentinel URLs in Celery's format: ``sentinel://:PASSWORD@a:26379/0;sentinel://b:26379``.

Input: the text of a setting. Output: a ``RedisTarget`` with the addresses of its sentinels. As in kombu, database, user
and password (of Redis, not of the sentinels) are those of the first URL. Standard library only.
"""

from dataclasses import replace
from urllib.parse import unquote, urlsplit

from celery_redis_exporter.settings.urls.urls import RedisTarget, parse_redis_url, scheme_of

DEFAULT_PORT = 26379
SEPARATOR = ";"


def parse_sentinel_urls(name: str, text: str) -> RedisTarget:
    """Parse the list. Raises ValueError, free of secrets, that says how to fix it."""
    urls = [url.strip() for url in text.split(SEPARATOR) if url.strip()]
    if any(scheme_of(url) != "sentinel" for url in urls):
        raise ValueError(
            "must be a list of sentinel:// URLs with ; between, as in sentinel://a:26379;sentinel://b:26379"
        )
    # There is no scheme for TLS, so Redis itself is connected with TLS if the URL has TLS options.
    scheme = "rediss" if "ssl_" in urls[0].partition("?")[2] else "redis"
    targets = [parse_redis_url(name, _as_redis(url, scheme)) for url in urls]
    first = targets[0]
    addresses = tuple(_address(target.url) for target in targets)
    shown = SEPARATOR.join(f"sentinel://{_show(*address)}" for address in addresses)
    user_part = "***@" if "***@" in first.redacted else ""
    return replace(
        first,
        redacted=f"{shown.replace('://', f'://{user_part}', 1)}/{first.db}",
        server_key=(SEPARATOR.join(sorted(_show(*target.server_key) for target in targets)), 0),
        sentinels=addresses,
    )


def _as_redis(url: str, scheme: str) -> str:
    """Return the same URL with Redis's scheme, and with the default port of sentinels if it has no port."""
    rest = url.partition("://")[2]
    authority, slash, tail = rest.partition("/")
    authority, mark, query = authority.partition("?")
    address = authority.rpartition("@")[2]
    if ":" not in address.rpartition("]")[2]:
        authority = f"{authority or 'localhost'}:{DEFAULT_PORT}"
    return f"{scheme}://{authority}{slash}{tail}{mark}{query}"


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return unquote(parts.hostname or "localhost"), parts.port or DEFAULT_PORT


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
