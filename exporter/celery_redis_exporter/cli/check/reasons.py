# SPDX-License-Identifier: Apache-2.0
"""Explain why a server can't be used, by the reason of a SourceError: the cause, and lines that show or fix it.

Input: a reason and the server's place. Output: findings. If TLS may be the cause, the protocol of the port is tried.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from celery_redis_exporter.cli.check.finding import Finding, FindingRow
from celery_redis_exporter.cli.check.place import Place
from celery_redis_exporter.cli.check.probe import Spoken, listen_to
from celery_redis_exporter.errors import SourceError

MORE_CLIENTS = 20_000
"""Twice the default of Redis."""


class _Reason(NamedTuple):
    meaning: str
    cause: str
    lines: Callable[[Place], tuple[str, ...]]
    redis_alone: bool = False


def _nothing(_: Place) -> tuple[str, ...]:
    return ()


_REASONS: Mapping[str, _Reason] = {
    "refused": _Reason(
        "no program listens there", "the server does not run, or has another host, port or socket",
        lambda place: (place.probe(),),
    ),
    "dns": _Reason(
        "the host's name is unknown", "a typing error, or a name that only other networks know",
        lambda place: (f"getent hosts {place.host}",),
    ),
    "timeout": _Reason(
        "no answer in time", "a firewall drops packets, the server hangs, or the port speaks TLS and the URL does not",
        lambda place: (place.probe(), place.show_tls()),
    ),
    "closed": _Reason(
        "the server closed the connection", "a TLS port wants rediss:// or amqps://",
        lambda place: (place.show_tls(),),
    ),
    "tls": _Reason(
        "the TLS handshake failed",
        "the certificate is of an unknown authority (ssl_ca_certs) or of one without key usage, which Python 3.13 "
        "refuses (Redis: ssl_exclude_verify_flags=VERIFY_X509_STRICT), has another name, or the port is without TLS",
        lambda place: (place.show_tls(),),
    ),
    "auth": _Reason(
        "user or password are refused, or missing", "the URL's user or password is not the server's",
        lambda place: (place.log_in(),),
    ),
    "noperm": _Reason(
        "the user lacks the permission to connect or to select the database",
        "its permissions are narrower than those of deploy/docs/permissions-and-cost.md",
        lambda place: (place.grant("+select +ping +info"),),
    ),
    "protocol": _Reason(
        "what answers does not speak this protocol", "another program, or a proxy, listens on this port",
        lambda place: (place.probe(),),
    ),
    "nomaster": _Reason(
        "the sentinels do not know this master", "master_name in the settings is not the sentinels' name of it",
        lambda place: (place.command("SENTINEL", "MASTERS"),), redis_alone=True,
    ),
    "loading": _Reason(
        "the server loads its data", "it was started a moment ago; it answers when all is read",
        lambda place: (place.command("INFO", "persistence"),), redis_alone=True,
    ),
    "masterdown": _Reason(
        "the replica has lost its master", "replica-serve-stale-data is off, and the master is down or out of reach",
        lambda place: (place.command("INFO", "replication"),), redis_alone=True,
    ),
    "moved": _Reason(
        "the server is a node of a cluster", "Celery can't use a cluster as broker or result backend",
        lambda place: (place.command("CLUSTER", "NODES"),), redis_alone=True,
    ),
    "clusterdown": _Reason(
        "the cluster lacks slots or nodes", "too many of its masters are down",
        lambda place: (place.command("CLUSTER", "INFO"),), redis_alone=True,
    ),
    "busy": _Reason(
        "a script blocks the server", "a Lua script runs for longer than busy-reply-threshold",
        lambda place: (place.command("SCRIPT", "KILL"),), redis_alone=True,
    ),
    "maxclients": _Reason(
        "the server has as many clients as it takes",
        "maxclients is reached: something opens connections and keeps them; redis-cli gets none either",
        lambda _: (f"maxclients {MORE_CLIENTS}  # in the server's redis.conf, then restart the server",),
        redis_alone=True,
    ),
    "denied": _Reason(
        "the server is in protected mode", "it has no password, and refuses clients on other machines",
        # Clients on the server's machine are refused, too, unless they connect to localhost.
        lambda place: (
            f"{place.local().command('CONFIG', 'SET', 'requirepass', 'PASSWORD')}  # on the server's machine",
            "--broker-password-file=FILE  # or the password in the URL",
        ), redis_alone=True,
    ),
    "address": _Reason(
        "a sentinel names an address that may not be connected to",
        "redis.allowed_addresses does not contain it, or, without that setting, it is in another kind of network",
        lambda place: (place.command("SENTINEL", "MASTERS"),), redis_alone=True,
    ),
    "bug": _Reason("the exporter itself failed", "this is a mistake of ours: please report it", _nothing),
}  # fmt: skip


def _row(kind: str, reason: str) -> FindingRow:
    found = _REASONS[reason]
    return FindingRow(f"{kind}-{reason}", "fail", found.meaning, found.cause)


TLS_MISSING = FindingRow(
    "redis-tls-missing", "fail", "the port speaks TLS, and the URL does not", "the URL begins with redis://"
)
TLS_UNSPOKEN = FindingRow(
    "redis-tls-unspoken", "fail", "the URL wants TLS, and the port speaks without", "the URL begins with rediss://"
)
PASSWORD_UNNEEDED = FindingRow(
    "redis-password-unneeded", "fail", "the URL has a password, and the server has none",
    "the password was removed from the server, or the URL is that of another one",
)  # fmt: skip
PASSWORD_MISSING = FindingRow(
    "redis-password-missing", "fail", "the server requires a password, and the URL has none",
    "requirepass is set, or the default user is off",
)  # fmt: skip
OF_TLS = ("timeout", "closed", "tls", "protocol")
"""Reasons that occur if one side uses TLS and the other does not."""
ROWS = (
    TLS_MISSING,
    TLS_UNSPOKEN,
    PASSWORD_UNNEEDED,
    PASSWORD_MISSING,
    *(_row("redis", reason) for reason in _REASONS),
    *(_row("broker", reason) for reason, found in _REASONS.items() if not found.redis_alone),
)
_BY_CODE = {row.code: row for row in ROWS}


def unusable(subject: str, place: Place, error: SourceError) -> Finding:
    """Return the finding that a server can't be used, and why."""
    spoken = listen_to(place.host, place.port) if error.reason in OF_TLS and place.is_direct else Spoken.NOTHING
    if spoken is Spoken.TLS and not place.tls:
        return TLS_MISSING.found(subject, f"{place.shown}: {error.reason}: {error}", place.with_scheme("rediss"))
    if spoken is Spoken.PLAIN and place.tls:
        return TLS_UNSPOKEN.found(subject, f"{place.shown}: {error.reason}: {error}", place.with_scheme("redis"))
    if error.reason == "auth" and "without any password" in str(error):
        return PASSWORD_UNNEEDED.found(subject, f"{place.shown}: {error}", place.without_password())
    if error.reason == "auth" and "NOAUTH" in str(error):
        lines = (place.log_in(), "--broker-password-file=FILE  # or a password in the URL: redis://USER:PASSWORD@HOST")
        return PASSWORD_MISSING.found(subject, f"{place.shown}: {error}", *lines)
    row = _BY_CODE[f"{place.kind}-{error.reason}"]
    return explained(row.found(subject, f"{place.shown}: {error.reason}: {error}"), place, error.reason)


def explained(finding: Finding, place: Place, reason: str) -> Finding:
    """Return a finding with the cause of a reason, and the lines that show or fix it."""
    found = _REASONS[reason]
    return finding._replace(cause=found.cause, lines=tuple(line for line in found.lines(place) if line))
