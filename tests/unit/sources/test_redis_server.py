# SPDX-License-Identifier: Apache-2.0
"""The commands for a server, by what its INFO contains; the integration tests check that the commands work."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import pytest

from celery_redis_exporter.sources.redis_server import CONFIG_SECONDS, RedisServer, Wanted
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.fakes import FakeClock

REDIS_7 = b"redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\n"
REDIS_6 = b"redis_version:6.2.14\r\nredis_mode:standalone\r\nrun_id:abc\r\n"
VALKEY_81 = b"redis_version:7.2.4\r\nvalkey_version:8.1.3\r\nserver_mode:cluster\r\nrun_id:abc\r\n"
VALKEY_90 = b"redis_version:7.2.4\r\nvalkey_version:9.0.0\r\nserver_mode:standalone\r\nrun_id:abc\r\n"
SENTINEL = b"redis_version:7.0.15\r\nredis_mode:sentinel\r\nrun_id:abc\r\n"
REFUSED = Refusal("NOPERM no permissions to run the 'info' command")


class ScriptedSession:
    """A session that answers INFO with a text, and every other command with the command itself."""

    def __init__(self, info: bytes | Refusal) -> None:
        self.info = info
        self.opened = 0
        self.batches: list[list[Command]] = []
        self.run_ids: list[str] = []

    def talks_to(self, run_id: str) -> None:
        """Record the process that answers."""
        self.run_ids.append(run_id)

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Return the replies, on a connection that is opened when it is needed."""
        assert deadline
        self.opened = self.opened or 1
        self.batches.append(list(commands))
        return [self.info if command[0] == "INFO" else command for command in commands]

    ask = exchange


def meet(info: bytes | Refusal, wanted: Wanted | None = None) -> tuple[RedisServer, ScriptedSession, FakeClock]:
    """Return a server with this INFO, its session and its clock."""
    session, clock = ScriptedSession(info), FakeClock()
    return RedisServer("r", cast("Session", session), clock, wanted or Wanted()), session, clock


def words(batch: Iterable[Command]) -> list[str]:
    """Write commands as they are typed."""
    return [" ".join(map(str, command)) for command in batch]


BASE = ["INFO ALL", "SLOWLOG LEN", "SLOWLOG GET 1", "LATENCY LATEST"]
LOGS = ["COMMANDLOG LEN slow", "COMMANDLOG LEN large-request", "COMMANDLOG LEN large-reply"]


@pytest.mark.parametrize(
    ("info", "wanted", "expected"),
    [
        (REDIS_7, Wanted(latency_histogram=True), [*BASE, "LATENCY HISTOGRAM"]),
        (REDIS_7, Wanted(), BASE),
        (REDIS_6, Wanted(), BASE),
        (VALKEY_81, Wanted(latency_histogram=True), [*BASE, "LATENCY HISTOGRAM", *LOGS, "CLUSTER INFO"]),
        (SENTINEL, Wanted(), ["INFO ALL"]),
        (REDIS_7, Wanted("core"),
         ["INFO server clients memory persistence stats replication cluster keyspace errorstats"]),
        (REDIS_6, Wanted("core"), ["INFO"]),
        (VALKEY_81, Wanted("core"),
         ["INFO server clients memory persistence stats replication cluster keyspace errorstats", "CLUSTER INFO"]),
        (VALKEY_81, Wanted("off"), ["PING"]),
    ],
)  # fmt: skip
def test_commands(info: bytes, wanted: Wanted, expected: list[str]) -> None:
    """A server gets the commands that it supports and that are wanted, in one batch with those of the caller."""
    server, session, _ = meet(info, wanted)
    server.read([("LLEN", "q")], 1)
    reading = server.read([("LLEN", "q")], 1)
    assert [("LLEN", "q")] == reading.others
    assert [*expected, "LLEN q"] == words(session.batches[-1])
    assert 3 == len(session.batches)  # one for the first INFO, and one for each read
    assert ["abc"] == session.run_ids
    assert ("cluster" in str(info)) == server.in_cluster
    assert (None if wanted.level == "off" else info) == reading.info
    assert {command: command for command in session.batches[-1] if command[0] not in {"INFO", "LLEN"}} == reading.own


PARAMETERS = "databases maxclients maxmemory io-threads repl-backlog-size client-output-buffer-limit"


