# SPDX-License-Identifier: Apache-2.0
"""Combine processes that share one node name by mistake: workers with the same ``-n`` on the same host name.

Only worker events show which process sent them: they contain the process id. The processes are shown as one worker,
whose counts are sums. A restart is not sharing: a process that was replaced sends nothing more, except for events that
arrive late.

Processes with the same id, as in containers, can't be distinguished. Their counts of executions alternate, so that they
fall again and again without a start. Such counts are not shown.
"""

from dataclasses import dataclass, field

STRAYS = 1
"""The number of late heartbeats of a replaced process that do not mean that it is alive."""
MOST_SHARING = 32
FALLS = 3
MOST_INTERVALS = 3
"""Limits for falls that mean several processes with one id.

FALLS is their number, and MOST_INTERVALS the longest time between two of them, in intervals of heartbeats.
"""
STEADY_BEATS = 10
"""The number of heartbeats without a fall after which there is one process with this id again."""


@dataclass(slots=True)
class NamedProcess:
    """One process: when its last event arrived (monotonic), and its counts."""

    seen: float
    processed: int
    active: int


@dataclass(slots=True)
class NameProcesses:
    """The processes of a node name besides its only one.

    - ``former``, ``former_processed``: the process id that was replaced last, and its number of executions.
    - ``returned``: the heartbeats of ``former`` since then.
    - ``sharing``: the processes by id, empty unless there are several.
    - ``offset``: is added to the sum of executions, so that it continues from the sum before.
    - ``falls``: heartbeats of a single process id with fewer executions than the one before, since its last start.
    - ``blurred``: the falls mean several processes with this id.
    """

    former: int = 0
    former_processed: int = 0
    returned: int = 0
    sharing: dict[int, NamedProcess] = field(default_factory=dict)
    offset: int = 0
    falls: int = 0
    blurred: bool = False
    _fell_at: float = 0.0  # Monotonic time.
    _last: int = 0
    _steady: int = 0

    @property
    def processed(self) -> int:
        """Return the executions of all processes."""
        return self.offset + sum(process.processed for process in self.sharing.values())

    @property
    def active(self) -> int:
        """Return the tasks that all processes execute."""
        return sum(process.active for process in self.sharing.values())

    def replace(self, pid: int, processed: int) -> None:
        """Record that another process replaces the only one, which has ``pid``."""
        self.former, self.former_processed, self.returned = pid, processed, 0
        self.sharing, self.offset = {}, 0

    def returns(self, pid: int) -> bool:
        """Record a heartbeat of another process. Return True if it is the replaced one, or may be."""
        if pid != self.former or not pid:
            return False
        self.returned += 1
        return True

    def start(self) -> None:
        """Record a worker-online, after which a fall of counts is normal."""
        self.falls, self.blurred = 0, False

    def fall(self, processed: int, now: float, interval: float) -> bool:
        """Record that a heartbeat of a single process id counts fewer executions. Return True if it means several.

        The counts of two processes fall once in each ``interval`` of their heartbeats (seconds).
        """
        self.falls = self.falls + 1 if now - self._fell_at <= MOST_INTERVALS * interval else 1
        self._fell_at = now
        self.blurred = self.falls >= FALLS
        self._last, self._steady = processed, 0
        return self.blurred

    def stays_blurred(self, processed: int) -> bool:
        """Record another heartbeat of several processes with one id. Return False if there is only one now."""
        self._steady = 0 if processed < self._last else self._steady + 1
        self._last = processed
        if self._steady >= STEADY_BEATS:
            self.start()
        return self.blurred

    def share(self, pid: int, process: NamedProcess) -> None:
        """Begin to share: the process with ``pid``, which seemed to be the only one, and the one that came back."""
        self.sharing, self.offset = {pid: process}, 0
        self.sharing[self.former] = NamedProcess(process.seen, self.former_processed, 0)
        self.offset = -self.former_processed

    def beat(self, pid: int, beating: NamedProcess) -> None:
        """Record a heartbeat of one process. The earlier executions of a new process do not count."""
        known = self.sharing.get(pid)
        if known is None:
            self.offset -= beating.processed
            if len(self.sharing) >= MOST_SHARING:
                self.leave(min(self.sharing, key=lambda other: self.sharing[other].seen))
        elif beating.processed < known.processed:  # It is another process with this id.
            self.offset += known.processed
        self.sharing[pid] = beating

    def leave(self, pid: int) -> None:
        """Record that a process left. Its counts are kept."""
        process = self.sharing.pop(pid, None)
        if process is not None:
            self.offset += process.processed

    def silent(self, before: float) -> list[int]:
        """Return the processes without an event since the time ``before`` (monotonic)."""
        return [pid for pid, process in self.sharing.items() if process.seen <= before]
