# SPDX-License-Identifier: Apache-2.0
"""Find workers that use another database or another prefix than the settings.

Input: a checkup and the events that it received. Output: findings. Sends CLIENT LIST, and SCAN for bindings if no
worker sent events. The documented permissions include both; if one is refused, its finding is missing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from celery_redis_exporter.brokers.redis_broker import RedisBroker
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.settings import RedisTarget
from celery_redis_exporter.sources.wire import CLIENT_NAME, Command

SUBSCRIBERS: Command = ("CLIENT", "LIST", "TYPE", "pubsub")
BINDING = "_kombu.binding."
BATCHES, BATCH = 20, 1000
"""Number of SCAN commands for bindings, and the COUNT of each."""
MANY = 2
"""Exporters besides this check that are normal, as for availability. More of them are a finding."""


def elsewhere_findings(checkup: Checkup, observed: Observations) -> Iterator[Finding]:
    """Yield the findings about other clients of the broker's Redis."""
    target, broker = checkup.broker_on_redis, checkup.broker
    if target is None or not isinstance(broker, RedisBroker):
        return
    with suppress(SourceError):
        (listed,) = checkup.ask_broker([SUBSCRIBERS])
        clients = parse_clients(listed) if isinstance(listed, bytes) else []
        own = {"name": f"{CLIENT_NAME}-events", "db": str(target.db)}  # one on another database has other workers
        exporters = sum(own.items() <= client.items() for client in clients)
        if exporters > MANY:
            show = checkup.place("broker").command(*map(str, SUBSCRIBERS))
            yield rows.EXPORTERS.found("events", f"{exporters} exporters listen here besides this check", show)
        if not observed.workers:
            yield from _database_findings(target, clients)
            yield from _prefix_findings(checkup, broker)


def parse_clients(listed: bytes) -> list[dict[str, str]]:
    """Return the fields of each client of CLIENT LIST."""
    lines = listed.decode("utf-8", "replace").splitlines()
    return [dict(word.split("=", 1) for word in line.split(" ") if "=" in word) for line in lines]


def _database_findings(target: RedisTarget, clients: Sequence[Mapping[str, str]]) -> Iterator[Finding]:
    """Look for pattern subscriptions: kombu makes them on connections to the database of its messages."""
    workers = [client for client in clients if not client.get("name", "").startswith(CLIENT_NAME)]
    databases = {client.get("db", "") for client in workers if client.get("psub", "0") != "0"}
    others = sorted(databases - {str(target.db), ""}, key=int)
    if others and str(target.db) not in databases:
        shown = re.sub(r"/\d+(?=$|\?)", f"/{others[0]}", target.redacted)
        text = f"this is database {target.db}; workers subscribe from database {', '.join(others)}"
        yield rows.OTHER_DATABASE.found("events", text, f"--broker-url={shown}")


def _prefix_findings(checkup: Checkup, broker: RedisBroker) -> Iterator[Finding]:
    cursor = b"0"
    own, found = broker.keys.global_keyprefix, set[str]()
    for _ in range(BATCHES):
        (reply,) = checkup.ask_broker([("SCAN", cursor, "MATCH", f"*{BINDING}*", "COUNT", BATCH)])
        if not isinstance(reply, list) or len(reply) != 2:
            return
        cursor, keys = reply
        found |= {key.decode("utf-8", "replace").partition(BINDING)[0] for key in keys}
        if cursor == b"0" or checkup.stop.is_set():
            break
    if found and own not in found:
        shown = ", ".join(repr(prefix) for prefix in sorted(found))
        flag = f"--broker-transport-options.global-keyprefix={min(found)}"
        yield rows.OTHER_PREFIX.found("events", f"the prefix is {own!r} here; Celery's keys have {shown}", flag)
