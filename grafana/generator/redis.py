# SPDX-License-Identifier: Apache-2.0
"""The Redis servers that Celery uses: memory first, since a full broker stops everything."""

from grafana.generator import theme
from grafana.generator.board import Board, Row
from grafana.generator.panel import FINE_OR_FAILED, NOTHING, UP_OR_DOWN, Query, Style, Word
from grafana.generator.panels import Bars, Graph, Stat, Timeline
from grafana.generator.promql import RANGE, SERVER, Scope, hit_rate, memory_limit, memory_share, ratio
from grafana.generator.redis_inside import CLIENTS, COMMANDS, DURABILITY, READS, TOPOLOGY
from grafana.generator.tables import Column, Table

SERVERS = Scope(("redis",))
YEAR, MONTH, DAY, HOUR = 31_536_000, 30 * 86_400, 86_400, 3_600
USED = SERVERS.gauge("redis_memory_used_bytes", SERVER, how="max")
GROWTH = f"max by ({SERVER}) (deriv({SERVERS.select('redis_memory_used_bytes', window=RANGE)}))"
TIME_TO_FULL = f"clamp_min({memory_limit(SERVERS)} - {USED}, 0) / on ({SERVER}) clamp_min({GROWTH}, 0.001) < {MONTH}"
"""Seconds until the limit is reached at the pace of the time shown; nothing where that is more than a month."""
FULL_OR_NOT_SOON = (Word("0", "full", theme.BAD), Word(str(YEAR), "not soon", theme.CALM))
LIMIT = SERVERS.gauge("celery_exporter_redis_memory_limit_bytes", SERVER, how="max")
FULL_HOURS = 0.1
"""Where a full server is drawn: a logarithmic axis has no 0."""
((WILL_FILL, _),) = theme.steps(("RedisMemoryWillFill.seconds", theme.WARNING))
MEMORY_STEPS = theme.steps(("RedisMemoryHigh.ratio", theme.WARNING), ("RedisMemoryCritical.ratio", theme.BAD))
GROUP = f"{SERVER}, db, key_group"
PERSISTENCE = ("redis_rdb_last_bgsave_status", "redis_aof_last_write_status", "redis_aof_last_bgrewrite_status")
KEYS = SERVERS.gauge("redis_db_keys", f"{SERVER}, db", how="max")

