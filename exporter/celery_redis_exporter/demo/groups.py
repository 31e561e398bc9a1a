# SPDX-License-Identifier: Apache-2.0
"""End process groups: first with SIGTERM, then with SIGKILL.

Input: ids of groups whose leaders are children of this program. Standard library only, because the guard must start at
once.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence

from celery_redis_exporter.clock import SystemClock

PATIENCE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
LAST_PATIENCE = 1.0
"""Seconds in which the kernel must remove killed processes."""
PAUSE = 0.02


def end_groups(groups: Sequence[int], reap: Callable[[], object] = tuple) -> None:
    """End every process of the groups, within PATIENCE and LAST_PATIENCE. The first group is ended after the others.

    ``reap`` is called repeatedly. It must collect children of this process that ended, because they exist until then.
    """
    for together in (groups[1:], groups[:1]):
        left = _wait([group for group in together if _signal(group, signal.SIGTERM)], PATIENCE, reap)
        _wait([group for group in left if _signal(group, signal.SIGKILL)], LAST_PATIENCE, reap)


def _wait(groups: list[int], seconds: float, reap: Callable[[], object]) -> list[int]:
    """Wait until the groups are empty. Return those that are not."""
    clock, never = SystemClock(), threading.Event()
    until = clock.monotonic() + seconds
    while True:
        reap()
        groups = [group for group in groups if _signal(group, 0)]
        if not groups or clock.monotonic() >= until:
            return groups
        never.wait(PAUSE)


def _signal(group: int, number: int) -> bool:
    """Send a signal (0: none) to a group. Return whether the group has a process."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS reports "not permitted" for a group whose processes have all ended.
        return False
    return True
