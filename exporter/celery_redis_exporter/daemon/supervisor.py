"""Threads that are kept alive: each piece of work runs until it fails, then again after a pause.

Takes work and a stop event. A SourceError is expected: one log line when the trouble begins and one when it ends.
Anything else is a bug: it is logged with its traceback and counted, and the work is started again all the same.
The same boundary is lent to those who do the work of a thread for it (``attempt``).
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError

Work = Callable[[Callable[[], None]], None]
"""Called with a function that it calls once it works; returns when stopped, raises when it fails."""

T = TypeVar("T")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between attempts; short, because a missed event is lost for good and an attempt costs little."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Task:
    """One piece of work, and how it is doing: ``trouble`` is empty while it works."""

    name: str
    work: Work
    thread: threading.Thread | None = None
    trouble: str = "starting"
    pause: float = field(default=FIRST_PAUSE)
    forgotten: bool = False


class Supervisor:
    """Runs work in threads until ``stop`` is set; ``on_bug`` is called with the name of work that crashed."""

    def __init__(self, clock: Clock, stop: threading.Event, on_bug: Callable[[str], None]) -> None:
        self.clock = clock
        self._stop = stop
        self._on_bug = on_bug
        self._tasks: list[Task] = []

    def start(self, name: str, work: Work) -> None:
        """Start a thread that keeps ``work`` going."""
        task = Task(name, work)
        task.thread = threading.Thread(target=self._keep_going, args=(task,), name=name, daemon=True)
        self._tasks.append(task)
        task.thread.start()

    def forget(self, name: str) -> None:
        """Let work that is about to return end for good, without waiting for it."""
        for task in self._tasks:
            task.forgotten = task.forgotten or task.name == name
        self._tasks = [task for task in self._tasks if not task.forgotten]

    def trouble(self) -> dict[str, str]:
        """What does not work at the moment, by name, with the reason."""
        return {task.name: task.trouble for task in self._tasks if task.trouble}

    def dead(self) -> list[str]:
        """Names of threads that ended although nobody stopped them."""
        return [task.name for task in self._tasks if task.thread is not None and not task.thread.is_alive()]

    def join(self, timeout: float) -> list[str]:
        """Wait for the threads to end, all together at most ``timeout`` seconds; give those that did not."""
        until = self.clock.monotonic() + timeout
        for task in self._tasks:
            if task.thread is not None:
                task.thread.join(max(0.0, until - self.clock.monotonic()))
        return [task.name for task in self._tasks if task.thread is not None and task.thread.is_alive()]

    def attempt(self, name: str, call: Callable[[], T]) -> T:
        """Call; raise SourceError, also in the place of a bug, which is logged and counted for ``name``."""
        try:
            return call()
        except SourceError:
            raise
        except Exception:
            log.exception("supervisor.bug_met", source=name)
            self._on_bug(name)
        raise SourceError("bug", "failed in a way that nobody expected; see the log")

    def _keep_going(self, task: Task) -> None:
        while not self._stop.is_set() and not task.forgotten:
            try:
                self.attempt(task.name, lambda: task.work(lambda: self._works(task)))
            except SourceError as error:
                if self._stop.is_set():
                    return
                if error.reason not in {task.trouble, "bug"}:
                    log.warning("supervisor.source_failed", source=task.name, reason=error.reason, error=str(error))
                task.trouble = error.reason
            # Jitter, so that many exporters do not knock at a recovering server together.
            self._stop.wait(task.pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret depends on it
            task.pause = min(task.pause * 2, LONGEST_PAUSE)

    def _works(self, task: Task) -> None:
        task.pause = FIRST_PAUSE
        if task.trouble:
            log.info("supervisor.source_works", source=task.name, after=task.trouble)
            task.trouble = ""
