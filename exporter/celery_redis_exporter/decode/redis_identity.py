# SPDX-License-Identifier: Apache-2.0
"""Decode the fields of INFO that together form the server's identity.

Input: fields. Output: samples. Nothing is kept.
"""

from collections.abc import Iterator, Mapping

from celery_redis_exporter.catalog import redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.catalog.server_fields import read_product
from celery_redis_exporter.decode.redis_fields import LONGEST_LABEL, read_whole
from celery_redis_exporter.records.samples import Sample

_IDENTITY = rows.INSTANCE_INFO.label_names[1:]


def decode_identity(redis: str, fields: Mapping[str, str], now: float) -> Iterator[Sample]:
    """Yield the server's product, its start time, and the master that it replicates.

    ``now`` (seconds since the epoch) is for servers that do not report their time.
    """
    product, version = read_product(fields)
    if version is not None:
        yield Sample(rows.PRODUCT_INFO, (redis, product, version[:LONGEST_LABEL]), 1)
        labels = (fields.get(label, "")[:LONGEST_LABEL] for label in _IDENTITY)
        yield Sample(rows.INSTANCE_INFO, (redis, *labels), 1)
    uptime, microseconds = (read_whole(fields.get(name, "")) for name in ("uptime_in_seconds", "server_time_usec"))
    if uptime is not None:
        time = int(now) if microseconds is None else microseconds // 1_000_000
        yield Sample(rows.START_TIME, (redis,), time - uptime)
    if fields.get("role") == "slave":
        labels = (fields.get(name, "")[:LONGEST_LABEL] for name in ("master_host", "master_port", "slave_read_only"))
        yield Sample(redis_replication.SLAVE_INFO, (redis, *labels), 1)
