# SPDX-License-Identifier: Apache-2.0
"""Simulated time: calls at their seconds, and the clock that an exporter of the simulation reads.

Input: callables with the second at which they are due. Output: their calls, in order. Time starts at 0, which is also
the epoch of promtool's tests, so that the seconds of a scenario are the timestamps of its series.
"""

import heapq
from collections.abc import Callable

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
BOOTED = 1000.0
"""The monotonic clock at the start, which differs from the wall clock so that mixing them up is noticed."""


class Agenda:
    """The scheduled calls; ``now`` is in seconds since the start of the scenario."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0

    def at(self, time: float, act: Callable[[], object]) -> None:
        """Call ``act`` at a second, or at once if that second has passed."""
        self._number += 1
        heapq.heappush(self._due, (max(time, self.now), self._number, act))

    def every(self, seconds: float, act: Callable[[], object], first: float = 0.0) -> None:
        """Call ``act`` at ``first`` and then at this interval."""

        def again() -> None:
            act()
            self.at(self.now + seconds, again)

        self.at(first, again)

    def run(self, end: float) -> None:
        """Advance the time to a second, and make all calls that are due."""
        due = self._due
        while due and due[0][0] <= end:
            self.now, _, act = heapq.heappop(due)
            act()
        self.now = end


class AgendaClock:
    """The two clocks of a simulated process; its wall clock is ``wrong_by`` seconds ahead."""

    def __init__(self, agenda: Agenda, wrong_by: float = 0.0) -> None:
        self._agenda = agenda
        self._wrong_by = wrong_by

    def now(self) -> float:
        """Return seconds since the start of the scenario."""
        return self._agenda.now + self._wrong_by

    def monotonic(self) -> float:
        """Return seconds that never step back."""
        return BOOTED + self._agenda.now
