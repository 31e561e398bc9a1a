# SPDX-License-Identifier: Apache-2.0
"""Find the master by Sentinel: for each new connection, and again every two seconds.

Sends SENTINEL GET-MASTER-ADDR-BY-NAME to one sentinel after the other until one answers, as Celery does. Needs a user
of the sentinels with ``+sentinel|get-master-addr-by-name``. A connection to a server that is no longer the master is
closed, so that its owner opens another one. A demoted master takes no writes, but its subscribers stay connected and
receive nothing, and Sentinel can disconnect clients only of a server that it reaches. A failure raises SourceError and
leaves open connections as they are: Redis works without its sentinels.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.addresses import AddressPolicy
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint, Wire

Address = tuple[str, int]
PATIENCE = 1.0
"""Seconds in which a sentinel has to answer. The next one may answer as well."""
WATCH_SECONDS = 2.0
LARGEST_PORT, MOST_DIGITS = 65_535, 5
LONGEST_HOST = 253
_CURES = {
    "auth": "check sentinel_kwargs.username and .password",
    "nomaster": "check master_name",
    "tls": "check sentinel_kwargs.ssl_*",
    "noperm": "grant the sentinels' user +sentinel|get-master-addr-by-name",
}
_TELLING = ("address", "nomaster", "auth", "noperm", "tls")
"""Reasons that are more precise than an unreachable sentinel, the most precise one first."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One sentinel: its host, its address for people, and its endpoint."""

    host: str
    shown: str
    endpoint: Endpoint


class MasterFinder:
    """Find the master called ``name``. Thread-safe.

    ``group`` is the group of settings that contains the name, for messages. ``addresses`` decides whether the reported
    address may be connected to.
    """

    def __init__(
        self, sentinels: Sequence[Sentinel], name: str, group: str, clock: Clock, addresses: AddressPolicy
    ) -> None:
        self._sentinels = tuple(sentinels)
        self._addresses = addresses
        self._name = name
        self._group = group
        self._clock = clock
        self._best = 0  # The position of the sentinel that answered last.
        self._wires: WeakKeyDictionary[Wire, Address] = WeakKeyDictionary()
        self._entering = threading.Lock()

    def locate(self) -> Address:
        """Query the master's address now, on dedicated connections. Raises SourceError."""
        sessions = self._sessions()
        try:
            return self._ask(sessions)
        finally:
            for session in sessions:
                session.close()

    def follow(self, wire: Wire, address: Address) -> None:
        """Close ``wire`` as soon as the master has another address."""
        with self._entering:
            self._wires[wire] = address

    def watch(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Query the master's address until ``stop`` is set. Raises SourceError."""
        sessions = self._sessions()
        try:
            while not stop.is_set():
                self._cut(self._ask(sessions))
                works()
                stop.wait(WATCH_SECONDS)
        finally:
            for session in sessions:
                session.close()

    def _cut(self, master: Address) -> None:
        with self._entering:
            lost = [wire for wire, address in self._wires.items() if address != master]
        for wire in lost:
            wire.close()

    def _sessions(self) -> list[Session]:
        return [Session(sentinel.endpoint, self._clock) for sentinel in self._sentinels]

    def _ask(self, sessions: Sequence[Session]) -> Address:
        failures: list[tuple[str, SourceError]] = []
        for position in self._order():
            try:
                address = self._ask_one(sessions[position])
            except SourceError as error:
                failures.append((self._sentinels[position].shown, error))
            else:
                self._best = position
                return address
        raise self._failure(failures)

    def _order(self) -> Iterator[int]:
        count, best = len(self._sentinels), self._best
        return ((best + step) % count for step in range(count))

    def _ask_one(self, session: Session) -> Address:
        (reply,) = session.exchange([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)], PATIENCE)
        if isinstance(reply, Refusal):
            raise reply.as_error("SENTINEL GET-MASTER-ADDR-BY-NAME")
        if reply is None:
            raise SourceError("nomaster", f"knows no master called {self._name!r}")
        host, port = _address(reply)
        self._addresses.check(host, [sentinel.host for sentinel in self._sentinels])
        return host, port

    def _failure(self, failures: Sequence[tuple[str, SourceError]]) -> SourceError:
        """Return one error for all sentinels, with the most precise reason."""
        reasons = [error.reason for _, error in failures]
        reason = next((word for word in _TELLING if word in reasons), reasons[-1])
        cure = f"; {self._group}: {_CURES[reason]}" if reason in _CURES else ""
        causes = "; ".join(f"{shown}: {error.reason}: {error}" for shown, error in failures)
        return SourceError(reason, f"no sentinel reports the master: {causes}{cure}")


def _address(reply: object) -> Address:
    """Return host and port of a reply. Raises SourceError (protocol) if it is not an address."""
    match reply:
        case [bytes(host), bytes(port)] if (
            0 < len(host) <= LONGEST_HOST and port.isdigit() and len(port) <= MOST_DIGITS
        ):
            number = int(port)
            if 0 < number <= LARGEST_PORT and host.isascii():
                return host.decode("ascii"), number
    raise SourceError("protocol", "no address in the answer")
