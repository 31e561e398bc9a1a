"""Standard error for a daemon: a reader that does not read must not stop who writes.

Takes lines, writes them to a file descriptor in a thread of its own. Keeps about LINES that wait, and counts those
beyond, which are lost. Raises nothing. A line may come in the middle of another one, from a finalizer that the garbage
collector calls there: nothing here is locked in Python.
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
    """A text stream for logs; ``dropped`` is the number of lines that were lost."""

    def __init__(self, descriptor: int, *, terminal: bool = False) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._terminal = terminal
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    @classmethod
    def of(cls, stream: TextIO) -> "LogStream":
        """Write where a stream of the system writes."""
        return cls(stream.fileno(), terminal=stream.isatty())

    def write(self, text: str) -> int:
        """Take a line, or drop it."""
        if self._waiting.qsize() < LINES:
            self._waiting.put(text.encode(ENCODING, "backslashreplace"))
        else:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes at once."""

    def isatty(self) -> bool:
        """Whether people read it."""
        return self._terminal

    def drain(self, timeout: float) -> None:
        """Wait until what was taken is written, at most ``timeout`` seconds."""
        reached = threading.Event()
        self._waiting.put(reached)
        reached.wait(timeout)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            with contextlib.suppress(OSError):  # a closed pipe: no one reads any more
                while line:
                    line = line[os.write(self._descriptor, line) :]


def open_log_stream() -> LogStream:
    """Give standard error, as a stream that never blocks."""
    return LogStream.of(sys.stderr)
