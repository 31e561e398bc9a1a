# SPDX-License-Identifier: Apache-2.0
"""Read queues, unacknowledged messages and the backlog of events during a scrape of the broker.

Connects sources.queues -> decode.queues -> state.queues. The commands of each class travel in the server's one round
trip.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import Any

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode.queues import decode_oldest_delivery, decode_queued
from celery_redis_exporter.decode.redis_server import decode_output_buffer
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.replies import QueuedMessage, QueueReading
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.sources.wire import Command
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store

HEAVY_BYTES = 64 * 1024
HEAVY_PAUSE = 15.0
"""Limits for heavy messages: bytes, and seconds.

A next message of more than HEAVY_BYTES is not fetched again for HEAVY_PAUSE seconds, since LINDEX sends it whole.
Meanwhile it is assumed to be still there if its list is not empty.
"""
LEFT_OUT_MINUTES = 5
"""Minutes without next messages after they were too large together, or one of them alone, to be read."""
LIGHT_BYTES = 2 * 1024
"""A next message of at most this many bytes is kept until the next scrape, to compare it with the next one."""


class QueuesRead:
    """The lengths of all known queues, and the age of their next message.

    ``keys`` returns the current names of the keys. ``oldest`` enables the age.
    """

    def __init__(
        self, queues: Queues, keys: Callable[[], QueueKeys], store: Store, clock: Clock, *, oldest: bool
    ) -> None:
        self._queues = queues
        self._keys_now = keys
        self._keys = keys()
        self._store = store
        self._clock = clock
        self._oldest = oldest
        self._plan: list[tuple[str, tuple[int, ...]]] = []
        self._planned = -1  # The revision of the queues that the plan is for.
        self._commands: list[Command] = []
        self._left_out_until = -inf
        self._heavy: dict[tuple[str, int], tuple[float, QueuedMessage]] = {}
        self._read: dict[str, tuple[list[Any], QueueReading]] = {}  # The last replies, and their readings.

    def commands(self) -> list[Command]:
        """Return LLEN per queue and priority step, and LINDEX per queue and step in use."""
        self._follow_keys()
        with self._store.lock:
            names = self._queues.names()
            if self._queues.revision == self._planned and not self._heavy:
                return self._commands
            # Whether a heavy message is read depends on time, so that the plan can't be kept.
            self._planned = -1 if self._heavy or self._is_left_out else self._queues.revision
            self._plan = [(queue, self._wanted_steps(queue)) for queue in names]
        self._keep_only(set(names))
        self._commands = []
        for queue, steps in self._plan:
            self._commands += self._keys.length_commands(queue)
            self._commands += self._keys.oldest_commands(queue, steps)
        return self._commands

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return lengths and ages. A queue is left out if a key can't be read (no permission, or not a list)."""
        answers = iter(replies)
        readings = []
        for queue, steps in self._plan:
            lists = list(islice(answers, len(self._keys.priority_steps) + len(steps)))
            known = self._read.get(queue)
            if known is None or known[0] != lists or self._heavy:  # The pause of a heavy message depends on time.
                known = lists, self._reading(queue, steps, lists)
                if all(len(message) <= LIGHT_BYTES for message in lists if isinstance(message, bytes)):
                    self._read[queue] = known
                else:
                    self._read.pop(queue, None)
            readings.append(known[1])
        now = self._clock.now()
        with self._store.lock:
            return self._queues.fold_all(readings, now)

    def leave_out(self) -> str:
        """Read no next messages for LEFT_OUT_MINUTES. Return the effect, or nothing if none are read already."""
        if self._is_left_out or not self._oldest:
            return ""
        self._left_out_until = self._clock.monotonic() + 60 * LEFT_OUT_MINUTES
        self._planned = -1
        return f"the age of next messages is unknown for {LEFT_OUT_MINUTES} minutes"

    @property
    def _is_left_out(self) -> bool:
        return self._clock.monotonic() < self._left_out_until

    def _follow_keys(self) -> None:
        """Start again if the names of the keys of queues have changed, as workers reported."""
        keys = self._keys_now()
        if keys != self._keys:
            self._keys, self._planned = keys, -1
            self._read.clear()
            self._heavy.clear()

    def _keep_only(self, names: set[str]) -> None:
        """Drop the replies and messages of queues that are no longer known."""
        self._read = {queue: read for queue, read in self._read.items() if queue in names}
        self._heavy = {place: heavy for place, heavy in self._heavy.items() if place[0] in names}

    def _wanted_steps(self, queue: str) -> tuple[int, ...]:
        if not self._oldest or self._is_left_out:
            return ()
        steps = set(self._queues.used_steps(queue)) & set(self._keys.priority_steps)
        return tuple(step for step in sorted(steps) if not self._is_paused(queue, step))

    def _is_paused(self, queue: str, step: int) -> bool:
        heavy = self._heavy.get((queue, step))
        return heavy is not None and heavy[0] > self._clock.monotonic()

    def _reading(self, queue: str, steps: tuple[int, ...], lists: Sequence[Any]) -> QueueReading:
        known_steps = self._keys.priority_steps
        lengths = {step: reply for step, reply in zip(known_steps, lists, strict=False) if isinstance(reply, int)}
        oldest = self._heavy_ones(queue, steps, lengths) if self._heavy else {}
        for step, message in zip(steps, lists[len(known_steps) :], strict=True):
            found = self._next_message(queue, step, message)
            if found is not None:
                oldest[step] = found
        # All steps are needed: a sum without some of them would be a wrong length.
        return QueueReading(queue, lengths if len(lengths) == len(known_steps) else {}, oldest)

    def _heavy_ones(self, queue: str, steps: tuple[int, ...], lengths: dict[int, int]) -> dict[int, QueuedMessage]:
        """Return the messages that were not fetched again because they are heavy, by step."""
        return {
            step: self._heavy[queue, step][1]
            for step in lengths
            if step not in steps and lengths[step] and (queue, step) in self._heavy
        }

    def _next_message(self, queue: str, step: int, message: Any) -> QueuedMessage | None:  # noqa: ANN401 -- any reply
        """Return the next message of a step, or None if there is none or it is not Celery's."""
        self._heavy.pop((queue, step), None)
        if not isinstance(message, bytes):
            return None
        try:
            found = decode_queued(message)
        except DecodeError:
            return None
        if len(message) > HEAVY_BYTES:
            self._heavy[queue, step] = (self._clock.monotonic() + HEAVY_PAUSE, found)
        return found


