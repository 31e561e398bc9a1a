# SPDX-License-Identifier: Apache-2.0
"""Read the key space of a Redis server in small steps: SCAN, and the size and time to live of chosen keys.

Sends PING and INFO (server, memory, persistence, keyspace) before a pass. Then it sends one round trip per batch:
SELECT if several databases are read, MEMORY USAGE key SAMPLES 5 and PTTL for chosen keys, SCAN cursor COUNT n. It never
sends KEYS, MATCH (with which the server visits every key all the same), a script or a write. No command marks a key as
used.

COUNT adapts so that a batch takes the server a millisecond, and is never above MOST_NAMES. A size is Redis's own
estimate from 5 elements, however large the key is.

If the caller divides a sweep into segments, a batch ends where its segment ends, so that each sweep finds a key in the
same segment. SCAN itself can't end there. If it returned names beyond, a second SCAN from the end of the segment shows
which ones.

Needs ``+ping +info +scan +memory|usage +pttl``, ``+select`` for databases other than 0, and read permission on the keys
(SCAN shows names without it). Without the permissions for MEMORY or PTTL, sizes or times to live are unknown. Runs in
the caller's thread. A failure raises SourceError, and so does a refused SCAN.

In cluster mode Redis 7.4 and later walks slot by slot, so that keys with the same hash tag come together. There a part
of a sweep is not a random sample. A whole sweep is exact everywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.scanning import FIRST_CURSOR, read_scan
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

INFO_SECTIONS = ("server", "memory", "persistence", "keyspace")
SAMPLES = 5
FEWEST_NAMES, FIRST_NAMES, MOST_NAMES = 10, 50, 300
"""Limits for COUNT of SCAN. 300 names of a million keys take a server 0.3 ms, most of it cache misses."""
AIM_SECONDS = 0.001
MOST_REPLY = 256 * 1024
"""The size of the names in one reply, in bytes, above which COUNT is reduced."""
MOST_MEASURED = 100
"""The maximum number of keys measured in one round trip."""
_CURSOR_BITS = 64
_SLOT_BITS = 14
_REST_BITS = _CURSOR_BITS - _SLOT_BITS


class Measured(NamedTuple):
    """The size of one key in bytes, and its time to live in milliseconds (-1 for ever, -2 gone). None is unknown.

    ``refused`` is True if the user may not read this key.
    """

    size: int | None
    ttl: int | None
    refused: bool = False

    @property
    def exists(self) -> bool:
        """Return True if the server reports that the key exists."""
        return self.size is not None or (self.ttl is not None and self.ttl != -2)


class Batch(NamedTuple):
    """The result of one round trip.

    - ``names``: the names found.
    - ``measured``: the measured keys, in the order of the request.
    - ``position``: where in the key space the names begin, 0 to 1.
    - ``complete``: these are the last names of a sweep.
    - ``busy``: about the time that the server took, in seconds: the round trip less the shortest one.
    - ``restarted``: the sweep begins again, since the names found so far were assigned to wrong segments.
    """

    names: list[bytes]
    measured: list[Measured]
    position: float
    complete: bool
    busy: float
    restarted: bool = False


class _Order(NamedTuple):
    """An order in which a cursor counts: the position in the key space, 0 to 1, of a cursor, and the reverse."""

    position: Callable[[int], float]
    cursor: Callable[[float], int]

    def rises(self, before: bytes, cursor: bytes) -> bool:
        """Return whether a cursor follows another one in this order."""
        return self.position(int(before)) < self.position(int(cursor))


def _reversed(number: int, bits: int) -> int:
    return int(f"{number % (1 << bits):0{bits}b}"[::-1], 2)


def _slot_position(cursor: int) -> float:
    slot, rest = cursor % (1 << _SLOT_BITS), cursor >> _SLOT_BITS
    return (slot + _reversed(rest, _REST_BITS) / (1 << _REST_BITS)) / (1 << _SLOT_BITS)


_BY_HASH = _Order(
    lambda cursor: _reversed(cursor, _CURSOR_BITS) / (1 << _CURSOR_BITS),
    lambda position: _reversed(int(position * (1 << _CURSOR_BITS)), _CURSOR_BITS),
)
_BY_SLOT = _Order(_slot_position, lambda position: int(position * (1 << _SLOT_BITS)))
"""The low bits are the slot. The others count within the slot, from the highest. A segment begins with a slot."""


class Walk:
    """A sweep over one database that can be interrupted. The server keeps no state of it."""

    def __init__(self, db: int) -> None:
        self.db = db
        self.cursor = FIRST_CURSOR
        self.position = 0.0
        self._names = 0
        self._order: _Order | None = _BY_HASH
        self._tried_slots = False

    def segment_end(self, cursor: bytes, segments: int) -> bytes | None:
        """Return the cursor at which the present one of ``segments`` ends, if a SCAN to ``cursor`` went beyond it."""
        if self._order is None:
            return None
        end = (int(self.position * segments) + 1) / segments
        reached = 1.0 if cursor == FIRST_CURSOR else self._order.position(int(cursor))
        return str(self._order.cursor(end)).encode() if end < reached else None

    def restart_by_slot(self, cursor: bytes) -> bool:
        """Begin the sweep again if ``cursor`` shows that the server counts slot by slot. Return whether it does.

        That shows within a few slots. It is tried once, since a server may count in a third way.
        """
        is_end, tried = cursor == FIRST_CURSOR, self._tried_slots
        if tried or is_end or _BY_HASH.rises(self.cursor, cursor) or not _BY_SLOT.rises(self.cursor, cursor):
            return False
        self.cursor, self.position, self._names, self._order = FIRST_CURSOR, 0.0, 0, _BY_SLOT
        self._tried_slots = True
        return True

    def advance(self, cursor: bytes, names: int, total: int) -> None:
        """Continue at ``cursor``, after ``names`` names of ``total``.

        Redis counts its cursor up from the highest bit, whatever the size of the table. In cluster mode Redis 7.4 and
        later does so in each slot, and counts the slots from the lowest bit. If a server counts in another way, the
        position follows from the number of names.
        """
        before, self.cursor = self.cursor, cursor
        self._names += names
        if cursor == FIRST_CURSOR:
            self.position, self._names, self._order = 0.0, 0, self._order or _BY_HASH
            return
        if self._order is not None and not self._order.rises(before, cursor):
            self._order = None
        found = (self._names / total if total else 0.0) if self._order is None else self._order.position(int(cursor))
        self.position = min(max(self.position, found), 1.0)


class KeySpaceReader:
    """Read the key space of one server. ``select`` is True if it has several databases to read."""

    def __init__(self, session: Session, clock: Clock, deadline: float, *, select: bool) -> None:
        self._session = session
        self._clock = clock
        self._deadline = deadline
        self._select = select
        self._count = FIRST_NAMES
        self._slow = 0
        self._shortest = float("inf")
        self._known = 0
        self._tried = False
        self._in_cluster = False

    def look(self) -> tuple[bytes, float]:
        """Return INFO, and the time in seconds that PING took beyond the shortest round trip. Raises SourceError."""
        self._tried = False
        delay = self._exchange([("PING",)])[1]
        replies, _ = self._exchange([("INFO", section) for section in INFO_SECTIONS])
        refused = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        if refused is not None:
            raise refused.as_error("INFO")
        info = b"\r\n".join(reply for reply in replies if isinstance(reply, bytes))
        self._in_cluster = b"_mode:cluster" in info  # Valkey has server_mode, Redis redis_mode.
        self._session.talks_to(info.partition(b"\r\nrun_id:")[2].partition(b"\r")[0].decode("ascii", "replace"))
        return info, delay

    def next_batch(self, walk: Walk, total: int, keys: Sequence[bytes], segments: int = 1) -> Batch:
        """Measure ``keys``, and continue a sweep over about ``total`` keys. Raises SourceError.

        The batch ends where one of ``segments`` equal parts of the key space ends (a power of 2), if it gets there.
        """
        self._try(walk.db, keys)
        commands = [*self._in(walk.db), *_measuring(keys), ("SCAN", walk.cursor, "COUNT", self._count)]
        replies, busy = self._exchange(commands)
        self._check_database(replies)
        cursor, names = read_scan(replies[-1])
        if self._in_cluster and segments > 1 and walk.restart_by_slot(cursor):
            return Batch([], self._measured(replies[:-1], keys), 0.0, complete=False, busy=busy, restarted=True)
        end = walk.segment_end(cursor, segments)
        if end is not None:
            beyond, more = self._beyond(walk.db, end, names)
            busy += more
            if beyond:
                cursor, names = end, names[:-beyond]
        self._adapt(busy, sum(map(len, names)))
        position = walk.position
        walk.advance(cursor, len(names), total)
        return Batch(names, self._measured(replies[:-1], keys), position, cursor == FIRST_CURSOR, busy)

    def measure(self, db: int, keys: Sequence[bytes]) -> tuple[list[Measured], float]:
        """Measure keys without scanning. Return the server's time in seconds too. Raises SourceError."""
        self._try(db, keys)
        replies, busy = self._exchange([*self._in(db), *_measuring(keys)])
        self._check_database(replies)
        return self._measured(replies, keys), busy

    def types(self, db: int, keys: Sequence[bytes]) -> tuple[list[str], float]:
        """Return the types of keys, and the server's time in seconds. Raises SourceError.

        The type is empty if a key is gone or must not be read. Sends TYPE, which counts as a look-up of the key. Used
        by ``analyze`` only.
        """
        replies, busy = self._exchange([*self._in(db), *(("TYPE", key) for key in keys)])
        self._check_database(replies)
        told = [str(reply, "ascii", "replace") if isinstance(reply, bytes) else "" for reply in replies[self._select :]]
        return ["" if kind == "none" else kind for kind in told], busy

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._session.close()

    def _try(self, db: int, keys: Sequence[bytes]) -> None:
        """Measure one key before many.

        Each refusal is an entry in the server's log, and the session remembers the first.
        """
        if keys and not self._tried:
            self._tried = True
            self._exchange([*self._in(db), *_measuring(keys[:1])])

    def _beyond(self, db: int, end: bytes, names: list[bytes]) -> tuple[int, float]:
        """Return how many of ``names``, the last ones, a SCAN from ``end`` returns first, and the server's time.

        0 if it does not return the same names: keys came or went meanwhile, or the server's cursor is of another kind.
        """
        replies, busy = self._exchange([*self._in(db), ("SCAN", end, "COUNT", self._count)])
        if isinstance(replies[-1], Refusal):
            return 0, busy
        _, after = read_scan(replies[-1])
        beyond = len(names) - names.index(after[0]) if after and after[0] in names else 0
        return beyond if names[len(names) - beyond :] == after[:beyond] else 0, busy

    def _in(self, db: int) -> list[Command]:
        return [("SELECT", db)] if self._select else []

    def _check_database(self, replies: list[Any]) -> None:
        if self._select and isinstance(replies[0], Refusal):
            raise replies[0].as_error("SELECT")

    def _measured(self, replies: list[Any], keys: Sequence[bytes]) -> list[Measured]:
        answers = iter(replies[self._select :])
        return [_reading(next(answers), next(answers)) for _ in keys]

    def _exchange(self, commands: list[Command]) -> tuple[list[Any], float]:
        if self._known != self._session.opened:  # Another connection may take another route.
            self._known, self._shortest = self._session.opened, float("inf")
        started = self._clock.monotonic()
        replies = self._session.exchange(commands, self._deadline)
        spent = self._clock.monotonic() - started
        if self._known != self._session.opened:  # The connection was opened meanwhile, which is not the server's time.
            return replies, 0.0
        self._shortest = min(self._shortest, spent)
        return replies, spent - self._shortest

    def _adapt(self, busy: float, size: int) -> None:
        """Adapt COUNT to the last batch.

        It grows while batches are quick, and is halved after two slow ones in a row or if the names are long.
        """
        self._slow = self._slow + 1 if busy > AIM_SECONDS else 0
        if size > MOST_REPLY or self._slow > 1:
            self._count, self._slow = max(self._count // 2, FEWEST_NAMES), 0
        elif not self._slow:
            self._count = min(self._count * 3 // 2, MOST_NAMES)


def _measuring(keys: Sequence[bytes]) -> list[Command]:
    return [
        command for key in keys for command in (("MEMORY", "USAGE", key, "SAMPLES", SAMPLES), ("PTTL", key))
    ]  # fmt: skip


def _reading(size: Any, ttl: Any) -> Measured:  # noqa: ANN401 -- replies can be anything
    refused = any(isinstance(reply, Refusal) and reply.is_of_key for reply in (size, ttl))
    if ttl == -2:  # The key expired or was deleted, between the two commands or before.
        size = None
    return Measured(size if isinstance(size, int) else None, ttl if isinstance(ttl, int) else None, refused)
