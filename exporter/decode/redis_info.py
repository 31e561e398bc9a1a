"""INFO, turned into samples by walking the catalogue's rows.

A field that the server does not send gives no sample; a value that is no number gives none either. Keeps nothing but
what the last INFO's lines gave.
"""

import re
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from exporter.catalog import redis_commands, redis_keyspace, redis_replication
from exporter.catalog import redis_server as rows
from exporter.decode.redis_fields import (
    FieldRow,
    decode_parts,
    decode_value,
    index_rows,
    is_numbered,
    read_whole,
    row_of,
    split_parts,
)
from exporter.decode.redis_identity import decode_identity, decode_masters, says_more_together
from exporter.records import Quantiles, Sample

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
_DATABASE = re.compile(rb"\ndb(\d{1,9}):")

Usage = tuple[int, float]
"""How often a command was called, and the microseconds that took."""


class _Line(NamedTuple):
    """What a line of INFO gave: samples, and what says something only together with other lines."""

    samples: tuple[Sample, ...] = ()
    field: tuple[str, str] | None = None
    usage: tuple[str, Usage] | None = None
    percentiles: tuple[str, tuple[tuple[str, float], ...]] | None = None

    @property
    def says_more(self) -> bool:
        """Whether it gave more than samples."""
        return self.field is not None or self.usage is not None or self.percentiles is not None


_NOTHING = _Line()


class _Told(NamedTuple):
    """INFO's lines, the samples that each gave, and by position those that say more than samples, in their order."""

    lines: list[bytes]
    samples: list[tuple[Sample, ...]]
    more: dict[int, _Line]


class InfoDecoder:
    """Turns the INFO of the server called ``redis`` into samples, one read after the other.

    Nine of ten lines say what they said at the last read: what each one gave is kept until the next, and no longer.
    So are the zeros of empty databases, for good. ``usage`` is how much each command was used, from the last read.
    """

    def __init__(self, redis: str) -> None:
        self.usage: dict[str, Usage] = {}
        self._redis = redis
        self._told = _Told([], [], {})
        self._summaries: dict[str, Sample] = {}
        self._zeros_known: dict[int, tuple[Sample, ...]] = {}

    def decode(self, text: bytes, databases: Iterable[int], now: float) -> list[Sample]:
        """Give every sample that INFO holds at ``now``, in seconds since the epoch.

        Of ``databases`` those are shown as empty that INFO leaves out.
        """
        redis, told = self._redis, self._tell(text.split(b"\r\n"))
        samples = list(chain.from_iterable(told.samples))
        more = told.more.values()
        fields = [line.field for line in more if line.field is not None]
        self.usage = dict([line.usage for line in more if line.usage is not None])
        samples += decode_identity(redis, dict(fields), now)
        samples += decode_masters(redis, fields)
        samples += self._summarize([line.percentiles for line in more if line.percentiles is not None])
        return samples + self._empty(text, databases)

    def _tell(self, lines: list[bytes]) -> _Told:
        """Decode the lines that are not those of the last read."""
        redis, told = self._redis, self._told
        if len(lines) == len(told.lines):
            decoded = [
                (position, _decode_line(redis, line))
                for position, (line, before) in enumerate(zip(lines, told.lines, strict=True))
                if line != before
            ]
            if all((position in told.more) == line.says_more for position, line in decoded):
                for position, line in decoded:
                    told.samples[position] = line.samples
                    if line.says_more:
                        told.more[position] = line
                self._told = told._replace(lines=lines)
                return self._told
        gave = [_decode_line(redis, line) for line in lines]
        more = {position: line for position, line in enumerate(gave) if line.says_more}
        self._told = _Told(lines, [line.samples for line in gave], more)
        return self._told

    def _summarize(self, percentiles: list[tuple[str, tuple[tuple[str, float], ...]]]) -> list[Sample]:
        metric, redis, usage, before = redis_commands.LATENCY_PERCENTILES, self._redis, self.usage, self._summaries
        self._summaries = found = {}
        for command, values in percentiles:
            if command in usage:
                value, known = Quantiles(values, *usage[command]), before.get(command)
                found[command] = known if known and known.value == value else Sample(metric, (redis, command), value)
        return list(found.values())

    def _empty(self, text: bytes, databases: Iterable[int]) -> list[Sample]:
        told = {int(number) for number in _DATABASE.findall(text[text.find(b"# Keyspace") :])}
        return [sample for number in databases if number not in told for sample in self._zeros(number)]

    def _zeros(self, number: int) -> tuple[Sample, ...]:
        found = self._zeros_known.get(number)
        if found is None:
            labels = (self._redis, f"db{number}")
            found = tuple(Sample(metric, labels, 0) for metric in redis_keyspace.OF_EMPTY_DATABASES)
            self._zeros_known[number] = found
        return found


def _decode_line(redis: str, line: bytes) -> _Line:
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon or name.startswith("#"):
        return _NOTHING
    found = _decode_field(redis, name, value)
    return _Line(found.samples, (name, value)) if says_more_together(name) else found


def _decode_field(redis: str, name: str, value: str) -> _Line:
    """Give what one field says by itself."""
    rows_of_field = _ROWS.get(name)
    if rows_of_field is not None:
        return _Line(tuple(decode_value(rows_of_field, (redis,), value)))
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
            return _Line(tuple(decode_parts(_REPLICA_ROWS, replica, parts)))
        case "engine_":
            engine = (redis, parts.get("name", ""), parts.get("module", ""), parts.get("abi_version", ""))
            return _Line((Sample(rows.ENGINE_INFO, engine, 1), *decode_parts(_ENGINE_ROWS, engine, parts)))
        case "latency_percentiles_usec_":
            return _Line(percentiles=(rest, tuple(_percentiles(parts))))
        case "used_active_time_io_thread_":
            return _Line(tuple(decode_value(_ROWS_BY_PREFIX[kind], (redis, rest), value)))
    # redis_exporter keeps the prefix in the label of databases.
    labels = (redis, f"db{rest}" if kind == "db" else rest)
    return _Line(tuple(decode_parts(_ROWS_BY_PREFIX[kind], labels, parts)), None, _usage(rest, parts))


def _usage(command: str, parts: dict[str, str]) -> tuple[str, Usage] | None:
    calls, microseconds = read_whole(parts.get("calls", "")), read_whole(parts.get("usec", ""))
    return None if calls is None or microseconds is None else (command, (calls, microseconds))


def _percentiles(parts: dict[str, str]) -> Iterable[tuple[str, float]]:
    """Give ``p99.9=4.015`` as 99.9, a percentile as redis_exporter has it, and its value."""
    for name, value in parts.items():
        percentile, number = name.removeprefix("p"), _PLAIN.read(value)
        if number is not None and _PLAIN.read(percentile) is not None:
            yield percentile, number


_PLAIN = FieldRow(redis_commands.LATENCY_PERCENTILES, "", "", 1, {})
