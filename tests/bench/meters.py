# SPDX-License-Identifier: Apache-2.0
"""Resources that a process has used: CPU seconds and resident memory, read from outside.

Input: process ids. Output: numbers. Linux reports run time in nanoseconds; elsewhere psutil's steps of 10 ms are used.
"""

import contextlib
import threading
from pathlib import Path

import psutil

IDLE_SECONDS = 0.3
IDLE_SHARE = 0.03
"""A process is idle when it used less than this share of a core in the last IDLE_SECONDS."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far, without threads that ended; the exporter's threads do not end."""
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
    """Return the CPU seconds of a process, read once it is idle."""
    never, last = threading.Event(), -1.0
    while True:
        now = cpu_seconds(pid)
        if now - last <= IDLE_SHARE * IDLE_SECONDS:
            return now
        last = now
        never.wait(IDLE_SECONDS)


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(psutil.Process(pid).memory_info().rss)
