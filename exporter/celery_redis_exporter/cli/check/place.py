"""Where a server is, and the lines for a shell that ask or change something there.

Takes targets of the settings, gives text. A password is never in it: redis-cli asks for one, or reads REDISCLI_AUTH.
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from celery_redis_exporter.analysis.redis_cli import ANYBODY, identity_of, shown_user
from celery_redis_exporter.settings import KombuTarget, RedisTarget
from celery_redis_exporter.settings.urls.broker_urls import AMQP_PORTS


@dataclass(frozen=True, slots=True)
class Place:
    """A server: ``kind`` is redis or broker (another one than Redis), ``shown`` its URL for people.

    ``user`` is who the exporter is there. ``modern`` servers (Redis 7) know rights to read keys alone.
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
        """Give the line that sends a command to Redis."""
        if self.kind != "redis":
            return ""
        to = ["-h", self.host, "-p", str(self.port)] if self.port else ["-s", self.host]
        secure = ["--tls"] if self.tls else []
        return shlex.join(["redis-cli", *to, *secure, *words])

    def grant(self, rights: str) -> str:
        """Give the line that grants rights to our user."""
        if self.kind != "redis":
            return ""
        words = (
            rights.split()
            if self.modern
            else ["~" + word[3:] if word[:3] == "%R~" else word for word in rights.split()]
        )
        return self.command("ACL", "SETUSER", self.user, *words)

    def probe(self) -> str:
        """Give the line that tells whether somebody answers."""
        knock = f"nc -vz {shlex.quote(self.host)} {self.port}" if self.port else ""
        return self.command("PING") or knock

    def with_scheme(self, scheme: str) -> str:
        """Give the URL with another scheme."""
        return f"{scheme}://{self.shown.partition('://')[2]}"

    def log_in(self) -> str:
        """Give the line that tries a password."""
        if self.kind != "redis":
            return shlex.join(["rabbitmqctl", "authenticate_user", self.user]) if self.port else ""
        return self.command("--user", self.user, "--askpass", "PING")

    def show_tls(self) -> str:
        """Give the line that shows the certificate that the server has."""
        return f"openssl s_client -connect {shlex.quote(f'{self.host}:{self.port}')} </dev/null" if self.port else ""


def place_of(target: RedisTarget | KombuTarget, secrets: Collection[str]) -> Place:
    """Give a target's place; a user's name that is a secret itself (a token) is not repeated."""
    if isinstance(target, KombuTarget):
        parts = urlsplit(target.urls[0])
        user = unquote(parts.username or "") or "guest"
        return Place("broker", target.redacted, parts.hostname or "localhost", _port(target), shown_user(user, secrets))
    host, port = target.sentinels[0] if target.sentinels else target.server_key
    if port and not target.sentinels:
        host = urlsplit(target.url).hostname or host  # the key calls every loopback address localhost
    user, tls = shown_user(identity_of(target)[0], secrets), target.url.startswith("rediss:")
    return Place("redis", target.redacted, host, port, user, tls, is_direct=bool(port and not target.sentinels))


def _port(target: KombuTarget) -> int:
    """Give RabbitMQ's port; other transports of kombu's have none, or one that nothing here knows to ask."""
    return (urlsplit(target.urls[0]).port or AMQP_PORTS[target.scheme]) if target.scheme in AMQP_PORTS else 0
