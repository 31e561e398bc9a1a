# SPDX-License-Identifier: Apache-2.0
"""Lives of Redis servers."""

from tests.alert_life.agenda import HOUR
from tests.alert_life.exporter_lives import shop
from tests.alert_life.installation import Installation
from tests.alert_life.scenario import Life, at_once, ordinary, trouble
from tests.alert_life.servers import MEBIBYTE, RedisServer, Sentinel

GIBIBYTE = 1024 * MEBIBYTE
USED = "redis_memory_used_bytes / redis_memory_max_bytes"


def idle(life: Life) -> Installation:
    """Return an installation for lives in which only the servers change."""
    return life.installation()


@ordinary(
    4,
    RedisMemoryHigh=f"{USED} > 0.75",
    RedisMemoryCritical=f"{USED} > 0.9",
    RedisEvictingKeys=at_once("increase(redis_evicted_keys_total[5m]) > 0"),
    RedisBrokerEvictionPolicy='redis_instance_info{maxmemory_policy!="noeviction"} == 1',
    RedisPersistenceFailing="time() - redis_rdb_last_save_timestamp_seconds > 3600",
    RedisHitRateLow="rate(redis_keyspace_hits_total[10m])"
    " / (rate(redis_keyspace_hits_total[10m]) + rate(redis_keyspace_misses_total[10m])) < 0.5",
    RedisResultKeysWithoutTTL="(redis_db_keys - redis_db_keys_expiring) / redis_db_keys > 0.5",
    RedisSwapping="redis_mem_fragmentation_ratio < 0.9",
)
def cache_is_full(life: Life) -> None:
    """A cache without persistence is full, evicts keys and has keys without TTL; another is cold for twenty minutes."""
    made = shop(life)
    grows = lambda now: (200 + now / 100) * MEBIBYTE  # noqa: E731 -- a course
    cache = RedisServer("cache", grows, 256 * MEBIBYTE, "allkeys-lru", hits=400, misses=100, lasting_keys=50_000)
    cache.counted["redis_rdb_last_save_timestamp_seconds"] = 0.0
    other = RedisServer("sessions", hits=5, misses=200, holds=lambda _now: 20 * MEBIBYTE, resident=0.8)
    made.add_server(cache)
    made.add_server(other)
    made.at(20 / 60, lambda: made.set(other, hits=190, misses=10))


@ordinary(3, RedisPersistenceFailing=at_once("redis_aof_enabled == 0 and redis_rdb_last_save_timestamp_seconds == 0"))
def broker_saves_nothing(life: Life) -> None:
    """The broker has neither dumps nor an append-only file on purpose, because its tasks may be lost."""
    made = shop(life)
    for name in ("redis_aof_enabled", "redis_rdb_last_save_timestamp_seconds"):
        made.broker.counted[name] = 0.0
    made.at(1, made.break_broker)
    made.at(1 + 30 / 3600, lambda: made.break_broker(down=False))


@ordinary(2, RedisRefusesWrites=at_once("increase(redis_errors_total[5m]) > 0"))
def commands_are_wrong(life: Life) -> None:
    """A program sends commands to the broker that Redis answers with errors, which concern no task."""
    made = idle(life)
    made.at(0.5, lambda: made.set(made.broker, errors={"WRONGTYPE": 2.0, "NOSCRIPT": 0.5}))


@ordinary(
    2,
    RedisHitRateLow="rate(redis_keyspace_hits_total[10m])"
    " / (rate(redis_keyspace_hits_total[10m]) + rate(redis_keyspace_misses_total[10m])) < 0.5",
)
def exporter_measures_keys(life: Life) -> None:
    """At night only the exporter reads from the result server, and its look-ups of hundreds of named keys miss."""
    made = idle(life)
    made.add_server(RedisServer("results", hits=1, misses=1, misses_of_exporter=40))


@ordinary(4, RedisFragmentationHigh="redis_mem_fragmentation_ratio > 1.5",
          RedisConnectionsHigh="redis_connected_clients > 1000",
          RedisRejectedConnections="redis_connected_clients > 1000")  # fmt: skip
