# SPDX-License-Identifier: Apache-2.0
"""Parse the bytes of a Redis connection into replies, through hiredis.

A message of a subscription that is too long is dropped while it arrives. The parser would keep all of it in memory, and
closing the connection would lose what is published meanwhile. Raises SourceError for bytes that are not a reply. Does
no I/O.
"""

import re
import threading
from typing import Any

import hiredis

from celery_redis_exporter.errors import ReplyTooLargeError, SourceError

FEED_BYTES = 16 * 1024
"""The number of bytes that the parser receives at once. For each reply it moves the rest in memory."""
MOST_REPLY = 40 * 1024 * 1024
"""The maximum size of one reply in bytes: more than the longest message of events."""
MOST_TOGETHER = 80 * 1024 * 1024
"""The maximum size of the unfinished replies of all connections, within what the deployment files allow the process."""
LARGE = 8 * 1024 * 1024
"""The size from which on a reply is given up if there are too many bytes together."""
MOST_LINES = 200_000
"""The maximum number of lines in one reply.

Each element of a list takes a line at least, and up to 200 bytes in memory, although it may have arrived as four.
"""
TOO_LONG = "a list too long to be one"
UNREADABLE = (hiredis.ProtocolError, TypeError, MemoryError)
"""The exceptions of hiredis.

Its own error, TypeError for a RESP3 map with a list as a key, and MemoryError for a list whose header claims more
elements than the process may have memory for (see ``daemon.tuning.limit_memory``).
"""
_LONG_PUSH = re.compile(rb"\n>\d{6,}")
"""The header of a push (RESP3, which no connection requests) of 100,000 elements or more, at the beginning of a line.

hiredis fills such a list at once, so that 15 bytes take gigabytes. It only reserves memory for other lists.
"""
NEWLINE = 10
_HEAD_BYTES = 2048
_HEAD = re.compile(rb"\*[34]\r\n\$\d\r\np?message\r\n(?:\$\d{1,4}\r\n[^\r]*\r\n){1,2}\$(\d{1,10})\r\n")
"""The beginning of a message of a subscription: its kind, pattern and channel, and the length of its body."""


class _UnfinishedReplies:
    """The bytes of unfinished replies, of all connections of the process, whose memory is one."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, change: int) -> None:
        """Count more or fewer bytes."""
        with self._lock:
            self.bytes += change


_UNFINISHED = _UnfinishedReplies()


class ReplyParser:
    """Parse one connection. Messages with a body above ``longest`` bytes are dropped, and counted in ``dropped``."""

    def __init__(self, longest: int | None = None) -> None:
        self.dropped = 0
        self._longest = longest
        self._reader = hiredis.Reader()
        self._unfinished = 0  # The bytes that the parser received since the last reply, and those of the piece before.
        self._lines = 0  # The number of lines in these bytes.
        self._counted = 0  # The number of these bytes in ``_UNFINISHED``.
        self._beginning = b""  # The beginning of these bytes, which is copied when it is needed.
        self._begun: slice | None = None  # Where the beginning is in the buffer, until the buffer is used again.
        self._line = b"\n"  # The end of these bytes from the last newline on, while it may become the header of a push.
        self._to_drop = 0

    def __del__(self) -> None:
        """Count the bytes of a connection that ended."""
        self._count(0)

    def parse(self, buffer: bytearray, size: int) -> list[Any]:
        """Return the replies that the first ``size`` bytes of ``buffer`` complete. Raises SourceError."""
        replies: list[Any] = []
        try:
            for start in range(0, size, FEED_BYTES):
                end = min(start + FEED_BYTES, size)
                begin = min(start + self._to_drop, end)
                self._to_drop -= begin - start
                if begin < end:
                    self._feed(buffer, begin, end, replies)
            self._copy_beginning(buffer)
        except UNREADABLE as error:
            raise SourceError("protocol", str(error) or TOO_LONG) from None
        return replies

    def _feed(self, buffer: bytearray, begin: int, end: int, replies: list[Any]) -> None:
        if len(self._line) > 1 or buffer.find(b">", begin, end) >= 0:
            self._refuse_push(self._line + memoryview(buffer)[begin:end])
        else:
            self._line = b"\n" if buffer[end - 1] == NEWLINE else b""
        found, gets = len(replies), self._reader.gets
        self._reader.feed(buffer, begin, end - begin)  # type: ignore[arg-type]  # takes any buffer, its stub says bytes
        reply = gets()
        while reply is not False:
            replies.append(reply)
            reply = gets()
        if len(replies) > found:
            self._unfinished, self._lines = end - begin, 0
            self._count(0)
            if self._longest is not None:
                self._begun = slice(begin, end)
            return
        self._copy_beginning(buffer)
        # The beginning is extended only while it has no gap.
        if self._longest is not None and len(self._beginning) == self._unfinished:
            self._beginning += memoryview(buffer)[begin : min(end, begin + _HEAD_BYTES)]
        self._unfinished += end - begin
        self._lines += buffer.count(b"\n", begin, end)
        self._count(self._unfinished)
        if self._unfinished > MOST_REPLY:
            raise ReplyTooLargeError("protocol", f"a reply of more than {MOST_REPLY:,} bytes")
        if self._unfinished > LARGE and _UNFINISHED.bytes > MOST_TOGETHER:
            raise ReplyTooLargeError("protocol", f"replies of more than {MOST_TOGETHER:,} bytes on all connections")
        if self._lines > MOST_LINES:
            raise SourceError("protocol", f"a reply of more than {MOST_LINES:,} lines")
        if self._longest is not None and self._unfinished > self._longest + FEED_BYTES:
            self._drop(self._longest)

    def _copy_beginning(self, buffer: bytearray) -> None:
        """Copy the bytes after the last reply. Most reads have several pieces with replies: only the last is copied."""
        if self._begun is not None:
            self._beginning, self._begun = bytes(memoryview(buffer)[self._begun]), None

    def _refuse_push(self, text: bytes) -> None:
        """Raise SourceError if a long push begins in these bytes; keep the last line if that may be one."""
        if _LONG_PUSH.search(text):
            raise SourceError("protocol", TOO_LONG)
        last = text[text.rfind(b"\n") :]
        self._line = last if last == b"\n" or last.startswith(b"\n>") else b""

    def _count(self, unfinished: int) -> None:
        """Count the bytes that have not become a reply, if they are many."""
        counted = unfinished if unfinished > FEED_BYTES else 0
        if counted != self._counted:
            _UNFINISHED.add(counted - self._counted)
            self._counted = counted

    def _drop(self, longest: int) -> None:
        """Drop the message that is arriving if it is too long: the bytes that arrived, and those that follow."""
        heads = [head for head in _HEAD.finditer(self._beginning) if int(head[1]) > longest]
        if heads:
            self._to_drop = heads[-1].end() + int(heads[-1][1]) + len(b"\r\n") - self._unfinished
            self._reader, self._unfinished, self._lines, self._beginning = hiredis.Reader(), 0, 0, b""
            self._line = b"\n"
            self._count(0)
            self.dropped += 1
