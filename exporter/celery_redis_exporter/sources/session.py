"""A persistent connection that answers batches of commands, one round trip each.

Opens itself when needed. What the server refuses is not asked again for a while (``sources.refusals``). Lives in its
caller's thread, which may do something else between ``begin`` and ``end``. A failure raises SourceError and closes the
connection; the next batch opens another.

Servers and proxies close connections that are idle. Such a connection fails only when it is used again. Therefore a
batch is sent once more, on a new connection and within the same deadline, if a connection that was used before ends
ahead of any byte of the reply.
"""

from collections.abc import Sequence
from typing import Any

import hiredis

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.refusals import Refusal, Refusals
from celery_redis_exporter.sources.wire import Command, Endpoint, Wire, pack

INSTANT_BYTES = 16 * 1024
"""What the socket of an idle connection takes without waiting, however long the server hangs."""


class _Batch:
    """Commands on their way: ``refused`` by position are those that are not sent; ``until`` is a monotonic time.

    ``reused`` is the connection, if it was used before, and ``arrived`` what had arrived on it before the batch.
    """

    __slots__ = ("arrived", "commands", "due", "failure", "packed", "refused", "replies", "reused", "until")

    def __init__(self, commands: Sequence[Command], refused: dict[int, Refusal], until: float) -> None:
        self.commands = commands
        self.refused = refused
        self.until = until
        self.due = len(commands) - len(refused)
        if refused:
            commands = [command for position, command in enumerate(commands) if position not in refused]
        self.packed = pack(commands)
        self.replies: list[Any] = []
        self.failure: SourceError | None = None
        self.reused: Wire | None = None
        self.arrived = 0

    @property
    def complete(self) -> bool:
        """Whether every reply is there."""
        return len(self.replies) >= self.due

    def is_stale(self, wire: Wire | None) -> bool:
        """Whether the batch failed since ``wire``, which was used before, had been closed without a reply to it.

        False if the session was closed meanwhile, or opened another connection.
        """
        return (
            self.failure is not None
            and self.failure.reason == "closed"
            and wire is not None
            and wire is self.reused
            and wire.arrived == self.arrived
        )


class Session:
    """A connection to one endpoint; ``opened`` counts how often it was opened.

    ``refusals`` may be shared by the connections of one user to one server.
    """

    def __init__(self, endpoint: Endpoint, clock: Clock, refusals: Refusals | None = None) -> None:
        self.opened = 0
        self._endpoint = endpoint
        self._clock = clock
        self._wire: Wire | None = None
        self._refusals = Refusals(clock) if refusals is None else refusals
        self._begun = _Batch((), {}, 0.0)

    @property
    def refused(self) -> tuple[str, ...]:
        """Commands that the server refuses, as an ACL names them."""
        return self._refusals.rights

    def talks_to(self, run_id: str) -> None:
        """Say which process of the server answers: while it stays the same, refusals outlive the connection."""
        self._refusals.belong_to(run_id)

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Give one reply per command, within ``deadline`` seconds; raise SourceError.

        Replies are bytes, int, None, lists of these, or a Refusal in the place of a command that failed. A refusal that
        says something of the server (it loads, it wants a password) is raised.
        """
        replies = self.ask(commands, deadline)
        told = next((reply for reply in replies if isinstance(reply, Refusal) and reply.is_of_server), None)
        if told is not None:
            self.close()
            raise told.as_error(str(commands[0][0]))
        return replies

    def ask(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Do the same, but give every refusal in its place."""
        batch = self._batch(commands, self._clock.monotonic() + deadline)
        if not self._send_reused(batch):
            self._send_anew(batch)
        return self.end()

    def begin(self, commands: Sequence[Command], deadline: float) -> bool:
        """Send without waiting; False if only ``ask`` can do it. ``end`` must follow; raise SourceError."""
        batch = self._batch(commands, self._clock.monotonic() + deadline)
        return len(batch.packed) <= INSTANT_BYTES and self._send_reused(batch)

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds for replies to what was begun; tell whether ``end`` will not have to."""
        batch = self._begun
        until = min(self._clock.monotonic() + patience, batch.until)
        try:
            while not batch.complete and batch.failure is None:
                left = until - self._clock.monotonic()
                self._receive(batch, max(left, 0.0))
                if left <= 0:
                    break
        except SourceError as error:
            batch.failure = error.bare()
        return batch.complete or (batch.failure is not None and not batch.is_stale(self._wire))

    def end(self) -> list[Any]:
        """Give one reply per command of the batch that was begun, as ``ask`` does; raise SourceError."""
        batch = self._begun
        try:
            self._wait_for(batch)
            if batch.is_stale(self._wire):
                batch = self._send_anew(batch)
                self._wait_for(batch)
            if batch.failure is not None:
                raise batch.failure.bare()
            return self._answers(batch)
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; safe from any thread."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _wait_for(self, batch: "_Batch") -> None:
        """Wait for every reply of a batch; a failure is kept in it."""
        try:
            if batch.failure is None and not batch.complete:  # what came in time isn't late because it is read late
                self._receive(batch, 0.0)
            while batch.failure is None and not batch.complete:
                self._receive(batch, self._left(batch.until))
        except SourceError as error:
            batch.failure = error.bare()

    def _receive(self, batch: "_Batch", timeout: float) -> None:
        wire = self._wire
        if wire is None:
            raise SourceError("closed", "the connection was closed meanwhile")
        batch.replies += wire.receive(timeout)
        if len(batch.replies) > batch.due:
            raise SourceError("protocol", "more replies than commands")

    def _answers(self, batch: "_Batch") -> list[Any]:
        if not batch.refused and hiredis.ReplyError not in set(map(type, batch.replies)):
            return batch.replies
        replies = iter(batch.replies)
        return [
            batch.refused.get(position) or self._checked(command, next(replies))
            for position, command in enumerate(batch.commands)
        ]

    def _batch(self, commands: Sequence[Command], until: float) -> "_Batch":
        refused = self._refusals.among(commands) if self._refusals else {}
        return _Batch(commands, refused, until)

    def _send_reused(self, batch: "_Batch") -> bool:
        """Send on the open connection; False if there is none, or if it turns out to be closed."""
        wire = self._wire
        if wire is None or wire.closed:
            return False
        batch.reused, batch.arrived = wire, wire.arrived
        try:
            self._send(wire, batch)
        except SourceError as error:
            if error.reason == "closed":
                return False
            raise
        return True

    def _send_anew(self, batch: "_Batch") -> "_Batch":
        """Send on a new connection; return the batch as it was sent, since other commands may be refused there."""
        self.close()
        wire = self._wire = self._endpoint.open(self._left(batch.until))
        self._refusals.reconnected()
        self.opened += 1
        batch = self._batch(batch.commands, batch.until)
        self._send(wire, batch)
        return batch

    def _send(self, wire: Wire, batch: "_Batch") -> None:
        try:
            wire.send(batch.packed, self._left(batch.until))
        except SourceError:
            self.close()
            raise
        self._begun = batch

    def _left(self, until: float) -> float:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise SourceError("timeout", "no complete answer within the deadline")
        return left

    def _checked(self, command: Command, reply: Any) -> Any:  # noqa: ANN401 -- a reply can be anything
        if not isinstance(reply, hiredis.ReplyError):
            return reply
        refusal = Refusal(str(reply))
        if refusal.lasts:
            self._refusals.enter(command, refusal)
        return refusal
