# SPDX-License-Identifier: Apache-2.0
"""Define metrics of what fills a Redis database, by groups of keys. They are sampled in the background.

Names are those of redis_exporter.
"""

from celery_redis_exporter.catalog.labels import CYCLE_OUTCOME, DB, ESTIMATE, KEY, KEY_GROUP, REDIS
from celery_redis_exporter.catalog.metric import CommandOrigin, Metric, Own, counter, gauge

SCAN = CommandOrigin("SCAN")
SIZES = CommandOrigin("SCAN, MEMORY USAGE")
GROUP = (REDIS, DB, KEY_GROUP)

GROUP_COUNT = gauge(
    "redis_key_group_count",
    "Keys of the group: exact as of the last full sweep, an estimate from part of the key space until the first.",
    GROUP,
    SCAN,
)
GROUP_MEMORY = gauge(
    "redis_key_group_memory_usage_bytes",
    "Memory of the group, estimated from keys that were measured; absent while none was, or without the right to.",
    GROUP,
    SIZES,
)
DISTINCT_GROUPS = gauge(
    "redis_number_of_distinct_key_groups",
    "Groups of keys that are distinguished, as far as memory is bounded; many of them may be shown under overflow.",
    (REDIS, DB),
    SCAN,
)
SCRAPE_DURATION = gauge(
    "redis_last_key_groups_scrape_duration_milliseconds",
    "Duration of the last cycle in the background, pauses included; no scrape waits for it.",
    (REDIS,),
)
GROUP_ERROR = gauge(
    "celery_exporter_key_group_error_ratio",
    "Half the width of the estimate's 95 % interval, as a ratio to the estimate; 0 where everything was looked at.",
    (*GROUP, ESTIMATE),
    Own("sampling"),
)
GROUP_WITHOUT_TTL = gauge(
    "celery_exporter_key_group_without_ttl_ratio",
    "Share of the group's measured keys that never expire.",
    GROUP,
    CommandOrigin("PTTL"),
)
COVERAGE = gauge(
    "celery_exporter_key_space_coverage_ratio",
    "Share of the database's keys that the estimates rest on; 1 after the first full sweep.",
    (REDIS, DB),
    SCAN,
)
LAST_SWEEP = gauge(
    "celery_exporter_key_space_last_sweep_timestamp_seconds",
    "When a sweep over all keys last ended; absent until one does.",
    (REDIS, DB),
    SCAN,
)
KEYS_SCANNED = counter("celery_exporter_key_space_keys_scanned_total", "Names of keys looked at.", (REDIS,), SCAN)
BUSY = counter(
    "celery_exporter_key_space_busy_seconds_total",
    "Time that this took the server, at most: round trips less the shortest one.",
    (REDIS,),
    Own("sampling"),
)
CYCLES = counter(
    "celery_exporter_key_space_cycles_total",
    "Looks at a database by what ended them: complete (the sweep did), a budget (keys, busy, wall), or what kept us "
    "from it: loading, forking, memory (nearly full, nothing may be evicted), slow, error.",
    (REDIS, CYCLE_OUTCOME),
    Own("sampling"),
)

_KEY = (REDIS, DB, KEY)
KEY_SIZE = gauge(
    "redis_key_size",
    "Elements of a key that redis.keys names, of a string its bytes; 0 if it does not exist.",
    _KEY,
    CommandOrigin("TYPE, STRLEN, LLEN, SCARD, ZCARD, HLEN, XLEN"),
)
KEY_MEMORY = gauge(
    "redis_key_memory_usage_bytes",
    "Memory of a key that redis.keys names; absent if it does not exist.",
    _KEY,
    CommandOrigin("MEMORY USAGE"),
)
KEY_VALUE = gauge(
    "redis_key_value",
    "Value of a key that redis.keys names, if it is a number and redis.key_values is on.",
    _KEY,
    CommandOrigin("GETRANGE"),
)

METRICS: tuple[Metric, ...] = (
    GROUP_COUNT, GROUP_MEMORY, DISTINCT_GROUPS, SCRAPE_DURATION, GROUP_ERROR, GROUP_WITHOUT_TTL, COVERAGE, LAST_SWEEP,
    KEYS_SCANNED, BUSY, CYCLES, KEY_SIZE, KEY_MEMORY, KEY_VALUE,
)  # fmt: skip
