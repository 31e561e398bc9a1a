# SPDX-License-Identifier: Apache-2.0
"""Write logs to standard error without blocking: a reader that stalls must not stop the daemon.

Input: lines. Output: writes to a file descriptor, in a dedicated thread. About LINES lines are buffered. Further ones
are lost and counted. Raises nothing. A line can be written in the middle of another one, by a finalizer that the
garbage collector calls: therefore nothing here takes a lock in Python.
"""

import contextlib
import os
import queue
import sys
import threading
from typing import TextIO

LINES = 100
ENCODING = "utf-8"


class LogStream:
    """A text stream for logs. ``dropped`` is the number of lines that were lost."""

    def __init__(self, descriptor: int, *, terminal: bool = False) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._terminal = terminal
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    @classmethod
    def of(cls, stream: TextIO) -> "LogStream":
        """Return a stream that writes to the file descriptor of ``stream``."""
        return cls(stream.fileno(), terminal=stream.isatty())

    def write(self, text: str) -> int:
        """Buffer a line, or drop it if the buffer is full."""
        if self._waiting.qsize() < LINES:
            self._waiting.put(text.encode(ENCODING, "backslashreplace"))
        else:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes at once."""

    def isatty(self) -> bool:
        """Return True if the stream is a terminal."""
        return self._terminal

    def drain(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until the buffered lines are written."""
        reached = threading.Event()
        self._waiting.put(reached)
        reached.wait(timeout)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            with contextlib.suppress(OSError):  # The pipe is closed: no one reads it any more.
                while line:
                    line = line[os.write(self._descriptor, line) :]


def open_log_stream() -> LogStream:
    """Return a stream to standard error that never blocks."""
    return LogStream.of(sys.stderr)
