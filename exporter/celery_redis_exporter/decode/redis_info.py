"""INFO, turned into samples by walking the catalogue's rows.

A field that the server does not send gives no sample; a value that is no number gives none either. Keeps nothing but
what the last INFO's lines gave.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from celery_redis_exporter.catalog import redis_commands, redis_keyspace, redis_replication
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.decode.redis_commandstats import Usage, decode_command, plan
from celery_redis_exporter.decode.redis_fields import (
    FieldRow,
    decode_parts,
    decode_value,
    index_rows,
    is_numbered,
    read_whole,
    row_of,
    split_parts,
)
from celery_redis_exporter.decode.redis_identity import decode_identity, decode_masters, says_more_together
from celery_redis_exporter.records.samples import Quantiles, Sample

_ROWS, _ROWS_BY_PREFIX = (
    index_rows(metric for metric in rows.INFO_ROWS if is_numbered(metric) is numbered) for numbered in (False, True)
)
_REPLICA_ROWS = [
    row_of(metric) for metric in (redis_replication.CONNECTED_SLAVE_OFFSET, redis_replication.CONNECTED_SLAVE_LAG)
]
_ENGINE_ROWS = [row_of(metric) for metric in rows.ENGINE_ROWS]
_CERTIFICATE = re.compile(r"tls_(server|client|ca)_cert_serial")
_NUMBERED = re.compile(
    r"(cmdstat_|errorstat_|latency_percentiles_usec_|db(?=\d+$)|slave(?=\d+$)|engine_(?=\d+$)"
    r"|used_active_time_io_thread_)(.+)"
)
_COMMANDSTATS = plan(_ROWS_BY_PREFIX["cmdstat_"])


class _More(NamedTuple):
    """What a line says only together with other lines."""

    field: tuple[str, str] | None = None
    usage: tuple[str, Usage] | None = None
    percentiles: tuple[str, tuple[tuple[str, float], ...]] | None = None
    database: int | None = None


class _Line(NamedTuple):
    """What a line of INFO gave."""

    samples: Sequence[Sample] = ()
    more: _More | None = None


_NOTHING = _Line()


class _Summary(NamedTuple):
    """A summary of a command's times, and what it was made from: percentiles, and how often it was called."""

    values: tuple[tuple[str, float], ...]
    used: Usage
    sample: Sample


class _Section(NamedTuple):
    """A section of INFO: its text, its lines with what each gave, and all of that together."""

    text: bytes
    lines: list[bytes]
    gave: list[_Line]
    samples: list[Sample]
    more: list[_More]


class InfoDecoder:
    """Turns the INFO of the server called ``redis`` into samples, one read after the other.

    Half of the sections and nine of ten lines say what they said at the last read: what each one gave is kept until the
    next, and no longer. So are the zeros of empty databases, for good. ``usage`` is how much each command was used,
    from the last read.
    """

    def __init__(self, redis: str) -> None:
        self.usage: dict[str, Usage] = {}
        self._redis = redis
        self._sections: list[_Section] = []
        self._summaries: dict[str, _Summary] = {}
        self._zeros_known: dict[int, tuple[Sample, ...]] = {}

    def decode(self, text: bytes, databases: Iterable[int], now: float) -> list[Sample]:
        """Give every sample that INFO holds at ``now``, in seconds since the epoch.

        Of ``databases`` those are shown as empty that INFO leaves out.
        """
        redis, texts, before = self._redis, text.split(b"\r\n\r\n"), self._sections
        known = before if len(texts) == len(before) else [None] * len(texts)
        self._sections = sections = [
            section if section is not None and section.text == told else _decode_section(redis, told, section)
            for told, section in zip(texts, known, strict=True)
        ]
        samples = [sample for section in sections for sample in section.samples]
        more = [line for section in sections for line in section.more]
        fields = [line.field for line in more if line.field is not None]
        self.usage = dict([line.usage for line in more if line.usage is not None])
        samples += decode_identity(redis, dict(fields), now)
        samples += decode_masters(redis, fields)
        samples += self._summarize([line.percentiles for line in more if line.percentiles is not None])
        told = {line.database for line in more if line.database is not None}
        for number in databases:
            if number not in told:
                samples += self._zeros(number)
        return samples

    def _summarize(self, percentiles: list[tuple[str, tuple[tuple[str, float], ...]]]) -> list[Sample]:
        metric, redis, usage, before = redis_commands.LATENCY_PERCENTILES, self._redis, self.usage, self._summaries
        self._summaries = found = {}
        for command, values in percentiles:
            used, known = usage.get(command), before.get(command)
            if known is not None and known.values is values and known.used == used:
                found[command] = known
            elif used is not None:
                sample = Sample(metric, (redis, command), Quantiles(values, *used))
                found[command] = _Summary(values, used, sample)
        return [summary.sample for summary in found.values()]

    def _zeros(self, number: int) -> tuple[Sample, ...]:
        found = self._zeros_known.get(number)
        if found is None:
            labels = (self._redis, f"db{number}")
            found = tuple(Sample(metric, labels, 0) for metric in redis_keyspace.OF_EMPTY_DATABASES)
            self._zeros_known[number] = found
        return found