def drained_server(life: Life) -> None:
    """A long queue was processed, the process keeps its memory, and two thousand clients are connected."""
    made = idle(life)
    made.set(made.broker, clients=2000, holds=lambda now: (700 if now < HOUR else 150) * MEBIBYTE)
    made.at(1, lambda: made.set(made.broker, resident=8.0))


@ordinary(
    4,
    RedisReplicaLost="max_over_time(redis_connected_slaves[1h]) > redis_connected_slaves",
    RedisReplicationBroken=at_once("redis_master_link_up == 0"),
    RedisReadOnly='redis_instance_info{role="slave"} == 1',
    RedisSentinelDown=at_once('redis_up{redis=~".+/sentinel/.+"} == 0'),
    RedisQuorumLost=at_once("redis_sentinel_master_ckquorum_status == 0"),
    RedisDown=at_once('redis_up{redis="old-master"} == 0'),
)
def failover(life: Life) -> None:
    """The master of a monitored pair is restarted for an update: its replica takes over, and a sentinel follows."""
    made = shop(life)
    old, new = RedisServer("old-master", replicas=1), RedisServer("new-master", role="slave")
    sentinel = Sentinel()
    for server in (old, new, sentinel):
        made.add_server(server)
    made.at(1 + 10 / 3600, lambda: made.set(old, is_up=False))
    made.at(1 + 50 / 3600, lambda: made.set(new, role="master"))
    made.at(1 + 66 / 3600, lambda: made.set(old, is_up=True, role="slave", replicas=0, master_link=False))
    made.at(1 + 120 / 3600, lambda: made.set(old, master_link=True))
    made.at(1 + 120 / 3600, lambda: made.set(new, replicas=1))
    made.at(2, lambda: made.set(sentinel, is_up=False))
    made.at(2 + 100 / 3600, lambda: made.set(sentinel, is_up=True, finds_quorum=False))
    made.at(2 + 170 / 3600, lambda: made.set(sentinel, finds_quorum=True))


@ordinary(4, RedisClusterDown=at_once("redis_cluster_state == 0"))
def failover_in_a_cluster(life: Life) -> None:
    """A master of a cluster is replaced, and the cluster is down for a minute."""
    made = idle(life)
    node = RedisServer("results/10.0.0.1:7000", cluster="ok")
    made.add_server(node)
    made.at(1, lambda: made.set(node, cluster="fail"))
    made.at(1 + 70 / 3600, lambda: made.set(node, cluster="ok"))


@ordinary(4, RedisMemoryHigh='redis_memory_used_bytes{job="redis_exporter"} > 0.9e9', RedisDown="redis_up == 0")
def other_exporters_servers(life: Life) -> None:
    """redis_exporter shows a full cache and a server that is down, which are unrelated to Celery."""
    idle(life)
    for name, value in (("redis_memory_used_bytes", 1e9), ("redis_memory_max_bytes", 1.01e9), ("redis_up", 0)):
        life.foreign(name, value, job="redis_exporter", instance="cache-1:9121")


@trouble(2.5, RedisDown=(1, 3))
def broker_is_down(life: Life) -> None:
    """The broker is down."""
    made = shop(life)
    made.at(1, made.break_broker)


@trouble(5, RedisMemoryHigh=(1, 110), RedisMemoryCritical=(1, 140), RedisMemoryWillFill=(1, 100))
def broker_fills_up(life: Life) -> None:
    """The broker fills up within two and a half hours, because results do not expire."""
    made = idle(life)
    made.set(made.broker, holds=lambda now: (100 + max(now - HOUR, 0) / 9) * MEBIBYTE)


@trouble(2.5, RedisEvictingKeys=(1, 5), RedisBrokerEvictionPolicy=(0, 12), RedisMemoryHigh=(1, 10),
         RedisMemoryCritical=(1, 5))  # fmt: skip
def broker_evicts(life: Life) -> None:
    """The broker may evict, and is full."""
    made = idle(life)
    made.set(made.broker, policy="allkeys-lru", holds=lambda now: (1030 if now > HOUR else 300) * MEBIBYTE)


