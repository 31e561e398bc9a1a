# SPDX-License-Identifier: Apache-2.0
"""Build the table of Redis servers: current numbers, a verdict on memory, and trends.

Input: the samples of scrapes. Output: a ``ServerStatus`` per server, and the memory limits as samples of a metric.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from celery_redis_exporter.alerts.thresholds import is_cache, role_of, threshold
from celery_redis_exporter.catalog import CATALOG, Metric, internals, key_space
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.catalog.redis_replication import SLAVE_INFO
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.report import Clients, KeyGroup, Memory, ServerStatus, State
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.state.trends import Counts, Trends
from celery_redis_exporter.status.numbers import Numbers

NUMBERS: Mapping[str, Metric] = {
    name: CATALOG[f"redis_{row}"]
    for name, row in {
        "used_bytes": "memory_used_bytes",
        "rss_bytes": "memory_used_rss_bytes",
        "peak_bytes": "memory_used_peak_bytes",
        "maxmemory_bytes": "memory_max_bytes",
        "system_bytes": "total_system_memory_bytes",
        "fragmentation_ratio": "mem_fragmentation_ratio",
        "clients": "connected_clients",
        "blocked_clients": "blocked_clients",
        "max_clients": "config_maxclients",
        "uptime_seconds": "uptime_in_seconds",
        "hits": "keyspace_hits_total",
        "misses": "keyspace_misses_total",
        "commands": "commands_processed_total",
        "evicted_keys": "evicted_keys_total",
    }.items()
}
LARGEST = 2.0**63
BROKER = "broker"
"""The server without a hit rate: workers look for messages there, and an empty queue is a miss."""
OWN_LOOKUPS = {"hit": "own_hits", "miss": "own_misses"}
_NAMES = {metric: name for name, metric in NUMBERS.items()}


class Limit(NamedTuple):
    """The limit that memory is compared with, in bytes, and its source."""

    bytes: float
    source: Literal["maxmemory", "assumed", "system"]


class Servers:
    """The state of the Redis servers. ``assumed`` bytes are the limit of a server without one; 0 for none.

    Safe from any thread.
    """

    def __init__(self, clock: Clock, assumed: int) -> None:
        self._clock = clock
        self._assumed = assumed
        self._trends = Trends()
        self._limits: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, found: Mapping[str, Sequence[Sample]]) -> None:
        """Record the samples of a scrape, by server."""
        now = self._clock.now()
        with self._lock:
            for server, samples in found.items():
                if self._trends.wants(server, now):
                    self._note_one(server, now, _numbers(samples))
            self._trends.keep(found)
            self._limits = {server: limit for server, limit in self._limits.items() if server in found}

    def samples(self) -> list[Sample]:
        """Return the memory limits: maxmemory, or the assumed limit."""
        with self._lock:
            return [Sample(internals.MEMORY_LIMIT, (server,), limit) for server, limit in self._limits.items()]

    def describe(self, found: Mapping[str, Sequence[Sample]], background: Numbers) -> list[ServerStatus]:
        """Return every Redis server among the results of a scrape, with its groups of keys. Other servers are left out.

        ``found`` contains samples by server, which were noted, ``background`` the numbers that were read in the
        background.
        """
        groups = _key_groups(background)
        return [self._server(name, samples, groups) for name, samples in found.items() if _is_redis(samples)]

    def _note_one(self, server: str, now: float, numbers: Mapping[str, float]) -> None:
        limit = self._limit(numbers)
        if limit is not None and limit.source != "system":
            self._limits[server] = limit.bytes
        else:
            self._limits.pop(server, None)
        if "used_bytes" in numbers:
            names = ("commands",) if role_of(server) == BROKER else Counts._fields
            counts = Counts(*(numbers.get(name, 0.0) for name in names))
            self._trends.note(server, now, numbers["used_bytes"], counts)

    def _limit(self, numbers: Mapping[str, float]) -> Limit | None:
        choices = (
            Limit(numbers.get("maxmemory_bytes", 0), "maxmemory"),
            Limit(self._assumed if "used_bytes" in numbers else 0, "assumed"),
            Limit(numbers.get("system_bytes", 0), "system"),
        )
        return next((limit for limit in choices if limit.bytes >= 1), None)

    def _server(self, name: str, samples: Sequence[Sample], groups: Mapping[str, list[KeyGroup]]) -> ServerStatus:
        numbers = _numbers(samples)
        identity = next((sample.labels for sample in samples if sample.metric is rows.INSTANCE_INFO), None)
        labels = dict(zip(rows.INSTANCE_INFO.label_names, identity, strict=True)) if identity else {}
        product, version = next(
            (sample.labels[1:] for sample in samples if sample.metric is rows.PRODUCT_INFO), (None, None)
        )
        up = any(sample.metric is rows.UP and sample.value == 1 for sample in samples)
        error = next((sample.labels[1] for sample in samples if sample.metric is rows.LAST_SCRAPE_ERROR), "")
        with self._lock:
            trend = self._trends.of(name)
        last = trend[-1] if trend and up else None
        return ServerStatus(
            name=name,
            up=up,
            error=error or None,
            product=product,
            version=version,
            mode=labels.get("redis_mode") or None,
            role=labels.get("role") or None,
            read_only=_is_read_only(samples) if identity else None,
            uptime_seconds=numbers.get("uptime_seconds"),
            memory=self._memory(numbers, is_cache=is_cache(name, labels.get("maxmemory_policy", ""))),
            clients=Clients(**{key: numbers.get(key) for key in Clients.__struct_fields__}),
            hit_ratio=last.hit_ratio if last else None,
            operations_per_second=last.operations if last else None,
            evicted_keys=numbers.get("evicted_keys"),
            key_groups=groups.get(name, []),
            trend=trend,
        )

    def _memory(self, numbers: Mapping[str, float], *, is_cache: bool) -> Memory:
        limit, used = self._limit(numbers), numbers.get("used_bytes")
        ratio = used / limit.bytes if used is not None and limit else None
        kept = ("used_bytes", "rss_bytes", "peak_bytes", "fragmentation_ratio")
        return Memory(
            **{key: numbers.get(key) for key in kept},
            limit_bytes=limit.bytes if limit else None,
            limit_source=limit.source if limit else None,
            used_ratio=ratio,
            state=None if ratio is None else "ok" if is_cache else _judge(ratio),
        )


def _judge(ratio: float) -> State:
    if ratio > threshold("RedisMemoryCritical", "ratio"):
        return "critical"
    return "warning" if ratio > threshold("RedisMemoryHigh", "ratio") else "ok"


def _key_groups(numbers: Numbers) -> dict[str, list[KeyGroup]]:
    """Return the groups of keys by server, the largest first."""
    sizes, errors = dict(numbers.values(key_space.GROUP_MEMORY)), dict(numbers.values(key_space.GROUP_ERROR))
    groups: dict[str, list[KeyGroup]] = {}
    for labels, keys in numbers.values(key_space.GROUP_COUNT):
        server, db, name = labels
        groups.setdefault(server, []).append(
            KeyGroup(
                db=db,
                name=name,
                keys=keys,
                keys_error=errors.get((*labels, "count")),
                memory_bytes=sizes.get(labels),
                memory_error=errors.get((*labels, "memory")),
            )
        )
    for found in groups.values():
        found.sort(key=lambda group: (-(group.memory_bytes or 0), -(group.keys or 0), group.name))
    return groups


def _numbers(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the values that JSON can contain. A server may report ``nan``, such as for a ratio without data."""
    return {
        name: sample.value
        for sample in samples
        if (name := _name(sample)) and isinstance(sample.value, int | float) and 0 <= sample.value < LARGEST
    }


def _name(sample: Sample) -> str | None:
    """Return the name of a number that is used here."""
    return OWN_LOOKUPS[sample.labels[1]] if sample.metric is internals.REDIS_LOOKUPS else _NAMES.get(sample.metric)


def _is_read_only(samples: Sequence[Sample]) -> bool:
    return any(sample.metric is SLAVE_INFO and sample.labels[-1] != "0" for sample in samples)


def _is_redis(samples: Sequence[Sample]) -> bool:
    return any(sample.metric is rows.UP for sample in samples)
