# SPDX-License-Identifier: Apache-2.0
"""Send batches of commands on a persistent connection, one round trip each.

The session connects when needed. Refused commands are not sent again for a while (``sources.refusals``). Runs in the
caller's thread. A failure raises SourceError and closes the connection. The next batch opens another one.

Servers and proxies close connections that are idle. Such a connection fails only when it is used again. Therefore a
batch is sent once more, on a new connection and within the same deadline, if a connection that was used before ends
ahead of any byte of the reply.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import ReplyTooLargeError, SourceError
from celery_redis_exporter.sources.lookups import Lookups
from celery_redis_exporter.sources.refusals import Refusal, Refusals
from celery_redis_exporter.sources.replies import LARGE, MOST_REPLY
from celery_redis_exporter.sources.wire import Command, Endpoint, Wire, pack

MOST_ROUND_TRIP = 2 * MOST_REPLY
"""The maximum size of all replies to one batch of commands, in bytes."""


class Session:
    """A connection to one endpoint. ``opened`` counts how often it was opened.

    ``refusals`` may be shared by the connections of one user to one server. ``lookups`` counts what the commands look
    up, if that is wanted, and may be shared as well.
    """

    def __init__(
        self, endpoint: Endpoint, clock: Clock, refusals: Refusals | None = None, lookups: Lookups | None = None
    ) -> None:
        self.opened = 0
        self.lookups = lookups
        self._endpoint = endpoint
        self._clock = clock
        self._wire: Wire | None = None
        self._refusals = Refusals(clock) if refusals is None else refusals

    @property
    def refused(self) -> tuple[str, ...]:
        """Return the commands that the server refuses, in the words of an ACL."""
        return self._refusals.rights

    def talks_to(self, run_id: str) -> None:
        """Record which process of the server answers. While it stays the same, refusals outlive the connection."""
        self._refusals.belong_to(run_id)

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Return one reply per command, within ``deadline`` seconds. Raises SourceError.

        Replies are bytes, int, None, lists of these, or a Refusal in the place of a command that failed. A refusal that
        concerns the whole server (it is loading, it requires a password) is raised.
        """
        replies = self.ask(commands, deadline)
        of_server = next((reply for reply in replies if isinstance(reply, Refusal) and reply.is_of_server), None)
        if of_server is not None:
            self.close()
            raise of_server.as_error(str(commands[0][0]))
        return replies

    def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Do the same as ``exchange``, but return every refusal in its place."""
        replies = self._ask(commands, deadline)
        if self.lookups is not None:
            self.lookups.note(commands, replies)
        return replies

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        until = self._clock.monotonic() + deadline
        wire = self._wire
        if wire is not None and not wire.closed:
            arrived = wire.arrived
            try:
                return self._round_trip(wire, commands, until)
            except SourceError as error:
                # If the connection is no longer the session's, another thread closed the session.
                is_stale = error.reason == "closed" and wire.arrived == arrived and self._wire is wire
                self.close()
                if not is_stale:
                    raise
        wire = self._wire = self._endpoint.open(self._left(until))
        self._refusals.reconnected()
        self.opened += 1
        try:
            return self._round_trip(wire, commands, until)
        except SourceError:
            self.close()
            raise

    def _round_trip(self, wire: Wire, commands: Sequence[Command], until: float) -> list[Any]:
        """Send the commands that are not known to be refused, and return one reply per command."""
        refused = self._refusals.among(commands) if self._refusals else {}
        sent = [command for position, command in enumerate(commands) if position not in refused]
        arrived = wire.arrived
        wire.send(pack(sent), self._left(until))
        replies = wire.receive(0.0)  # Replies that arrived in time are not late because they are read late.
        while len(replies) < len(sent):
            if wire.arrived - arrived > MOST_ROUND_TRIP:
                raise ReplyTooLargeError("protocol", f"replies of more than {MOST_ROUND_TRIP:,} bytes together")
            if self._clock.monotonic() >= until and wire.arrived - arrived > LARGE:
                raise ReplyTooLargeError("timeout", f"{wire.arrived - arrived:,} bytes arrived, and they were not all")
            replies += wire.receive(self._left(until))
        if len(replies) > len(sent):
            raise SourceError("protocol", "more replies than commands")
        if not refused and hiredis.ReplyError not in set(map(type, replies)):
            return replies
        return list(self._answers(commands, refused, iter(replies)))

    def _answers(
        self, commands: Sequence[Command], refused: dict[int, Refusal], replies: Iterator[Any]
    ) -> Iterator[Any]:
        """Yield a reply for every command: the known refusal, a new one, or the server's reply."""
        for position, command in enumerate(commands):
            reply = refused[position] if position in refused else next(replies)
            if isinstance(reply, hiredis.ReplyError):
                reply = Refusal(str(reply))
                if reply.lasts:
                    self._refusals.enter(command, reply)
            yield reply

    def _left(self, until: float) -> float:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise SourceError("timeout", "no complete answer within the deadline")
        return left
