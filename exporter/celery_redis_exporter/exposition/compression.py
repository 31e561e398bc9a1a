"""Pieces of a body in, gzip out.

Most of a quiet system's body is what the last one was, above all what events left, which comes first. What a body
begins with just like the last one is compressed once: a deflate stream can be flushed behind it and gone on with, and
so can a checksum.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple
from zlib import DEFLATED, Z_FULL_FLUSH

try:
    from isal.isal_zlib import compressobj, crc32  # several times faster than zlib, which takes longer than all else
except ImportError:  # there is none for this kind of machine
    from zlib import compressobj, crc32  # type: ignore[assignment]  # the same, in what is used here

# A fast level: on the node's own network the time to compress counts for more than the last few per cent.
LEVEL = 1
RAW = -15
"""zlib's number for deflate with the largest window and nothing around it."""
HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Gzip's, with no time and from no particular system."""
CHUNK = 256 * 1024
"""Bytes that are compressed together, at least: a large body takes megabytes, and would twice in between."""
WORTH = 16 * 1024
"""Bytes from which on it saves time to keep them compressed."""


class _Beginning(NamedTuple):
    """What bodies begin with: the pieces, what they are compressed, and their checksum and bytes."""

    pieces: int = 0
    packed: bytes = b""
    checksum: int = 0
    size: int = 0


class Compressor:
    """Compresses bodies of one kind, one after the other; threads may call it at the same time."""

    def __init__(self) -> None:
        # What the last body began with: its first pieces, and those of them that are kept compressed.
        self._last: tuple[Sequence[bytes], _Beginning] = ((), _Beginning())

    def compress(self, texts: Iterable[bytes]) -> bytes:
        """Give the body that consists of ``texts``; one is known again if it is the same object as last time."""
        last, beginning = self._last
        rest = iter(texts)
        known, other = _compare(last, rest)
        if len(known) != beginning.pieces:
            beginning = _keep(known)
        chunks = _chunks(chain(known[beginning.pieces :], other, rest))
        first = next(chunks)
        self._last = [*known[: beginning.pieces], *first], beginning
        _, packed, checksum, size = beginning
        deflater = compressobj(LEVEL, DEFLATED, RAW)
        parts = [HEADER, packed]
        for pieces in chain((first,), chunks):
            chunk = b"".join(pieces)
            parts.append(deflater.compress(chunk))
            checksum, size = crc32(chunk, checksum), size + len(chunk)
        return b"".join([*parts, deflater.flush(), struct.pack("<LL", checksum, size & 0xFFFFFFFF)])


def _compare(last: Iterable[bytes], texts: Iterator[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Take texts as long as they are those of the last time; give them, and the first other one that was taken."""
    known: list[bytes] = []
    for before, text in zip(last, texts, strict=False):  # which takes no text that it does not give
        if text is not before:
            return known, [text]
        known.append(text)
    return known, []


def _keep(texts: Sequence[bytes]) -> _Beginning:
    text = b"".join(texts)
    if len(text) < WORTH:
        return _Beginning()
    deflater = compressobj(LEVEL, DEFLATED, RAW)
    packed = deflater.compress(text) + deflater.flush(Z_FULL_FLUSH)
    return _Beginning(len(texts), packed, crc32(text), len(text))


def _chunks(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Give texts together that make a chunk, and at last what is left, if only nothing."""
    waiting: list[bytes] = []
    size = 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= CHUNK:
            yield waiting
            waiting, size = [], 0
    yield waiting
