"""How much memory may be asked for while a server's bytes are parsed; held by the kernel.

hiredis makes room for a list as long as its header claims, before one element of it came, and Python can't set its
bound. Looking for such headers first takes 5 % of an event's time. So while bytes are parsed, or redis-py connects,
the address space of the process is limited to what it had a minute ago at most, and MOST_BYTES more: who asks for more
gets a MemoryError, other threads too, if they ask for as much in the same moment. That is for a process of our own:
nothing is limited before ``enable``. Takes nothing, changes a limit of the process for that time. Never raises; where
the system keeps no such limit, or does not let it be set, there is no bound.
"""

import contextlib
import resource
import threading
from pathlib import Path

from celery_redis_exporter.clock import Clock, SystemClock

MOST_BYTES = 2**30
"""Eight times what a reply may have: the parser's buffer and what is made of it, and room for others. The longest list
that fits is given back in a fifth of a second."""
MEASURED_SECONDS = 60.0
"""After which the process may have grown by itself."""
_PAGES = Path("/proc/self/statm")
_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class Headroom:
    """Limits the process between ``begin`` and ``end``, which several threads may be at once."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._changing = threading.Lock()
        self._parsing = 0
        self._usual = self._limited = _NO_LIMIT
        self._enabled = self._works = False
        self._measured = 0.0

    def enable(self) -> None:
        """Limit this process from now on."""
        self._enabled = True
        self.measure()

    def measure(self) -> None:
        """Set the limit anew, by what the process has now."""
        if not self._enabled:
            return
        self._measured = self._clock.monotonic()
        try:
            wanted = int(_PAGES.read_bytes().split()[0]) * resource.getpagesize() + MOST_BYTES
        except OSError:  # no Linux
            return
        with self._changing:
            if not self._parsing:
                self._usual = resource.getrlimit(resource.RLIMIT_AS)
            finite = [limit for limit in self._usual if limit != resource.RLIM_INFINITY]
            self._limited = (min([wanted, *finite]), self._usual[1])
            self._works = False
            with contextlib.suppress(OSError, ValueError):  # a sandbox may refuse it
                resource.setrlimit(resource.RLIMIT_AS, self._limited if self._parsing else self._usual)
                self._works = True

    def begin(self) -> None:
        """Limit the process; ``end`` must follow."""
        if self._enabled and self._clock.monotonic() - self._measured > MEASURED_SECONDS:
            self.measure()
        with self._changing:
            self._parsing += 1
            if self._works and self._parsing == 1:
                resource.setrlimit(resource.RLIMIT_AS, self._limited)

    def end(self) -> None:
        """Give the process its usual limit back, if nobody else parses."""
        with self._changing:
            self._parsing -= 1
            if self._works and not self._parsing:
                resource.setrlimit(resource.RLIMIT_AS, self._usual)


HEADROOM = Headroom()
"""The process's."""