NOW = (
    Stat(
        title="Answering now", unit=theme.WORD, words=UP_OR_DOWN, empty="unknown", alerts=("RedisDown",),
        meaning="Down if one of the chosen servers does not answer within its deadline.",
        remedy="The table below shows which; redis_exporter_last_scrape_error has the reason.",
        queries=(Query(f"min({SERVERS.gauge('redis_up', SERVER, how='max')})"),),
    ),
    Stat(
        title="Memory used", unit=theme.RATIO, decimals=0, steps=MEMORY_STEPS, empty=NOTHING,
        meaning="Memory of the fullest server, of its limit: maxmemory, else redis.assumed_maxmemory, else the"
        " machine's memory.",
        remedy="Find the keys that grow under Keys; give results a time to live; raise maxmemory.",
        alerts=("RedisMemoryHigh", "RedisMemoryCritical"),
        queries=(Query(f"max({memory_share(SERVERS)})"),),
    ),
    Stat(
        title="Full in", unit=theme.SECONDS, decimals=1, words=FULL_OR_NOT_SOON, empty=NOTHING, calm=theme.BAD,
        steps=theme.steps(("RedisMemoryWillFill.seconds", theme.WARNING), (DAY, theme.CALM)),
        meaning="When the first server reaches its limit if it goes on growing as in the time shown; not soon is in"
        " more than a month.",
        remedy="Show more time for a steadier forecast. A broker with noeviction then refuses messages.",
        alerts=("RedisMemoryWillFill",),
        # Whole minutes: the last one is as good as full.
        queries=(Query(f"60 * floor(min({TIME_TO_FULL}) / 60) or vector({YEAR})"),),
    ),
    Stat(
        title="Evicted", unit=theme.COUNT, decimals=0, steps=theme.steps((1, theme.BAD)),
        meaning="Keys that were thrown away for want of memory in the time shown. On a broker these are tasks.",
        remedy="Set maxmemory-policy noeviction on a broker, and give it more memory.",
        alerts=("RedisEvictingKeys", "RedisBrokerEvictionPolicy"),
        queries=(Query(SERVERS.increase("redis_evicted_keys_total")),),
    ),
    Stat(
        title="Connections", unit=theme.RATIO, decimals=0, empty=NOTHING,
        steps=theme.steps(("RedisConnectionsHigh.ratio", theme.WARNING), (0.95, theme.BAD)),
        meaning="Connections of the server with the fewest left, of maxclients.",
        remedy="Look for clients that open a connection for each task; raise maxclients.",
        alerts=("RedisConnectionsHigh", "RedisRejectedConnections"),
        queries=(Query("max(" + ratio(
            SERVERS.gauge("redis_connected_clients", SERVER, how="max"),
            SERVERS.gauge("redis_config_maxclients", SERVER, how="max"),
        ) + ")"),),
    ),
    Stat(
        title="Hit rate of all", unit=theme.RATIO, decimals=0, empty="no look-ups",
        meaning="Share of the look-ups that found their key, all chosen servers together. Brokers and the exporter's"
        " own look-ups are left out. Waiting for results of unfinished tasks counts as misses.",
        remedy="Low on a cache: keys expire or are evicted too early.", alerts=("RedisHitRateLow",),
        queries=(Query(hit_rate(SERVERS)),),
    ),
    Stat(
        title="Operations of all", unit=theme.OPERATIONS,
        meaning="Commands processed each second, all chosen servers together.",
        remedy="Far more than executions explain: a client that polls for results.",
        queries=(Query(SERVERS.rate("redis_commands_processed_total")),),
    ),
    Stat(
        title="Persistence", unit=theme.WORD, words=FINE_OR_FAILED, empty="unknown",
        alerts=("RedisPersistenceFailing",),
        meaning="Whether the last dump, append and rewrite of every server succeeded. Fine also where none is made.",
        remedy="Failed: Redis may refuse writes (stop-writes-on-bgsave-error). Look for a full disk in its log.",
        queries=(Query(" * ".join(f"min({SERVERS.select(name)})" for name in PERSISTENCE)),),
    ),
)  # fmt: skip

SERVER_TABLE = Table(
    title="Servers", first="Memory", empty="No Redis server is read", height=6,
    meaning="What each server is, and how it does now.",
    remedy="A broker needs the policy noeviction: every other may throw tasks away.",
    alerts=("RedisBrokerEvictionPolicy",),
    columns=(
        Column(name="Server", label="redis"),
        Column(name="State", unit=theme.WORD, words=UP_OR_DOWN, width=80,
               expr=SERVERS.gauge("redis_up", SERVER, how="min")),
        Column(name="Version", label="redis_version",
               expr=f"max by ({SERVER}, redis_version, redis_mode, role, maxmemory_policy)"
               f" ({SERVERS.select('redis_instance_info')})"),
        Column(name="Mode", label="redis_mode"),
        Column(name="Role", label="role"),
        Column(name="Policy", label="maxmemory_policy"),
        Column(name="Up for", unit=theme.SECONDS, decimals=1,
               expr=SERVERS.gauge("redis_uptime_in_seconds", SERVER, how="max")),
        Column(name="Memory", unit=theme.BYTES, decimals=1,
               expr=SERVERS.gauge("redis_memory_used_bytes", SERVER, how="max")),
        Column(name="Of its limit", unit=theme.RATIO, gauge=True, high=1, decimals=1, steps=MEMORY_STEPS,
               expr=f"max by ({SERVER}) ({memory_share(SERVERS)})"),
        Column(name="Keys", unit=theme.COUNT, decimals=0, expr=f"sum by ({SERVER}) ({KEYS})"),
        Column(name="Clients", unit=theme.NUMBER, decimals=0,
               expr=SERVERS.gauge("redis_connected_clients", SERVER, how="max")),
        Column(name="Operations", unit=theme.OPERATIONS, decimals=0,
               expr=SERVERS.rate("redis_commands_processed_total", SERVER)),
        Column(name="Job", label="job"),
        Column(name="Application", label="application"),
    ),
    hidden=("cluster", "namespace"),
)  # fmt: skip

