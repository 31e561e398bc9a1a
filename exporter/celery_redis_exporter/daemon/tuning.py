# SPDX-License-Identifier: Apache-2.0
"""Configure the interpreter and the C library's allocator for a daemon that must not pause and runs for months.

Changes the whole process. ``keep_little_memory`` and ``keep_pauses_short`` are called once, before threads start, and
``return_memory`` each RETURN_SECONDS. A value that can't be set remains as it is.
"""

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # These are from mallopt(3).
LARGE = 1024 * 1024
"""The size from which a freed buffer is returned to the system, in bytes.

The bodies of small installations are below it, since using a returned page again costs time.
"""
SWITCH_SECONDS = 0.0002
"""Seconds after which a running thread lets a waiting one run: a twenty-fifth of the default."""
MOST_GROWTH = 2 * 1024**3
"""The number of bytes by which the address space may grow after the start.

An exporter with default limits needs 60 MB in all. The longest list that still fits stops the process for 0.7 seconds.
Without a limit it would be 10 seconds.
"""
RETURN_SECONDS = 30.0
"""Seconds between two calls of ``return_memory``."""
RETURN_BYTES = 16 * 1024 * 1024
"""Bytes above the resident memory of the start from which on freed memory is worth a search."""
_SIZES = Path("/proc/self/statm")
_LIBC = ctypes.CDLL(None)


def keep_little_memory() -> None:
    """Use one heap for all threads, and return large buffers to the system.

    By default glibc keeps a heap per thread, and memory for the largest body that was ever rendered: some 10 MB that
    are not used again.
    """
    mallopt = getattr(_LIBC, "mallopt", None)
    if mallopt is not None:  # Only glibc has mallopt.
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, 2 * LARGE)


def return_memory(least: int) -> None:
    """Return freed memory to the system if the process has RETURN_BYTES more than ``least``.

    glibc returns by itself only what is free at the end of the heap, where one small object can be in the way. So the
    memory of thousands of connections would be kept for as long as the process runs. Takes 8 ms for 100 MiB, in which
    threads wait that need memory.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None and resident_bytes() > least + RETURN_BYTES:  # Only glibc has malloc_trim.
        trim(0)


def resident_bytes() -> int:
    """Return the resident memory of this process, or 0 where the system does not report it."""
    try:
        return int(_SIZES.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def limit_memory() -> None:
    """Limit the address space of this process to its present size and ``MOST_GROWTH``.

    A Redis server that claims an endless list (``*2999999999``) makes hiredis allocate memory for it before the first
    element arrives. hiredis-py has no setting for that. With this limit the allocation fails with a MemoryError, which
    is reported as a SourceError with the reason protocol. Without it, filling and freeing the list stops every thread
    for seconds. Call this once, after all threads have been started: their stacks count. A lower limit that is already
    set remains. Nothing is limited if the system has no ``/proc`` or refuses the limit.
    """
    try:
        pages = int(_SIZES.read_bytes().split()[0])
    except OSError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = (pages * resource.getpagesize() + MOST_GROWTH, soft, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_AS, (min(limit for limit in limits if limit != resource.RLIM_INFINITY), hard)
        )


def keep_pauses_short() -> None:
    """Reduce the pauses in which Python blocks events and scrapes to milliseconds.

    Objects that exist at the start are kept, so that the garbage collector need not visit them. Later ones are freed by
    counting references, and their rare cycles (errors with their tracebacks) can wait. Objects that remain for a while
    are moved to the oldest generation early, since visiting them takes most of the time. The collector is off while a
    response is rendered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 2, 500)
    sys.setswitchinterval(SWITCH_SECONDS)
