# SPDX-License-Identifier: Apache-2.0
"""Decode the text of INFO into samples.

Three kinds of fields are read, each from a table:

- ``used_memory:1048576``: the whole value is one number. The catalogue has the row (``_ROWS``).
- ``db0:keys=5,expires=2``: there is one such field per database, command, replica and so on. ``_GROUPS`` has the
  pattern of its name and the function that decodes it.
- Fields that only together form a sample: the server's identity (``redis_identity``), its masters, percentiles.

A field that the server does not send yields no sample, and neither does a value that is invalid for its metric
(``redis_fields.FieldReader``). Only the functions of the last NAMES_KEPT names are kept between two calls, since a
server sends the same names each time.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from celery_redis_exporter.catalog import Metric, redis_commands, redis_keyspace, redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.decode.redis_fields import (
    LONGEST_LABEL,
    FieldReader,
    index_rows,
    read_fields,
    read_whole,
    row_of,
    split_parts,
)
from celery_redis_exporter.decode.redis_identity import decode_identity
from celery_redis_exporter.records.samples import Quantiles, Sample

NAMES_KEPT = 1_000
"""About ten times the commands and errors of one server."""
Usage = tuple[int, int]
"""The number of calls of a command, and the microseconds that they took together."""

_ALL_ROWS = index_rows(rows.INFO_ROWS)
_ROWS = {field: found for field, found in _ALL_ROWS.items() if not field.endswith("*")}
_REPLICA_ROWS = [row_of(redis_replication.CONNECTED_SLAVE_OFFSET), row_of(redis_replication.CONNECTED_SLAVE_LAG)]
_ENGINE_ROWS = [row_of(metric) for metric in rows.ENGINE_ROWS]
_IO_THREAD_ROWS = [row_of(metric) for metric in rows.IO_THREAD_ROWS]
_MASTER_ROWS = {
    "last_io_seconds_ago": [row_of(redis_replication.MASTER_LAST_IO)],
    "sync_in_progress": [row_of(redis_replication.MASTER_SYNC)],
    "slave_repl_offset": [row_of(redis_replication.SLAVE_REPL_OFFSET)],
}
_BIN = re.compile(r"(\d{1,4})([KMGTPE]?)=(\d{1,18})(?:,|$)", re.ASCII)
_BINS = {"": 1} | {unit: 1024**power for power, unit in enumerate("KMGTPE", 1)}
_KEYSPACE = re.compile(rb"^# Keyspace", re.MULTILINE | re.IGNORECASE).search
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,9})?)=(\d{1,18}(?:\.\d{1,9})?)(?:,|$)", re.ASCII).findall


class InfoReading(NamedTuple):
    """What one INFO contains: the samples, the usage of each command, and how many values were refused."""

    samples: list[Sample]
    usage: dict[str, Usage]
    refused: int


def decode_info(redis: str, reply: bytes, databases: Iterable[int], now: float) -> InfoReading:
    """Decode the INFO of the server called ``redis``, read at ``now`` (seconds since the epoch).

    INFO leaves out empty databases. Those of ``databases`` that it leaves out are reported with 0 keys, if it has a
    section about keys at all. Bytes that are not UTF-8 are replaced.
    """
    reader = _InfoReader(redis)
    fields = read_fields(reply.decode("utf-8", "replace"))
    own = (redis,)
    for name, value in fields:
        rows_of_field = _ROWS.get(name)
        if rows_of_field is not None:
            reader.value(rows_of_field, own, value)
        elif (found := _find_group(name)) is not None:
            decode, part = found
            decode(reader, part, value)
    by_name = dict(fields)
    reader.samples += decode_identity(redis, by_name, now)
    reader.samples += _decode_percentiles(reader)
    if _KEYSPACE(reply):
        empty = (f"db{number}" for number in databases if f"db{number}" not in by_name)
        reader.samples += _decode_empty_databases(redis, empty)
    return InfoReading(reader.samples, reader.usage, reader.refused)


class _InfoReader(FieldReader):
    """A reader of the server called ``redis``, with what other fields need.

    ``usage`` and ``percentiles`` (texts) are by command. ``master`` has the host and the port of the master whose
    fields follow.
    """

    def __init__(self, redis: str) -> None:
        super().__init__()
        self.redis = redis
        self.usage: dict[str, Usage] = {}
        self.percentiles: dict[str, str] = {}
        self.master = ("", "")

    def add(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Add a sample of the server. ``labels`` are those behind its name."""
        self.samples.append(Sample(metric, (self.redis, *labels), value))


def _decode_command(reader: _InfoReader, command: str, value: str) -> None:
    parts = split_parts(value)
    calls, microseconds = read_whole(parts.get("calls", "")), read_whole(parts.get("usec", ""))
    if calls is not None and microseconds is not None:
        reader.usage[command] = calls, microseconds
    reader.parts(_ALL_ROWS["cmdstat_*"], (reader.redis, command), parts)


def _decode_error(reader: _InfoReader, error: str, value: str) -> None:
    reader.parts(_ALL_ROWS["errorstat_*"], (reader.redis, error), split_parts(value))


def _decode_database(reader: _InfoReader, name: str, value: str) -> None:
    reader.parts(_ALL_ROWS["db*"], (reader.redis, name), split_parts(value))


