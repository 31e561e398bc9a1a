# SPDX-License-Identifier: Apache-2.0
"""Define the facts about a server, for advice and reports.

Data only. Sizes are bytes as MEMORY USAGE reports them, ratios are 0 to 1. None means unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import may_evict
from celery_redis_exporter.analysis.redis_cli import RedisCli


class BigKey(NamedTuple):
    """One of the largest keys of a group. Its name contains printable characters only."""

    name: str
    bytes: int


class GroupFacts(NamedTuple):
    """Keys that belong together. ``without_ttl`` is the ratio of those without a time to live.

    ``keys_error`` and ``bytes_error`` are half the width of the 95 % interval as a ratio, or 0 if all keys were
    counted.
    """

    group: str
    type: str | None
    keys: int
    keys_error: float
    bytes: int | None
    bytes_error: float | None
    without_ttl: float | None
    largest: tuple[BigKey, ...]

    @property
    def mean(self) -> float | None:
        """Return the mean bytes per key."""
        return self.bytes / self.keys if self.bytes is not None and self.keys else None


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database with ``total`` keys, of which ``looked_at`` were read, and their groups, the largest first.

    ``reply_bindings`` is the number of members of the set ``reply_bindings_key``, the binding of inspect's replies.
    """

    db: int
    total: int
    looked_at: int
    groups: tuple[GroupFacts, ...] = ()
    reply_bindings: int = 0
    reply_bindings_key: str = ""

    @property
    def bytes(self) -> int:
        """Return the bytes of all groups."""
        return sum(group.bytes or 0 for group in self.groups)

    def group(self, name: str) -> GroupFacts | None:
        """Return a group, or None if it does not exist."""
        return next((group for group in self.groups if group.group == name), None)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server: fields of INFO, parameters of CONFIG GET, databases.

    ``config`` is None if the server does not report it. ``queues`` are the names of Celery's queues on it, with the
    number of waiting messages. ``cli`` reaches the server with redis-cli; it is None if commands are written in another
    way. ``node`` is the address of a cluster's node, empty for any other server. ``missing`` are requested databases
    that the server does not have. ``keeps_results`` is true if Celery's results are stored there.
    """

    url: str
    info: Mapping[str, str]
    config: Mapping[str, str] | None
    databases: tuple[DatabaseFacts, ...]
    queues: Mapping[str, int] = field(default_factory=dict)
    cli: RedisCli | None = None
    node: str = ""
    missing: tuple[int, ...] = ()
    keeps_results: bool = False

    @property
    def is_broker(self) -> bool:
        """Return whether Celery's queues or their bindings are on this server."""
        return bool(self.queues)

    @property
    def is_cache(self) -> bool:
        """Return whether the server may be full: it may evict keys, and Celery stores nothing there."""
        return may_evict(self.info.get("maxmemory_policy", "")) and not (self.is_broker or self.keeps_results)

    @property
    def refuses_writes(self) -> bool:
        """Return whether writes fail with OOM now, as Redis decides it (``getMaxmemoryState`` in evict.c).

        Buffers of replicas and of the append-only file do not count. A replica accepts all data of its master.
        """
        limit, used = self.number("maxmemory"), self.number("used_memory") - self.number("mem_not_counted_for_evict")
        keeps = self.info.get("maxmemory_policy", "noeviction") == "noeviction" and self.info.get("role") != "slave"
        return keeps and 0 < limit < used

    def number(self, name: str) -> float:
        """Return a field of INFO as a number, or 0 if it is not a number."""
        try:
            return float(self.info.get(name, "0"))
        except ValueError:
            return 0.0
