"""Redis's replies about itself, turned into samples by walking the catalogue's rows.

A field that the server does not send gives no sample; a value that is no number gives none either.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from exporter.catalog import Metric
from exporter.catalog import redis_server as rows
from exporter.catalog.metric import Info
from exporter.records import Sample

Reply = object
"""A reply as RESP2 gives it: bytes, int, None or a list of replies."""


def _index(metrics: tuple[Metric, ...]) -> tuple[dict[str, list[Metric]], dict[str, list[Metric]]]:
    """Map INFO fields to their rows, and prefixes (the field's pattern without its star) to theirs."""
    plain: dict[str, list[Metric]] = defaultdict(list)
    prefixed: dict[str, list[Metric]] = defaultdict(list)
    for metric in metrics:
        origin = metric.origin
        if isinstance(origin, Info):
            target = prefixed if origin.fieldname.endswith("*") else plain
            target[origin.fieldname.rstrip("*")].append(metric)
    return dict(plain), dict(prefixed)


_PLAIN, _PREFIXED = _index(rows.INFO_ROWS)
_CLUSTER, _ = _index(rows.CLUSTER_ROWS)
_PREFIX = re.compile(r"(cmdstat_|errorstat_|db(?=\d+$))(.+)")
_REPLICA = re.compile(r"slave\d+$")


def parse_info(text: bytes) -> dict[str, str]:
    """Split an INFO-like reply into fields, in order; bytes that are no UTF-8 are replaced."""
    fields = {}
    for line in text.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields


def decode_info(redis: str, fields: dict[str, str]) -> list[Sample]:
    """Give every sample that INFO holds for the server called ``redis``."""
    samples = [*_walk(redis, fields, _PLAIN), *_decode_identity(redis, fields), *_decode_replication(redis, fields)]
    for name, value in fields.items():
        found = _PREFIX.match(name)
        if found:
            # db0 keeps its prefix in the label, as redis_exporter has it
            label = name if found.group(1) == "db" else found.group(2)
            parts = _parts(value)
            for metric in _PREFIXED[found.group(1)]:
                number = _number(metric, parts.get(_origin(metric).part))
                if number is not None:
                    samples.append(Sample(metric, (redis, label), number))
    return samples


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


def _walk(redis: str, fields: dict[str, str], index: dict[str, list[Metric]]) -> Iterator[Sample]:
    for name, value in fields.items():
        for metric in index.get(name, ()):
            number = _number(metric, value)
            if number is not None:
                yield Sample(metric, (redis,), number)


def _decode_identity(redis: str, fields: dict[str, str]) -> Iterator[Sample]:
    if "redis_version" in fields:
        labels = (fields.get(label, "") for label in rows.INSTANCE_INFO.label_names[1:])
        yield Sample(rows.INSTANCE_INFO, (redis, *labels), 1)
    if fields.get("server_time_usec", "").isdigit() and fields.get("uptime_in_seconds", "").isdigit():
        start = int(fields["server_time_usec"]) // 1_000_000 - int(fields["uptime_in_seconds"])
        yield Sample(rows.START_TIME, (redis,), start)


def _decode_replication(redis: str, fields: dict[str, str]) -> Iterator[Sample]:
    for name, value in fields.items():
        if _REPLICA.match(name):
            parts = _parts(value)
            labels = (redis, parts.get("ip", ""), parts.get("port", ""), parts.get("state", ""))
            for metric in (rows.CONNECTED_SLAVE_OFFSET, rows.CONNECTED_SLAVE_LAG):
                number = _number(metric, parts.get(_origin(metric).part))
                if number is not None:
                    yield Sample(metric, labels, number)
    if fields.get("role") != "slave":
        return
    master = (redis, fields.get("master_host", ""), fields.get("master_port", ""))
    yield Sample(rows.SLAVE_INFO, (*master, fields.get("slave_read_only", "")), 1)
    yield Sample(rows.MASTER_LINK_UP, master, float(fields.get("master_link_status") == "up"))
    for metric in (rows.MASTER_LAST_IO, rows.MASTER_SYNC, rows.SLAVE_REPL_OFFSET):
        number = _number(metric, fields.get(_origin(metric).fieldname))
        if number is not None:
            yield Sample(metric, master, number)


def _origin(metric: Metric) -> Info:
    if not isinstance(metric.origin, Info):
        raise TypeError(f"{metric.name} does not come from INFO")
    return metric.origin


def _parts(value: str) -> dict[str, str]:
    """Split ``keys=3,expires=1`` into its parts."""
    return dict(part.partition("=")[::2] for part in value.split(","))


def _number(metric: Metric, value: str | None) -> float | None:
    """Give a field's value in the metric's unit; None if it is missing or no number."""
    if value is None:
        return None
    origin = _origin(metric)
    for word, number in origin.words:
        if value == word:
            return number
    try:
        parsed = int(value) if value.isdigit() else float(value)
    except ValueError:
        return None
    return parsed if origin.divisor == 1 else parsed / origin.divisor
