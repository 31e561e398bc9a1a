# SPDX-License-Identifier: Apache-2.0
"""Compare this exporter with a redis_exporter on the same server, which has values for all compared metrics.

Input: a server that both read. Output: types, names, labels and values of ``redis_*``, without the label ``redis``,
which redis_exporter does not have.
"""

import re
from contextlib import suppress
from typing import NamedTuple

import redis

from tests.integration.exporters import Exporter, parse
from tests.integration.redis_exporters import RedisExporter
from tests.integration.redis_servers import RedisServer

QUIET = ("--queues.discovery-interval", "0", "--celery.inspect-interval", "0", "--redis.discovery-interval", "0")
"""Flags of an exporter that is idle between two scrapes."""


Key = tuple[str, frozenset[tuple[str, str]]]


class Said(NamedTuple):
    """An exporter's metrics of one server: types by metric, values by name and labels, without the label redis."""

    types: dict[str, str]
    values: dict[Key, float]


class Pair(NamedTuple):
    """A server that both exporters read."""

    ours: Exporter
    redis: str
    theirs: RedisExporter

    def said_by_us(self) -> Said:
        """Scrape this exporter."""
        text = self.ours.get().text
        said = {}
        for (name, labels), value in parse(text).items():
            if ("redis", self.redis) in labels and name.startswith("redis_"):
                # Prometheus treats an empty label as a missing one.
                said[name, frozenset(label for label in labels if label[0] != "redis" and label[1])] = value
        return Said(types_of(text), said)

    def said_by_them(self) -> Said:
        """Scrape redis_exporter."""
        text = self.theirs.text()
        values = {key: value for key, value in parse(text).items() if key[0].startswith("redis_")}
        return Said(types_of(text), {(name, frozenset(pair for pair in labels if pair[1])): value
                                     for (name, labels), value in values.items()})  # fmt: skip


def types_of(text: str) -> dict[str, str]:
    """Return the types of all metrics that have samples."""
    return dict(re.findall(r"^# TYPE (redis_\S+) (\S+)$", text, re.MULTILINE))


def make_traffic(server: RedisServer) -> None:
    """Send commands that produce values for every metric of traffic."""
    for db, name in ((0, "a"), (0, "b"), (3, "c")):
        server.command("SET", name, "value", db=db)
    server.command("SET", "d", "value", "EX", 1000)
    server.command("GETSET", "a", "other")
    server.command("LPUSH", "list", "x")
    for words in (("LPUSH", "a", "x"), ("NOCOMMAND",), ("EVALSHA", "0" * 40, "0")):
        with suppress(redis.ResponseError):
            server.command(*words)
    server.command("DEBUG", "SLEEP", "0.02")
    server.command("EVAL", "return 1", "0")
    server.command("CONFIG", "SET", "slowlog-log-slower-than", "1000000")
    server.command("CONFIG", "SET", "latency-monitor-threshold", "1000000")


BUSY = (
    "--enable-debug-command", "yes", "--slowlog-log-slower-than", "10000", "--latency-monitor-threshold", "10",
    "--maxmemory", "100mb", "--databases", "20",
)  # fmt: skip
