"""A persistent connection that answers batches of commands, one round trip each.

Opens itself when needed. A command that the server refuses for want of rights, or does not know, is not sent
again on the same connection: each refusal is entered in the server's ACL log. Lives in its caller's thread. A
failure raises SourceError and closes the connection; the next batch opens another.
"""

from collections.abc import Sequence
from typing import Any

import hiredis

from exporter.clock import Clock
from exporter.errors import SourceError
from exporter.sources.wire import Command, Endpoint, Wire

_CONTAINERS = frozenset(("CLIENT", "SLOWLOG", "LATENCY", "CLUSTER", "CONFIG", "MEMORY"))
_SERVER_WORDS = {"NOAUTH": "auth", "LOADING": "loading", "MASTERDOWN": "loading", "BUSY": "busy"}


class Refusal(Exception):  # noqa: N818 -- a value in a list of replies, never raised
    """A command that the server answered with an error."""


class Session:
    """A connection to one endpoint; ``opened`` counts how often it was opened."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.opened = 0
        self._endpoint = endpoint
        self._clock = clock
        self._wire: Wire | None = None
        self._refused: dict[str, Refusal] = {}

    @property
    def refused(self) -> tuple[str, ...]:
        """Commands that the server refused on this connection."""
        return tuple(self._refused)

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Give one reply per command, within ``deadline`` seconds; raise SourceError.

        Replies are bytes, int, None, lists of these, or a Refusal in the place of a command that failed.
        """
        until = self._clock.monotonic() + deadline
        try:
            return self._exchange(commands, until)
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; safe from any thread."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _exchange(self, commands: Sequence[Command], until: float) -> list[Any]:
        wire = self._wire
        if wire is None:
            wire = self._wire = self._endpoint.open()
            self._refused = {}
            self.opened += 1
        asked = [command for command in commands if right(command) not in self._refused]
        wire.send(asked, self._left(until))
        replies: list[Any] = []
        while len(replies) < len(asked):
            replies += wire.receive(self._left(until))
        answers = iter(replies)
        return [self._refused.get(right(command)) or self._checked(command, next(answers)) for command in commands]

    def _left(self, until: float) -> float:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise SourceError("timeout", "no complete answer within the deadline")
        return left

    def _checked(self, command: Command, reply: Any) -> Any:  # noqa: ANN401 -- a reply can be anything
        if not isinstance(reply, hiredis.ReplyError):
            return reply
        text = str(reply)
        word = text.partition(" ")[0]
        if word in _SERVER_WORDS:  # says something of the server, not of the command
            raise SourceError(_SERVER_WORDS[word], text)
        refusal = Refusal(text)
        if word == "NOPERM" or text.startswith("ERR unknown"):
            self._refused[right(command)] = refusal
        return refusal


def right(command: Command) -> str:
    """What an ACL grants: the command, with its subcommand where it has one, e.g. ``slowlog|len``."""
    head = str(command[0])
    return f"{head}|{command[1]!s}".lower() if head in _CONTAINERS else head.lower()
