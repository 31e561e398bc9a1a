"""The one place that asks for the time, so that tests can hand in another one."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that people read and one that never steps back."""

    def now(self) -> float:
        """Seconds since the epoch (may step when the machine's clock is set)."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never steps back."""


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
