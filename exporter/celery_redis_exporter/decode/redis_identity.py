# SPDX-License-Identifier: Apache-2.0
"""Decode fields of INFO that only together form a sample: the server's identity and its masters.

Input: fields. Output: samples. Nothing is kept.
"""

import re
from collections.abc import Iterator, Mapping

from celery_redis_exporter.catalog import redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.catalog.server_fields import read_product
from celery_redis_exporter.decode.redis_fields import LONGEST_LABEL, FieldReader, Fields, read_whole, row_of
from celery_redis_exporter.records.samples import Sample

# An active replica of KeyDB has several masters: master_host, master_1_host and so on.
_MASTER = re.compile(r"master(?:_\d+)?_(host|port|link_status|last_io_seconds_ago|sync_in_progress)|slave_repl_offset")
_MASTER_ROWS = {
    "last_io_seconds_ago": row_of(redis_replication.MASTER_LAST_IO),
    "sync_in_progress": row_of(redis_replication.MASTER_SYNC),
    None: row_of(redis_replication.SLAVE_REPL_OFFSET),
}
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


def decode_masters(reader: FieldReader, redis: str, fields: Fields) -> Iterator[Sample]:
    """Yield the links to masters. INFO has the host and the port of each before its other fields."""
    host = port = ""
    for name, value in fields:
        found = _MASTER.fullmatch(name) if name.startswith(("master", "slave")) else None
        if found is None:
            continue
        match found.group(1):
            case "host":
                host = value[:LONGEST_LABEL]
            case "port":
                port = value[:LONGEST_LABEL]
            case "link_status":
                yield Sample(redis_replication.MASTER_LINK_UP, (redis, host, port), float(value == "up"))
            case other:
                yield from reader.value((_MASTER_ROWS[other],), (redis, host, port), value)
