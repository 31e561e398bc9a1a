"""Redis's replies about itself, turned into samples by walking the catalogue's rows.

A field that the server does not send gives no sample; a value that is no number gives none either. Keeps nothing but
what the last INFO's lines gave.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporter.catalog import Metric
from exporter.catalog import redis_server as rows
from exporter.catalog.metric import Info
from exporter.records import Sample

Reply = object
"""A reply as RESP2 gives it: bytes, int, None or a list of replies."""


MAX_DIGITS = 20


class _Row(NamedTuple):
    """How one metric is read from its INFO field; see ``catalog.metric.Info``."""

    metric: Metric
    part: str
    divisor: float
    words: dict[str, float]

    def read(self, value: str | None) -> float | None:
        """Give the field's value in the metric's unit; None if it is missing or no number."""
        if value is None:
            return None
        if value in self.words:
            return self.words[value]
        try:
            # Whole numbers stay whole, up to what 64 bits hold.
            number = int(value) if value.isdecimal() and len(value) < MAX_DIGITS else float(value)
        except ValueError:
            return None
        return number if self.divisor == 1 else number / self.divisor


def _row(metric: Metric) -> _Row:
    origin = metric.origin
    if not isinstance(origin, Info):
        raise TypeError(f"{metric.name} does not come from INFO")
    return _Row(metric, origin.part, origin.divisor, dict(origin.words))


def _index(metrics: tuple[Metric, ...]) -> dict[str, list[_Row]]:
    """Map INFO fields, or their prefixes (the field without its star), to the rows that read them."""
    rows_by_field: dict[str, list[_Row]] = defaultdict(list)
    for metric in metrics:
        if isinstance(metric.origin, Info):
            rows_by_field[metric.origin.fieldname.rstrip("*")].append(_row(metric))
    return dict(rows_by_field)


_INFO = _index(rows.INFO_ROWS)
_CLUSTER = _index(rows.CLUSTER_ROWS)
_REPLICA_ROWS = [_row(metric) for metric in (rows.CONNECTED_SLAVE_OFFSET, rows.CONNECTED_SLAVE_LAG)]
_MASTER_ROWS = {
    "master_last_io_seconds_ago": _row(rows.MASTER_LAST_IO),
    "master_sync_in_progress": _row(rows.MASTER_SYNC),
    "slave_repl_offset": _row(rows.SLAVE_REPL_OFFSET),
}
_TOGETHER = {
    *rows.INSTANCE_INFO.label_names, *_MASTER_ROWS, "server_time_usec", "uptime_in_seconds", "master_host",
    "master_port", "master_link_status", "slave_read_only",
}  # fmt: skip
"""Fields of which several make one sample."""
_NUMBERED = re.compile(r"(cmdstat_|errorstat_|db(?=\d+$)|slave(?=\d+$))(.+)")


def parse_info(text: bytes) -> dict[str, str]:
    """Split an INFO-like reply into fields, in order; bytes that are no UTF-8 are replaced."""
    fields = {}
    for line in text.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields


class _Line(NamedTuple):
    """What a line of INFO gave: its samples, and its field if that says something only together with others."""

    samples: tuple[Sample, ...]
    together: dict[str, str]


class InfoDecoder:
    """Turns the INFO of the server called ``redis`` into samples, one read after the other.

    Nine of ten lines say what they said at the last read: what each one gave is kept until the next, and no longer.
    """

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._known: dict[bytes, _Line] = {}

    def decode(self, text: bytes, db: int) -> list[Sample]:
        """Give every sample that INFO holds; database ``db`` is there even if it is empty, which INFO leaves out."""
        redis, known = self._redis, self._known
        samples: list[Sample] = []
        together: dict[str, str] = {}
        kept = self._known = {}
        for line in text.split(b"\r\n"):
            found = known.get(line)
            if found is None:
                found = _decode_line(redis, line)
            kept[line] = found
            samples += found.samples
            if found.together:
                together |= found.together
        if b"\ndb%d:" % db not in b"\n" + text:
            samples += _decode_field(redis, f"db{db}", "keys=0,expires=0,avg_ttl=0")
        return [*samples, *_decode_identity(redis, together), *_decode_replica(redis, together)]


def decode_cluster_info(redis: str, text: bytes) -> list[Sample]:
    """Give the samples of CLUSTER INFO."""
    return list(_walk(redis, parse_info(text), _CLUSTER))


def decode_slowlog(redis: str, length: Reply, newest: Reply) -> list[Sample]:
    """Give the samples of SLOWLOG LEN and SLOWLOG GET 1 (a list of [id, time, microseconds, ...])."""
    samples = []
    if isinstance(length, int):
        samples.append(Sample(rows.SLOWLOG_LENGTH, (redis,), length))
    if isinstance(newest, list):
        match newest:
            case [[int(entry), _, int(microseconds), *_], *_]:
                samples.append(Sample(rows.SLOWLOG_LAST_ID, (redis,), entry))
                samples.append(Sample(rows.SLOWLOG_LAST_DURATION, (redis,), microseconds / 1e6))
            case []:
                samples.append(Sample(rows.SLOWLOG_LAST_ID, (redis,), 0))
                samples.append(Sample(rows.SLOWLOG_LAST_DURATION, (redis,), 0))
    return samples


def decode_latency_latest(redis: str, reply: Reply) -> list[Sample]:
    """Give the samples of LATENCY LATEST: a list of [event, epoch seconds, milliseconds, maximum]."""
    samples = []
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [bytes(event), int(at), int(milliseconds), *_]:
                labels = (redis, event.decode("utf-8", "replace"))
                samples.append(Sample(rows.LATENCY_LAST, labels, at))
                samples.append(Sample(rows.LATENCY_DURATION, labels, milliseconds / 1e3))
    return samples


def decode_output_buffer(reply: Reply) -> int | None:
    """Give the output buffer (``omem``, bytes) of the one client that CLIENT LIST ID names; None if it is gone."""
    found = re.search(rb"(?:^| )omem=(\d+)", reply) if isinstance(reply, bytes) else None
    return int(found.group(1)) if found else None


def _walk(redis: str, fields: dict[str, str], index: dict[str, list[_Row]]) -> Iterator[Sample]:
    labels = (redis,)
    for name, value in fields.items():
        for row in index.get(name, ()):
            number = row.read(value)
            if number is not None:
                yield Sample(row.metric, labels, number)


def _decode_line(redis: str, line: bytes) -> _Line:
    name, colon, value = line.decode("utf-8", "replace").partition(":")
    if not colon or name.startswith("#"):
        return _Line((), {})
    return _Line(tuple(_decode_field(redis, name, value)), {name: value} if name in _TOGETHER else {})


def _decode_field(redis: str, name: str, value: str) -> list[Sample]:
    """Give the samples that one field holds by itself."""
    rows_of_field = _INFO.get(name)
    if rows_of_field is not None:
        read = ((row, row.read(value)) for row in rows_of_field)
        return [Sample(row.metric, (redis,), number) for row, number in read if number is not None]
    found = _NUMBERED.match(name)
    if found is None:
        return []
    parts = _parts(value)
    if found.group(1) == "slave":
        replica = (redis, parts.get("ip", ""), parts.get("port", ""), parts.get("state", ""))
        return _decode_parts(_REPLICA_ROWS, replica, parts)
    # db0 keeps its prefix in the label, as redis_exporter has it
    label = name if found.group(1) == "db" else found.group(2)
    return _decode_parts(_INFO[found.group(1)], (redis, label), parts)


def _decode_parts(index: Iterable[_Row], labels: tuple[str, ...], parts: dict[str, str]) -> list[Sample]:
    read = ((row, row.read(parts.get(row.part))) for row in index)
    return [Sample(row.metric, labels, number) for row, number in read if number is not None]


def _decode_identity(redis: str, fields: dict[str, str]) -> Iterator[Sample]:
    if "redis_version" in fields:
        labels = (fields.get(label, "") for label in rows.INSTANCE_INFO.label_names[1:])
        yield Sample(rows.INSTANCE_INFO, (redis, *labels), 1)
    if fields.get("server_time_usec", "").isdecimal() and fields.get("uptime_in_seconds", "").isdecimal():
        start = int(fields["server_time_usec"]) // 1_000_000 - int(fields["uptime_in_seconds"])
        yield Sample(rows.START_TIME, (redis,), start)


def _decode_replica(redis: str, fields: dict[str, str]) -> Iterator[Sample]:
    if fields.get("role") != "slave":
        return
    master = (redis, fields.get("master_host", ""), fields.get("master_port", ""))
    yield Sample(rows.SLAVE_INFO, (*master, fields.get("slave_read_only", "")), 1)
    yield Sample(rows.MASTER_LINK_UP, master, float(fields.get("master_link_status") == "up"))
    for field, row in _MASTER_ROWS.items():
        number = row.read(fields.get(field))
        if number is not None:
            yield Sample(row.metric, master, number)


def _parts(value: str) -> dict[str, str]:
    """Split ``keys=3,expires=1`` into its parts."""
    return dict(part.partition("=")[::2] for part in value.split(","))