def _decode_section(redis: str, text: bytes, known: _Section | None) -> _Section:
    """Decode a section, of its lines those that are not the ones of ``known``."""
    lines = text.split(b"\r\n")
    if known is not None and len(lines) == len(known.lines):
        gave = [
            given if line == before else _decode_line(redis, line)
            for line, before, given in zip(lines, known.lines, known.gave, strict=True)
        ]
    else:
        gave = [_decode_line(redis, line) for line in lines]
    samples = [sample for given in gave for sample in given.samples]
    return _Section(text, lines, gave, samples, [given.more for given in gave if given.more is not None])


def _decode_line(redis: str, line: bytes) -> _Line:
    if line.startswith(b"cmdstat_"):
        told = decode_command(redis, line, _COMMANDSTATS)
        if told is not None:
            samples, command, usage = told
            return _Line(samples, _More(usage=(command, usage)))
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon or name.startswith("#"):
        return _NOTHING
    found = _decode_field(redis, name, value)
    return _Line(found.samples, _More((name, value))) if says_more_together(name) else found


def _decode_field(redis: str, name: str, value: str) -> _Line:
    """Give what one field says by itself."""
    rows_of_field = _ROWS.get(name)
    if rows_of_field is not None:
        return _Line(decode_value(rows_of_field, (redis,), value))
    found = _NUMBERED.match(name)
    if found is not None:
        return _decode_numbered(redis, found.group(1), found.group(2), value)
    certificate = _CERTIFICATE.fullmatch(name)
    if certificate is not None:
        return _Line((Sample(rows.TLS_CERTIFICATE, (redis, certificate.group(1), value), 1),))
    return _NOTHING


def _decode_numbered(redis: str, kind: str, rest: str, value: str) -> _Line:
    """Give what a field says that exists once per command, error, database, replica and so on."""
    parts = split_parts(value)
    match kind:
        case "slave":
            replica = (redis, parts.get("ip", ""), parts.get("port", ""), parts.get("state", ""))
            return _Line(decode_parts(_REPLICA_ROWS, replica, parts))
        case "engine_":
            engine = (redis, parts.get("name", ""), parts.get("module", ""), parts.get("abi_version", ""))
            return _Line((Sample(rows.ENGINE_INFO, engine, 1), *decode_parts(_ENGINE_ROWS, engine, parts)))
        case "latency_percentiles_usec_":
            return _Line((), _More(percentiles=(rest, tuple(_percentiles(parts)))))
        case "used_active_time_io_thread_":
            return _Line(decode_value(_ROWS_BY_PREFIX[kind], (redis, rest), value))
    # redis_exporter keeps the prefix in the label of databases.
    labels = (redis, f"db{rest}" if kind == "db" else rest)
    more = _More(database=read_whole(rest)) if kind == "db" else _usage(rest, parts)
    return _Line(decode_parts(_ROWS_BY_PREFIX[kind], labels, parts), more)


def _usage(command: str, parts: dict[str, str]) -> _More | None:
    calls, microseconds = read_whole(parts.get("calls", "")), read_whole(parts.get("usec", ""))
    return None if calls is None or microseconds is None else _More(usage=(command, (calls, microseconds)))


def _percentiles(parts: dict[str, str]) -> Iterable[tuple[str, float]]:
    """Give ``p99.9=4.015`` as 99.9, a percentile as redis_exporter has it, and its value."""
    for name, value in parts.items():
        percentile, number = name.removeprefix("p"), _PLAIN.read(value)
        if number is not None and _PLAIN.read(percentile) is not None:
            yield percentile, number


_PLAIN = FieldRow(redis_commands.LATENCY_PERCENTILES, "", "", 1, {})
