# SPDX-License-Identifier: Apache-2.0
"""Decode the text of INFO into samples.

Three kinds of fields are read, each from a table:

- ``used_memory:1048576``: the whole value is one number. The catalogue has the row (``_ROWS``).
- ``db0:keys=5,expires=2``: there is one such field per database, command, replica and so on. ``_GROUPS`` has the
  pattern of its name and the function that decodes it.
- Fields that only together form a sample: the server's identity, its masters (``redis_identity``), percentiles.

A field that the server does not send yields no sample, and neither does a value that is invalid for its metric
(``redis_fields.FieldReader``). Nothing is kept between two calls.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from celery_redis_exporter.catalog import redis_commands, redis_keyspace, redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.decode.redis_fields import (
    LONGEST_LABEL,
    FieldReader,
    Fields,
    index_rows,
    read_fields,
    row_of,
    split_parts,
)
from celery_redis_exporter.decode.redis_identity import decode_identity, decode_masters
from celery_redis_exporter.records.samples import Quantiles, Sample

Usage = tuple[int, int]
"""The number of calls of a command, and the microseconds that they took together."""

_ALL_ROWS = index_rows(rows.INFO_ROWS)
_ROWS = {field: found for field, found in _ALL_ROWS.items() if not field.endswith("*")}
_REPLICA_ROWS = [row_of(redis_replication.CONNECTED_SLAVE_OFFSET), row_of(redis_replication.CONNECTED_SLAVE_LAG)]
_ENGINE_ROWS = [row_of(metric) for metric in rows.ENGINE_ROWS]
_IO_THREAD_ROWS = [row_of(metric) for metric in rows.IO_THREAD_ROWS]
_BIN = re.compile(r"(\d{1,4})([KMGTPE]?)=(\d{1,18})(?:,|$)", re.ASCII)
_BINS = {"": 1} | {unit: 1024**power for power, unit in enumerate("KMGTPE", 1)}
_COMMAND, _SUMMARY = "cmdstat_", "latency_percentiles_usec_"
_USAGE = re.compile(r"calls=(\d{1,19}),usec=(\d{1,19})(?:,|$)", re.ASCII).match
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
    reader = FieldReader()
    fields = read_fields(reply.decode("utf-8", "replace"))
    by_name = dict(fields)
    usage = dict(_read_usage(fields))
    samples: list[Sample] = []
    for name, value in fields:
        samples += _decode_field(reader, redis, name, value)
    samples += decode_identity(redis, by_name, now)
    samples += decode_masters(reader, redis, fields)
    samples += _decode_percentiles(redis, fields, usage)
    if _KEYSPACE(reply):
        empty = (f"db{number}" for number in databases if f"db{number}" not in by_name)
        samples += _decode_empty_databases(redis, empty)
    return InfoReading(samples, usage, reader.refused)


def _decode_field(reader: FieldReader, redis: str, name: str, value: str) -> list[Sample]:
    """Return the samples that one field forms by itself."""
    rows_of_field = _ROWS.get(name)
    if rows_of_field is not None:
        return reader.value(rows_of_field, (redis,), value)
    found = _GROUP(name)
    if found is None or found.lastindex is None:
        return []
    return _GROUPS[found.lastindex - 1][1](reader, redis, found[found.lastindex][:LONGEST_LABEL], value)


def _decode_command(reader: FieldReader, redis: str, command: str, value: str) -> list[Sample]:
    return reader.parts(_ALL_ROWS["cmdstat_*"], (redis, command), split_parts(value))


def _decode_error(reader: FieldReader, redis: str, error: str, value: str) -> list[Sample]:
    return reader.parts(_ALL_ROWS["errorstat_*"], (redis, error), split_parts(value))


def _decode_database(reader: FieldReader, redis: str, name: str, value: str) -> list[Sample]:
    return reader.parts(_ALL_ROWS["db*"], (redis, name), split_parts(value))


def _decode_io_thread(reader: FieldReader, redis: str, thread: str, value: str) -> list[Sample]:
    return reader.value(_ALL_ROWS["used_active_time_io_thread_*"], (redis, thread), value)


def _decode_replica(reader: FieldReader, redis: str, _number: str, value: str) -> list[Sample]:
    parts = split_parts(value)
    labels = (redis, *(parts.get(name, "")[:LONGEST_LABEL] for name in ("ip", "port", "state")))
    return reader.parts(_REPLICA_ROWS, labels, parts)


def _decode_engine(reader: FieldReader, redis: str, _number: str, value: str) -> list[Sample]:
    parts = split_parts(value)
    labels = (redis, *(parts.get(name, "")[:LONGEST_LABEL] for name in ("name", "module", "abi_version")))
    return [Sample(rows.ENGINE_INFO, labels, 1), *reader.parts(_ENGINE_ROWS, labels, parts)]


def _decode_server_thread(reader: FieldReader, redis: str, thread: str, value: str) -> list[Sample]:
    return reader.parts(_IO_THREAD_ROWS, (redis, thread), split_parts(value))


def _decode_module(_reader: FieldReader, redis: str, _name: str, value: str) -> list[Sample]:
    parts = split_parts(value)
    labels = (redis, *(parts.get(name, "")[:LONGEST_LABEL] for name in rows.MODULE_INFO.label_names[1:]))
    return [Sample(rows.MODULE_INFO, labels, 1)] if parts.get("name") else []


def _decode_sizes(_reader: FieldReader, redis: str, name: str, value: str) -> list[Sample]:
    """Decode ``db0_distrib_lists_items:1=3,2=1,4K=7``: how many lists have 1, 2 to 3, and 4,096 to 8,191 elements."""
    database, _, kind, measure = name.split("_")
    metric = redis_keyspace.KEYS_BY_ITEMS if measure == "items" else redis_keyspace.KEYS_BY_SIZE
    return [
        Sample(metric, (redis, database, kind, str(int(found[1]) * _BINS[found[2]])), int(found[3]))
        for found in _BIN.finditer(value)
    ]


def _decode_certificate(_reader: FieldReader, redis: str, owner: str, serial: str) -> list[Sample]:
    return [Sample(rows.TLS_CERTIFICATE, (redis, owner, serial), 1)]


_GROUPS: tuple[tuple[str, Callable[[FieldReader, str, str, str], list[Sample]]], ...] = (
    (r"cmdstat_(.+)", _decode_command),
    (r"errorstat_(.+)", _decode_error),
    (r"(db\d+)", _decode_database),  # As in redis_exporter, the label contains the prefix.
    (r"slave(\d+)", _decode_replica),
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


def _read_usage(fields: Fields) -> Iterator[tuple[str, Usage]]:
    """Yield the usage of each command. A command without whole numbers has none.

    Every server writes ``calls`` first and ``usec`` second (Redis: ``genRedisInfoString`` in server.c).
    """
    for name, value in fields:
        if name.startswith(_COMMAND) and (found := _USAGE(value)):
            yield name.removeprefix(_COMMAND), (int(found[1]), int(found[2]))


def _decode_percentiles(redis: str, fields: Fields, usage: dict[str, Usage]) -> Iterator[Sample]:
    """Yield one summary per command. Its count and its sum are the command's usage, so both must be there.

    The quantile of ``p99.9=4.015`` is "99.9", a percentile, as in redis_exporter.
    """
    for name, value in fields:
        if name.startswith(_SUMMARY) and (used := usage.get(name.removeprefix(_SUMMARY))):
            percentiles = tuple([(percentile, float(number)) for percentile, number in _PERCENTILE(value)])
            labels = (redis, name.removeprefix(_SUMMARY)[:LONGEST_LABEL])
            yield Sample(redis_commands.LATENCY_PERCENTILES, labels, Quantiles(percentiles, *used))


def _decode_empty_databases(redis: str, names: Iterable[str]) -> Iterator[Sample]:
    for name in names:
        for metric in redis_keyspace.OF_EMPTY_DATABASES:
            yield Sample(metric, (redis, name), 0)