MEMORY = (
    Graph(
        title="Memory", unit=theme.BYTES, width=12, many=True, alerts=("RedisMemoryHigh",),
        meaning="Memory that each server allocated, what of it is resident, its greatest, and its limit (dashed), where"
        " it has one.",
        remedy="Resident far above allocated: fragmentation. Far below: the server is swapped out.",
        styles=(Style("/^limit of/", theme.LIMIT, dashed=True, thick=2), Style("/^peak of/", theme.PAST)),
        queries=(
            Query(SERVERS.gauge("redis_memory_used_bytes", SERVER, how="max"), "used by {{redis}}"),
            Query(SERVERS.gauge("redis_memory_used_rss_bytes", SERVER, how="max"), "resident of {{redis}}"),
            Query(SERVERS.gauge("redis_memory_used_peak_bytes", SERVER, how="max"), "peak of {{redis}}"),
            Query(LIMIT, "limit of {{redis}}"),
        ),
    ),
    Graph(
        title="Of its limit", unit=theme.RATIO, width=6, many=True, reach=1, limits=True, steps=MEMORY_STEPS,
        meaning="Memory of each server, of maxmemory, of the assumed limit, or of the machine's memory.",
        remedy="The dashed lines are the alerts' thresholds.", alerts=("RedisMemoryHigh", "RedisMemoryCritical"),
        queries=(Query(f"max by ({SERVER}) ({memory_share(SERVERS)})", "{{redis}}"),),
    ),
    Graph(
        title="Time to full", unit="suffix:hours", width=6, many=True, alerts=("RedisMemoryWillFill",),
        tenfold=True, low=FULL_HOURS, words=(Word(str(FULL_HOURS), "full", theme.BAD),), limits=True,
        steps=((WILL_FILL / HOUR, theme.WARNING),), empty="Not within a month",
        meaning="In how many hours each server reaches its limit if it goes on growing as in the time shown. No line is"
        " more than a month.",
        remedy="A line that falls steadily is a leak: look under Keys for the group that grows.",
        queries=(Query(f"clamp_min(min by ({SERVER}) ({TIME_TO_FULL}) / {HOUR}, {FULL_HOURS})", "{{redis}}"),),
    ),
    Graph(
        title="Spent on", unit=theme.BYTES, stacked=True, many=True,
        meaning="Memory for the data, and for what Redis needs besides: tables, buffers of clients and replicas.",
        remedy="Much overhead with few keys: clients that do not read what they are sent.",
        styles=(Style("data", "blue"), Style("overhead", "orange")),
        queries=(
            Query(SERVERS.gauge("redis_memory_used_dataset_bytes"), "data"),
            Query(SERVERS.gauge("redis_memory_used_overhead_bytes"), "overhead"),
        ),
    ),
    Graph(
        title="Fragmentation", unit=theme.NUMBER, decimals=2, many=True, limits=True,
        steps=theme.steps(("RedisFragmentationHigh.ratio", theme.WARNING)),
        meaning="Resident over allocated memory. Large on small servers, where it means nothing.",
        remedy="High on a large one: MEMORY PURGE, activedefrag, or a restart. Below 0.9: swapped out.",
        alerts=("RedisFragmentationHigh", "RedisSwapping"),
        queries=(Query(SERVERS.gauge("redis_mem_fragmentation_ratio", SERVER, how="max"), "{{redis}}"),),
    ),
    Graph(
        title="Keys that went", unit="suffix:keys/s", many=True, alerts=("RedisEvictingKeys",),
        meaning="Keys that expired, as they should, and keys that were thrown away for want of memory.",
        remedy="Any eviction on a broker loses tasks.",
        styles=(Style("expired", "blue"), Style("evicted", theme.BAD)),
        queries=(
            Query(SERVERS.rate("redis_expired_keys_total"), "expired"),
            Query(SERVERS.rate("redis_evicted_keys_total"), "evicted"),
        ),
    ),
)  # fmt: skip

