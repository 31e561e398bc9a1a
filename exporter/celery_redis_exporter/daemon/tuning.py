"""The interpreter and the C library's allocator, set up for a daemon that must not pause and runs for months.

Takes nothing, changes the process; called once, before threads start. What can't be set is left as it is.
"""

import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # see mallopt(3)
LARGE = 1024 * 1024
"""Bytes from which a buffer goes back to the system when it is freed; the bodies of small installations stay below,
since each page that comes back costs time again."""
SWITCH_SECONDS = 0.0002
"""After which a thread that runs lets in one that waits; ten times less than by default."""
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
