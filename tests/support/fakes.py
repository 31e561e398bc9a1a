"""Stand-ins for what tests must control: time."""


class FakeClock:
    """Both clocks, moved by hand; they start apart so that a mix-up shows."""

    def __init__(self) -> None:
        self.epoch = 1_800_000_000.0
        self.uptime = 500.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.epoch

    def monotonic(self) -> float:
        """Seconds since some start."""
        return self.uptime

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.epoch += seconds
        self.uptime += seconds
