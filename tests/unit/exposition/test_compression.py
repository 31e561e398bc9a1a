"""Compressed bodies."""

import gzip
import importlib.util
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.exposition import compression
from celery_redis_exporter.exposition.compression import CHUNK, WORTH, Compressor

PIECES = [f"{number} ".encode() * (3 ** (number % 10)) for number in range(40)]
"""From 2 bytes to some 60 kB each."""


class Counting:
    """A compressor that counts what it is given."""

    given = 0

    def __init__(self, level: int, method: int, window: int) -> None:
        self._deflater = zlib.compressobj(level, method, window)
        self.flush = self._deflater.flush

    def compress(self, text: bytes) -> bytes:
        """Count and compress."""
        Counting.given += len(text)
        return self._deflater.compress(text)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    """Count every byte that is compressed."""
    monkeypatch.setattr(compression, "compressobj", Counting)
    Counting.given = 0
    return Counting


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=30), min_size=1, max_size=6))
def test_bodies_in_turn(bodies: list[list[bytes]]) -> None:
    """Whatever bodies come, and however much of the last one is in each, all of a body comes out, and nothing else."""
    compressor = Compressor()
    for body in bodies:
        assert b"".join(body) == gzip.decompress(compressor.compress(iter(body)))


@given(st.integers(0, len(PIECES)), st.integers(0, len(PIECES)))
def test_beginnings_in_turn(one: int, other: int) -> None:
    """The part that stays the same may grow and shrink, to nothing and to everything."""
    compressor = Compressor()
    for known in (one, one, other, other, one):
        body = [*PIECES[:known], *(bytes(bytearray(piece)) for piece in PIECES[known:])]
        assert b"".join(PIECES) == gzip.decompress(compressor.compress(body))


def test_what_stays_the_same_is_compressed_once(counting: type[Counting]) -> None:
    """The third body costs only what comes behind that with which the first and the second began."""
    compressor = Compressor()
    beginning = [b"a" * WORTH, b"b" * WORTH]
    for end, cost in ((b"1", 2 * WORTH), (b"2", 2 * WORTH), (b"3", 0), (b"4", 0)):
        counting.given = 0
        compressor.compress([*beginning, end])
        assert cost + 1 == counting.given


def test_little_is_compressed_in_one_go(counting: type[Counting]) -> None:
    """A short beginning is not kept: it would save no time, and the rest could not refer to it."""
    compressor = Compressor()
    for _ in range(3):
        counting.given = 0
        compressor.compress([b"a" * (WORTH - 1), b"b"])
        assert WORTH == counting.given


def test_threads_do_not_mix_bodies() -> None:
    """Answers made at the same time, each of a beginning of its own, are each their own."""
    compressor = Compressor()
    bodies = [[*PIECES[start:], *PIECES[:start]] for start in range(8)]

    def check(number: int) -> bool:
        body = bodies[number % len(bodies)]
        return b"".join(body) == gzip.decompress(compressor.compress(body))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(200)))


def test_large_bodies_are_made_piece_by_piece() -> None:
    """A large body is held neither while it is compressed nor until the next one."""
    compressor = Compressor()
    text = b"some text of a large body\n" * 1_000

    def texts() -> Iterator[bytes]:
        for number in range(1_000):
            yield b"%d" % number + text

    tracemalloc.start()
    try:
        body = compressor.compress(texts())
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, texts())) == len(gzip.decompress(body))
    assert held < len(body) + 2 * CHUNK
    assert peak < len(text) * 1_000 / 10


def test_equal_bodies_are_equal_bytes() -> None:
    """No time is written: what is the same for two exporters is the same to whoever compares."""
    first, second = (Compressor().compress(PIECES) for _ in range(2))
    assert first == second
    assert b"\0\0\0\0" == first[4:8]


def test_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no isal, the standard library compresses."""
    for name in ("isal", "isal.isal_zlib"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec("celery_redis_exporter.exposition.compression")
    assert spec is not None
    assert spec.loader is not None
    again: Any = importlib.util.module_from_spec(spec)  # a copy: the module itself stays as it is
    monkeypatch.setitem(sys.modules, spec.name, again)
    spec.loader.exec_module(again)
    assert zlib.compressobj is again.compressobj
    compressor = again.Compressor()
    for _ in range(3):
        assert b"".join(PIECES) == gzip.decompress(compressor.compress(PIECES))
