# SPDX-License-Identifier: Apache-2.0
"""Double entry for one worker process: executions that it counted against task-started events that arrived.

A worker counts an execution in ``processed``, then acknowledges the message, and only then stamps and sends
task-started (``Request.on_accepted``). In the pools prefork and solo no heartbeat comes in between. In gevent, eventlet
and threads it does: such a start is counted before a heartbeat, and its time stamp is after the heartbeat. As many
starts as that may be missing at a heartbeat without being lost. A thread can also count and stamp a start after the
heartbeat read ``processed`` and before the heartbeat is stamped.

Heartbeats overtake the buffered task events, so the period between two heartbeats is settled when the next heartbeat
arrives, by the events' own time stamps: one clock, the worker's. What is missing in two settlements is lost.
"""

from collections import deque
from math import inf

from celery_redis_exporter.records.saved_state import SavedLedger

SLACK_SECONDS = 0.25
"""Longest time between counting an execution and stamping its task-started; 12 ms were measured on a busy machine."""
MOST_IN_SLACK = 2000
"""Starts in that time whose time stamps are kept."""
SURPLUS_PERIODS = 5
"""Settlements after which a surplus is dropped. One that comes from a thread is gone at the next."""


class StartsLedger:
    """Counts one worker process; start a new one for a new process.

    Some executions of a ``partial`` one send no events: one without any event may send events all the same. ``beats``
    is the number of heartbeats entered.
    """

    __slots__ = (
        "_after", "_balance", "_before", "_certain", "_gaps", "_last_beat", "_owed", "_processed", "_slack",
        "_slack_until", "_surpluses", "beats", "partial", "seen_any",
    )  # fmt: skip

    def __init__(self, *, partial: bool = False, seen_any: bool = False) -> None:
        self.seen_any = seen_any
        self.partial = partial
        self.beats = 0
        self._processed: int | None = None
        self._last_beat = 0.0
        self._slack_until = inf
        self._before = 0  # starts that arrived since the last heartbeat and belong to the period before it
        self._after = 0  # starts that arrived since the last heartbeat and belong to the period after it
        self._slack: deque[float] = deque(maxlen=MOST_IN_SLACK)  # those of them that it can have counted
        self._owed: int | None = None  # starts that the ended period should have
        self._balance = 0  # starts that were missing at the last settlement; negative is a surplus
        self._certain = 0  # of the starts missing at the last settlement, those that no late time stamp explains
        self._surpluses: list[int] = []  # of the last settlements, if each of them had one
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
            if timestamp <= self._slack_until:
                self._slack.append(timestamp)

    def gap(self) -> None:
        """Note that the subscription was interrupted: what is missing now is lost, not switched off."""
        self._gaps = 2

    def forget_missing(self) -> None:
        """Begin anew with the last heartbeat: what was missing until then is not reported any more."""
        self._owed, self._balance, self._certain, self._before = None, 0, 0, 0
        self._surpluses = []

    def heartbeat(self, processed: int, timestamp: float, between: float = inf) -> tuple[int, bool]:
        """Enter a heartbeat and settle the period before the last one.

        ``between`` is the highest number of executions that the worker can have counted and not stamped yet: none, or
        as many as it can run at once. Return the number of starts that are lost, and whether the worker seems to send
        no task events at all (it worked, no start ever arrived, and the subscription held).
        """
        missing, silent = 0, False
        if self._owed is not None:
            missing, silent = self._settle(self._owed - self._before, min(len(self._slack), between))
        overtook = []
        if self._processed is None:
            overtook = [start for start in self._slack if start > timestamp]
            self._after -= len(overtook)
        else:
            self._owed = processed - self._processed
        self._processed = processed
        self._last_beat, self._slack_until = timestamp, timestamp + SLACK_SECONDS
        self._before, self._after = self._after, 0
        self._slack.clear()
        for start in overtook:  # they belong to the first period, which begins now
            self.started(start)
        self._gaps = max(0, self._gaps - 1)
        self.beats += 1
        return missing, silent

    def save(self) -> SavedLedger | None:
        """Return the account as it is; None before the first heartbeat."""
        if self._processed is None:
            return None
        return SavedLedger(
            self._processed, self._last_beat, self._before, self._after, len(self._slack), self._owed, self._balance,
            self._certain, self.seen_any,
        )  # fmt: skip

    @classmethod
    def restore(cls, saved: SavedLedger) -> "StartsLedger":
        """Go on with the account of a process; of the starts in the slack their number is enough."""
        ledger = cls(seen_any=saved.seen_any)
        ledger._processed, ledger._last_beat = saved.processed, saved.last_beat
        ledger._slack_until = saved.last_beat + SLACK_SECONDS
        ledger._before, ledger._after, ledger._owed = saved.before, saved.after, saved.owed
        ledger._slack.extend([saved.last_beat] * min(saved.slack, MOST_IN_SLACK))
        ledger._balance, ledger._certain = saved.balance, saved.certain
        return ledger

    def _settle(self, deficit: int, slack: float) -> tuple[int, bool]:
        """Add the deficit of a period; return what is lost for certain, and whether no task events are sent.

        A surplus comes from executions that were counted before the first heartbeat and stamped after it. It is no
        credit for losses that follow.
        """
        silent = deficit > 0 and not (self.seen_any or self._gaps or self.partial)
        if silent:
            deficit = 0
        balance = self._balance + deficit
        certain = balance - int(min(slack, max(balance, 0)))
        missing = max(0, min(certain, self._certain))
        dropped = self._drop_surplus(balance)
        self._balance = balance - missing + dropped
        self._certain = certain - missing + dropped
        return missing, silent

    def _drop_surplus(self, balance: int) -> int:
        """Return the surplus that each of the last settlements had, 0 while they are too few."""
        self._surpluses = [*self._surpluses, -balance] if balance < 0 else []
        if len(self._surpluses) < SURPLUS_PERIODS:
            return 0
        dropped, self._surpluses = min(self._surpluses), []
        return dropped