@trouble(2.5, RedisRejectedConnections=(1, 4), RedisConnectionsHigh=(1, 8))
def connections_leak(life: Life) -> None:
    """A program opens connections and closes none."""
    made = idle(life)
    made.set(made.broker, most_clients=1000)
    made.at(1, lambda: made.set(made.broker, clients=1001))


@trouble(2.5, RedisPersistenceFailing=(1, 7))
def disk_is_full(life: Life) -> None:
    """The disk is full, and dumps fail."""
    made = idle(life)
    made.at(1, lambda: made.set(made.broker, saves=False))


@trouble(2.5, RedisRefusesWrites=(1, 6))
def broker_lacks_replicas(life: Life) -> None:
    """The broker has too few replicas, and refuses writes."""
    made = idle(life)
    made.at(1, lambda: made.set(made.broker, errors={"NOREPLICAS": 2.0}))


@trouble(2.5, RedisReplicationBroken=(1, 4))
def replica_loses_its_master(life: Life) -> None:
    """A replica can't reach its master any more."""
    made = idle(life)
    replica = RedisServer("replica", role="slave")
    made.add_server(replica)
    made.at(1, lambda: made.set(replica, master_link=False))


@trouble(2.5, RedisReadOnly=(1, 3), CeleryQueueLong=(1, 40), CeleryQueueOldestMessageOld=(1, 40))
def broker_is_read_only(life: Life) -> None:
    """After a failover Celery still uses the server that was the master."""
    made = shop(life)
    made.at(1, lambda: made.set(made.broker, role="slave"))


@trouble(2.5, RedisReplicaLost=(1, 8))
def replica_is_lost(life: Life) -> None:
    """One of two replicas is gone."""
    made = idle(life)
    made.set(made.broker, replicas=2)
    made.at(1, lambda: made.set(made.broker, replicas=1))


@trouble(2.5, RedisSentinelDown=(1, 7), RedisQuorumLost=(1.5, 4))
def sentinels_die(life: Life) -> None:
    """One sentinel dies, then the others find no quorum."""
    made = idle(life)
    first, second = Sentinel(), Sentinel("broker/sentinel/10.0.0.10:26379")
    made.add_server(first)
    made.add_server(second)
    made.at(1, lambda: made.set(first, is_up=False))
    made.at(1.5, lambda: made.set(second, finds_quorum=False))


@trouble(2.5, RedisClusterDown=(1, 4))
def cluster_loses_slots(life: Life) -> None:
    """A master of a cluster is gone that had no replica."""
    made = idle(life)
    node = RedisServer("results/10.0.0.1:7000", cluster="ok")
    made.add_server(node)
    made.at(1, lambda: made.set(node, cluster="fail"))


@trouble(2.5, RedisHitRateLow=(1, 45))
def keys_are_missed(life: Life) -> None:
    """A release looks keys up by names that nothing writes."""
    made = idle(life)
    cache = RedisServer("cache", hits=90, misses=10)
    made.add_server(cache)
    made.at(1, lambda: made.set(cache, hits=20, misses=80))


@trouble(2.5, RedisFragmentationHigh=(1, 33), RedisSwapping=(1, 18))
def memory_is_wasted(life: Life) -> None:
    """The allocator leaves gaps on one server; part of another one is swapped out."""
    made = idle(life)
    made.set(made.broker, holds=lambda _now: 400 * MEBIBYTE)
    results = RedisServer("results", holds=lambda _now: 600 * MEBIBYTE)
    made.add_server(results)
    made.at(1, lambda: made.set(made.broker, gaps=2.2))
    made.at(1, lambda: made.set(results, resident=0.5))


@trouble(3.5, RedisResultKeysWithoutTTL=(1, 80))
def results_never_expire(life: Life) -> None:
    """Results are written without a time to live since a release."""
    made = idle(life)
    results = RedisServer("results", keys=lambda _now: 9000)
    made.add_server(results)
    made.at(1, lambda: made.set(results, lasting_keys=40_000))
