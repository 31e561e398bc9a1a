# SPDX-License-Identifier: Apache-2.0
"""Write millions of keys into Redis servers within seconds, and read their true sizes.

Input: a server of a test. Output: true counts and sizes by group. Commands are packed and written to a dedicated
socket.
"""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import hiredis

from tests.integration.redis_servers import RedisServer

CHUNK = 10_000
Words = tuple[str | int, ...]


class Load(NamedTuple):
    """A group of keys: their number, and a function that returns the command for key ``n`` from a random generator."""

    group: str
    keys: int
    write: Callable[[int, random.Random], Words]


class Truth(NamedTuple):
    """The true numbers of a group."""

    keys: int
    memory: int
    without_ttl: float


def _hex(chance: random.Random, bits: int) -> str:
    return f"{chance.getrandbits(bits):0{bits // 4}x}"


def _uuid(chance: random.Random) -> str:
    text = _hex(chance, 128)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _expiring(chance: random.Random, share: float) -> Words:
    return ("EX", 86_400) if chance.random() < share else ()


def mixture(keys: int) -> list[Load]:
    """Return ``keys`` keys like those of a busy application: most are results, and some groups are below 1 %."""
    return [
        Load("celery-task-meta", keys * 50 // 100, lambda _, chance: (
            "SET", f"celery-task-meta-{_uuid(chance)}", "x" * chance.choice((150, 200, 250)), *_expiring(chance, 0.9))),
        Load("session:*", keys * 20 // 100, lambda _, chance: (
            "SET", f"session:{_hex(chance, 64)}", "x" * chance.choice((20, 60, 100, 400)), "EX", 3600)),
        Load("market", keys * 15 // 100, lambda number, _: ("SET", f"market:{number}:price", "10.25")),
        Load("user:*:profile", keys * 10 // 100, lambda number, chance: (
            "HSET", f"user:{number}:profile", "name", "x" * 20, "mail", "y" * chance.choice((10, 50)))),
        Load("cart.*", keys * 3 // 100, lambda number, chance: (
            "RPUSH", f"cart.{number}", *["item"] * chance.choice((1, 5, 20)))),
        Load("blob_*", keys * 12 // 1000, lambda number, chance: (
            "SET", f"blob_{number}", "b" * chance.choice((2000, 4000)), *_expiring(chance, 0.25))),
        Load("alpha/*", keys * 5 // 1000, lambda number, _: ("SET", f"alpha/{number}", "z" * 500)),
        Load("beta/*", keys * 3 // 1000, lambda number, _: ("SET", f"beta/{number}", "z" * 50)),
    ]  # fmt: skip


def load(server: RedisServer, loads: list[Load], seed: int = 1) -> dict[str, list[bytes]]:
    """Write all keys. Return their names by group."""
    chance = random.Random(seed)  # noqa: S311 -- no secret depends on it
    names: dict[str, list[bytes]] = {}
    commands: list[Words] = []
    for each in loads:
        written = [each.write(number, chance) for number in range(each.keys)]
        names[each.group] = [str(words[1]).encode() for words in written]
        commands += written
    for _ in _replies(server, commands):
        pass
    return names


def truths(server: RedisServer, names: dict[str, list[bytes]]) -> dict[str, Truth]:
    """Read the size and time to live of every single key from the server."""
    found = {}
    for group, keys in names.items():
        sizes = _replies(server, [("MEMORY", "USAGE", key.decode()) for key in keys])
        memory = sum(sizes)
        lasting = sum(ttl == -1 for ttl in _replies(server, [("TTL", key.decode()) for key in keys]))
        found[group] = Truth(len(keys), memory, lasting / len(keys))
    return found


def _replies(server: RedisServer, commands: list[Words]) -> Iterator[int]:
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        for start in range(0, len(commands), CHUNK):
            chunk = commands[start : start + CHUNK]
            connection._sock.sendall(b"".join([hiredis.pack_command(words) for words in chunk]))  # type: ignore[arg-type]  # its stub takes 1-tuples
            for _ in chunk:
                yield connection.read_response()
        client.connection_pool.release(connection)
