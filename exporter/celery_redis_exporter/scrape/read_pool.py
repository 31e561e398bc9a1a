# SPDX-License-Identifier: Apache-2.0
"""Read servers in threads: as many as there are servers, but at most MOST_THREADS, however many nodes a cluster has.

Input: reads that scrapes requested. Servers that answered last time come first. If there are more servers than threads,
those that did not answer in time last time get half of the threads, so that servers that hang do not delay the others,
and those that were never read get a part of the deadline only. Among the servers that did not answer, the one whose
last attempt is longest ago comes first, so that each is tried again.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

MOST_THREADS = 8
FIRST_SHARE = 0.25
"""The part of the deadline that the first read of a server gets if there are more servers than threads."""


class QueuedRead(Protocol):
    """A read that was requested: ``scrape.shared_read.SharedRead``."""

    @property
    def is_known(self) -> bool:
        """Return True if the server was read before."""

    @property
    def is_doubtful(self) -> bool:
        """Return True if the server did not answer in time last time."""

    @property
    def began(self) -> float:
        """Return when the server was last read (monotonic)."""

    def read(self, share: float) -> None:
        """Read the server within ``share`` (0 to 1) of the time that is left."""


class ReadPool:
    """Run the reads that are put into it. ``start`` starts a thread by name and restarts its work when it fails."""

    def __init__(self, start: Callable[[str, Callable[[Callable[[], None]], None]], None]) -> None:
        self._start = start
        self._changed = threading.Condition()
        self._trusted: deque[QueuedRead] = deque()
        self._doubtful: list[QueuedRead] = []
        self._trying = 0  # The number of doubtful servers that are being read.
        self._threads = 0
        self._servers = 0
        self._stopped = False

    def serve(self, servers: int) -> None:
        """Start the threads that are missing for this number of servers."""
        with self._changed:
            self._servers = servers
            missing = range(self._threads, min(servers, MOST_THREADS))
            self._threads = max(self._threads, min(servers, MOST_THREADS))
        for number in missing:
            self._start(f"read_{number + 1}", self.run)

    def put(self, reads: Iterable[QueuedRead]) -> None:
        """Queue reads. Each runs as soon as a thread is free."""
        with self._changed:
            for read in sorted(reads, key=lambda each: each.began):
                if read.is_doubtful:
                    self._doubtful.append(read)
                else:
                    self._trusted.append(read)
            self._changed.notify_all()

    def run(self, works: Callable[[], None]) -> None:
        """Run one read after the other until ``stop`` is called."""
        works()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._is_something_due())
                if self._stopped:
                    return
                read, is_trusted = self._take()
                share = 1.0 if read.is_known or not self._is_crowded else FIRST_SHARE
            try:
                read.read(share)
            finally:
                if not is_trusted:
                    with self._changed:
                        self._trying -= 1
                        self._changed.notify()

    def stop(self) -> None:
        """End the threads after the reads that they are running."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def _is_crowded(self) -> bool:
        return self._servers > self._threads

    def _is_something_due(self) -> bool:
        may_try = not self._is_crowded or self._trying < self._threads // 2
        return bool(self._trusted) or (bool(self._doubtful) and may_try)

    def _take(self) -> tuple[QueuedRead, bool]:
        if self._trusted:
            return self._trusted.popleft(), True
        read = min(self._doubtful, key=lambda each: each.began)
        self._doubtful.remove(read)
        self._trying += 1
        return read, False
