"""The one way in which tests wait: until a condition holds."""

import threading
from collections.abc import Callable
from typing import TypeVar

from celery_redis_exporter.clock import SystemClock

T = TypeVar("T")
PAUSE = 0.02
NEVER = 30.0
"""Seconds after which a condition that does not hold is taken for one that never will.

It states nothing about the programs under test: on a machine that is busy with something else all of them are slow. A
test that is about a duration passes its own limit.
"""


def eventually(condition: Callable[[], T], within: float = NEVER) -> T:
    """Return the first truthy result of ``condition``; fail after ``within`` seconds.

    The condition may raise AssertionError or return something falsy until it holds; the last one is shown.
    """
    clock, never = SystemClock(), threading.Event()
    deadline = clock.monotonic() + within
    while True:
        last: object
        try:
            result = condition()
        except AssertionError as error:
            last = error
        else:
            if result:
                return result
            last = result
        if clock.monotonic() >= deadline:
            raise AssertionError(f"not within {within:g} s; last: {last!r}") from (
                last if isinstance(last, AssertionError) else None
            )
        never.wait(PAUSE)
