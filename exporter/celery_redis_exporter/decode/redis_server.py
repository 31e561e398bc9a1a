# SPDX-License-Identifier: Apache-2.0
"""Decode what a Redis server reports besides INFO: its cluster, logs, latency and settings.

Input: RESP2 replies. Output: samples. A reply that is an error, or that has another shape, yields no sample. Nothing is
kept.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from celery_redis_exporter.catalog import redis_cluster, redis_commands, redis_config
from celery_redis_exporter.catalog.redis_server import INFO_ROWS
from celery_redis_exporter.decode.redis_fields import LONGEST_LABEL, FieldReader, index_rows, read_fields
from celery_redis_exporter.decode.redis_info import Usage
from celery_redis_exporter.records.samples import Buckets, Sample

Reply = object
"""A RESP2 reply: bytes, int, None or a list of replies."""

_CLUSTER = index_rows(redis_cluster.ROWS)
_INFO_LIMITS = {metric.name: metric for metric in INFO_ROWS}
# INFO contains these on all but old servers.
_LIMITS = {
    "maxclients": (_INFO_LIMITS["redis_max_clients"], _INFO_LIMITS["redis_config_maxclients"]),
    "maxmemory": (_INFO_LIMITS["redis_memory_max_bytes"], _INFO_LIMITS["redis_config_maxmemory"]),
}


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of an INFO-like reply, in order. Bytes that are not UTF-8 are replaced."""
    return dict(read_fields(text.decode("utf-8", "replace")))


def decode_cluster_info(redis: str, reply: Reply) -> list[Sample]:
    """Return the samples of CLUSTER INFO."""
    fields = parse_info(reply) if isinstance(reply, bytes) else {}
    reader = FieldReader()
    for name, value in fields.items():
        reader.value(_CLUSTER.get(name, ()), (redis,), value)
    return reader.samples


def decode_slowlog(redis: str, length: Reply, newest: Reply) -> list[Sample]:
    """Return the samples of SLOWLOG LEN and SLOWLOG GET 1 (a list of [id, time, microseconds, ...])."""
    samples = []
    if isinstance(length, int):
        samples.append(Sample(redis_commands.SLOWLOG_LENGTH, (redis,), length))
    if isinstance(newest, list):
        match newest:
            case [[int(entry), _, int(microseconds), *_], *_]:
                samples.append(Sample(redis_commands.SLOWLOG_LAST_ID, (redis,), entry))
                samples.append(Sample(redis_commands.SLOWLOG_LAST_DURATION, (redis,), microseconds / 1e6))
            case []:
                samples.append(Sample(redis_commands.SLOWLOG_LAST_ID, (redis,), 0))
                samples.append(Sample(redis_commands.SLOWLOG_LAST_DURATION, (redis,), 0))
    return samples


def decode_command_logs(redis: str, lengths: Iterable[Reply]) -> list[Sample]:
    """Return the samples of COMMANDLOG LEN. There is one reply for each of ``redis_commands.COMMANDLOG_LENGTHS``."""
    pairs = zip(redis_commands.COMMANDLOG_LENGTHS, lengths, strict=False)
    return [Sample(metric, (redis,), length) for metric, length in pairs if isinstance(length, int)]


def decode_latency_latest(redis: str, reply: Reply) -> list[Sample]:
    """Return the samples of LATENCY LATEST: a list of [event, epoch seconds, milliseconds, maximum]."""
    samples = []
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [bytes(event), int(at), int(milliseconds), *_]:
                labels = (redis, event.decode("utf-8", "replace")[:LONGEST_LABEL])
                samples.append(Sample(redis_commands.LATENCY_LAST, labels, at))
                samples.append(Sample(redis_commands.LATENCY_DURATION, labels, milliseconds / 1e3))
    return samples


