# SPDX-License-Identifier: Apache-2.0
"""Subscribe to the channels on which kombu publishes Celery's events, by a read-only PSUBSCRIBE.

Sends CLIENT SETNAME, CLIENT ID and PSUBSCRIBE (or SUBSCRIBE if fanout_patterns is off) once, and PING when no byte
arrives. Needs the permissions for these commands and for the channel pattern, literally. Costs the server one match per
PUBLISH. Runs in the caller's thread. A failure raises SourceError. Events published meanwhile are lost, as Redis keeps
none, and the caller counts the gap.
"""

import re
from dataclasses import dataclass
from typing import Any

import hiredis

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.events import LONGEST_MESSAGE
from celery_redis_exporter.sources.reasons import reason_of
from celery_redis_exporter.sources.wire import CLIENT_NAME, Endpoint, Wire, pack

POLL_SECONDS = 0.5
_GLOB = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class Topic:
    """The channel on which kombu publishes. Fields are named as in Celery's settings and transport options."""

    event_exchange: str
    global_keyprefix: str
    fanout_prefix: bool | str
    fanout_patterns: bool
    db: int

    @property
    def channel(self) -> str:
        """Return the channel without routing key."""
        prefix = self.fanout_prefix
        if isinstance(prefix, bool):
            prefix = f"/{self.db}." if prefix else ""
        return f"{self.global_keyprefix}{prefix}{self.event_exchange}"

    @property
    def pattern(self) -> str:
        """Return the pattern of the channels, with the glob characters of names escaped."""
        return _GLOB.sub(r"\\\1", self.channel) + "/*"

    @property
    def subscribe_command(self) -> tuple[str, str]:
        """Return the command that subscribes."""
        return ("PSUBSCRIBE", self.pattern) if self.fanout_patterns else ("SUBSCRIBE", self.channel)


class EventStream:
    """Read one subscription at a time.

    ``idle_timeout`` is in seconds. If no byte arrives for half of it, the server is pinged. If none arrives for another
    half, the connection is lost. The bytes of an incomplete message count too.
    """

    def __init__(self, endpoint: Endpoint, topic: Topic, idle_timeout: float, clock: Clock) -> None:
        self._endpoint = endpoint
        self._topic = topic
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._wire: Wire | None = None
        self._arrived_at = 0.0
        self._pinged_at: float | None = None
        self._early: list[bytes] = []
        self._dropped = 0
        self.client_id: int | None = None

    def open(self) -> None:
        """Connect and subscribe. Raises SourceError. On return the server has confirmed the subscription."""
        self.close()
        wire = self._wire = self._endpoint.open(longest=LONGEST_MESSAGE)
        self._arrived_at, self._pinged_at, self._early, self._dropped = self._clock.monotonic(), None, [], 0
        name = ("CLIENT", "SETNAME", f"{CLIENT_NAME}-events")
        wire.send(pack([name, ("CLIENT", "ID"), self._topic.subscribe_command]), self._idle_timeout)
        replies: list[Any] = []
        until = self._arrived_at + self._idle_timeout
        while len(replies) < 3:
            replies += wire.receive(POLL_SECONDS)
            if len(replies) < 3 and self._clock.monotonic() >= until:
                raise SourceError("timeout", f"no answer to {self._topic.subscribe_command[0]}")
        _, identity, confirmed, *early = replies
        if isinstance(confirmed, hiredis.ReplyError):
            raise SourceError(reason_of(str(confirmed)), f"{self._topic.subscribe_command[0]}: {confirmed}")
        self.client_id = identity if isinstance(identity, int) else None
        self._arrived_at, self._early = self._clock.monotonic(), _payloads(early)

    def read(self) -> list[bytes]:
        """Return the messages that one read from the socket completes, or none after POLL_SECONDS without any byte.

        Raises SourceError if the connection is lost, or does not answer any more.
        """
        wire = self._wire
        if wire is None:
            raise SourceError("closed", "the event stream is closed")
        if self._early:
            early, self._early = self._early, []
            return early
        arrived = wire.arrived
        frames = wire.receive(POLL_SECONDS)
        if wire.arrived != arrived:
            self._arrived_at, self._pinged_at = self._clock.monotonic(), None
        else:
            self._test(wire)
        return _payloads(frames)

    @property
    def is_drained(self) -> bool:
        """Return True if the last read returned everything that had arrived when it began."""
        return self._wire is None or (self._wire.is_drained and not self._early)

    def take_dropped(self) -> int:
        """Return how many messages longer than LONGEST_MESSAGE were dropped since the last call."""
        if self._wire is None or self._wire.dropped == self._dropped:
            return 0
        found, self._dropped = self._wire.dropped - self._dropped, self._wire.dropped
        return found

    def _test(self, wire: Wire) -> None:
        """Ping a server that sends nothing. Raises SourceError if it did not answer the ping.

        The second half of the idle timeout begins with the ping. A process that was stopped itself (SIGSTOP, a
        suspended machine) therefore does not close a connection that works.
        """
        now, half = self._clock.monotonic(), self._idle_timeout / 2
        if self._pinged_at is None and now - self._arrived_at >= half:
            self._pinged_at = now
            wire.send(pack([("PING",)]), POLL_SECONDS)
        elif self._pinged_at is not None and now - self._pinged_at >= half:
            raise SourceError("timeout", f"no byte arrived for {self._idle_timeout:g} s, not even the answer to PING")

    def close(self) -> None:
        """End the subscription. Thread-safe: a read in another thread ends with a SourceError."""
        wire, self._wire = self._wire, None
        self.client_id = None
        if wire is not None:
            wire.close()


def _payloads(frames: list[Any]) -> list[bytes]:
    """Return the bodies of pub/sub frames: [pmessage, pattern, channel, body] or [message, channel, body]."""
    return [frame[-1] for frame in frames if type(frame) is list and frame[0] in (b"pmessage", b"message")]
