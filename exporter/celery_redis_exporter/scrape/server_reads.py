# SPDX-License-Identifier: Apache-2.0
"""Read all servers at the same time, in a few threads, under one deadline.

Output: samples by server. If a server does not answer, only its metrics are missing, and it is shown as down.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol, TypeVar

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.read_pool import ReadPool
from celery_redis_exporter.scrape.shared_read import Outcome, SharedRead, Target

T = TypeVar("T")


class Threads(Protocol):
    """Starts threads and restarts their work: ``daemon.supervisor.Supervisor``."""

    def start(self, name: str, work: Callable[[Callable[[], None]], None]) -> None:
        """Start a thread that runs ``work``, and runs it again when it fails."""

    def attempt(self, name: str, call: Callable[[], T]) -> T:
        """Return the result of ``call``. Raises SourceError, also for an unexpected exception."""


class ServerReads:
    """Read ``targets`` in the threads of a pool. A result is cached for ``freshness`` seconds."""

    def __init__(self, targets: Sequence[Target], clock: Clock, threads: Threads, freshness: float) -> None:
        self._clock = clock
        self._threads = threads
        self._freshness = freshness
        self._reads: Mapping[str, SharedRead] = {target.name: self._read_of(target) for target in targets}
        self._changing = threading.Lock()
        self._started = False
        self._pool = ReadPool(threads.start)

    @property
    def targets(self) -> list[Target]:
        """Return the servers that are read at this moment."""
        return [read.target for read in self._reads.values()]

    def start(self) -> None:
        """Start the threads."""
        with self._changing:
            self._started = True
            self._pool.serve(len(self._reads))

    def stop(self) -> None:
        """End the threads and close the connections. Scrapes that wait receive the results so far."""
        self._pool.stop()
        for read in self._reads.values():
            read.stop()
        for read in self._reads.values():
            read.target.close()

    def request(self, deadline: float) -> "PendingReads":
        """Request a read of every server. Return an object that collects the results within ``deadline`` seconds."""
        reads = self._reads
        futures, new = {}, []
        for name, read in reads.items():
            futures[name], is_new = read.request(deadline)
            if is_new:
                new.append(read)
        self._pool.put(new)
        return PendingReads(reads, futures, self._clock, self._clock.monotonic() + deadline)

    def add(self, target: Target) -> None:
        """Read one more server from now on. Thread-safe."""
        self.change([target], ())

    def remove(self, name: str) -> None:
        """Stop reading a server. Thread-safe."""
        self.change((), [name])

    def change(self, come: Iterable[Target], gone: Iterable[str]) -> None:
        """Add the targets ``come`` and remove the names ``gone``, in one step for all scrapes. Thread-safe."""
        with self._changing:
            # A scrape continues with the mapping that it began with.
            reads = dict(self._reads)
            left = [reads.pop(name) for name in gone]
            added = {target.name: self._read_of(target) for target in come}
            self._reads = {**reads, **added}
            if self._started:
                self._pool.serve(len(self._reads))
        for read in left:
            read.stop()
            read.target.close()

    def _read_of(self, target: Target) -> SharedRead:
        attempt = partial(self._threads.attempt, f"read_{target.name}")
        return SharedRead(target, self._clock, self._freshness, attempt)


class PendingReads:
    """The current reads of all servers, until the monotonic time ``until``. A server that hangs is not waited for."""

    def __init__(
        self, reads: Mapping[str, SharedRead], futures: Mapping[str, Future[Outcome]], clock: Clock, until: float
    ) -> None:
        self._reads = reads
        self._futures = futures
        self._clock = clock
        self._until = until
        self._found: dict[str, list[Sample]] | None = None

    def wait(self) -> dict[str, list[Sample]]:
        """Return the samples of every server, the same ones at each call.

        A server that failed has the samples of its failure.
        """
        if self._found is None:
            outcomes = {name: self._outcome(future) for name, future in self._futures.items()}
            self._found = {}
            for name, outcome in outcomes.items():
                read = self._reads[name]
                if not isinstance(outcome, SourceError):
                    self._found[name] = outcome
                elif not read.stopped:  # A server that is no longer read is not down.
                    self._found[name] = read.target.failure(outcome)
        return self._found

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result(max(self._until - self._clock.monotonic(), 0.0))
        except TimeoutError:
            return SourceError("timeout", "no answer within the deadline of the scrape")
