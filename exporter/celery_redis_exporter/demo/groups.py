"""Process groups: how they are asked to end, and made to.

Takes ids of groups that this program's own children lead. Standard library only: the guard must start at once.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence

from celery_redis_exporter.clock import SystemClock

PATIENCE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
LAST_PATIENCE = 1.0
"""Seconds that the kernel gets to take killed processes away."""
PAUSE = 0.02


def end_groups(groups: Sequence[int], reap: Callable[[], object] = tuple) -> None:
    """End every process of the groups, within PATIENCE and LAST_PATIENCE; the first group only after the others.

    ``reap`` is called again and again: it must collect children of this process that ended, which exist till then.
    """
    for together in (groups[1:], groups[:1]):
        left = _wait([group for group in together if _signal(group, signal.SIGTERM)], PATIENCE, reap)
        _wait([group for group in left if _signal(group, signal.SIGKILL)], LAST_PATIENCE, reap)


def _wait(groups: list[int], seconds: float, reap: Callable[[], object]) -> list[int]:
    """Wait until the groups are empty; give those that are not."""
    clock, never = SystemClock(), threading.Event()
    until = clock.monotonic() + seconds
    while True:
        reap()
        groups = [group for group in groups if _signal(group, 0)]
        if not groups or clock.monotonic() >= until:
            return groups
        never.wait(PAUSE)


def _signal(group: int, number: int) -> bool:
    """Send a signal (0: none) to a group; tell whether it had anyone to send it to."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS says "not permitted" of a group that only has ended processes.
        return False
    return True
