"""One run at a time, shared by everybody who asks for it meanwhile.

Takes a piece of work that may hang, gives its result within the caller's deadline or a SourceError. Work that can be
begun without waiting is begun by who asks, and ended by the first who waits: in between it has its hands free, and no
thread has to be woken. Other work runs in a thread of its own (the supervisor's). Nobody is held longer than it wants.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What is run: either ``begin``, perhaps ``gather``, and ``end``, or ``run``; never two at a time.

    ``begin``, ``end`` and ``run`` raise SourceError.
    """

    def begin(self, deadline: float) -> bool:
        """Begin without waiting; False, with nothing done, if that can't be."""

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds; tell whether ``end`` will not have to, if only to raise."""

    def end(self) -> T_co:
        """End what was begun, within the deadline that was given there."""

    def run(self, deadline: float) -> T_co:
        """Do all of it, within about ``deadline`` seconds."""


class SingleFlight(Generic[T]):
    """Runs ``work``; a result younger than ``freshness`` seconds is given again without a new run.

    A result and a SourceError are shared alike. ``attempt`` runs a call and turns what nobody expects into a
    SourceError (``Supervisor.attempt``), since a bug in the work must not take its caller along.
    """

    def __init__(self, work: Work[T], clock: Clock, freshness: float, attempt: Callable[[Callable[[], T]], T]) -> None:
        self._work = work
        self._clock = clock
        self._freshness = freshness
        self._attempt = attempt
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        # Of its own, since a thread that is woken for nothing takes the interpreter from the one that works.
        self._wanted = threading.Condition(lock)
        self._asked: float | None = None
        self._running = False
        self._stopped = False
        self._begun: float | None = None  # when it was begun, until somebody sets about ending it
        self._outcome: tuple[float, T | SourceError] | None = None

    def stop(self) -> None:
        """Let ``run`` end after the work it is in; who waits gets a SourceError."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            self._wanted.notify_all()

    def ask(self, deadline: float) -> None:
        """Have a result under way, unless a fresh one is there; returns at once. ``wait`` should follow."""
        with self._changed:
            if self._outcome is not None and self._clock.monotonic() - self._outcome[0] <= self._freshness:
                return
            self._outcome = None
            if self._running or self._asked is not None or self._stopped:
                return
            self._running = True
        began, begun = self._clock.monotonic(), False
        try:
            begun = self._work.begin(deadline)
        except SourceError:
            pass  # a connection that broke meanwhile: the thread will open another
        finally:
            with self._changed:
                if begun:
                    self._begun = began
                else:
                    self._running, self._asked = False, deadline
                    self._wanted.notify_all()
                self._changed.notify_all()

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds for what was begun; tell whether ``wait`` will not have to."""
        with self._changed:
            began, self._begun = self._begun, None
        if began is None:
            return self._outcome is not None
        gathered = False
        try:
            gathered = self._work.gather(patience)
        finally:
            with self._changed:
                self._begun = began
                self._changed.notify_all()
        return gathered

    def wait(self, until: float) -> T:
        """Give the result of the run under way, by the monotonic time ``until``; raise SourceError."""
        while True:
            with self._changed:
                while self._outcome is None and self._begun is None and not self._stopped:
                    left = until - self._clock.monotonic()
                    if left <= 0:
                        raise SourceError("timeout", "no answer within the deadline of the scrape")
                    self._changed.wait(left)
                if self._outcome is not None:
                    return _unwrap(self._outcome[1])
                began, self._begun = self._begun, None
            if began is None:
                raise SourceError("closed", "the exporter is stopping")
            self._conclude(began, self._work.end)

    def run(self, works: Callable[[], None]) -> None:
        """Do the work that can't be begun without waiting, whenever it is asked for, until stopped."""
        works()
        while True:
            with self._changed:
                while self._asked is None and not self._stopped:
                    self._wanted.wait()
                if self._stopped:
                    return
                deadline, self._asked, self._running = self._asked or 0.0, None, True
            self._conclude(self._clock.monotonic(), partial(self._work.run, deadline))

    def _conclude(self, began: float, call: Callable[[], T]) -> None:
        outcome: T | SourceError = SourceError("closed", "the read was interrupted")
        try:
            outcome = self._attempt(call)
        except SourceError as error:
            outcome = error.bare()
        finally:
            with self._changed:
                self._running = False
                self._outcome = (began, outcome)
                self._changed.notify_all()


def _unwrap(outcome: T | SourceError) -> T:
    if isinstance(outcome, SourceError):
        raise outcome.bare()
    return outcome
