"""Binds what was read of the Redis servers into a status: numbers of the moment, a verdict on memory, and the trend.

Takes the samples of scrapes, gives plain dictionaries for JSON, and the memory limit as a metric. Asks nobody.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from exporter.catalog import CATALOG, Metric, internals
from exporter.catalog import redis_server as rows
from exporter.clock import Clock
from exporter.records import Sample
from exporter.state.trends import Counts, Trends

WARNING, CRITICAL = 0.75, 0.9
"""Shares of the memory limit, as in the alerts RedisMemoryHigh and RedisMemoryCritical."""
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
_NAMES = {metric: name for name, metric in NUMBERS.items()}


class Limit(NamedTuple):
    """What memory is measured against: bytes, and whether that is ``maxmemory``, ``assumed`` or ``system``."""

    bytes: float
    source: str


class Status:
    """What the Redis servers are like; ``assumed`` bytes are the limit of a server that has none, 0 for none.

    Safe from any thread.
    """

    def __init__(self, clock: Clock, assumed: int) -> None:
        self._clock = clock
        self._assumed = assumed
        self._trends = Trends()
        self._limits: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, found: Mapping[str, Sequence[Sample]]) -> None:
        """Take note of what a scrape found, by server."""
        now = self._clock.now()
        with self._lock:
            for server, samples in found.items():
                if self._trends.wants(server, now):
                    self._note_one(server, now, _numbers(samples))
            self._trends.keep(found)
            self._limits = {server: limit for server, limit in self._limits.items() if server in found}

    def samples(self) -> list[Sample]:
        """Give the memory limits: maxmemory, or what is assumed in its place."""
        with self._lock:
            return [Sample(internals.MEMORY_LIMIT, (server,), limit) for server, limit in self._limits.items()]

    def servers(self, found: Mapping[str, Sequence[Sample]]) -> list[dict[str, Any]]:
        """Give every Redis server as JSON takes it, from what a scrape found; the others are left out."""
        self.note(found)
        return [self._server(name, samples) for name, samples in found.items() if _is_redis(samples)]

    def _note_one(self, server: str, now: float, numbers: Mapping[str, float]) -> None:
        limit = self._limit(numbers)
        if limit is not None and limit.source != "system":
            self._limits[server] = limit.bytes
        else:
            self._limits.pop(server, None)
        if "used_bytes" in numbers:
            counts = Counts(*(numbers.get(name, 0.0) for name in ("hits", "misses", "commands")))
            self._trends.note(server, now, numbers["used_bytes"], counts)

    def _limit(self, numbers: Mapping[str, float]) -> Limit | None:
        choices = (
            (numbers.get("maxmemory_bytes", 0), "maxmemory"),
            (self._assumed if "used_bytes" in numbers else 0, "assumed"),
            (numbers.get("system_bytes", 0), "system"),
        )
        return next((Limit(limit, source) for limit, source in choices if limit >= 1), None)

    def _server(self, name: str, samples: Sequence[Sample]) -> dict[str, Any]:
        numbers = _numbers(samples)
        told = next((sample.labels for sample in samples if sample.metric is rows.INSTANCE_INFO), None)
        labels = dict(zip(rows.INSTANCE_INFO.label_names, told, strict=True)) if told else {}
        up = any(sample.metric is rows.UP and sample.value == 1 for sample in samples)
        error = next((sample.labels[1] for sample in samples if sample.metric is rows.LAST_SCRAPE_ERROR), "")
        with self._lock:
            trend = self._trends.of(name)
        last = trend[-1] if trend and up else None
        return {
            "name": name,
            "up": up,
            "error": error or None,
            "version": labels.get("redis_version"),
            "mode": labels.get("redis_mode"),
            "role": labels.get("role"),
            "uptime_seconds": numbers.get("uptime_seconds"),
            "memory": self._memory(numbers),
            "clients": {key: numbers.get(key) for key in ("clients", "blocked_clients", "max_clients")},
            "hit_ratio": last.hit_ratio if last else None,
            "operations_per_second": last.operations if last else None,
            "evicted_keys": numbers.get("evicted_keys"),
            "trend": [reading._asdict() for reading in trend],
        }

    def _memory(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        limit, used = self._limit(numbers), numbers.get("used_bytes")
        ratio = used / limit.bytes if used is not None and limit else None
        state = None if ratio is None else "critical" if ratio > CRITICAL else "warning" if ratio > WARNING else "ok"
        kept = ("used_bytes", "rss_bytes", "peak_bytes", "fragmentation_ratio")
        return {
            **{key: numbers.get(key) for key in kept},
            "limit_bytes": limit.bytes if limit else None,
            "limit_source": limit.source if limit else None,
            "used_ratio": ratio,
            "state": state,
        }


def _numbers(samples: Sequence[Sample]) -> dict[str, float]:
    """What JSON can carry: a server may say ``nan``, as of a ratio of nothing."""
    return {
        _NAMES[sample.metric]: sample.value
        for sample in samples
        if sample.metric in _NAMES and isinstance(sample.value, int | float) and 0 <= sample.value < LARGEST
    }


def _is_redis(samples: Sequence[Sample]) -> bool:
    return any(sample.metric is rows.UP for sample in samples)
