"""Fields of INFO that say something together: who the server is, and what its masters are.

Takes fields, gives samples. Keeps nothing.
"""

import re
from collections.abc import Iterable, Iterator

from celery_redis_exporter.catalog import redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.catalog.server_fields import OTHER_NAMES, read_field
from celery_redis_exporter.decode.redis_fields import read_whole, row_of
from celery_redis_exporter.records.samples import Sample

# An active replica of KeyDB has several masters: master_host, master_1_host and so on.
_MASTER = re.compile(r"master(?:_\d+)?_(host|port|link_status|last_io_seconds_ago|sync_in_progress)|slave_repl_offset")
_MASTER_ROWS = {
    "last_io_seconds_ago": row_of(redis_replication.MASTER_LAST_IO),
    "sync_in_progress": row_of(redis_replication.MASTER_SYNC),
    None: row_of(redis_replication.SLAVE_REPL_OFFSET),
}
_IDENTITY = rows.INSTANCE_INFO.label_names[1:]
_TOGETHER = frozenset((
    *_IDENTITY, *OTHER_NAMES.values(), "server_time_usec", "uptime_in_seconds", "slave_read_only", "slave_repl_offset",
))  # fmt: skip


def says_more_together(name: str) -> bool:
    """Whether a field is one of those that are read here."""
    return name in _TOGETHER or (name.startswith("master") and _MASTER.fullmatch(name) is not None)


def decode_identity(redis: str, fields: dict[str, str], now: float) -> Iterator[Sample]:
    """Give who the server is, since when, and whose replica; ``now`` is for servers that do not tell their time."""
    if "redis_version" in fields:
        labels = (read_field(fields, label) or "" for label in _IDENTITY)
        yield Sample(rows.INSTANCE_INFO, (redis, *labels), 1)
    uptime, microseconds = (read_whole(fields.get(name, "")) for name in ("uptime_in_seconds", "server_time_usec"))
    if uptime is not None:
        time = int(now) if microseconds is None else microseconds // 1_000_000
        yield Sample(rows.START_TIME, (redis,), time - uptime)
    if fields.get("role") == "slave":
        labels = (fields.get(name, "") for name in ("master_host", "master_port", "slave_read_only"))
        yield Sample(redis_replication.SLAVE_INFO, (redis, *labels), 1)


def decode_masters(redis: str, fields: Iterable[tuple[str, str]]) -> Iterator[Sample]:
    """Give the links to masters; host and port of each come before what is said of it."""
    host = port = ""
    for name, value in fields:
        found = _MASTER.fullmatch(name) if name.startswith(("master", "slave")) else None
        if found is None:
            continue
        match found.group(1):
            case "host":
                host = value
            case "port":
                port = value
            case "link_status":
                yield Sample(redis_replication.MASTER_LINK_UP, (redis, host, port), float(value == "up"))
            case other:
                row = _MASTER_ROWS[other]
                number = row.read(value)
                if number is not None:
                    yield Sample(row.metric, (redis, host, port), number)
