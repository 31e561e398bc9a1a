"""The read of one server, shared by all scrapes that want it at the same time.

Input: a target whose read may take as long as its deadline. Output: a Future, the same for every scrape while the read
runs and until its result is older than ``freshness`` seconds. Reads run one at a time in the thread that calls ``run``,
so that a server that hangs holds up nothing else.
"""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import structlog

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.sources.refusals import Denial

log = structlog.get_logger(__name__)

Outcome = list[Sample] | SourceError
"""What a read led to. An error is a result like any other: raised in one thread after another, it would keep their
frames alive in its traceback."""
Attempt = Callable[[Callable[[], list[Sample]]], list[Sample]]
"""Calls, and turns an unexpected exception into a SourceError (``Supervisor.attempt``)."""


class Target(Protocol):
    """A server that is read during a scrape: Redis in ``scrape.redis_server``, others in ``brokers.kombu_broker``."""

    @property
    def name(self) -> str:
        """Its name in the settings: ``broker`` or ``results``."""

    @property
    def denied(self) -> list[Denial]:
        """What the server refuses at the moment."""

    def read(self, deadline: float) -> list[Sample]:
        """Return every sample of the server, within about ``deadline`` seconds; raise SourceError."""

    def failure(self, error: SourceError) -> list[Sample]:
        """Return the samples of a server that could not be read."""

    def close(self) -> None:
        """Close its connection; safe from any thread."""


class SharedRead:
    """Reads ``target`` when a scrape requests it; ``stopped`` is True once it is read no longer."""

    def __init__(self, target: Target, clock: Clock, freshness: float, attempt: Attempt) -> None:
        self.target = target
        self._clock = clock
        self._freshness = freshness
        self._attempt = attempt
        self._changed = threading.Condition()
        self._future: Future[Outcome] | None = None  # of the latest read: requested, running or done
        self._requested: float | None = None  # the deadline of a read that has not begun
        self._began = -math.inf
        self._down: tuple[str, float] | None = None  # the reason, and since when; None while it answers
        self.stopped = False

    def request(self, deadline: float) -> Future[Outcome]:
        """Return the outcome of the read under way or, if none is and none is fresh, of a new one."""
        with self._changed:
            future = self._future
            fresh = self._clock.monotonic() - self._began <= self._freshness
            if future is None or (future.done() and not fresh):
                future = self._future = Future()
                self._requested = deadline
                self._changed.notify()
            if self.stopped and not future.done():
                future.set_result(SourceError("closed", "the exporter is stopping"))
            return future

    def run(self, works: Callable[[], None]) -> None:
        """Read whenever it is requested, until stopped."""
        works()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requested is not None or self.stopped)
                deadline, future, self._requested = self._requested, self._future, None
                if deadline is None or future is None or self.stopped:
                    return
                self._began = self._clock.monotonic()
            outcome = self._read(deadline)
            self._log(outcome)
            self._finish(future, outcome)

    def stop(self) -> None:
        """Let ``run`` end after the read that it is in; whoever waits gets an error."""
        with self._changed:
            self.stopped = True
            self._changed.notify()
        if self._future is not None:
            self._finish(self._future, SourceError("closed", "the exporter is stopping"))

    def _read(self, deadline: float) -> Outcome:
        try:
            return self._attempt(partial(self.target.read, deadline))
        except SourceError as error:
            return error.bare()

    def _log(self, outcome: Outcome) -> None:
        """Write a line when the server stops to answer, for each new reason, and when it answers again."""
        now, before = self._clock.monotonic(), self._down
        if not isinstance(outcome, SourceError):
            self._down = None
            if before is not None:
                log.info("server.up", server=self.target.name, after_seconds=round(now - before[1], 1))
        elif not self.stopped:
            self._down = outcome.reason, now if before is None else before[1]
            if before is None or before[0] != outcome.reason:
                log.warning("server.down", server=self.target.name, reason=outcome.reason, error=str(outcome))

    def _finish(self, future: Future[Outcome], outcome: Outcome) -> None:
        with self._changed:
            if not future.done():
                future.set_result(outcome)
