# SPDX-License-Identifier: Apache-2.0
"""Count the look-ups of keys that the exporter's own commands cause on a Redis server.

A server counts each look-up as a hit or a miss (``keyspace_hits`` and ``keyspace_misses`` of INFO), also those that
only measure. Input: commands and their replies. Output: two counts, which callers subtract from the server's.

The commands that look a key up are those of MISSES: on Redis and Valkey each is one look-up, also with a reply of
WRONGTYPE. INFO, SCAN, MEMORY USAGE and CLIENT cause none. The server counts no look-up for a command that it refuses.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.wire import Command

MISSES: Mapping[str, object] = {
    "PTTL": -2, "TYPE": b"none", "STRLEN": 0, "LLEN": 0, "SCARD": 0, "ZCARD": 0, "HLEN": 0, "XLEN": 0, "GETRANGE": b"",
    "ZRANGE": [], "HGET": None,
}  # fmt: skip
"""The commands that look a key up, which is their first argument, and the reply to each if there is no such key."""


class Lookups:
    """The look-ups on one server. Shared by its sessions, safe from any thread."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()

    def note(self, commands: Sequence[Command], replies: Sequence[Any]) -> None:
        """Count the look-ups of a batch.

        A reply such as 0 is that of an empty string too. TYPE of the same key, ahead in the batch, decides there.
        """
        hits = misses = 0
        exists: dict[object, bool] = {}
        for command, reply in zip(commands, replies, strict=True):
            word = str(command[0])
            if word not in MISSES or (isinstance(reply, Refusal) and not str(reply).startswith("WRONGTYPE")):
                continue
            found = reply != MISSES[word]
            if word == "TYPE":
                exists[command[1]] = found
            if exists.get(command[1], found):
                hits += 1
            else:
                misses += 1
        if hits or misses:
            with self._lock:
                self.hits += hits
                self.misses += misses
