"""Reads of all servers: at the same time, in a few threads, under one deadline.

Output: samples by server. A server that does not answer costs its own metrics alone and is shown as down.
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
    """What keeps threads alive: ``daemon.supervisor.Supervisor``."""

    def start(self, name: str, work: Callable[[Callable[[], None]], None]) -> None:
        """Start a thread that keeps ``work`` going."""

    def attempt(self, name: str, call: Callable[[], T]) -> T:
        """Call; raise SourceError, also for an unexpected exception."""


class ServerReads:
    """Reads ``targets`` in the threads of a pool; a result younger than ``freshness`` seconds is used again."""

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
        """The servers that are read at this moment."""
        return [read.target for read in self._reads.values()]

    def start(self) -> None:
        """Start the threads."""
        with self._changing:
            self._started = True
            self._pool.serve(len(self._reads))

    def stop(self) -> None:
        """End the threads and close the connections; scrapes that wait get what there is."""
        self._pool.stop()
        for read in self._reads.values():
            read.stop()
        for read in self._reads.values():
            read.target.close()

    def request(self, deadline: float) -> "PendingReads":
        """Request a read of every server, and return what collects the results within ``deadline`` seconds."""
        reads = self._reads
        futures, new = {}, []
        for name, read in reads.items():
            futures[name], is_new = read.request(deadline)
            if is_new:
                new.append(read)
        self._pool.put(new)
        return PendingReads(reads, futures, self._clock, self._clock.monotonic() + deadline)

    def add(self, target: Target) -> None:
        """Read one more server from now on; safe from any thread."""
        self.change([target], ())

    def remove(self, name: str) -> None:
        """Stop reading a server; safe from any thread."""
        self.change((), [name])

    def change(self, come: Iterable[Target], gone: Iterable[str]) -> None:
        """Read other servers from now on: no scrape finds both, or neither; safe from any thread."""
        with self._changing:
            # A scrape goes on with the mapping that it began with.
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
    """Reads of all servers under way, until the monotonic time ``until``; a server that hangs is left behind."""

    def __init__(
        self, reads: Mapping[str, SharedRead], futures: Mapping[str, Future[Outcome]], clock: Clock, until: float
    ) -> None:
        self._reads = reads
        self._futures = futures
        self._clock = clock
        self._until = until
        self._found: dict[str, list[Sample]] | None = None

    def wait(self) -> dict[str, list[Sample]]:
        """Return every server's samples, the same each time; a failed one's are those of its failure."""
        if self._found is None:
            outcomes = {name: self._outcome(future) for name, future in self._futures.items()}
            self._found = {}
            for name, outcome in outcomes.items():
                read = self._reads[name]
                if not isinstance(outcome, SourceError):
                    self._found[name] = outcome
                elif not read.stopped:  # a server that is no longer read is not down
                    self._found[name] = read.target.failure(outcome)
        return self._found

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result(max(self._until - self._clock.monotonic(), 0.0))
        except TimeoutError:
            return SourceError("timeout", "no answer within the deadline of the scrape")
