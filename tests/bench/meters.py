# SPDX-License-Identifier: Apache-2.0
"""What a process has used: CPU seconds and resident memory, read from outside.

Takes process ids, gives numbers. Linux tells run time in nanoseconds; elsewhere psutil's steps of 10 ms must do.
"""

import contextlib
import threading
from pathlib import Path

import psutil

IDLE_SECONDS = 0.3
IDLE_SHARE = 0.03
"""A process is idle when it used less than this share of a core in the last IDLE_SECONDS."""


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far; threads that ended meanwhile are left out, ours keep theirs."""
    folder = Path(f"/proc/{pid}/task")
    if not folder.exists():
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    total = 0
    for thread in folder.iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return total / 1e9


def cpu_seconds_when_idle(pid: int) -> float:
    """CPU seconds of a process, read once it has nothing to do any more."""
    never, last = threading.Event(), -1.0
    while True:
        now = cpu_seconds(pid)
        if now - last <= IDLE_SHARE * IDLE_SECONDS:
            return now
        last = now
        never.wait(IDLE_SECONDS)


def resident_memory(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    return int(psutil.Process(pid).memory_info().rss)
