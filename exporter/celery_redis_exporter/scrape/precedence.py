"""Scrapes go first: while one is answered, the thread that folds events lets it finish, for some milliseconds.

One interpreter runs one thread at a time. Without this an answer under load waits at each of its system calls for the
events to let it in again, while the events, which Redis and the socket keep meanwhile, are in no hurry.
"""

import threading
from typing import Self

from celery_redis_exporter.clock import Clock

LONGEST = 0.012
"""Seconds for which events wait at a time: what nearly every small answer takes under load."""
REST = 3
"""So many times as long as they waited they do not wait again: scrapes in a row take a quarter of the time at most."""


class Precedence:
    """Held (``with``) by who goes first, several at a time; ``give_way`` is called by who lets them.

    ``longest`` is for how many seconds that one waits.
    """

    def __init__(self, clock: Clock) -> None:
        self.longest = LONGEST
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._holders = 0
        self._rests_until = clock.monotonic()

    @property
    def is_held(self) -> bool:
        """Whether somebody goes first."""
        return self._holders > 0

    def __enter__(self) -> Self:
        """Go first."""
        with self._changed:
            self._holders += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Be done."""
        with self._changed:
            self._holders -= 1
            if not self._holders:
                self._changed.notify_all()

    def give_way(self) -> None:
        """Wait until nobody goes first, ``longest`` seconds at most; one thread only may call it."""
        if not self._holders:
            return
        began = self._clock.monotonic()
        if began < self._rests_until:
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._holders, self.longest)
        ended = self._clock.monotonic()
        self._rests_until = ended + REST * (ended - began)
