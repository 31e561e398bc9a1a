"""What a Redis server tells besides INFO: its cluster, logs, latency and settings, turned into samples.

Takes replies as RESP2 gives them; one that was refused, or that can't be read, gives no sample. Keeps nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from celery_redis_exporter.catalog import redis_cluster, redis_commands, redis_config
from celery_redis_exporter.catalog.redis_server import INFO_ROWS
from celery_redis_exporter.decode.redis_commandstats import Usage
from celery_redis_exporter.decode.redis_fields import decode_value, index_rows
from celery_redis_exporter.records.samples import Buckets, Sample

Reply = object
"""A reply as RESP2 gives it: bytes, int, None or a list of replies."""

_CLUSTER = index_rows(redis_cluster.ROWS)
_INFO_LIMITS = {metric.name: metric for metric in INFO_ROWS}
# Told by INFO on all but old servers.
_LIMITS = {
    "maxclients": (_INFO_LIMITS["redis_max_clients"], _INFO_LIMITS["redis_config_maxclients"]),
    "maxmemory": (_INFO_LIMITS["redis_memory_max_bytes"], _INFO_LIMITS["redis_config_maxmemory"]),
}


def parse_info(text: bytes) -> dict[str, str]:
    """Split an INFO-like reply into fields, in order; bytes that are no UTF-8 are replaced."""
    fields = {}
    for line in text.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields


def decode_cluster_info(redis: str, reply: Reply) -> list[Sample]:
    """Give the samples of CLUSTER INFO."""
    fields = parse_info(reply) if isinstance(reply, bytes) else {}
    return [
        sample for name, value in fields.items() for sample in decode_value(_CLUSTER.get(name, ()), (redis,), value)
    ]


def decode_slowlog(redis: str, length: Reply, newest: Reply) -> list[Sample]:
    """Give the samples of SLOWLOG LEN and SLOWLOG GET 1 (a list of [id, time, microseconds, ...])."""
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
    """Give the samples of COMMANDLOG LEN, asked for each of ``redis_commands.COMMANDLOG_LENGTHS``."""
    told = zip(redis_commands.COMMANDLOG_LENGTHS, lengths, strict=False)
    return [Sample(metric, (redis,), length) for metric, length in told if isinstance(length, int)]


def decode_latency_latest(redis: str, reply: Reply) -> list[Sample]:
    """Give the samples of LATENCY LATEST: a list of [event, epoch seconds, milliseconds, maximum]."""
    samples = []
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [bytes(event), int(at), int(milliseconds), *_]:
                labels = (redis, event.decode("utf-8", "replace"))
                samples.append(Sample(redis_commands.LATENCY_LAST, labels, at))
                samples.append(Sample(redis_commands.LATENCY_DURATION, labels, milliseconds / 1e3))
    return samples


class LatencyDecoder:
    """Turns LATENCY HISTOGRAM of the server called ``redis`` into samples, one read after the other.

    Most commands are not called between two reads: what each one gave is kept until the next.
    """

    def __init__(self, redis: str) -> None:
        self._redis = redis
        self._known: dict[bytes, tuple[Reply, Usage, Sample]] = {}

    def decode(self, reply: Reply, usage: Mapping[str, Usage]) -> list[Sample]:
        """Give the samples of a reply: command, [_, calls, _, [microseconds, observations up to there, ...]], ...

        The sums are INFO's: a command whose ``usage`` is not known is left out.
        """
        entries = reply if isinstance(reply, list) else []
        known, self._known = self._known, {}
        for name, details in zip(entries[::2], entries[1::2], strict=False):
            if isinstance(name, bytes):
                used = usage.get(name.decode("utf-8", "replace"))
                found = known.get(name)
                if used is not None and (found is None or found[0] != details or found[1] != used):
                    found = self._read(name, details, used)
                if used is not None and found is not None:
                    self._known[name] = found
        return [sample for _, _, sample in self._known.values()]

    def _read(self, name: bytes, details: Reply, used: Usage) -> tuple[Reply, Usage, Sample] | None:
        match details:
            case [_, int(calls), _, [*bounds]]:
                labels = (self._redis, name.decode("utf-8", "replace"))
                value = Buckets(tuple(_buckets(bounds)), calls, used[1])
                return details, used, Sample(redis_commands.LATENCY_HISTOGRAM, labels, value)
        return None


def decode_config(replies: Iterable[Reply]) -> dict[str, str]:
    """Give what CONFIG GET told, from the replies to one or several: flat lists of names and values."""
    told: dict[str, str] = {}
    for reply in replies:
        entries = [_text(entry) for entry in reply] if isinstance(reply, list) else []
        told |= dict(zip(entries[::2], entries[1::2], strict=False))
    return told


def decode_settings(redis: str, config: Mapping[str, str], told: Sequence[Sample]) -> list[Sample]:
    """Give the samples of settings; those that INFO told already, in ``told``, are left out."""
    samples = []
    for parameter, metric in redis_config.PLAIN.items():
        number = _number(config.get(parameter))
        if number is not None:
            samples.append(Sample(metric, (redis,), number))
    known = {sample.metric for sample in told}
    for parameter, metrics in _LIMITS.items():
        number = _number(config.get(parameter))
        if number is not None:
            samples += [Sample(metric, (redis,), number) for metric in metrics if metric not in known]
    return samples + list(_buffer_limits(redis, config.get("client-output-buffer-limit", "")))


def count_databases(config: Mapping[str, str], *, cluster: bool) -> int:
    """Give how many databases there are, 0 if the server does not tell; there is one in a cluster before Valkey 9."""
    if cluster:
        return max(_number(config.get(redis_config.CLUSTER_DATABASES)) or 1, 1)
    return max(_number(config.get(redis_config.DATABASES)) or 0, 0)


def decode_output_buffer(reply: Reply) -> int | None:
    """Give the output buffer (``omem``, bytes) of the one client that CLIENT LIST ID names; None if it is gone."""
    found = re.search(rb"(?:^| )omem=(\d{1,19})(?!\d)", reply) if isinstance(reply, bytes) else None
    return int(found.group(1)) if found else None


def _buckets(bounds: list[Reply]) -> Iterator[tuple[str, int]]:
    for bound, observed in zip(bounds[::2], bounds[1::2], strict=False):
        if isinstance(bound, int) and isinstance(observed, int):
            yield str(bound), observed


def _buffer_limits(redis: str, value: str) -> Iterator[Sample]:
    """Read ``normal 0 0 0 slave 268435456 67108864 60``: classes of clients, each with hard, soft, seconds."""
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
                yield Sample(metric, (redis, name, limit), number)


def _number(value: str | None) -> int | None:
    """A whole number, as all of these are; ``commandlog-execution-slower-than`` may be -1."""
    return int(value) if value is not None and re.fullmatch(r"-?[0-9]{1,20}", value) else None


def _text(word: Reply) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else ""
