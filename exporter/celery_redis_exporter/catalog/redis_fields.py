# SPDX-License-Identifier: Apache-2.0
"""Declare metrics that come from fields of INFO, from tables of names, fields and help texts.

Input: tables. Output: metrics, whose names are prefixed with ``redis_``. Standard library only.
"""

from collections.abc import Iterable

from celery_redis_exporter.catalog import labels as lb
from celery_redis_exporter.catalog.metric import LARGEST, Info, Metric, counter, gauge

OK_WORDS = (("ok", 1.0), ("true", 1.0), ("err", 0.0), ("fail", 0.0), ("false", 0.0))
"""Words that redis_exporter converts to numbers, in any field."""

SIGNED = frozenset({
    "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec", "aof_last_rewrite_time_sec",
    "aof_current_rewrite_time_sec", "second_repl_offset",
    "allocator_frag_bytes", "allocator_rss_bytes", "mem_fragmentation_bytes", "rss_overhead_bytes",
    "tls_server_cert_expires_in_seconds", "tls_client_cert_expires_in_seconds", "tls_ca_cert_expires_in_seconds",
})  # fmt: skip
"""Fields that may be below 0: differences, and those for which users of redis_exporter expect -1 as "none".

In every other field -1 means that the server has no value, and the metric is absent.
"""

InfoRow = tuple[str, str, str]
"""Name without ``redis_``, field of INFO, help."""


def info_gauges(section: str, rows: Iterable[InfoRow]) -> tuple[Metric, ...]:
    """Declare a gauge for each row."""
    return tuple(gauge(f"redis_{name}", text, (lb.REDIS,), _origin(section, field)) for name, field, text in rows)


def info_counters(section: str, rows: Iterable[InfoRow]) -> tuple[Metric, ...]:
    """Declare a counter for each row; its name may lack ``_total``, since redis_exporter has chosen it."""
    return tuple(counter(f"redis_{name}", text, (lb.REDIS,), _origin(section, field)) for name, field, text in rows)


def _origin(section: str, field: str) -> Info:
    return Info(section, field, words=OK_WORDS, least=-LARGEST if field in SIGNED else 0)
