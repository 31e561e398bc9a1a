# SPDX-License-Identifier: Apache-2.0
"""Wait until a condition holds. Tests wait in no other way."""

import threading
from collections.abc import Callable
from typing import TypeVar

from celery_redis_exporter.clock import SystemClock

T = TypeVar("T")
PAUSE = 0.02
NEVER = 30.0
"""Seconds after which a condition is considered never to hold.

The number says nothing about the tested programs: on a machine that is busy with other work all of them are slow. A
test of a duration passes its own limit.
"""


def eventually(condition: Callable[[], T], within: float = NEVER) -> T:
    """Return the first truthy result of ``condition``. Fails after ``within`` seconds.

    The condition may raise AssertionError or return a falsy value until it holds. The failure shows the last one.
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