class UnackedRead:
    """Messages that were delivered and not acknowledged, compared with the visibility timeout (seconds)."""

    def __init__(self, keys: QueueKeys, visibility_timeout: Callable[[], float], clock: Clock) -> None:
        self._keys = keys
        self._visibility_timeout_now = visibility_timeout
        self._visibility_timeout = visibility_timeout()
        self._clock = clock

    def commands(self) -> list[Command]:
        """Return HLEN, ZRANGE and ZCOUNT."""
        self._visibility_timeout = self._visibility_timeout_now()
        return self._keys.unacked_commands(self._clock.now() - self._visibility_timeout)

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the number of messages, the age of the oldest, and how many are overdue."""
        count, oldest, overdue = replies
        samples = [Sample(rows.VISIBILITY_TIMEOUT, (), self._visibility_timeout)]
        if isinstance(count, int):
            samples.append(Sample(rows.UNACKED, (), count))
        if isinstance(oldest, list):
            delivered = decode_oldest_delivery(oldest)
            age = 0.0 if delivered is None else max(self._clock.now() - delivered, 0.0)
            samples.append(Sample(rows.UNACKED_OLDEST_AGE, (), age))
        if isinstance(overdue, int):
            samples.append(Sample(rows.UNACKED_OVERDUE, (), overdue))
        return samples


class BacklogRead:
    """The output buffer that the server keeps for the event subscription."""

    def __init__(self, client_id: Callable[[], int | None]) -> None:
        self._client_id = client_id

    def commands(self) -> list[Command]:
        """Return CLIENT LIST of the exporter's subscription, if there is one."""
        client = self._client_id()
        return [] if client is None else [("CLIENT", "LIST", "ID", client)]

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the size of the buffer in bytes, if the server reports it."""
        size = decode_output_buffer(replies[0]) if replies else None
        return [] if size is None else [Sample(internals.EVENT_BACKLOG, (), size)]
