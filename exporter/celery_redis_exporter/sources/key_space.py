"""The key space of a Redis server in small steps: SCAN, and the size and time to live of chosen keys.

Sends PING and INFO (server, memory, persistence, keyspace) before a pass, then one round trip per batch: SELECT where
several databases are read, MEMORY USAGE key SAMPLES 5 and PTTL for chosen keys, SCAN cursor COUNT n. Never KEYS, never
MATCH (the server visits every key all the same), never a script, never a write; no command marks a key as used. COUNT
adapts so that a batch takes the server a millisecond, and is never above MOST_NAMES; a size is Redis's own estimate
from 5 elements, however large the key. Needs ``+ping +info +scan +memory|usage +pttl``, ``+select`` for databases
other than 0, and read rights on the keys (SCAN shows names without). Lives in its caller's thread. A failure raises
SourceError, also where SCAN is refused; without the rights to MEMORY or PTTL sizes or times to live are unknown.

In cluster mode Redis 7.4 and later walks slot by slot, so that keys with one hash tag come together: a part of a sweep
is not a random sample there, a whole one is exact everywhere.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.scanning import FIRST_CURSOR, read_scan
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

INFO_SECTIONS = ("server", "memory", "persistence", "keyspace")
SAMPLES = 5
FEWEST_NAMES, FIRST_NAMES, MOST_NAMES = 10, 50, 300
"""COUNT of SCAN: of a million keys 300 names take a server 0.3 ms, most of it cache misses."""
AIM_SECONDS = 0.001
MOST_REPLY = 256 * 1024
"""Bytes of names in one reply, above which the next asks for fewer."""
MOST_MEASURED = 100
"""Keys measured in one round trip."""
_CURSOR_BITS = 64


class Measured(NamedTuple):
    """One key: bytes, and milliseconds to live (-1 for ever, -2 gone); None is not known.

    ``refused`` where the user may not read this key.
    """

    size: int | None
    ttl: int | None
    refused: bool = False

    @property
    def exists(self) -> bool:
        """Whether the server says that there is such a key."""
        return self.size is not None or (self.ttl is not None and self.ttl != -2)


class Batch(NamedTuple):
    """What one round trip brought: ``names`` met, the ``measured`` keys in the order asked for.

    ``position`` is where in the key space, 0 to 1, the names begin; ``complete`` when they are the last of a sweep.
    ``busy`` is about the time it took the server, in seconds: the round trip less the shortest one.
    """

    names: list[bytes]
    measured: list[Measured]
    position: float
    complete: bool
    busy: float


class Walk:
    """A sweep over one database that can be interrupted: the server keeps nothing of it."""

    def __init__(self, db: int) -> None:
        self.db = db
        self.cursor = FIRST_CURSOR
        self.position = 0.0
        self._names = 0
        self._by_hash = True

    def advance(self, cursor: bytes, names: int, total: int) -> None:
        """Go on to a cursor, after ``names`` names of ``total``.

        Redis counts its cursor up from the highest bit, whatever the size of the table. Where another server does it
        in its own way, the number of names tells the position.
        """
        self._names += names
        if cursor == FIRST_CURSOR:
            self.cursor, self.position, self._names, self._by_hash = cursor, 0.0, 0, True
            return
        self.cursor = cursor
        position = self._hashed(cursor) if self._by_hash else 0.0
        if self._by_hash and position <= self.position:
            self._by_hash = False
        if not self._by_hash:
            position = max(self.position, self._names / total if total else 0.0)
        self.position = min(position, 1.0)

    def _hashed(self, cursor: bytes) -> float:
        bits = f"{int(cursor) % (1 << _CURSOR_BITS):0{_CURSOR_BITS}b}"
        return float(int(bits[::-1], 2) / (1 << _CURSOR_BITS))


class KeySpaceReader:
    """Reads the key space of one server; ``select`` where its databases have to be told apart."""

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

    def look(self) -> tuple[bytes, float]:
        """Give what INFO says, and how much longer than the shortest round trip this one took; raise SourceError."""
        self._tried = False
        delay = self._exchange([("PING",)])[1]
        replies, _ = self._exchange([("INFO", section) for section in INFO_SECTIONS])
        refused = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        if refused is not None:
            raise refused.as_error("INFO")
        info = b"\r\n".join(reply for reply in replies if isinstance(reply, bytes))
        self._session.talks_to(info.partition(b"\r\nrun_id:")[2].partition(b"\r")[0].decode("ascii", "replace"))
        return info, delay

    def next_batch(self, walk: Walk, total: int, keys: Sequence[bytes]) -> Batch:
        """Measure ``keys`` and go on with a sweep over about ``total`` keys; raise SourceError."""
        self._try(walk.db, keys)
        commands = [*self._in(walk.db), *_measuring(keys), ("SCAN", walk.cursor, "COUNT", self._count)]
        replies, busy = self._exchange(commands)
        self._check_database(replies)
        cursor, names = read_scan(replies[-1])
        self._adapt(busy, sum(map(len, names)))
        position = walk.position
        walk.advance(cursor, len(names), total)
        return Batch(names, self._measured(replies[:-1], keys), position, cursor == FIRST_CURSOR, busy)

    def measure(self, db: int, keys: Sequence[bytes]) -> tuple[list[Measured], float]:
        """Measure keys without looking further; give the server's time too; raise SourceError."""
        self._try(db, keys)
        replies, busy = self._exchange([*self._in(db), *_measuring(keys)])
        self._check_database(replies)
        return self._measured(replies, keys), busy

    def types(self, db: int, keys: Sequence[bytes]) -> tuple[list[str], float]:
        """Give the types of keys (empty where one is gone or hidden), and the server's time; raise SourceError.

        Sends TYPE, which counts as a look-up of the key; for ``analyze`` alone.
        """
        replies, busy = self._exchange([*self._in(db), *(("TYPE", key) for key in keys)])
        self._check_database(replies)
        told = [str(reply, "ascii", "replace") if isinstance(reply, bytes) else "" for reply in replies[self._select :]]
        return ["" if kind == "none" else kind for kind in told], busy

    def close(self) -> None:
        """Close the connection; safe from any thread."""
        self._session.close()

    def _try(self, db: int, keys: Sequence[bytes]) -> None:
        """Measure one key before many: each refusal is entered in the server's log, and the session knows it then."""
        if keys and not self._tried:
            self._tried = True
            self._exchange([*self._in(db), *_measuring(keys[:1])])

    def _in(self, db: int) -> list[Command]:
        return [("SELECT", db)] if self._select else []

    def _check_database(self, replies: list[Any]) -> None:
        if self._select and isinstance(replies[0], Refusal):
            raise replies[0].as_error("SELECT")

    def _measured(self, replies: list[Any], keys: Sequence[bytes]) -> list[Measured]:
        answers = iter(replies[self._select :])
        return [_reading(next(answers), next(answers)) for _ in keys]

    def _exchange(self, commands: list[Command]) -> tuple[list[Any], float]:
        if self._known != self._session.opened:  # another connection, perhaps another way
            self._known, self._shortest = self._session.opened, float("inf")
        started = self._clock.monotonic()
        replies = self._session.exchange(commands, self._deadline)
        spent = self._clock.monotonic() - started
        if self._known != self._session.opened:  # it was opened meanwhile, which is not the server's time
            return replies, 0.0
        self._shortest = min(self._shortest, spent)
        return replies, spent - self._shortest

    def _adapt(self, busy: float, size: int) -> None:
        """Choose COUNT: more while a batch is quick, half of it when two in a row are not, or when names are long."""
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
    if ttl == -2:  # gone between the two commands, or before
        size = None
    return Measured(size if isinstance(size, int) else None, ttl if isinstance(ttl, int) else None, refused)