def _decode_io_thread(reader: _InfoReader, thread: str, value: str) -> None:
    reader.value(_ALL_ROWS["used_active_time_io_thread_*"], (reader.redis, thread), value)


def _decode_replica(reader: _InfoReader, _number: str, value: str) -> None:
    parts = split_parts(value)
    labels = (reader.redis, *(parts.get(name, "")[:LONGEST_LABEL] for name in ("ip", "port", "state")))
    reader.parts(_REPLICA_ROWS, labels, parts)


def _decode_master(reader: _InfoReader, field: str, value: str) -> None:
    """Decode a field of a link to a master. INFO has the host and the port of each before its other fields.

    An active replica of KeyDB has several masters: ``master_host``, ``master_1_host`` and so on.
    """
    host, port = reader.master
    match field:
        case "host":
            reader.master = (value[:LONGEST_LABEL], port)
        case "port":
            reader.master = (host, value[:LONGEST_LABEL])
        case "link_status":
            reader.add(redis_replication.MASTER_LINK_UP, reader.master, float(value == "up"))
        case other:
            reader.value(_MASTER_ROWS[other], (reader.redis, host, port), value)


def _decode_engine(reader: _InfoReader, _number: str, value: str) -> None:
    parts = split_parts(value)
    labels = tuple(parts.get(name, "")[:LONGEST_LABEL] for name in ("name", "module", "abi_version"))
    reader.add(rows.ENGINE_INFO, labels, 1)
    reader.parts(_ENGINE_ROWS, (reader.redis, *labels), parts)


def _decode_server_thread(reader: _InfoReader, thread: str, value: str) -> None:
    reader.parts(_IO_THREAD_ROWS, (reader.redis, thread), split_parts(value))


def _decode_module(reader: _InfoReader, _name: str, value: str) -> None:
    parts = split_parts(value)
    labels = tuple(parts.get(name, "")[:LONGEST_LABEL] for name in rows.MODULE_INFO.label_names[1:])
    if parts.get("name"):
        reader.add(rows.MODULE_INFO, labels, 1)


def _decode_sizes(reader: _InfoReader, name: str, value: str) -> None:
    """Decode ``db0_distrib_lists_items:1=3,2=1,4K=7``: how many lists have 1, 2 to 3, and 4,096 to 8,191 elements."""
    database, _, kind, measure = name.split("_")
    metric = redis_keyspace.KEYS_BY_ITEMS if measure == "items" else redis_keyspace.KEYS_BY_SIZE
    for found in _BIN.finditer(value):
        reader.add(metric, (database, kind, str(int(found[1]) * _BINS[found[2]])), int(found[3]))


def _decode_certificate(reader: _InfoReader, owner: str, serial: str) -> None:
    reader.add(rows.TLS_CERTIFICATE, (owner, serial), 1)


def _note_percentiles(reader: _InfoReader, command: str, value: str) -> None:
    reader.percentiles[command] = value


_GROUPS: tuple[tuple[str, Callable[[_InfoReader, str, str], None]], ...] = (
    (r"cmdstat_(.+)", _decode_command),
    (r"latency_percentiles_usec_(.+)", _note_percentiles),
    (r"errorstat_(.+)", _decode_error),
    (r"(db\d+)", _decode_database),  # As in redis_exporter, the label contains the prefix.
    (r"slave(\d+)", _decode_replica),
    (r"master(?:_\d+)?_(host|port|link_status|last_io_seconds_ago|sync_in_progress)", _decode_master),
    (r"(slave_repl_offset)", _decode_master),
    (r"engine_(\d+)", _decode_engine),
    (r"used_active_time_io_thread_(.+)", _decode_io_thread),
    (r"io_thread_(\d+)", _decode_server_thread),
    (r"(module)", _decode_module),
    (r"(db\d+_distrib_[a-z]+_(?:items|sizes))", _decode_sizes),
    (r"tls_(server|client|ca)_cert_serial", _decode_certificate),
)
"""Names of fields that exist several times, and the functions that decode them.

The group of the pattern is passed as an argument.
"""
_GROUP = re.compile("|".join(pattern for pattern, _ in _GROUPS), re.ASCII).fullmatch


@lru_cache(NAMES_KEPT)
def _find_group(name: str) -> tuple[Callable[[_InfoReader, str, str], None], str] | None:
    """Return the function that decodes such a field, and its argument, or None for a field that is not read."""
    found = _GROUP(name)
    if found is None or found.lastindex is None:
        return None
    return _GROUPS[found.lastindex - 1][1], found[found.lastindex][:LONGEST_LABEL]


def _decode_percentiles(reader: _InfoReader) -> Iterator[Sample]:
    """Yield one summary per command. Its count and its sum are the command's usage, so both must be there.

    The quantile of ``p99.9=4.015`` is "99.9", a percentile, as in redis_exporter.
    """
    for command, value in reader.percentiles.items():
        used = reader.usage.get(command)
        if used is not None:
            percentiles = tuple([(percentile, float(number)) for percentile, number in _PERCENTILE(value)])
            yield Sample(redis_commands.LATENCY_PERCENTILES, (reader.redis, command), Quantiles(percentiles, *used))


def _decode_empty_databases(redis: str, names: Iterable[str]) -> Iterator[Sample]:
    for name in names:
        for metric in redis_keyspace.OF_EMPTY_DATABASES:
            yield Sample(metric, (redis, name), 0)