KEY_SPACE = (
    Bars(
        title="Largest groups of keys", unit=theme.BYTES, height=10, empty="No group of keys is known yet",
        meaning="Memory by kind of key: queues, Celery's results, and what names have in common. Estimated from a"
        " sample that grows until all keys were seen.",
        remedy="celery-task-meta-* on top: set result_expires, or ignore_result where nobody reads results.",
        alerts=("RedisResultKeysWithoutTTL",),
        queries=(Query(
            f"sort_desc(topk(12, {SERVERS.gauge('redis_key_group_memory_usage_bytes', GROUP, how='max')}))",
            "{{key_group}} ({{redis}} {{db}})",
        ),),
    ),
    Table(
        title="Groups of keys", first="Memory", width=12, height=10, empty="No group of keys is known yet",
        meaning="Keys and memory of each group, how many of them never expire, and how far the estimate of the memory"
        " may be off.",
        remedy="A share without time to live in a result backend grows for ever.",
        alerts=("RedisResultKeysWithoutTTL",),
        columns=(
            Column(name="Server", label="redis", width=80),
            Column(name="Db", label="db", width=55),
            Column(name="Group", label="key_group"),
            Column(name="Keys", unit=theme.COUNT, decimals=0, width=85,
                   expr=SERVERS.gauge("redis_key_group_count", GROUP, how="max")),
            Column(name="Memory", unit=theme.BYTES, decimals=1, width=90,
                   expr=SERVERS.gauge("redis_key_group_memory_usage_bytes", GROUP, how="max")),
            Column(name="Without TTL", unit=theme.RATIO, decimals=0, width=100,
                   expr=SERVERS.gauge("celery_exporter_key_group_without_ttl_ratio", GROUP, how="max")),
            Column(name="Off by", unit=theme.RATIO, decimals=0, width=70,
                   expr=SERVERS.gauge("celery_exporter_key_group_error_ratio", GROUP, 'estimate="memory"', how="max")),
        ),
        hidden=("cluster", "namespace", "job", "application"),
    ),
    Graph(
        title="Keys", unit=theme.NUMBER, stacked=True, many=True,
        meaning="Keys in each database.",
        remedy="Growing steadily: keys without a time to live.",
        queries=(Query(KEYS, "{{redis}} {{db}}"),),
    ),
    Graph(
        title="Keys that never expire", unit=theme.RATIO, many=True, reach=1, empty="No keys",
        meaning="Share of each database's keys without a time to live. Queues never have one, results should.",
        remedy="High in a result backend: set result_expires.", alerts=("RedisResultKeysWithoutTTL",),
        queries=(Query(
            ratio(f"({KEYS} - {SERVERS.gauge('redis_db_keys_expiring', f'{SERVER}, db', how='max')})", KEYS),
            "{{redis}} {{db}}",
        ),),
    ),
    Graph(
        title="Groups of keys over time", unit=theme.BYTES, stacked=True, many=True,
        empty="No group of keys is known yet",
        meaning="Memory by kind of key, the ten largest.",
        remedy="The one that grows is the one to look at.",
        queries=(Query(
            f"topk(10, {SERVERS.gauge('redis_key_group_memory_usage_bytes', GROUP, how='max')})",
            "{{key_group}} ({{redis}} {{db}})",
        ),),
    ),
)  # fmt: skip

STATES = (
    Timeline(
        title="Answering", unit=theme.WORD, width=12, alerts=("RedisDown",), empty="No Redis server is read",
        words=(Word("1", "Up", theme.GOOD), Word("0", "Down", theme.BAD)),
        meaning="When each server answered within its deadline.",
        remedy="Gaps without colour: the exporter itself was not scraped.",
        queries=(Query(SERVERS.gauge("redis_up", SERVER, how="max"), "{{redis}}"),),
    ),
)  # fmt: skip

BOARD = Board(
    "redis",
    "Redis / Servers of Celery",
    "Do the Redis servers have enough memory, connections and time, and what uses them?",
    (
        Row("", (*NOW, SERVER_TABLE)),
        Row("Memory", MEMORY),
        Row("Keys", KEY_SPACE),
        Row("Commands", COMMANDS, closed=True),
        Row("Clients", CLIENTS, closed=True),
        Row("Persistence and replication", DURABILITY, closed=True),
        Row("Cluster and sentinels", TOPOLOGY, closed=True),
        Row("Seen from the exporter", (*STATES, *READS), closed=True),
    ),
    ("redis",),
)
