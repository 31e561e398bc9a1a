# SPDX-License-Identifier: Apache-2.0
"""Write shell lines that reach exactly one server with redis-cli.

Input: a target of the settings. Output: text. It never contains a password: redis-cli reads REDISCLI_AUTH.
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings import RedisTarget
from celery_redis_exporter.settings.urls.urls import DEFAULT_PORT, credentials_of

ANYBODY = "default"
"""Redis's default user, to which a password without a user name belongs."""
_TLS_FILES = {
    "ssl_ca_certs": "--cacert",
    "ssl_ca_path": "--cacertdir",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}
"""Flags of redis-cli by redis-py's parameters."""


@dataclass(frozen=True, slots=True)
class RedisCli:
    """How redis-cli reaches a server. ``words`` are the program, the server's address, TLS and the user."""

    words: tuple[str, ...]
    has_password: bool

    def line(self, db: int, *command: str) -> str:
        """Return the line that sends a command to a database."""
        return shlex.join([*self.words, "-n", str(db), *command])

    def for_each_key(self, db: int, pattern: str, *command: str) -> str:
        """Return the line that sends a command for each key whose name matches a pattern, with few processes.

        ``{}`` in the command is replaced by one name. One redis-cli reads these commands, and their replies are
        counted. Without ``{}``, many names are appended to each command.
        """
        found = self.line(db, "--scan", "--pattern", pattern)
        if "{}" in command:
            # redis-cli reads quoted names, with escaped backslashes and quotes. Names may contain any bytes.
            sent = " ".join('"&"' if word == "{}" else word for word in command)
            return f"{found} | LC_ALL=C sed 's/[\\\\\"]/\\\\&/g; s/.*/{sent}/' | {self.line(db)} | sort | uniq -c"
        # Names end with a zero byte for xargs, which would otherwise split them at blanks and quotes.
        return f"{found} | tr '\\n' '\\0' | xargs -0 -r {self.line(db)} {shlex.join(command)}"


def redis_cli_of(target: RedisTarget, secrets: Collection[str], address: tuple[str, int] | None) -> RedisCli:
    """Return how redis-cli reaches a target. ``address`` replaces that of the URL, for example by that of a master."""
    parts = urlsplit(target.url)
    if parts.scheme == "unix":
        where = ["-s", unquote(parts.path)]
    else:
        host, port = address or (parts.hostname or "localhost", parts.port or DEFAULT_PORT)
        where = ["-h", host, "-p", str(port)]
    user, password = identity_of(target)
    shown = shown_user(user, secrets)
    named = [] if shown == ANYBODY else ["--user", shown]
    return RedisCli(("redis-cli", *where, *_tls(parts.scheme, parts.query), *named), bool(password))


def identity_of(target: RedisTarget) -> tuple[str, str]:
    """Return user and password of a target, or empty strings if their file no longer exists."""
    if target.credentials is None:
        return credentials_of(target.url)
    try:
        return target.credentials()
    except ConfigError:  # its file was removed after the settings were read
        return "", ""


def shown_user(user: str, secrets: Collection[str]) -> str:
    """Return a user's name, or ``USER`` where the name is a secret itself (a token)."""
    return "USER" if user in secrets else user or ANYBODY


def _tls(scheme: str, query: str) -> list[str]:
    if scheme != "rediss":
        return []
    options = dict(parse_qsl(query))
    words = ["--tls"]
    for name, flag in _TLS_FILES.items():
        words += [flag, options[name]] if name in options else []
    return [*words, *(["--insecure"] if options.get("ssl_cert_reqs") == "none" else [])]
