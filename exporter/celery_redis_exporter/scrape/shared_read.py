# SPDX-License-Identifier: Apache-2.0
"""Share one read of a server among all scrapes that request it at the same time.

Input: a target whose read may take as long as its deadline. Output: a Future, the same for every scrape while the read
runs and until its result is older than ``freshness`` seconds. A read runs in the thread that calls ``read``: see
``scrape.read_pool``.
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
"""The outcome of a read.

An error is a result like any other. If it were raised in one thread after another, its traceback would keep their
frames alive.
"""
Attempt = Callable[[Callable[[], list[Sample]]], list[Sample]]
"""Calls its argument, and turns an unexpected exception into a SourceError (``Supervisor.attempt``)."""


class Target(Protocol):
    """A server that is read during a scrape: Redis in ``scrape.redis_server``, others in ``brokers.kombu_broker``."""

    @property
    def name(self) -> str:
        """Return the name of the server in the settings: ``broker`` or ``results``."""

    @property
    def denied(self) -> list[Denial]:
        """Return the commands that the server refuses at the moment."""

    def read(self, deadline: float) -> list[Sample]:
        """Return every sample of the server, within about ``deadline`` seconds. Raises SourceError."""

    def failure(self, error: SourceError) -> list[Sample]:
        """Return the samples of a server that could not be read."""

    def close(self) -> None:
        """Close the connection. Thread-safe."""


class SharedRead:
    """Read ``target`` when a scrape requests it.

    - ``stopped``: it is not read any more.
    - ``is_known``: it was read at least once.
    - ``is_doubtful``: it did not answer in time last time.
    - ``began``: when it was last read (monotonic).

    ``scrape.read_pool`` uses these.
    """

    def __init__(self, target: Target, clock: Clock, freshness: float, attempt: Attempt) -> None:
        self.target = target
        self.stopped = False
        self.is_known = False
        self.is_doubtful = False
        self.began = -math.inf
        self._clock = clock
        self._freshness = freshness
        self._attempt = attempt
        self._lock = threading.Lock()
        self._future: Future[Outcome] | None = None  # The latest read: requested, running or done.
        self._until = -math.inf  # The deadline of the requested read (monotonic).
        self._down: tuple[str, float] | None = None  # The reason, and since when, or None while the server answers.

    def request(self, deadline: float) -> tuple[Future[Outcome], bool]:
        """Return the outcome of the current read or, if none is running and none is fresh, of a new one.

        The second value is True for a new read, which a thread has to run by calling ``read``.
        """
        with self._lock:
            now, future = self._clock.monotonic(), self._future
            is_new = future is None or (future.done() and now - self.began > self._freshness)
            if future is None or is_new:
                future = self._future = Future()
                self._until = now + deadline
            if self.stopped and not future.done():
                future.set_result(SourceError("closed", "the exporter is stopping"))
            return future, is_new and not self.stopped

    def read(self, share: float) -> None:
        """Run the requested read, within ``share`` (0 to 1) of the time that is left."""
        with self._lock:
            now, future = self._clock.monotonic(), self._future
            if future is None or future.done():
                return
            left = self._until - now
            if left > 0:
                self.began = now
        if left <= 0:
            self._finish(future, SourceError("timeout", "other servers took the time; it is read first next time"))
            return
        outcome = self._read(left * share)
        self.is_known = True
        self.is_doubtful = isinstance(outcome, SourceError) and outcome.reason == "timeout"
        self._log(outcome)
        self._finish(future, outcome)

    def stop(self) -> None:
        """Stop reading after the current read. Scrapes that wait receive an error."""
        with self._lock:
            self.stopped = True
            future = self._future
        if future is not None:
            self._finish(future, SourceError("closed", "the exporter is stopping"))

    def _read(self, deadline: float) -> Outcome:
        try:
            return self._attempt(partial(self.target.read, deadline))
        except SourceError as error:
            return error.bare()

    def _log(self, outcome: Outcome) -> None:
        """Log when the server stops answering, each new reason, and when it answers again."""
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
        with self._lock:
            if not future.done():
                future.set_result(outcome)
