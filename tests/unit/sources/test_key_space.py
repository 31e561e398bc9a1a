# SPDX-License-Identifier: Apache-2.0
"""The commands that read the key space, and the sizes of their batches."""

from typing import cast

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.key_space import (
    FEWEST_NAMES,
    FIRST_NAMES,
    MOST_NAMES,
    SAMPLES,
    Batch,
    KeySpaceReader,
    Measured,
    Walk,
)
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.fakes import FakeClock
from tests.support.key_server import KeyServer

KEYS = {b"key%d" % number: (60, -1) for number in range(2000)}
TOTAL = len(KEYS)


def reading(server: KeyServer, *, select: bool = False) -> KeySpaceReader:
    """Return a reader of a server that has read INFO."""
    reader = KeySpaceReader(cast("Session", server), server.clock, 1.0, select=select)
    reader.look()
    reader.measure(min(server.databases), [b"tried"])
    return reader


def counts(server: KeyServer) -> list[object]:
    """Return the COUNT of each SCAN."""
    return [command[3] for command in server.commands("SCAN")]


def test_a_sweep_meets_every_key_once() -> None:
    """Batches follow each other over the whole key space, at rising positions, and then they start again."""
    server = KeyServer(FakeClock(), db0=KEYS)
    reader, walk = reading(server), Walk(0)
    names, positions = [], []
    while True:
        batch = reader.next_batch(walk, TOTAL, ())
        names += batch.names
        positions.append(batch.position)
        if batch.complete:
            break
    assert sorted(KEYS) == sorted(names)
    assert 0.0 == positions[0] == walk.position
    assert positions == sorted(set(positions))
    assert b"0" == walk.cursor


def test_positions_are_those_of_the_hash() -> None:
    """Cursors that count up from the highest bit yield the position, even if the table grows during the sweep."""
    walk = Walk(0)
    places = []
    for cursor in (1 << 63, 1 << 62, 3 << 62, 1 << 61):
        walk.advance(str(cursor).encode(), 10, 80)
        places.append(walk.position * 2**64)
    assert [1, 2, 3, 4] == places
    walk.advance(b"4", 10, 80)
    assert 2**-3 == walk.position
    walk.advance(b"2", 10, 80)
    assert 2**-2 == walk.position
    walk.advance(b"1", 10, 80)
    assert 2**-1 == walk.position


def test_positions_of_other_servers_are_those_of_names() -> None:
    """If cursors do not count as in Redis, the number of names yields the position."""
    walk = Walk(0)
    for cursor in range(1, 5):
        walk.advance(str(cursor).encode(), 20, 100)
    assert 0.8 == pytest.approx(walk.position)
    walk.advance(b"5", 50, 100)
    assert 1.0 == walk.position
    walk.advance(b"0", 1, 100)
    assert 0.0 == walk.position


def test_slots_are_tried_once() -> None:
    """If the cursor counts neither by hash nor by slot, the sweep begins again once, and never later."""
    walk = Walk(0)
    for cursor in (b"1", b"3"):
        assert not walk.restart_by_slot(cursor)
        walk.advance(cursor, 10, 100)
    assert walk.restart_by_slot(b"4")
    assert (b"0", 0.0) == (walk.cursor, walk.position)
    for _ in range(2):
        for cursor in (b"5", b"9", b"2", b"7", b"0"):
            assert not walk.restart_by_slot(cursor)
            walk.advance(cursor, 10, 100)


def test_one_round_trip_measures_and_goes_on() -> None:
    """Sizes, times to live and the next names share one round trip, with a bounded cost each."""
    server = KeyServer(FakeClock(), db0={b"a": (70, -1), b"b": (900, 5000)})
    reader = reading(server)
    server.sent.clear()
    batch = reader.next_batch(Walk(0), 2, [b"a", b"b", b"gone"])
    assert [
        ("MEMORY", "USAGE", b"a", "SAMPLES", SAMPLES), ("PTTL", b"a"),
        ("MEMORY", "USAGE", b"b", "SAMPLES", SAMPLES), ("PTTL", b"b"),
        ("MEMORY", "USAGE", b"gone", "SAMPLES", SAMPLES), ("PTTL", b"gone"),
        ("SCAN", b"0", "COUNT", FIRST_NAMES),
    ] == server.sent  # fmt: skip
    assert [Measured(70, -1), Measured(900, 5000), Measured(None, -2)] == batch.measured
    assert [True, True, False] == [measured.exists for measured in batch.measured]


