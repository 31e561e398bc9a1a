# SPDX-License-Identifier: Apache-2.0
"""Read the time. No other module does, so that tests can pass in another clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall clock, and one that never goes back."""

    def now(self) -> float:
        """Return seconds since the epoch. They may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. They never go back."""


class SystemClock:
    """The clocks of the machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
