# SPDX-License-Identifier: Apache-2.0
"""Simulate a server's key space in memory, for the sampler. SCAN returns keys in the order of a hash.

Input: keys. It replaces ``sources.session.Session``. An unknown command fails the test.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, cast

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.wire import Command
from tests.support.fakes import FakeClock

SLOTS = 16_384
BITS = 10
"""The table has 2**BITS places. As in Redis, the cursor is incremented from the highest bit."""


class KeyServer:
    """Keys by database: name -> (bytes, milliseconds to live). Each round trip takes ``trip`` seconds.

    ``seed`` is the key of the hash. With ``in_cluster`` SCAN walks slot by slot, as Redis 7.4 and later.
    """

    def __init__(
        self, clock: FakeClock, seed: int = 1, *, in_cluster: bool = False, **databases: dict[bytes, tuple[int, int]]
    ) -> None:
        self.clock = clock
        self._seed = b"%d" % seed
        self._places = SLOTS if in_cluster else 1 << BITS
        self._cursor = (lambda place: place) if in_cluster else _reversed
        self.databases = {int(name.removeprefix("db")): keys for name, keys in databases.items()}
        mode = "cluster" if in_cluster else "standalone"
        self.info: dict[str, object] = {
            "redis_mode": mode, "run_id": "r1", "loading": 0, "rdb_bgsave_in_progress": 0,
        }  # fmt: skip
        self.refused: dict[str, str] = {}
        self.sent: list[Command] = []
        self.trip = 0.0005
        self.slowness: dict[str, float] = {}
        """Additional seconds by command."""
        self.opened = 1
        self.closed = False
        self.failure: SourceError | None = None
        self._db = 0
        self._tables: dict[int, tuple[set[bytes], dict[int, list[bytes]]]] = {}

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:  # noqa: ARG002 -- as Session has it
        """Return the replies to commands."""
        if self.failure is not None:
            raise self.failure
        self.clock.advance(self.trip)
        return [self._answer(command) for command in commands]

    def talks_to(self, run_id: str) -> None:
        """Check the run id of the server's process."""
        assert run_id == self.info["run_id"]

    def close(self) -> None:
        """Close."""
        self.closed = True

    def commands(self, name: str) -> list[Command]:
        """Return the received commands of one name."""
        return [command for command in self.sent if command[0] == name]

    def _answer(self, command: Command) -> Any:  # noqa: ANN401 -- a reply can be anything
        self.sent.append(command)
        name = str(command[0])
        self.clock.advance(self.slowness.get(name, 0.0))
        if name in self.refused:
            return Refusal(self.refused[name])
        keys = self.databases.get(self._db, {})
        if name == "SCAN":
            return self._scan(keys, int(command[1]), int(command[3]))
        if name == "SELECT":
            self._db = int(command[1])
            return b"OK"
        if name == "INFO":
            return self._info(str(command[1]))
        if name == "PING":
            return b"PONG"
        size, ttl = keys.get(cast("bytes", command[2 if name == "MEMORY" else 1]), (None, -2))
        return {"MEMORY": size, "PTTL": ttl}[name]

    def _info(self, section: str) -> bytes:
        fields = dict(self.info)
        if section == "keyspace":
            fields = {f"db{db}": f"keys={len(keys)},expires=0" for db, keys in self.databases.items() if keys}
        return "".join([f"# {section}\r\n", *(f"{name}:{value}\r\n" for name, value in fields.items())]).encode()

    def _scan(self, keys: dict[bytes, tuple[int, int]], cursor: int, count: int) -> list[Any]:
        table = self._table(keys)
        found: list[bytes] = []
        place = self._cursor(cursor)
        while place < self._places and len(found) < count:
            found += table.get(self._cursor(place), [])
            place += 1
        return [str(self._cursor(place) if place < self._places else 0).encode(), found]

    def _table(self, keys: dict[bytes, tuple[int, int]]) -> dict[int, list[bytes]]:
        """Return the names by their place. The table is reused if the names have not changed."""
        known, table = self._tables.get(self._db, (set(), {}))
        if known != keys.keys():
            table = {}
            for name in keys:
                hashed = blake2b(name, key=self._seed, digest_size=4).digest()
                table.setdefault(int.from_bytes(hashed) % self._places, []).append(name)
            self._tables[self._db] = set(keys), table
        return table


def _reversed(number: int) -> int:
    return int(f"{number:0{BITS}b}"[::-1], 2)
