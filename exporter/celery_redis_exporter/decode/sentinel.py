# SPDX-License-Identifier: Apache-2.0
"""Decode a sentinel's report about itself and about the masters that it watches into samples.

Input: RESP2 replies, of which a refused one has another type. Output: samples. A reply that can't be read yields no
sample.
"""

import re
from collections.abc import Iterable, Iterator

from celery_redis_exporter.catalog import sentinel as rows
from celery_redis_exporter.catalog.metric import Info, Metric
from celery_redis_exporter.decode.redis_fields import LONGEST_LABEL, LONGEST_LINE, read_whole, split_parts
from celery_redis_exporter.decode.redis_server import Reply, parse_info
from celery_redis_exporter.records.samples import Sample

_MASTER = re.compile(r"master\d+")
_DOWN = ("s_down", "o_down")
LONGEST_MESSAGE = 200


def decode_sentinel_info(redis: str, reply: Reply) -> list[Sample]:
    """Return the samples of INFO sentinel."""
    fields = parse_info(reply) if isinstance(reply, bytes) else {}
    samples = [Sample(metric, (redis,), number) for metric, number in _numbers(rows.INFO_ROWS, fields)]
    for name, value in fields.items():
        if _MASTER.fullmatch(name):
            samples += _decode_master_line(redis, split_parts(value))
    return samples


def decode_masters(reply: Reply) -> list[dict[str, str]]:
    """Return the fields of every master in SENTINEL MASTERS. Masters without name, ip or port are left out."""
    masters = [_fields(entry) for entry in reply] if isinstance(reply, list) else []
    return [master for master in masters if {"name", "ip", "port"} <= master.keys()]


def decode_master(redis: str, master: dict[str, str]) -> list[Sample]:
    """Return the samples of one master's fields."""
    labels = _labels(redis, master)
    return [Sample(metric, labels, number) for metric, number in _numbers(rows.MASTER_ROWS, master)]


def decode_quorum(redis: str, master: dict[str, str], reply: Reply, refusal: str) -> list[Sample]:
    """Return the sample of SENTINEL CKQUORUM. The negative reply is an error, ``refusal``."""
    if isinstance(reply, bytes):
        message = reply[:LONGEST_MESSAGE].decode("utf-8", "replace")
        return [Sample(rows.CKQUORUM_STATUS, (redis, master["name"][:LONGEST_LABEL], message), 1)]
    if refusal.startswith("NOQUORUM"):
        return [Sample(rows.CKQUORUM_STATUS, (redis, master["name"][:LONGEST_LABEL], refusal[:LONGEST_MESSAGE]), 0)]
    return []


def decode_peers(redis: str, master: dict[str, str], sentinels: Reply, slaves: Reply) -> list[Sample]:
    """Return how many sentinels and replicas of a master are not down.

    ``sentinels`` and ``slaves`` are the replies to SENTINEL SENTINELS and SENTINEL SLAVES.
    """
    labels = _labels(redis, master)
    samples = []
    if isinstance(sentinels, list):
        # The queried sentinel is not in its own reply.
        samples.append(Sample(rows.OK_SENTINELS, labels, 1 + _up(sentinels)))
    if isinstance(slaves, list):
        samples.append(Sample(rows.OK_SLAVES, labels, _up(slaves)))
    return samples


def _decode_master_line(redis: str, parts: dict[str, str]) -> list[Sample]:
    name, address, status = (parts.get(part, "")[:LONGEST_LABEL] for part in ("name", "address", "status"))
    labels = (redis, name, address)
    samples = [Sample(rows.MASTER_STATUS, (*labels, status), float(status == "ok"))]
    for metric in (rows.MASTER_SLAVES, rows.MASTER_SENTINELS):
        count = read_whole(parts.get(metric.name.rpartition("_")[2], ""))
        if count is not None:
            samples.append(Sample(metric, labels, count))
    return samples


def _numbers(metrics: Iterable[Metric], fields: dict[str, str]) -> Iterator[tuple[Metric, float]]:
    for metric in metrics:
        origin = metric.origin
        value = read_whole(fields.get(origin.fieldname, "")) if isinstance(origin, Info) else None
        if isinstance(origin, Info) and value is not None:
            yield metric, value if origin.divisor == 1 else value / origin.divisor


def _labels(redis: str, master: dict[str, str]) -> tuple[str, str, str]:
    return redis, master["name"][:LONGEST_LABEL], f"{master['ip']}:{master['port']}"[:LONGEST_LABEL]


def _up(entries: list[Reply]) -> int:
    flags = [_fields(entry).get("flags") for entry in entries]
    return sum(text is not None and not any(word in text for word in _DOWN) for text in flags)


def _fields(entry: Reply) -> dict[str, str]:
    """Turn a flat list of names and values into a dict."""
    words = (
        [word.decode("utf-8", "replace")[:LONGEST_LINE] for word in entry if isinstance(word, bytes)]
        if isinstance(entry, list)
        else []
    )
    return dict(zip(words[::2], words[1::2], strict=False))