def test_a_key_that_goes_meanwhile_is_gone() -> None:
    """A key that expired between its size and its time to live does not exist."""
    measured, _ = reading(KeyServer(FakeClock(), db0={b"a": (70, -2)})).measure(0, [b"a"])
    assert [(None, False)] == [(each.size, each.exists) for each in measured]


def test_databases_are_selected_where_there_are_several() -> None:
    """With several databases each batch selects its database; with one no batch does."""
    server = KeyServer(FakeClock(), db0={b"a": (1, -1)}, db3={b"b": (2, -1)})
    reader = reading(server, select=True)
    assert [b"b"] == reader.next_batch(Walk(3), 1, ()).names
    assert [b"a"] == reader.next_batch(Walk(0), 1, ()).names
    assert [Measured(2, -1)] == reader.measure(3, [b"b"])[0]
    assert [3, 0, 3] == [command[1] for command in server.commands("SELECT")][-3:]


def test_batches_grow_while_they_are_quick() -> None:
    """COUNT grows up to its limit."""
    server = KeyServer(FakeClock(), db0=KEYS)
    reader, walk = reading(server), Walk(0)
    for _ in range(9):
        reader.next_batch(walk, TOTAL, ())
    assert [FIRST_NAMES, FIRST_NAMES * 3 // 2] == counts(server)[:2]
    assert MOST_NAMES == counts(server)[-1]


def test_batches_shrink_when_two_in_a_row_are_slow() -> None:
    """One slow reply may be accidental; from the second on COUNT is halved, down to its limit."""
    server = KeyServer(FakeClock(), db0=KEYS)
    reader, walk = reading(server), Walk(0)
    server.slowness["SCAN"] = 0.002
    batches = [reader.next_batch(walk, TOTAL, ()) for _ in range(12)]
    assert [50, 50, 25, 25, 12, 12, 10] == counts(server)[:7]
    assert FEWEST_NAMES == counts(server)[-1]
    assert 0.002 == pytest.approx(batches[-1].busy)


def test_long_names_shrink_batches() -> None:
    """Names of kilobytes are requested in small batches, however quick these are."""
    server = KeyServer(FakeClock(), db0={b"%d" % number + b"x" * 20_000: (1, -1) for number in range(200)})
    reader, walk = reading(server), Walk(0)
    for _ in range(4):
        reader.next_batch(walk, 200, ())
    assert [50, 25, 12] == counts(server)[:3]


def test_the_servers_time_is_what_exceeds_the_shortest_round_trip() -> None:
    """The round trip is no part of the server's time, and another connection may have another round trip."""
    server = KeyServer(FakeClock(), db0=KEYS)
    reader = reading(server)
    server.slowness["SCAN"] = 0.004
    assert 0.004 == pytest.approx(reader.next_batch(Walk(0), TOTAL, ()).busy)
    server.opened, server.trip = 2, 0.1
    assert 0.0 == pytest.approx(reader.look()[1], abs=1e-9)
    assert 0.004 == pytest.approx(reader.next_batch(Walk(0), TOTAL, ()).busy)


@pytest.mark.parametrize(("command", "text", "reason"), [
    ("SCAN", "NOPERM this user has no permissions to run the 'scan' command", "noperm"),
    ("SCAN", "ERR unknown command 'SCAN'", "protocol"),
    ("SELECT", "ERR DB index is out of range", "protocol"),
    ("INFO", "NOPERM this user has no permissions to run the 'info' command", "noperm"),
])  # fmt: skip
def test_refusals_that_nothing_works_without_are_named(command: str, text: str, reason: str) -> None:
    """If INFO, SCAN or SELECT is refused, a SourceError names the command."""
    server = KeyServer(FakeClock(), db0=KEYS)
    server.refused[command] = text
    reader = KeySpaceReader(cast("Session", server), server.clock, 1.0, select=True)
    ask = reader.look if command == "INFO" else lambda: reader.next_batch(Walk(0), TOTAL, ())
    with pytest.raises(SourceError, match=command) as raised:
        ask()
    assert reason == raised.value.reason


def test_refused_sizes_are_unknown() -> None:
    """Without MEMORY or PTTL names are still read, and sizes and times to live are unknown."""
    server = KeyServer(FakeClock(), db0={b"a": (70, -1)})
    server.refused["MEMORY"] = "ERR unknown command 'MEMORY'"
    assert [Measured(None, -1)] == reading(server).next_batch(Walk(0), 1, [b"a"]).measured
    server.refused["PTTL"] = "NOPERM this user has no permissions to run the 'pttl' command"
    assert [Measured(None, None)] == reading(server).next_batch(Walk(0), 1, [b"a"]).measured
    server.refused["MEMORY"] = "NOPERM No permissions to access a key"
    assert [Measured(None, None, refused=True)] == reading(server).measure(0, [b"a"])[0]


def test_one_key_is_tried_before_many() -> None:
    """A refused command is sent once per look, not for a whole batch of keys."""
    server = KeyServer(FakeClock(), db0={b"a": (70, -1), b"b": (80, -1)})
    reader = KeySpaceReader(cast("Session", server), server.clock, 1.0, select=False)
    for _ in range(2):
        reader.look()
        server.sent.clear()
        assert [Measured(70, -1), Measured(80, -1)] == reader.measure(0, [b"a", b"b"])[0]
        reader.next_batch(Walk(0), 2, [b"a"])
        assert ["a", "a", "b", "a"] == [bytes(command[2]).decode() for command in server.commands("MEMORY")]  # type: ignore[arg-type]


def sweep(reader: KeySpaceReader, segments: int, walk: Walk | None = None) -> list[Batch]:
    """Return the batches of a whole sweep."""
    walk, batches = walk or Walk(0), list[Batch]()
    while not batches or not batches[-1].complete:
        batch = reader.next_batch(walk, TOTAL, (), segments)
        batches = [batch] if batch.restarted else [*batches, batch]
    return batches


def by_segment(batches: list[Batch], segments: int) -> list[set[bytes]]:
    """Return the names that were found in each segment."""
    found = [set[bytes]() for _ in range(segments)]
    for batch in batches:
        found[int(batch.position * segments)] |= set(batch.names)
    return found


@pytest.mark.parametrize("in_cluster", [False, True], ids=["alone", "cluster"])
@pytest.mark.parametrize("seed", range(5))
def test_batches_end_with_their_segment(seed: int, in_cluster: bool) -> None:  # noqa: FBT001 -- a table
    """Every sweep finds each key once, in the same segment, although batches begin elsewhere and are larger."""
    server = KeyServer(FakeClock(), seed, in_cluster=in_cluster, db0=KEYS)
    reader, walk = reading(server), Walk(0)
    first, second = sweep(reader, 16, walk), sweep(reader, 16, walk)
    assert [len(batch.names) for batch in first] != [len(batch.names) for batch in second]
    assert [in_cluster, False] == [found[0].restarted for found in (first, second)]
    assert sorted(KEYS) == sorted(name for batch in second for name in batch.names)
    assert by_segment(first, 16) == by_segment(second, 16)


def test_a_segment_that_changes_meanwhile_loses_no_key() -> None:
    """If a key comes between the two scans at the end of a segment, the batch is not cut there."""
    server = KeyServer(FakeClock(), db0=dict(KEYS))
    reader, answer, come = reading(server), server._answer, list[bytes]()

    def scan(command: Command) -> object:
        if command[0] == "SCAN":
            come.append(b"new%d" % len(come))
            server.databases[0][come[-1]] = (60, -1)
        return answer(command)

    server._answer = scan  # type: ignore[method-assign]
    names = [name for batch in sweep(reader, 16) for name in batch.names]
    assert set(KEYS) == {name for name in names if name in KEYS}
    assert len(names) == len(set(names))


@pytest.mark.parametrize("reply", [Refusal("ERR invalid cursor"), [b"0", []], [b"0", [b"other"]], [b"0", [b"key1"]]])
def test_cursors_of_another_kind_lose_no_key(reply: object) -> None:
    """A server that does not know the cursor at the end of a segment is read as if there were no segments."""
    server = KeyServer(FakeClock(), db0=KEYS)
    reader, answer, given = reading(server), server._answer, {b"0"}

    def scan(command: Command) -> object:
        if command[0] == "SCAN" and command[1] not in given:
            return reply
        found = answer(command)
        if command[0] == "SCAN":
            given.add(found[0])
        return found

    server._answer = scan  # type: ignore[method-assign]
    names = [name for batch in sweep(reader, 16) for name in batch.names]
    assert sorted(KEYS) == sorted(names)
