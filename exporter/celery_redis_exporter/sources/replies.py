"""The bytes of a Redis connection in, its replies out, through hiredis.

A message of a subscription that is too long is dropped while it arrives: the parser would keep all of it in memory, and
the connection can't be given up for it, since what is published meanwhile would be lost. Raises SourceError for what is
no reply. Reads nothing by itself.
"""

import re
from typing import Any

import hiredis

from celery_redis_exporter.errors import SourceError

FEED_BYTES = 16 * 1024
"""What the parser gets at once: it moves what is left of it in memory for each reply that it gives."""
MOST_REPLY = 128 * 1024 * 1024
"""Bytes of one reply; four times what Redis keeps for a subscriber by default."""
TOO_LONG = "a list too long to be one"
UNREADABLE = (hiredis.ProtocolError, TypeError, MemoryError)
"""What hiredis raises: its own error, TypeError for a RESP3 map with a list as a key, and MemoryError for a list whose
header claims more elements than the process may have memory for (see ``daemon.tuning.limit_memory``)."""
_HEAD_BYTES = 2048
_HEAD = re.compile(rb"\*[34]\r\n\$\d\r\np?message\r\n(?:\$\d{1,4}\r\n[^\r]*\r\n){1,2}\$(\d{1,10})\r\n")
"""How a message of a subscription begins: its kind, pattern and channel, and the length of its body."""


class ReplyParser:
    """Parses one connection. Messages with a body above ``longest`` bytes are dropped, and counted in ``dropped``."""

    def __init__(self, longest: int | None = None) -> None:
        self.dropped = 0
        self._longest = longest
        self._reader = hiredis.Reader()
        self._unfinished = 0  # bytes that the parser was given since the last reply, and those of the piece before
        self._beginning = b""  # of these bytes
        self._to_drop = 0

    def parse(self, buffer: bytearray, size: int) -> list[Any]:
        """Return the replies that the first ``size`` bytes of ``buffer`` complete; raise SourceError."""
        replies: list[Any] = []
        try:
            for start in range(0, size, FEED_BYTES):
                end = min(start + FEED_BYTES, size)
                begin = min(start + self._to_drop, end)
                self._to_drop -= begin - start
                if begin < end:
                    self._feed(buffer, begin, end, replies)
        except UNREADABLE as error:
            raise SourceError("protocol", str(error) or TOO_LONG) from None
        if self._unfinished > MOST_REPLY:
            raise SourceError("protocol", f"a reply of more than {MOST_REPLY:,} bytes")
        return replies

    def _feed(self, buffer: bytearray, begin: int, end: int, replies: list[Any]) -> None:
        found, gets = len(replies), self._reader.gets
        self._reader.feed(buffer, begin, end - begin)  # type: ignore[arg-type]  # takes any buffer, its stub says bytes
        reply = gets()
        while reply is not False:
            replies.append(reply)
            reply = gets()
        if len(replies) > found:
            self._unfinished = end - begin
            if self._longest is not None:
                self._beginning = bytes(memoryview(buffer)[begin:end])
            return
        if self._longest is not None and len(self._beginning) == self._unfinished:  # nothing was left out
            self._beginning += memoryview(buffer)[begin : min(end, begin + _HEAD_BYTES)]
        self._unfinished += end - begin
        if self._longest is not None and self._unfinished > self._longest + FEED_BYTES:
            self._drop(self._longest)

    def _drop(self, longest: int) -> None:
        """Drop the message that is arriving, if it is one: what came of it, and what is to come."""
        heads = [head for head in _HEAD.finditer(self._beginning) if int(head[1]) > longest]
        if heads:
            self._to_drop = heads[-1].end() + int(heads[-1][1]) + len(b"\r\n") - self._unfinished
            self._reader, self._unfinished, self._beginning = hiredis.Reader(), 0, b""
            self.dropped += 1
