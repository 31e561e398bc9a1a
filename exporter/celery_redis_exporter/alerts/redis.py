# SPDX-License-Identifier: Apache-2.0
"""Rules about Redis: down, full, refusing, failing to save, losing keys."""

from celery_redis_exporter.alerts.rule import BY, Alert, Recording, RuleGroup, once

SERVER = f"{BY}, redis"
SENTINELS = ".+/sentinel/.+"
"""What sentinels are called: they are no servers of Celery's."""
SHARED = "(@([!-.0-~]+|/.+))?"
"""How the name of Celery's broker or result backend goes on if several applications use it: an address, no node.

The class contains every visible character of ASCII but the slash. ``[^/]`` would match the same addresses, but promtool
3.5 takes five times as long to evaluate the rules about Redis with it: Go's regexp package compares most of Unicode
when a pattern is parsed (``syntax.calcFlags``).
"""
BROKER, RESULT_BACKEND = (f"{role}{SHARED}".replace("@", "@@") for role in ("broker", "results"))
"""Patterns of their names; in a rule ``@@`` is one @."""
MAX_MEMORY = f"max by ({SERVER}) (redis_memory_max_bytes)"


def of_clients(found: str, lookup: str) -> str:
    """Return the look-ups a second that others than exporters caused. An exporter measures keys, which is counted too.

    Not on the broker: there workers look for messages, mostly in vain.
    """
    counted = f'max by ({SERVER}) (rate(redis_keyspace_{found}_total{{redis!~"{BROKER}"}}[10m]))'
    own = f'sum by ({SERVER}) (rate(celery_exporter_redis_lookups_total{{found="{lookup}"}}[10m]))'
    return f"clamp_min({counted} - {own} or {counted}, 0)"


HITS, MISSES = "redis:keyspace_hits_of_clients:rate10m", "redis:keyspace_misses_of_clients:rate10m"
RECORDINGS = (
    Recording(HITS, of_clients("hits", "hit")),
    Recording(MISSES, of_clients("misses", "miss")),
    Recording(
        "redis:memory_utilization:ratio",
        f"max by ({SERVER}) (redis_memory_used_bytes) / ({MAX_MEMORY} > 0"
        f" or max by ({SERVER}) (celery_exporter_redis_memory_limit_bytes)"
        f" or max by ({SERVER}) (redis_total_system_memory_bytes) > 0)",
    ),
)
RESULTS = once(f'redis_db_keys{{redis=~"{RESULT_BACKEND}"}}', SERVER)
EXPIRING = once(f'redis_db_keys_expiring{{redis=~"{RESULT_BACKEND}"}}', SERVER)
FULL = (
    "{{ $labels.redis }} uses {{ $value | humanizePercentage }} of its memory limit, or of the machine's memory where"
    " it has none."
)
ENOUGH_MEMORY = f"max by ({SERVER}) (redis_memory_used_bytes) > @{{least_bytes}}"

CACHE = (
    f'unless on ({SERVER}) max by ({SERVER}) (redis_instance_info{{redis!~"(broker|results)(@@.+)?(/.*)?",'
    f' maxmemory_policy=~"(allkeys|volatile)-.+"}}) == 1'
)
"""A server other than Celery's that may evict is meant to be full."""
IS_MASTER = f'and on ({SERVER}) max by ({SERVER}) (redis_instance_info{{role="master"}}) == 1'
ALLOCATOR = f"max by ({SERVER}) (redis_allocator_frag_ratio)"

