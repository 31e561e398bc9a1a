# SPDX-License-Identifier: Apache-2.0
"""Compress a response body.

Pieces of text go in, one gzip stream comes out. Nothing is kept between calls, so any number of threads may compress.
"""

import zlib
from collections.abc import Iterable, Iterator
from zlib import DEFLATED

try:
    from isal.isal_zlib import compressobj  # four times as fast as zlib
except ImportError:  # isal has no wheel for this platform
    from zlib import compressobj  # type: ignore[assignment]  # the same interface, as far as it is used here

LEVEL = 1
"""A fast level. On a local network the time to compress matters more than the last few percent of size."""
LEVEL_OF_MESSAGES = 6
"""zlib's level for protobuf, which repeats less than text: a fifth smaller, in 12 instead of 1 ms for a megabyte.

Its bodies are a seventh of those in text, so it takes about as long to compress them.
"""
GZIP = 31
"""zlib's ``wbits`` for the largest window inside a gzip header and trailer."""
CHUNK = 256 * 1024
"""Bytes that are joined before they are compressed. A large body is never in memory uncompressed as a whole."""


def compress(pieces: Iterable[bytes], *, messages: bool = False) -> bytes:
    """Return the gzip stream of all pieces. It contains no timestamp: equal bodies are equal bytes.

    ``messages`` states that they are protobuf.
    """
    compressor = zlib.compressobj(LEVEL_OF_MESSAGES, DEFLATED, GZIP) if messages else compressobj(LEVEL, DEFLATED, GZIP)
    packed = [compressor.compress(chunk) for chunk in _join(pieces)]
    return b"".join([*packed, compressor.flush()])


def _join(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces joined into chunks of at least ``CHUNK`` bytes. Only the last chunk may be shorter."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
