# SPDX-License-Identifier: Apache-2.0
"""Define Redis metrics of keys by database, from INFO keyspace."""

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import Info, Metric, gauge

_DB = (lb.REDIS, lb.DB)
LONGEST_TTL = 1e12
"""Milliseconds of 31 years. KeyDB writes numbers that overflowed, of a hundred years and more."""

DB_KEYS = gauge("redis_db_keys", "Keys in the database.", _DB, Info("keyspace", "db*", "keys"))
DB_KEYS_EXPIRING = gauge("redis_db_keys_expiring", "Keys with a time to live.", _DB, Info("keyspace", "db*", "expires"))
OF_EMPTY_DATABASES = (DB_KEYS, DB_KEYS_EXPIRING)
"""Exposed as 0 for databases that INFO leaves out because they are empty."""

_BINS = (*_DB, lb.KEY_TYPE, lb.AT_LEAST)
KEYS_BY_SIZE = gauge(
    "redis_db_keys_by_size",
    "Keys of a type whose value has at least so many bytes, and less than twice that, on Redis 8.",
    _BINS,
    Info("keysizes", "db*_distrib_*_sizes"),
)
KEYS_BY_ITEMS = gauge(
    "redis_db_keys_by_items",
    "Keys of a type that have at least so many elements, and less than twice that, on Redis 8.",
    _BINS,
    Info("keysizes", "db*_distrib_*_items"),
)

ROWS: tuple[Metric, ...] = (
    DB_KEYS,
    DB_KEYS_EXPIRING,
    gauge("redis_db_avg_ttl_seconds", "Mean time to live of keys that have one.", _DB,
          Info("keyspace", "db*", "avg_ttl", 1e3, most=LONGEST_TTL)),
    gauge("redis_db_keys_cached", "Keys in memory, on KeyDB with storage.", _DB,
          Info("keyspace", "db*", "cached_keys")),
    gauge("redis_db_keys_with_expiring_items", "Keys of which fields have a time to live.", _DB,
          Info("keyspace", "db*", "subexpiry", part_elsewhere="keys_with_volatile_items")),
)  # fmt: skip
