# SPDX-License-Identifier: Apache-2.0
"""Compression of bodies."""

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

from celery_redis_exporter.exposition.compression import CHUNK, compress

PIECES = [f"{number} ".encode() * (3 ** (number % 10)) for number in range(40)]
"""Pieces from 2 bytes to about 60 kB."""


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_every_piece_is_in_the_body(pieces: list[bytes]) -> None:
    """A gzip reader returns all pieces, in their order, and nothing else."""
    for messages in (False, True):
        assert b"".join(pieces) == gzip.decompress(compress(iter(pieces), messages=messages))


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_pieces_as_large_as_a_chunk(size: int) -> None:
    """A piece that fills a chunk, or more than one, is complete."""
    piece = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert piece * 2 + b"end" == gzip.decompress(compress([piece, piece, b"end"]))


def test_threads_do_not_mix_bodies() -> None:
    """Bodies that are compressed at the same time are independent."""
    bodies = [[*PIECES[start:], *PIECES[:start]] for start in range(8)]

    def check(number: int) -> bool:
        body = bodies[number % len(bodies)]
        return b"".join(body) == gzip.decompress(compress(body))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(200)))


def test_large_bodies_are_compressed_chunk_by_chunk() -> None:
    """The uncompressed text of a large body is never in memory as a whole."""
    text = b"some text of a large body\n" * 1_000

    def texts() -> Iterator[bytes]:
        for number in range(1_000):
            yield b"%d" % number + text

    tracemalloc.start()
    try:
        body = compress(texts())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(map(len, texts())) == len(gzip.decompress(body))
    assert peak < len(text) * 1_000 / 10


def test_equal_bodies_are_equal_bytes() -> None:
    """The gzip header contains no timestamp."""
    first, second = (compress(PIECES) for _ in range(2))
    assert first == second
    assert b"\0\0\0\0" == first[4:8]


def test_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without isal the standard library compresses."""
    for name in ("isal", "isal.isal_zlib"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec("celery_redis_exporter.exposition.compression")
    assert spec is not None
    assert spec.loader is not None
    again: Any = importlib.util.module_from_spec(spec)  # a copy: the module itself stays unchanged
    monkeypatch.setitem(sys.modules, spec.name, again)
    spec.loader.exec_module(again)
    assert zlib.compressobj is again.compressobj
    assert b"".join(PIECES) == gzip.decompress(again.compress(PIECES))
