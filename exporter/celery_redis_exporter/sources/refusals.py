# SPDX-License-Identifier: Apache-2.0
"""Remember the commands that a Redis server refused, so that they are not sent again for a while.

Each refused command is an entry in the server's ACL log, and counts as an error there. A refusal is remembered for
RETRY_SECONDS, unless the server restarts earlier. Nothing has to be restarted after a permission was granted. Sends
nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.reasons import reason_of
from celery_redis_exporter.sources.wire import Command

RETRY_SECONDS = 600.0
MOST = 10_000
"""The maximum number of refusals that are remembered. Beyond them a command is sent each time."""
_CONTAINERS = frozenset((
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "COMMANDLOG", "CONFIG", "LATENCY", "MEMORY", "OBJECT", "PUBSUB", "SENTINEL",
    "SLOWLOG",
))  # fmt: skip


class Refusal(Exception):  # noqa: N818 -- a value in a list of replies, never raised
    """A command that the server answered with an error."""

    @property
    def reason(self) -> str:
        """Return the reason of the SourceError that would report the same."""
        return reason_of(str(self))

    @property
    def is_of_server(self) -> bool:
        """Return True if the error concerns the server and not the command."""
        return self.reason not in {"noperm", "protocol"}

    @property
    def lasts(self) -> bool:
        """Return True if the next reply will be the same: a missing permission, or an unknown command."""
        return str(self)[:11].upper().startswith(("NOPERM", "ERR UNKNOWN"))  # Dragonfly writes "ERR Unknown".

    @property
    def is_of_key(self) -> bool:
        """Return True if the user has the permission for the command but not for its key."""
        text = str(self)
        return text.startswith("NOPERM") and "key" in text and "command" not in text

    def as_error(self, command: str) -> SourceError:
        """Return the error to raise if nothing can be done without ``command``."""
        return SourceError(self.reason, f"{command}: {self}")


class Denial(NamedTuple):
    """A command that a server refuses, the line that grants it, and the queues that it was refused for, if any."""

    command: str
    cure: str
    queues: tuple[str, ...] = ()


class Refusals:
    """The refusals of one server to one user. False while there are none. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run_id = ""
        self._known: dict[tuple[str, object], tuple[float, Refusal]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    @property
    def rights(self) -> tuple[str, ...]:
        """Return the refused commands in the words of an ACL, sorted."""
        return tuple(sorted({name for name, _ in list(self._known)}))

    def reconnected(self) -> None:
        """Forget all refusals, unless the server's process is known."""
        if not self._run_id:
            self._known = {}

    def belong_to(self, run_id: str) -> None:
        """Forget the refusals of another process of the server."""
        if run_id != self._run_id:
            self._run_id = run_id
            self._known = {}

    def enter(self, command: Command, refusal: Refusal) -> None:
        """Remember a refusal."""
        if len(self._known) < MOST:
            self._known[_subject(command, of_key=refusal.is_of_key)] = (self._clock.monotonic(), refusal)

    def among(self, commands: Sequence[Command]) -> dict[int, Refusal]:
        """Return the refusals of the commands that need not be sent, by position."""
        since = self._clock.monotonic() - RETRY_SECONDS
        found = {}
        for position, command in enumerate(commands):
            for of_key in (False, True):
                subject = _subject(command, of_key=of_key)
                at, refusal = self._known.get(subject, (since, None))
                if refusal is not None and at > since:
                    found[position] = refusal
                elif refusal is not None:
                    self._known.pop(subject, None)
        return found


def right(command: Command) -> str:
    """Return the command in the words of an ACL, with its subcommand if it has one, for example ``slowlog|len``."""
    head = str(command[0])
    return f"{head}|{command[1]!s}".lower() if head in _CONTAINERS else head.lower()


def _subject(command: Command, *, of_key: bool) -> tuple[str, object]:
    """Return the key under which a refusal is remembered: the command, and the Redis key if it was refused.

    That is the second argument of MEMORY USAGE, the first of all others.
    """
    name = right(command)
    place = 2 if "|" in name else 1
    return name, command[place] if of_key and len(command) > place else None
