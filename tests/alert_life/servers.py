# SPDX-License-Identifier: Apache-2.0
"""Redis servers of a simulated installation: the values that INFO would report.

Input: a server's memory, keys, clients and configuration. Output: values by the names and labels of the catalogue. A
server with a limit evicts or refuses by its policy, as Redis does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Row = tuple[str, dict[str, str], float]
"""A metric, its labels besides those of the target, and its value."""

MEBIBYTE = 1 << 20
OWN_LOOKUPS = "celery_exporter_redis_lookups_total"


@dataclass
class RedisServer:
    """One server; times are in seconds since the start, sizes in bytes, rates in look-ups per second.

    ``holds`` returns the memory used at a time, without messages, which use ``message_bytes`` each. ``key_bytes`` is
    the size of a key; keys are evicted if the policy allows it. ``replicas`` is the number of replicas that are
    connected to a master. ``misses_of_exporter`` are look-ups of the exporter per second, which the server counts among
    its misses. ``errors`` are error replies per second, by prefix. ``gaps`` is the allocator's fragmentation ratio,
    ``resident`` the process's.
    """

    name: str
    holds: Callable[[float], float] = lambda _now: 40 * MEBIBYTE
    limit: float = 1024 * MEBIBYTE
    policy: str = "noeviction"
    message_bytes: float = 700
    key_bytes: float = 20_000
    role: str = "master"
    master: tuple[str, str] = ("10.0.0.7", "6379")
    master_link: bool = True
    replicas: int = 0
    clients: float = 60
    most_clients: float = 10_000
    hits: float = 0
    misses: float = 0
    misses_of_exporter: float = 0
    errors: dict[str, float] = field(default_factory=dict)
    keys: Callable[[float], float] = lambda _now: 0
    lasting_keys: float = 0
    gaps: float = 1.05
    resident: float = 1.1
    saves: bool = True
    is_up: bool = True
    cluster: str = ""
    counted: dict[str, float] = field(default_factory=dict)
    erred: dict[str, float] = field(default_factory=dict)
    seen_at: float = 0.0

    def rows(self, now: float, messages: int) -> Iterator[Row]:
        """Yield the values that a scrape reads from the server at this time."""
        of_server = {"redis": self.name}
        yield "redis_up", of_server, float(self.is_up)
        if not self.is_up:
            return
        used = self._settle(now, self.holds(now) + messages * self.message_bytes)
        values = {
            "redis_memory_used_bytes": used,
            "redis_memory_max_bytes": self.limit,
            "redis_total_system_memory_bytes": 8192 * MEBIBYTE,
            "redis_connected_clients": min(self.clients, self.most_clients),
            "redis_config_maxclients": self.most_clients,
            "redis_rdb_last_bgsave_status": float(self.saves),
            "redis_aof_last_write_status": 1.0,
            "redis_aof_last_bgrewrite_status": 1.0,
            "redis_connected_slaves": float(self.replicas),
            "redis_allocator_frag_ratio": self.gaps,
            "redis_mem_fragmentation_ratio": self.resident,
            "redis_cluster_enabled": float(bool(self.cluster)),
            **self.counted,
        }
        if self.cluster:
            values["redis_cluster_state"] = float(self.cluster == "ok")
        for name, value in values.items():
            yield name, of_server | ({"found": "miss"} if name == OWN_LOOKUPS else {}), value
        for prefix, count in self.erred.items():
            yield "redis_errors_total", of_server | {"err": prefix}, count
        yield from self._described(now, of_server)

    def _described(self, now: float, of_server: dict[str, str]) -> Iterator[Row]:
        yield "redis_instance_info", of_server | {"role": self.role, "maxmemory_policy": self.policy}, 1.0
        database = of_server | {"db": "db0"}
        yield "redis_db_keys", database, self.keys(now) + self.lasting_keys
        yield "redis_db_keys_expiring", database, self.keys(now)
        if self.role == "slave":
            master = of_server | dict(zip(("master_host", "master_port"), self.master, strict=True))
            yield "redis_slave_info", master | {"read_only": "1"}, 1.0
            yield "redis_master_link_up", master, float(self.master_link)

    def _settle(self, now: float, wanted: float) -> float:
        """Update the counters since the last call; return the memory used now."""
        passed, self.seen_at = now - self.seen_at, now
        evicted = 0.0
        if self.limit and wanted > self.limit and self.policy != "noeviction":
            evicted = float(int((wanted - self.limit) / self.key_bytes) + 1)
        for name, more in (
            ("redis_evicted_keys_total", evicted),
            ("redis_rejected_connections_total", max(self.clients - self.most_clients, 0)),
            ("redis_keyspace_hits_total", self.hits * passed),
            ("redis_keyspace_misses_total", (self.misses + self.misses_of_exporter) * passed),
            (OWN_LOOKUPS, self.misses_of_exporter * passed),
        ):
            self.counted[name] = self.counted.get(name, 0.0) + more
        for prefix, rate in self.errors.items():
            self.erred[prefix] = self.erred.get(prefix, 0.0) + rate * passed
        return min(wanted, self.limit) if self.limit else wanted


@dataclass
class Sentinel:
    """A sentinel as the exporter reads it: whether it is up, and whether it finds a quorum for the master."""

    name: str = "broker/sentinel/10.0.0.9:26379"
    is_up: bool = True
    finds_quorum: bool = True

    def rows(self, now: float, messages: int) -> Iterator[Row]:  # noqa: ARG002 -- as of a server
        """Yield the values that a scrape reads from the sentinel."""
        of_server = {"redis": self.name}
        yield "redis_up", of_server, float(self.is_up)
        if self.is_up:
            quorum = of_server | {"master_name": "mymaster"}
            yield "redis_sentinel_master_ckquorum_status", quorum, float(self.finds_quorum)