def decode_latency_histogram(redis: str, reply: Reply, usage: Mapping[str, Usage]) -> list[Sample]:
    """Return the samples of LATENCY HISTOGRAM.

    The reply is: command, [_, calls, _, [microseconds, calls up to there, ...]], ... The sum comes from ``usage``,
    which INFO contains. A command without a usage is left out.
    """
    samples = []
    entries = reply if isinstance(reply, list) else []
    for name, details in zip(entries[::2], entries[1::2], strict=False):
        match name, details:
            case bytes(), [_, int(calls), _, [*bounds]]:
                command = name.decode("utf-8", "replace")
                if command in usage:
                    value = Buckets(tuple(_buckets(bounds)), calls, usage[command][1])
                    samples.append(Sample(redis_commands.LATENCY_HISTOGRAM, (redis, command[:LONGEST_LABEL]), value))
    return samples


def decode_config(replies: Iterable[Reply]) -> dict[str, str]:
    """Return the parameters of one or more replies to CONFIG GET: flat lists of names and values."""
    config: dict[str, str] = {}
    for reply in replies:
        entries = [_text(entry) for entry in reply] if isinstance(reply, list) else []
        config |= dict(zip(entries[::2], entries[1::2], strict=False))
    return config


def decode_settings(redis: str, config: Mapping[str, str], info: Sequence[Sample]) -> list[Sample]:
    """Return the samples of settings. Those that INFO contains, which are in ``info``, are left out."""
    samples = []
    for parameter, metric in redis_config.PLAIN.items():
        number = _number(config.get(parameter))
        if number is not None:
            samples.append(Sample(metric, (redis,), number))
    known = {sample.metric for sample in info}
    for parameter, metrics in _LIMITS.items():
        number = _number(config.get(parameter))
        if number is not None:
            samples += [Sample(metric, (redis,), number) for metric in metrics if metric not in known]
    return samples + list(_buffer_limits(redis, config.get("client-output-buffer-limit", "")))


def count_databases(config: Mapping[str, str], *, cluster: bool) -> int:
    """Return the number of databases, or 0 if the reply does not contain it. A cluster has one before Valkey 9."""
    if cluster:
        return max(_number(config.get(redis_config.CLUSTER_DATABASES)) or 1, 1)
    return max(_number(config.get(redis_config.DATABASES)) or 0, 0)


def decode_output_buffer(reply: Reply) -> int | None:
    """Return the output buffer (``omem``, bytes) in the reply to CLIENT LIST ID, or None if the client is gone."""
    found = re.search(rb"(?:^| )omem=(\d{1,19})(?!\d)", reply) if isinstance(reply, bytes) else None
    return int(found.group(1)) if found else None


def _buckets(bounds: list[Reply]) -> Iterator[tuple[str, int]]:
    for bound, observed in zip(bounds[::2], bounds[1::2], strict=False):
        if isinstance(bound, int) and isinstance(observed, int):
            yield str(bound), observed


def _buffer_limits(redis: str, value: str) -> Iterator[Sample]:
    """Yield the samples of ``normal 0 0 0 slave 268435456 67108864 60``: per class of clients hard, soft, seconds."""
    words = value.split()
    for place in range(0, len(words) - 3, 4):
        name, *numbers = words[place : place + 4]
        hard, soft, seconds = map(_number, numbers)
        for metric, limit, number in (
            (redis_config.BUFFER_LIMIT, "hard", hard),
            (redis_config.BUFFER_LIMIT, "soft", soft),
            (redis_config.BUFFER_LIMIT_SECONDS, "soft", seconds),
        ):
            if number is not None:
                yield Sample(metric, (redis, name[:LONGEST_LABEL], limit), number)


def _number(value: str | None) -> int | None:
    """Return a whole number, or None. All settings are whole, and ``commandlog-execution-slower-than`` may be -1."""
    return int(value) if value is not None and re.fullmatch(r"-?[0-9]{1,20}", value) else None


def _text(word: Reply) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else ""
