# SPDX-License-Identifier: Apache-2.0
"""Parse broker URLs: Redis, Redis behind Sentinel, and the other brokers that kombu supports, mainly RabbitMQ.

Input: the text of a setting. Output: a ``RedisTarget`` or a ``KombuTarget``. Never connects and never imports kombu. No
part of a URL that could be a secret is in a message. Standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from celery_redis_exporter.errors import suggest
from celery_redis_exporter.settings.urls.sentinel_urls import SEPARATOR, parse_sentinel_urls
from celery_redis_exporter.settings.urls.urls import (
    SCHEMES,
    RedisTarget,
    check_tls,
    parse_redis_url,
    scheme_of,
    split_url,
)

AMQP_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671}
KOMBU_SCHEMES = (*AMQP_PORTS, "filesystem", "gcpubsub", "mongodb", "pgmq", "qpid")
"""Transports of kombu that send a message to several queues. Without that, events can't be received."""
DEAF_SCHEMES = frozenset({
    "azureservicebus", "azurestoragequeues", "confluentkafka", "consul", "etcd", "kafka", "memory", "pyro", "sqla",
    "sqlalchemy", "sqs", "zookeeper",
})  # fmt: skip
TUNING = frozenset({"connect_timeout", "heartbeat", "insist"})
"""Parameters of the application's own connections. The exporter sets its own."""
TLS = frozenset({
    "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile",
})  # fmt: skip
LOGIN_METHODS = ("PLAIN", "AMQPLAIN", "EXTERNAL")


@dataclass(frozen=True, slots=True)
class KombuTarget:
    """A broker that is reached through kombu.

    ``urls`` are for kombu, the first that answers counts, and may hold passwords; ``redacted`` is for people. ``tls``
    has redis-py's names (``ssl_ca_certs``). ``options`` are Celery's transport options that kombu itself may need.
    ``ignored`` names query parameters that were left out because the exporter sets them itself.
    """

    scheme: str
    urls: tuple[str, ...] = field(repr=False)
    redacted: str
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    login_method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ignored: tuple[str, ...] = ()
    name: str = "broker"


def parse_broker_url(text: str) -> RedisTarget | KombuTarget:
    """Parse the URL of any broker. Raises ValueError, free of secrets, that says how to fix the URL."""
    scheme = scheme_of(text)
    if scheme in KOMBU_SCHEMES:
        return _parse_kombu_urls(scheme, text)
    if scheme in DEAF_SCHEMES:
        raise ValueError(f"{scheme}:// carries no events from one process to another, so Celery can't be watched there")
    if scheme and scheme not in {*SCHEMES, "sentinel"} and suggest(scheme, KOMBU_SCHEMES):
        raise ValueError(f"{scheme}:// is no broker of Celery's{suggest(scheme, KOMBU_SCHEMES)}")
    return parse_result_url("broker", text)


def parse_result_url(name: str, text: str) -> RedisTarget:
    """Parse the URL of a Redis server, behind Sentinel or not. Raises ValueError, free of secrets."""
    return (parse_sentinel_urls if scheme_of(text) == "sentinel" else parse_redis_url)(name, text)


def _parse_kombu_urls(scheme: str, text: str) -> KombuTarget:
    urls = [url.strip() for url in text.split(SEPARATOR) if url.strip()]
    if any(scheme_of(url) != scheme for url in urls):
        raise ValueError(f"must be {scheme}:// URLs only, with {SEPARATOR} between them")
    parts = [split_url(scheme, url.partition("://")[2]) for url in urls]
    redacted = SEPARATOR.join(_redact(scheme, part) for part in parts)
    if scheme not in AMQP_PORTS:
        return KombuTarget(scheme, tuple(urls), redacted)
    query = dict(parse_qsl(parts[0].query, keep_blank_values=True))
    check_tls(query, {*TUNING, "login_method", *TLS})
    if scheme != "amqps" and TLS & query.keys():
        raise ValueError("has a query parameter of TLS, which needs amqps://")
    login_method = query.get("login_method", "").upper()
    if login_method and login_method not in LOGIN_METHODS:
        raise ValueError(f"has a query parameter login_method that is not {' or '.join(LOGIN_METHODS)}")
    return KombuTarget(
        scheme,
        tuple(_render(scheme, part) for part in parts),
        redacted,
        tls={key: value for key, value in sorted(query.items()) if key in TLS},
        login_method=login_method,
        ignored=tuple(sorted(TUNING & query.keys())),
    )


def _address(scheme: str, parts: SplitResult) -> str:
    host = unquote(parts.hostname or "")
    shown = f"[{host}]" if ":" in host else host
    port = parts.port or AMQP_PORTS.get(scheme)
    if scheme in AMQP_PORTS:
        shown = shown or "localhost"
    return f"{shown}:{port}" if port else shown


def _render(scheme: str, parts: SplitResult) -> str:
    user, password = (quote(unquote(part or ""), safe="") for part in (parts.username, parts.password))
    identity = f"{user}:{password}@" if user or password else ""
    return f"{scheme}://{identity}{_address(scheme, parts)}{parts.path}"


def _redact(scheme: str, parts: SplitResult) -> str:
    identity = "***@" if parts.username or parts.password else ""
    return f"{scheme}://{identity}{_address(scheme, parts)}{parts.path}"
