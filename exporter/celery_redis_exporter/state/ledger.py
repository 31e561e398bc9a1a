"""Double entry for one worker process: executions it says it began against task-started events that came.

Celery counts ``processed`` immediately before it sends task-started, so at each heartbeat the two agree, unless
events were lost on the way. Heartbeats overtake the buffered task events, so a period between two heartbeats is
settled at the next one, by the events' own timestamps: one clock, the worker's.
"""


class StartsLedger:
    """Counts one worker process; start a new one for a new process."""

    __slots__ = ("_after", "_balance", "_before", "_gaps", "_last_beat", "_owed", "_processed", "seen_any")

    def __init__(self) -> None:
        self.seen_any = False
        self._processed: int | None = None
        self._last_beat = 0.0
        self._before = 0  # starts seen of the period that ended with the last heartbeat
        self._after = 0  # starts seen since
        self._owed: int | None = None  # starts that the ended period should have
        self._balance = 0  # surplus carried over, never above 0
        self._gaps = 0

    @property
    def processed(self) -> int | None:
        """The worker's own count at its last heartbeat."""
        return self._processed

    def started(self, timestamp: float) -> None:
        """Enter a task-started event."""
        self.seen_any = True
        if timestamp <= self._last_beat:
            self._before += 1
        else:
            self._after += 1

    def gap(self) -> None:
        """Note that the subscription was interrupted: what is missing now is lost, not switched off."""
        self._gaps = 2

    def heartbeat(self, processed: int, timestamp: float) -> tuple[int, bool]:
        """Enter a heartbeat and settle the period before it.

        Gives the number of starts that are missing for good, and whether the worker seems to send no task
        events at all (it worked, nothing ever came, and the subscription held).
        """
        missing, silent = 0, False
        if self._owed is not None:
            balance = self._owed - self._before + self._balance
            if balance > 0 and not self.seen_any and not self._gaps:
                silent, balance = True, 0
            missing, self._balance = max(balance, 0), min(balance, 0)
        self._owed = None if self._processed is None else processed - self._processed
        self._processed = processed
        self._last_beat = timestamp
        self._before, self._after = self._after, 0
        self._gaps = max(0, self._gaps - 1)
        return missing, silent