def test_settings_are_asked_once_in_a_while() -> None:
    """Named parameters are read first and again after five minutes, one at a time from old servers."""
    server, session, clock = meet(REDIS_7)
    queried = []
    for _ in range(3):
        server.read((), 1)
        queried.append([word for word in words(session.batches[-1]) if word.startswith("CONFIG")])
        clock.advance(CONFIG_SECONDS / 2)
    assert [[f"CONFIG GET {PARAMETERS}"], [], [f"CONFIG GET {PARAMETERS}"]] == queried
    server, session, _ = meet(REDIS_6)
    server.read((), 1)
    assert [f"CONFIG GET {name}" for name in PARAMETERS.split()] == words(session.batches[-1])[len(BASE) :]


@pytest.mark.parametrize(("info", "logs", "databases"), [(VALKEY_81, 6, 0), (VALKEY_90, 6, 1), (REDIS_7, 0, 0)])
def test_settings_of_valkey(info: bytes, logs: int, databases: int) -> None:
    """The settings that only Valkey has are read from it by name, never with a star."""
    server, session, _ = meet(info)
    server.read((), 1)
    (config,) = (word for word in words(session.batches[-1]) if word.startswith("CONFIG"))
    assert logs == config.count("commandlog-")
    assert databases == config.count("cluster-databases")
    assert "*" not in config


def test_refused_info() -> None:
    """A server that refuses INFO gets only INFO and the caller's commands, until it allows INFO."""
    server, session, _ = meet(REFUSED)
    reading = server.read([("LLEN", "q")], 1)
    assert ["INFO ALL", "LLEN q"] == words(session.batches[-1])
    assert [("LLEN", "q")] == reading.others
    assert REFUSED is reading.trouble
    assert "noperm" == REFUSED.as_error("INFO").reason
    session.info = REDIS_7
    server.read((), 1)
    server.read((), 1)
    assert "SLOWLOG LEN" in words(session.batches[-1])


class PlainSession(ScriptedSession):
    """A session with a server like Dragonfly: INFO accepts one section, CONFIG GET one name."""

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Refuse commands with too many words."""
        replies = super().exchange(commands, deadline)
        most = {"INFO": 2, "CONFIG": 3}
        return [
            Refusal("ERR syntax error") if len(command) > most.get(str(command[0]), 9) else reply
            for command, reply in zip(commands, replies, strict=True)
        ]

    ask = exchange


@pytest.mark.parametrize("level", ["full", "core"])
def test_a_server_that_takes_one_word_is_asked_plainly(level: Literal["full", "core"]) -> None:
    """If INFO with sections and CONFIG GET with names are refused, they are sent one by one from then on."""
    session, clock = PlainSession(REDIS_7), FakeClock()
    server = RedisServer("r", cast("Session", session), clock, Wanted(level))
    reading = server.read([("LLEN", "q")], 1)
    assert REDIS_7 == reading.info
    assert [("LLEN", "q")] == reading.others
    names = [f"CONFIG GET {name}" for name in PARAMETERS.split()]
    assert names == [word for word in words(reading.own) if word.startswith("CONFIG")]
    assert all(not isinstance(reply, Refusal) for reply in reading.own.values())
    assert reading.trouble is None
    clock.advance(CONFIG_SECONDS)
    reading = server.read([("LLEN", "q")], 1)
    assert 4 == len(session.batches), "it was queried twice again"
    assert names == [word for word in words(reading.own) if word.startswith("CONFIG")]
    assert REDIS_7 == reading.info


def test_a_server_of_no_use_says_why() -> None:
    """A server that is loading answers INFO but has a trouble; so has one whose replies report it."""
    server, session, _ = meet(REDIS_7)
    assert server.read((), 1).trouble is None
    session.info = REDIS_7 + b"loading:1\r\n"
    trouble = server.read((), 1).trouble
    assert trouble is not None
    assert "loading" == trouble.reason
    session.info = Refusal("MASTERDOWN Link with MASTER is down")
    trouble = server.read((), 1).trouble
    assert trouble is not None
    assert "masterdown" == trouble.reason


def test_time_to_connect() -> None:
    """The time to connect is that of the last connection, and is reported from then on."""
    server, _, _ = meet(REDIS_7)
    assert server.connect_seconds is None
    server.read((), 1)
    assert 0 == server.connect_seconds
