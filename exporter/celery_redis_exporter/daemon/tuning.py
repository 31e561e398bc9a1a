"""The interpreter and the C library's allocator, set up for a daemon that must not pause and runs for months.

Takes nothing, changes the process. What keeps memory and pauses small is called once, before threads start. What can't
be set is left as it is.
"""

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # see mallopt(3)
LARGE = 1024 * 1024
"""Bytes from which a buffer goes back to the system when it is freed; the bodies of small installations stay below,
since each page that comes back costs time again."""
SWITCH_SECONDS = 0.0002
"""After which a thread that runs lets in one that waits; ten times less than by default."""
MOST_GROWTH = 2 * 1024**3
"""Bytes by which the address space may grow after the start. An exporter with default bounds needs 60 MB in all; the
longest list that still fits stops the process for 0.7 seconds, without a bound it would be 10 seconds."""
_SIZES = Path("/proc/self/statm")
_LIBC = ctypes.CDLL(None)


def keep_little_memory() -> None:
    """Use one heap for all threads, and give large buffers back.

    By default glibc keeps a heap per thread and room for the largest body that was ever rendered: some 10 MB of which
    nothing is used again.
    """
    mallopt = getattr(_LIBC, "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, 2 * LARGE)


def limit_memory() -> None:
    """Limit the address space of this process to its present size and ``MOST_GROWTH``.

    A Redis server that claims an endless list (``*2999999999``) makes hiredis reserve room for it before the first
    element arrives. hiredis-py has no setting for that. With this limit the reservation fails with a MemoryError, which
    ``sources.wire`` reports as a fault of the protocol; without it, going through the list and freeing it stops every
    thread for seconds. Call this once, after all threads have been started: their stacks count. A lower limit that is
    already set remains. Nothing is limited where the system has no ``/proc`` or refuses the limit.
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
    """Have Python hold up events and scrapes for milliseconds at most.

    What is there at the start stays, so the garbage collector need not walk over it for ever. What comes later is freed
    by counting references; its rare cycles (errors with their tracebacks) can wait. What has stayed for a while is put
    aside early, since going through it is what takes long: large answers keep the collector off altogether.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 2, 500)
    sys.setswitchinterval(SWITCH_SECONDS)
