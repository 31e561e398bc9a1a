"""What was found out about a server, for advice and reports.

Holds data alone; sizes are bytes as MEMORY USAGE tells them, ratios are 0 to 1. None is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import may_evict
from celery_redis_exporter.analysis.redis_cli import RedisCli


class BigKey(NamedTuple):
    """One of the largest keys of a group, its name fit to be shown."""

    name: str
    bytes: int


class GroupFacts(NamedTuple):
    """Keys that belong together. ``without_ttl`` is the share of those that stay until they are deleted.

    ``keys_error`` and ``bytes_error`` are half the width of the 95 % interval as a ratio; 0 where all was counted.
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
        """Bytes of a key in the mean."""
        return self.bytes / self.keys if self.bytes is not None and self.keys else None


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database: ``total`` keys, of which ``looked_at`` were, and their groups, the heaviest first.

    ``reply_bindings`` are the members of the set ``reply_bindings_key``, the binding of inspect's replies.
    """

    db: int
    total: int
    looked_at: int
    groups: tuple[GroupFacts, ...] = ()
    reply_bindings: int = 0
    reply_bindings_key: str = ""

    @property
    def bytes(self) -> int:
        """What all groups take."""
        return sum(group.bytes or 0 for group in self.groups)

    def group(self, name: str) -> GroupFacts | None:
        """Give a group, if it is there."""
        return next((group for group in self.groups if group.group == name), None)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server: fields of INFO, parameters of CONFIG GET, databases.

    ``config`` is None where the server does not tell. ``queues`` are the names of Celery's queues there, with the
    messages that wait in each. ``cli`` reaches the server with redis-cli; None where commands are written otherwise.
    ``node`` is the address of a node of a cluster, empty for any other server. ``missing`` are databases that were to
    be looked at, and that the server has not. ``keeps_results`` where Celery's results are there.
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
        """Whether Celery's queues or their bindings are there."""
        return bool(self.queues)

    @property
    def is_cache(self) -> bool:
        """Whether it is meant to be full: it may evict, and Celery keeps nothing there."""
        return may_evict(self.info.get("maxmemory_policy", "")) and not (self.is_broker or self.keeps_results)

    @property
    def refuses_writes(self) -> bool:
        """Whether writes fail with OOM now, as Redis decides it (``getMaxmemoryState`` in evict.c).

        Buffers of replicas and of the append-only file do not count. A replica takes what its master sends.
        """
        limit, used = self.number("maxmemory"), self.number("used_memory") - self.number("mem_not_counted_for_evict")
        keeps = self.info.get("maxmemory_policy", "noeviction") == "noeviction" and self.info.get("role") != "slave"
        return keeps and 0 < limit < used

    def number(self, name: str) -> float:
        """Give a field of INFO as a number; 0 where it is none."""
        try:
            return float(self.info.get(name, "0"))
        except ValueError:
            return 0.0
