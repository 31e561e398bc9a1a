# SPDX-License-Identifier: Apache-2.0
"""Read single keys that the settings name: their number of elements or bytes, and their memory.

The commands travel in the server's one round trip. Per key these are TYPE, MEMORY USAGE and, once the type is known,
the command for its length. If values are enabled, at most LONGEST_VALUE bytes of a string are read too. Databases other
than the connection's are selected in between. A key that does not exist has size 0: its name is known, and Redis
removes empty keys. Needs ``+type +memory|usage +strlen +llen +scard +zcard +hlen +xlen``, ``+select`` for other
databases, and ``+getrange`` for values. Without a permission only its metric is missing.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from celery_redis_exporter.catalog import key_space as rows
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.sources.wire import Command

LENGTHS = {
    b"string": "STRLEN", b"list": "LLEN", b"set": "SCARD", b"zset": "ZCARD", b"hash": "HLEN", b"stream": "XLEN",
}  # fmt: skip
"""The commands that count the elements of a key, or the bytes of a string, by type."""
LONGEST_VALUE = 64
"""The maximum length in bytes of a string that may be a number."""


class NamedKeysRead:
    """Read ``keys`` (names by database) of the server called ``redis``, whose connection uses database ``home``.

    ``is_read`` returns whether the keys can be read now: in a cluster they are on other nodes. ``values`` enables
    reading numbers.
    """

    def __init__(
        self,
        redis: str,
        keys: Mapping[int, Sequence[str]],
        home: int,
        is_read: Callable[[], bool],
        *,
        values: bool,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._home = home
        self._is_read = is_read
        self._values = values
        self._types: dict[tuple[int, str], bytes] = {}
        self._plan: list[tuple[int, str, list[Command]]] = []

    def commands(self) -> list[Command]:
        """Return the commands for all keys. If they select other databases, the last one selects ``home`` again."""
        self._plan = []
        if not self._is_read():
            return []
        self._plan = [(db, name, self._reads(db, name)) for db, names in self._keys.items() for name in names]
        commands: list[Command] = []
        for db in self._keys:
            commands += [] if db == self._home else [("SELECT", db)]
            commands += [command for other, _, reads in self._plan if other == db for command in reads]
        return [*commands, *([] if self._stays_home else [("SELECT", self._home)])]

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the samples of each key, but none of a database that could not be selected."""
        found: list[Sample] = []
        answers = iter(replies)
        for db in self._keys if self._plan else ():
            selected = db == self._home or next(answers) == b"OK"
            for other, name, reads in self._plan:
                if other == db:
                    words = (str(command[0]) for command in reads)
                    by_word = dict(zip(words, islice(answers, len(reads)), strict=True))
                    found += self._samples(db, name, by_word) if selected else ()
        return found

    @property
    def _stays_home(self) -> bool:
        return set(self._keys) <= {self._home}

    def _reads(self, db: int, name: str) -> list[Command]:
        kind = self._types.get((db, name), b"")
        length: list[Command] = [(LENGTHS[kind], name)] if kind in LENGTHS else []
        value: list[Command] = [("GETRANGE", name, 0, LONGEST_VALUE)] if self._values and kind == b"string" else []
        return [("TYPE", name), ("MEMORY", "USAGE", name, "SAMPLES", 5), *length, *value]

    def _samples(self, db: int, name: str, by_word: Mapping[str, Any]) -> Iterator[Sample]:
        labels = (self._redis, f"db{db}", name)
        kind = by_word["TYPE"]
        if not isinstance(kind, bytes):
            return
        self._types[db, name] = kind
        size = next((by_word[command] for command in by_word if command in LENGTHS.values()), None)
        if kind == b"none":
            yield Sample(rows.KEY_SIZE, labels, 0)
        elif isinstance(size, int):
            yield Sample(rows.KEY_SIZE, labels, size)
        if isinstance(by_word["MEMORY"], int):
            yield Sample(rows.KEY_MEMORY, labels, by_word["MEMORY"])
        value = _number(by_word.get("GETRANGE"))
        if value is not None:
            yield Sample(rows.KEY_VALUE, labels, value)


def _number(value: object) -> float | None:
    """Return the number that a string contains, or None for anything else and for a string that was cut."""
    if not isinstance(value, bytes) or len(value) > LONGEST_VALUE:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
