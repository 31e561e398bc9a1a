"""Standard error for a daemon: a reader that does not read must not stop who writes.

Takes lines, writes them to a file descriptor in a thread of its own. Keeps at most LINES that wait, and counts those
beyond, which are lost. Raises nothing.
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
        self._waiting: queue.Queue[bytes] = queue.Queue(LINES)
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    @classmethod
    def of(cls, stream: TextIO) -> "LogStream":
        """Write where a stream of the system writes."""
        return cls(stream.fileno(), terminal=stream.isatty())

    def write(self, text: str) -> int:
        """Take a line, or drop it."""
        self._idle.clear()
        try:
            self._waiting.put_nowait(text.encode(ENCODING, "backslashreplace"))
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes at once."""

    def isatty(self) -> bool:
        """Whether people read it."""
        return self._terminal

    def drain(self, timeout: float) -> None:
        """Wait until what was taken is written, at most ``timeout`` seconds."""
        self._idle.wait(timeout)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            with contextlib.suppress(OSError):  # a closed pipe: nobody reads any more
                while line:
                    line = line[os.write(self._descriptor, line) :]
            if self._waiting.empty():
                self._idle.set()


def open_log_stream() -> LogStream:
    """Give standard error, as a stream that never blocks."""
    return LogStream.of(sys.stderr)