ALERTS = (
    Alert(
        "RedisDown", "critical",
        f'max by ({SERVER}) (redis_up{{redis!~"{SENTINELS}"}}) == 0',
        "A Redis server does not answer.",
        "The Redis server {{ $labels.redis }} does not answer the exporter;"
        " redis_exporter_last_scrape_error names the reason.",
        wait="1m", panel="redis",
    ),
    Alert(
        "RedisMemoryHigh", "warning",
        f"redis:memory_utilization:ratio > @{{ratio}} {CACHE}",
        "Redis is running out of memory.", FULL,
        wait="5m", parameters={"ratio": 0.75}, panel="redis",
    ),
    Alert(
        "RedisMemoryCritical", "critical",
        f"redis:memory_utilization:ratio > @{{ratio}} {CACHE}",
        "Redis has hardly any memory left.", FULL,
        wait="2m", parameters={"ratio": 0.9}, panel="redis",
    ),
    Alert(
        "RedisMemoryWillFill", "warning",
        f"max by ({SERVER}) (predict_linear(redis_memory_used_bytes[1h], @{{seconds}})) > ({MAX_MEMORY} > 0)"
        f" and on ({SERVER}) redis:memory_utilization:ratio > @{{ratio}} {CACHE}",
        "Redis will reach its memory limit soon.",
        "At the pace of the last hour {{ $labels.redis }} will use {{ $value | humanize1024 }}B in four hours, more"
        " than its limit.",
        wait="30m", parameters={"seconds": 14_400, "ratio": 0.5}, panel="redis",
    ),
    Alert(
        "RedisEvictingKeys", "critical",
        f"max by ({SERVER}) (increase(redis_evicted_keys_total[5m])) > 0 {CACHE}",
        "Redis evicts keys because its memory is full.",
        'Keys that {{ $labels.redis }} evicted in five minutes: {{ $value | printf "%.0f" }}. On a broker these are'
        " tasks.",
        keep="15m", panel="redis",
    ),
    Alert(
        "RedisBrokerEvictionPolicy", "warning",
        f"max by ({SERVER}, maxmemory_policy)"
        f' (redis_instance_info{{redis=~"{BROKER}", maxmemory_policy!~"noeviction|"}}) == 1',
        "The broker may evict tasks.",
        "The broker's maxmemory-policy is {{ $labels.maxmemory_policy }}; a broker needs noeviction.",
        wait="10m", panel="redis",
    ),
    Alert(
        "RedisRejectedConnections", "critical",
        f"max by ({SERVER}) (increase(redis_rejected_connections_total[5m])) > 0",
        "Redis refuses connections.",
        'Connections that {{ $labels.redis }} refused in five minutes: {{ $value | printf "%.0f" }}. It has as many as'
        " maxclients allows.",
        keep="10m", panel="redis",
    ),
    Alert(
        "RedisConnectionsHigh", "warning",
        f"max by ({SERVER}) (redis_connected_clients) / (max by ({SERVER}) (redis_config_maxclients) > 0) > @{{ratio}}",
        "Redis has hardly any connections left.",
        "{{ $labels.redis }} uses {{ $value | humanizePercentage }} of its connections.",
        wait="5m", parameters={"ratio": 0.8}, panel="redis",
    ),
    Alert(
        "RedisPersistenceFailing", "critical",
        f"min by ({SERVER}) (redis_rdb_last_bgsave_status) == 0"
        f" or min by ({SERVER}) (redis_aof_last_write_status) == 0"
        f" or min by ({SERVER}) (redis_aof_last_bgrewrite_status) == 0",
        "Redis can't save its data.",
        "The last dump, append or rewrite of {{ $labels.redis }} failed; Redis may refuse writes.",
        wait="5m", panel="redis",
    ),
    Alert(
        "RedisRefusesWrites", "critical",
        f'max by ({SERVER}, err) (increase(redis_errors_total{{redis=~"{BROKER}|{RESULT_BACKEND}",'
        ' err=~"OOM|MISCONF|NOREPLICAS"}[5m])) > 0',
        "Redis refuses what Celery writes.",
        '{{ $labels.redis }} refused commands with {{ $labels.err }} in five minutes: {{ $value | printf "%.0f" }}.',
        wait="2m", panel="redis",
    ),
    Alert(
        "RedisReplicationBroken", "critical",
        f"min by ({SERVER}) (redis_master_link_up) == 0",
        "A replica has lost its master.",
        "The link of {{ $labels.redis }} to its master is down.",
        wait="2m", panel="redis",
    ),
    Alert(
        "RedisReadOnly", "critical",
        f"max by ({SERVER}, master_host, master_port)"
        f' (redis_slave_info{{redis=~"{BROKER}|{RESULT_BACKEND}", read_only!="0"}}) == 1',
        "Celery can't write to its Redis, which is a read-only replica.",
        "{{ $labels.redis }} is a replica of {{ $labels.master_host }}:{{ $labels.master_port }}, as after a failover"
        " that Celery does not follow.",
        wait="1m", panel="redis",
    ),
    Alert(
        "RedisReplicaLost", "warning",
        f"max by ({SERVER}) (redis_connected_slaves) < max by ({SERVER}) (max_over_time(redis_connected_slaves[1h]))"
        f" {IS_MASTER}",
        "A master has lost a replica.",
        "Replicas that {{ $labels.redis }} has left, fewer than within the last hour: {{ $value | humanize }}.",
        wait="5m", panel="redis",
    ),
    Alert(
        "RedisSentinelDown", "warning",
        f'max by ({SERVER}) (redis_up{{redis=~"{SENTINELS}"}}) == 0',
        "A sentinel does not answer.",
        "The sentinel {{ $labels.redis }} does not answer the exporter; with too few of them no failover"
        " is possible.",
        wait="5m", panel="redis",
    ),
    Alert(
        "RedisQuorumLost", "critical",
        "max by (@{by}, master_name) (redis_sentinel_master_ckquorum_status) == 0",
        "There are too few sentinels for a failover.",
        "If the master {{ $labels.master_name }} fails now, no replica is promoted: no sentinel finds a quorum.",
        wait="2m", panel="redis",
    ),
    Alert(
        "RedisClusterDown", "critical",
        f"max by ({SERVER}) (redis_cluster_state) == 0"
        f" and on ({SERVER}) max by ({SERVER}) (redis_cluster_enabled) == 1",
        "A node of a Redis Cluster reports that the cluster is down.",
        "{{ $labels.redis }} serves no keys: slots or masters are missing.",
        wait="2m", panel="redis",
    ),
    Alert(
        "RedisHitRateLow", "info",
        f"{HITS} / ({HITS} + {MISSES} > @{{least_rate}}) < @{{ratio}}",
        "Most look-ups in Redis find nothing.",
        "{{ $value | humanizePercentage }} of the look-ups in {{ $labels.redis }} find their key; waiting for results"
        " of unfinished tasks counts as a miss.",
        wait="30m", parameters={"ratio": 0.5, "least_rate": 10}, panel="redis",
    ),
    Alert(
        "RedisFragmentationHigh", "warning",
        # The resident memory of a server that was drained stays high; that is no fragmentation.
        f"({ALLOCATOR} or max by ({SERVER}) (redis_mem_fragmentation_ratio)) > @{{ratio}} and {ENOUGH_MEMORY}",
        "Redis wastes memory by fragmentation.",
        "{{ $labels.redis }} occupies {{ $value | humanize }} times the memory that it uses.",
        wait="30m", parameters={"ratio": 1.5, "least_bytes": 104_857_600}, panel="redis",
    ),
    Alert(
        "RedisSwapping", "warning",
        f"min by ({SERVER}) (redis_mem_fragmentation_ratio) < @{{ratio}} and {ENOUGH_MEMORY}",
        "Part of Redis is swapped out.",
        "Only {{ $value | humanizePercentage }} of the memory of {{ $labels.redis }} is resident: it is slow.",
        wait="15m", parameters={"ratio": 0.9, "least_bytes": 104_857_600}, panel="redis",
    ),
    Alert(
        "RedisResultKeysWithoutTTL", "warning",
        f"({RESULTS} - {EXPIRING})"
        f" / ({RESULTS} > @{{least_keys}}) > @{{ratio}}",
        "Results of tasks never expire.",
        "{{ $value | humanizePercentage }} of the keys of {{ $labels.redis }} have no time to live; set"
        " result_expires.",
        wait="1h", parameters={"ratio": 0.5, "least_keys": 10_000}, panel="redis",
    ),
)  # fmt: skip

GROUP = RuleGroup("redis", RECORDINGS, ALERTS)
