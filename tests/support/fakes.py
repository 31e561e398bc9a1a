# SPDX-License-Identifier: Apache-2.0
"""Replace what tests must control: time."""


class FakeClock:
    """Both clocks, moved by the test. They start at different values, so that a mix-up is noticed."""

    def __init__(self) -> None:
        self.epoch = 1_800_000_000.0
        self.uptime = 500.0

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self.epoch

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start."""
        return self.uptime

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        self.epoch += seconds
        self.uptime += seconds
