# SPDX-License-Identifier: Apache-2.0
"""Read Celery's queues on Redis: the commands of a scrape, and the pass over the key space that finds queues.

A queue is one list per priority step. A scrape sends, per queue, an LLEN per step and an LINDEX of the next message,
and HLEN, ZRANGE and ZCOUNT for the unacknowledged messages. All are O(1) or O(log n), in the server's pipeline. The
pass sends SCAN twice per batch (bindings, reply queues) and SMEMBERS per binding, in the background. Needs ``+llen
+lindex +hlen +zrange +zcount`` and ``+scan +smembers``, and read permission on the keys.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import BoundMember
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.scanning import FIRST_CURSOR, read_scan
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

_GLOB = re.compile(r"([*?\[\]\\])")
SCAN_COUNT = 1000


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """How kombu names its keys. Fields are named as in Celery's broker_transport_options."""

    global_keyprefix: str
    sep: str
    priority_steps: tuple[int, ...]
    unacked_key: str
    unacked_index_key: str

    def list_of(self, queue: str, step: int) -> str:
        """Return the list of a queue's priority step. The list of the first step has the plain name."""
        return f"{self.global_keyprefix}{queue}{self.sep}{step}" if step else f"{self.global_keyprefix}{queue}"

    def binding_of(self, exchange: str) -> str:
        """Return the set of an exchange's bindings. Celery's default exchange has the name of its queue."""
        return f"{self.global_keyprefix}_kombu.binding.{exchange}"

    def length_commands(self, queue: str) -> list[Command]:
        """Return LLEN of every step, in the order of the steps."""
        return [("LLEN", self.list_of(queue, step)) for step in self.priority_steps]

    def oldest_commands(self, queue: str, steps: Iterable[int]) -> list[Command]:
        """Return LINDEX of the next message of some steps: kombu pushes left and pops right."""
        return [("LINDEX", self.list_of(queue, step), -1) for step in steps]

    def unacked_commands(self, overdue_before: float) -> list[Command]:
        """Return the commands for unacknowledged messages.

        They count them, return the oldest one, and count those delivered before the epoch time ``overdue_before``.
        """
        index = self.global_keyprefix + self.unacked_index_key
        return [
            ("HLEN", self.global_keyprefix + self.unacked_key),
            ("ZRANGE", index, 0, 0, "WITHSCORES"),
            ("ZCOUNT", index, "-inf", overdue_before),
        ]


class ScanBatch(NamedTuple):
    """The result of one batch of a pass. ``complete`` is True for the last one of a full pass."""

    bindings: list[BoundMember]
    reply_queues: set[bytes]
    complete: bool


class QueueScan:
    """A pass over the key space of the broker's database that can be resumed."""

    def __init__(self, session: Session, keys: QueueKeys, deadline: float) -> None:
        self._session = session
        self._deadline = deadline
        prefix = _GLOB.sub(r"\\\1", keys.global_keyprefix)
        # The key space is scanned twice: one pattern can't match both, and all names would be megabytes.
        self._patterns = (f"{prefix}_kombu.binding.*", f"{prefix}*.reply.celery.pidbox")
        self._binding_prefix = keys.binding_of("").encode()
        self._cursors: list[bytes | None] = [FIRST_CURSOR, FIRST_CURSOR]

    def next_batch(self) -> ScanBatch:
        """Scan about SCAN_COUNT more keys. Raises SourceError, after which the pass starts again."""
        try:
            return self._next_batch()
        except SourceError:
            self._cursors = [FIRST_CURSOR, FIRST_CURSOR]
            raise

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._session.close()

    def _next_batch(self) -> ScanBatch:
        walks = [(walk, cursor) for walk, cursor in enumerate(self._cursors) if cursor is not None]
        commands: list[Command] = [
            ("SCAN", cursor, "MATCH", self._patterns[walk], "COUNT", SCAN_COUNT) for walk, cursor in walks
        ]
        keys: list[list[bytes]] = [[], []]
        for (walk, _), reply in zip(walks, self._session.exchange(commands, self._deadline), strict=True):
            cursor, keys[walk] = read_scan(reply)
            self._cursors[walk] = None if cursor == FIRST_CURSOR else cursor
        bindings = self._members(keys[0])
        complete = self._cursors == [None, None]
        if complete:
            self._cursors = [FIRST_CURSOR, FIRST_CURSOR]
        return ScanBatch(bindings, set(keys[1]), complete)

    def _members(self, keys: list[bytes]) -> list[BoundMember]:
        if not keys:
            return []
        commands: list[Command] = [("SMEMBERS", key) for key in keys]
        replies = self._session.exchange(commands, self._deadline)
        refused = next((reply for reply in replies if isinstance(reply, Refusal) and "NOPERM" in str(reply)), None)
        if refused is not None:
            raise SourceError("noperm", f"SMEMBERS: {refused}")
        return [
            BoundMember(key[len(self._binding_prefix) :].decode("utf-8", "replace"), member)
            for key, reply in zip(keys, replies, strict=True)
            if isinstance(reply, list)
            for member in reply
            if isinstance(member, bytes)
        ]
