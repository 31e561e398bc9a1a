"""One run at a time, shared by everybody who asks for it meanwhile.

Takes a piece of work that may hang, gives its result within the caller's deadline or a SourceError: the work runs in
a thread of its own (the supervisor's), so that who waits is never held longer than it wants to be.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from exporter.clock import Clock
from exporter.errors import SourceError

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs ``work(deadline)``; a result younger than ``freshness`` seconds is given again without a new run.

    ``work`` returns a result or raises SourceError; both are shared.
    """

    def __init__(self, work: Callable[[float], T], clock: Clock, freshness: float) -> None:
        self._work = work
        self._clock = clock
        self._freshness = freshness
        self._changed = threading.Condition()
        self._asked: float | None = None
        self._running = False
        self._stopped = False
        self._outcome: tuple[float, T | SourceError] | None = None

    def stop(self) -> None:
        """Let ``run`` end after the work it is in; who waits gets a SourceError."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def ask(self, deadline: float) -> None:
        """Have a result under way, unless a fresh one is there; returns at once."""
        with self._changed:
            if self._outcome is None or self._clock.monotonic() - self._outcome[0] > self._freshness:
                if not self._running and self._asked is None:
                    self._asked = deadline
                self._outcome = None
                self._changed.notify_all()

    def wait(self, until: float) -> T:
        """Give the result of the run under way, by the monotonic time ``until``; raise SourceError."""
        with self._changed:
            while self._outcome is None and not self._stopped:
                left = until - self._clock.monotonic()
                if left <= 0:
                    raise SourceError("timeout", "no answer within the deadline of the scrape")
                self._changed.wait(left)
            if self._outcome is None:
                raise SourceError("closed", "the exporter is stopping")
            result = self._outcome[1]
        if isinstance(result, SourceError):
            raise result
        return result

    def run(self, works: Callable[[], None]) -> None:
        """Do the work whenever it is asked for, until stopped; an error that nobody expects is raised."""
        works()
        while True:
            with self._changed:
                while self._asked is None and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                deadline, self._asked, self._running = self._asked or 0.0, None, True
            self._run_once(deadline)

    def _run_once(self, deadline: float) -> None:
        started = self._clock.monotonic()
        outcome: T | SourceError = SourceError("bug", "the read failed in a way that nobody expected; see the log")
        try:
            outcome = self._work(deadline)
        except SourceError as error:
            outcome = error
        finally:
            with self._changed:
                self._running = False
                self._outcome = (started, outcome)
                self._changed.notify_all()
