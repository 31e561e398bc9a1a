"""Processes that share one node name, by mistake: workers started with the same ``-n`` on the same host name.

Only worker events show which process sent them: they contain the process id. Together the processes are shown as one
worker, whose counts are sums. A restart is no sharing: the process that is replaced sends nothing more, but for events
that arrive late.

Processes with the same id, as in containers, can't be distinguished: their counts of executions alternate, so that they
fall again and again without a start. Such counts are not shown.
"""

from dataclasses import dataclass, field

STRAYS = 1
"""Heartbeats of a process that arrive after those of the one that replaced it, and do not mean that it lives."""
MOST_SHARING = 32
FALLS = 3
MOST_INTERVALS = 3
"""Falls that mean several processes with one id, each so many intervals of heartbeats after the one before at most."""
STEADY_BEATS = 10
"""Heartbeats without a fall after which there is one process with this id again."""


@dataclass(slots=True)
class NamedProcess:
    """One process: when its last event arrived (monotonic), and its counts."""

    seen: float
    processed: int
    active: int


@dataclass(slots=True)
class NameProcesses:
    """The processes of a node name besides its only one.

    ``former`` is the process id that was replaced last, and ``former_processed`` how many executions it had counted;
    ``returned`` are its heartbeats since. ``sharing`` is empty unless there are several processes. ``offset`` makes the
    sum of their executions go on where that of the one before stood. ``falls`` are heartbeats of a single process id
    that counted fewer executions than the one before, since its last start; ``blurred`` is True where they mean several
    processes with this id.
    """

    former: int = 0
    former_processed: int = 0
    returned: int = 0
    sharing: dict[int, NamedProcess] = field(default_factory=dict)
    offset: int = 0
    falls: int = 0
    blurred: bool = False
    _fell_at: float = 0.0  # monotonic
    _last: int = 0
    _steady: int = 0

    @property
    def processed(self) -> int:
        """Executions of all."""
        return self.offset + sum(process.processed for process in self.sharing.values())

    @property
    def active(self) -> int:
        """Tasks that all of them execute."""
        return sum(process.active for process in self.sharing.values())

    def replace(self, pid: int, processed: int) -> None:
        """Note that another process takes the place of the only one, with ``pid``."""
        self.former, self.former_processed, self.returned = pid, processed, 0
        self.sharing, self.offset = {}, 0

    def returns(self, pid: int) -> bool:
        """Note a heartbeat of another process than the only one; return whether it is the replaced one, or may be."""
        if pid != self.former or not pid:
            return False
        self.returned += 1
        return True

    def start(self) -> None:
        """Note a worker-online: what falls now does so because of that."""
        self.falls, self.blurred = 0, False

    def fall(self, processed: int, now: float, interval: float) -> bool:
        """Note that a heartbeat of a single process id counts fewer executions; return whether it means several.

        Two processes fall once in each ``interval`` of their heartbeats (seconds).
        """
        self.falls = self.falls + 1 if now - self._fell_at <= MOST_INTERVALS * interval else 1
        self._fell_at = now
        self.blurred = self.falls >= FALLS
        self._last, self._steady = processed, 0
        return self.blurred

    def stays_blurred(self, processed: int) -> bool:
        """Note a further heartbeat of several processes with one id; return False if there is one by now."""
        self._steady = 0 if processed < self._last else self._steady + 1
        self._last = processed
        if self._steady >= STEADY_BEATS:
            self.start()
        return self.blurred

    def share(self, pid: int, process: NamedProcess) -> None:
        """Begin to share: the process with ``pid``, that was taken for the only one, and the one that came back."""
        self.sharing, self.offset = {pid: process}, 0
        self.sharing[self.former] = NamedProcess(process.seen, self.former_processed, 0)
        self.offset = -self.former_processed

    def beat(self, pid: int, heard: NamedProcess) -> None:
        """Note a heartbeat of one of them, or of a further one, whose executions before do not count."""
        known = self.sharing.get(pid)
        if known is None:
            self.offset -= heard.processed
            if len(self.sharing) >= MOST_SHARING:
                self.leave(min(self.sharing, key=lambda other: self.sharing[other].seen))
        elif heard.processed < known.processed:  # another process with this id
            self.offset += known.processed
        self.sharing[pid] = heard

    def leave(self, pid: int) -> None:
        """Note that a process left; what it counted stays."""
        process = self.sharing.pop(pid, None)
        if process is not None:
            self.offset += process.processed

    def silent(self, before: float) -> list[int]:
        """Return those that were not heard since a time (monotonic)."""
        return [pid for pid, process in self.sharing.items() if process.seen <= before]
