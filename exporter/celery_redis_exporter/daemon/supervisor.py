# SPDX-License-Identifier: Apache-2.0
"""Keep threads alive: each piece of work runs until it fails, and again after a pause.

Input: work and a stop event. A SourceError is expected: it is logged once when the failure begins and once when it
ends. Any other exception is a bug: it is logged with its traceback and counted, and the work is started again too.
Threads that do work on behalf of others use the same error handling (``attempt``).
"""

import random
import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError

Work = Callable[[Callable[[], None]], None]
"""Receives a function that it calls once it works. Returns when stopped, and raises when it fails."""

Attempt = Callable[[Callable[[], None]], None]
"""Calls its argument, and turns an unexpected exception into a SourceError."""

T = TypeVar("T")

STARTING = "starting"
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between attempts. They are short because a missed event is lost and an attempt costs little."""

log = structlog.get_logger(__name__)


class SupervisedThread:
    """A thread that runs ``work`` again and again until ``stop`` is set.

    ``trouble`` is the reason of the current failure, or empty while the work succeeds.
    """

    def __init__(
        self, name: str, work: Work, attempt: Callable[[Callable[[], None]], None], stop: threading.Event
    ) -> None:
        self.name = name
        self.trouble = STARTING
        self._work = work
        self._attempt = attempt
        self._stop = stop
        self._pause = FIRST_PAUSE
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Return True while the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the thread to end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._attempt(partial(self._work, self._works))
            except SourceError as error:
                if self._stop.is_set():
                    return
                if error.reason not in {self.trouble, "bug"}:
                    log.warning("supervisor.source_failed", source=self.name, reason=error.reason, error=str(error))
                self.trouble = error.reason
            # The pause is random, so that many exporters do not connect to a recovering server together.
            self._stop.wait(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret depends on it
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _works(self) -> None:
        self._pause = FIRST_PAUSE
        if self.trouble not in {"", STARTING}:
            log.info("supervisor.source_works", source=self.name, after=self.trouble)
        self.trouble = ""


class Supervisor:
    """Run work in threads until ``stop`` is set. ``on_bug`` is called with the name of work that crashed.

    ``context`` is in every line that the threads log.
    """

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        on_bug: Callable[[str], None],
        context: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.clock = clock
        self._context = context
        self._stop = stop
        self._on_bug = on_bug
        self._threads: list[SupervisedThread] = []

    def start(self, name: str, work: Work) -> None:
        """Start a thread that runs ``work``, and runs it again when it fails."""
        thread = SupervisedThread(name, partial(self._with_context, work), partial(self.attempt, name), self._stop)
        self._threads.append(thread)
        thread.start()

    def trouble(self) -> dict[str, str]:
        """Return the reason of each current failure, by the name of the work."""
        return {thread.name: thread.trouble for thread in self._threads if thread.trouble}

    def dead(self) -> list[str]:
        """Return the names of threads that ended although nothing stopped them."""
        return [thread.name for thread in self._threads if not thread.alive]

    def join(self, timeout: float) -> list[str]:
        """Wait up to ``timeout`` seconds for all threads to end. Return the names of those that did not."""
        until = self.clock.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - self.clock.monotonic()))
        return [thread.name for thread in self._threads if thread.alive]

    def _with_context(self, work: Work, works: Callable[[], None]) -> None:
        bind_contextvars(**self._context)
        work(works)

    def attempt(self, name: str, call: Callable[[], T]) -> T:
        """Return the result of ``call``.

        Raises SourceError, also for a bug, which is logged and counted for ``name``.
        """
        try:
            return call()
        except SourceError:
            raise
        except Exception:
            log.exception("supervisor.bug_met", source=name)
            self._on_bug(name)
        raise SourceError("bug", "failed in a way that nobody expected; see the log")
