# SPDX-License-Identifier: Apache-2.0
"""Describe where a server is, and make shell lines that query or change it.

Input: targets of the settings. Output: text. It never contains a password: redis-cli prompts for one, or reads
REDISCLI_AUTH.
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from celery_redis_exporter.analysis.redis_cli import ANYBODY, identity_of, shown_user
from celery_redis_exporter.settings import KombuTarget, RedisTarget
from celery_redis_exporter.settings.urls.broker_urls import AMQP_PORTS


@dataclass(frozen=True, slots=True)
class Place:
    """A server. ``kind`` is redis or broker (a broker other than Redis), ``shown`` its URL without secrets.

    ``user`` is the exporter's user. ``modern`` servers (Redis 7) have permissions that only allow reading keys.
    ``is_direct`` is a Redis on a port that the settings name themselves.
    """

    kind: str
    shown: str
    host: str
    port: int
    user: str = ANYBODY
    tls: bool = False
    modern: bool = True
    is_direct: bool = False

    def command(self, *words: str) -> str:
        """Return the line that sends a command to Redis."""
        if self.kind != "redis":
            return ""
        to = ["-h", self.host, "-p", str(self.port)] if self.port else ["-s", self.host]
        secure = ["--tls"] if self.tls else []
        return shlex.join(["redis-cli", *to, *secure, *words])

    def local(self) -> "Place":
        """Return the server as programs on its own machine reach it."""
        return replace(self, host="localhost") if self.port else self

    def grant(self, rights: str) -> str:
        """Return the line that grants permissions to the exporter's user."""
        if self.kind != "redis":
            return ""
        words = (
            rights.split()
            if self.modern
            else ["~" + word[3:] if word[:3] == "%R~" else word for word in rights.split()]
        )
        return self.command("ACL", "SETUSER", self.user, *words)

    def probe(self) -> str:
        """Return the line that shows whether a server answers."""
        knock = f"nc -vz {shlex.quote(self.host)} {self.port}" if self.port else ""
        return self.command("PING") or knock

    def without_password(self) -> str:
        """Return the URL without user and password."""
        return self.shown.replace("***@", "")

    def with_scheme(self, scheme: str) -> str:
        """Return the URL with another scheme."""
        return f"{scheme}://{self.shown.partition('://')[2]}"

    def at(self, host: str, port: str) -> str:
        """Return the URL with another host and port. A socket has a database, but neither of them."""
        parts = urlsplit(self.shown)
        user, mark, _ = parts.netloc.rpartition("@")
        place = f"{user}{mark}[{host}]:{port}" if ":" in host else f"{user}{mark}{host}:{port}"
        if parts.scheme == "unix":
            database = dict(parse_qsl(parts.query)).get("db", "0")
            return urlunsplit(("redis", place, f"/{database}", "", ""))
        return urlunsplit(parts._replace(netloc=place))

    def log_in(self) -> str:
        """Return the line that tries a password."""
        if self.kind != "redis":
            return shlex.join(["rabbitmqctl", "authenticate_user", self.user]) if self.port else ""
        return self.command("--user", self.user, "--askpass", "PING")

    def show_tls(self) -> str:
        """Return the line that shows the server's certificate."""
        return f"openssl s_client -connect {shlex.quote(f'{self.host}:{self.port}')} </dev/null" if self.port else ""


def place_of(target: RedisTarget | KombuTarget, secrets: Collection[str]) -> Place:
    """Return a target's place. A user name that is a secret itself (a token) is not shown."""
    if isinstance(target, KombuTarget):
        parts = urlsplit(target.urls[0])
        user = unquote(parts.username or "") or "guest"
        return Place("broker", target.redacted, parts.hostname or "localhost", _port(target), shown_user(user, secrets))
    host, port = target.sentinels[0] if target.sentinels else target.server_key
    if port and not target.sentinels:
        host = urlsplit(target.url).hostname or host  # the key replaces every loopback address by localhost
    user, tls = shown_user(identity_of(target)[0], secrets), target.url.startswith("rediss:")
    return Place("redis", target.redacted, host, port, user, tls, is_direct=bool(port and not target.sentinels))


def _port(target: KombuTarget) -> int:
    """Return RabbitMQ's port. Other kombu transports have none, or one that this module has no command for."""
    return (urlsplit(target.urls[0]).port or AMQP_PORTS[target.scheme]) if target.scheme in AMQP_PORTS else 0
