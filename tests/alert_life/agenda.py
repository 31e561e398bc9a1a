# SPDX-License-Identifier: Apache-2.0
"""Simulated time: what happens when, and the clock that an exporter of the simulation reads.

Input: callables with the second at which they are due. Output: their calls, in order. Time starts at 0, which is also
the epoch of promtool's tests, so that the seconds of a scenario are the time stamps of its series.
"""

import heapq
from collections.abc import Callable

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
BOOTED = 1000.0
"""What the monotonic clock shows at the start, so that it is not mistaken for the other one."""


class Agenda:
    """Everything that is going to happen; ``now`` is in seconds since the start of the scenario."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0

    def at(self, time: float, act: Callable[[], object]) -> None:
        """Call ``act`` at a second; at once if that has passed."""
        self._number += 1
        heapq.heappush(self._due, (max(time, self.now), self._number, act))

    def every(self, seconds: float, act: Callable[[], object], first: float = 0.0) -> None:
        """Call ``act`` again and again."""

        def again() -> None:
            act()
            self.at(self.now + seconds, again)

        self.at(first, again)

    def run(self, end: float) -> None:
        """Let time pass up to a second."""
        due = self._due
        while due and due[0][0] <= end:
            self.now, _, act = heapq.heappop(due)
            act()
        self.now = end


class AgendaClock:
    """The two clocks of a process of the simulation; ``wrong_by`` seconds is its wall clock ahead."""

    def __init__(self, agenda: Agenda, wrong_by: float = 0.0) -> None:
        self._agenda = agenda
        self._wrong_by = wrong_by

    def now(self) -> float:
        """Return seconds since the start of the scenario."""
        return self._agenda.now + self._wrong_by

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return BOOTED + self._agenda.now
