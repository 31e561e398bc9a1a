# SPDX-License-Identifier: Apache-2.0
"""Count queues on a broker other than Redis, by a passive queue.declare each, on one channel.

A queue is left out if it is missing, or is another connection's exclusive one. RabbitMQ then closes the channel, and
py-amqp opens it again. Messages that are ready are counted, unacknowledged ones are not. Costs the broker almost
nothing, and a round trip per queue. Runs in the caller's thread. A failure raises SourceError.

RabbitMQ up to 4.2.5 answers a passive declare to every user. 4.2.6 and 4.3.0 require the permission to configure the
queue, 4.3.1 any permission on it (rabbitmq-server pull requests 16085 and 16272). Each refusal is logged there.
Therefore a refused queue is declared again after RETRY_SECONDS, not at the next scrape. A missing queue costs a new
channel, and is declared again after MISSING_SECONDS, or later if many are missing.
"""

import threading
from collections.abc import Collection, Sequence
from typing import Any

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import QueueCount
from celery_redis_exporter.sources.kombu_link import KombuEndpoint, Link, reply_code, source_error
from celery_redis_exporter.sources.refusals import RETRY_SECONDS

MISSING = frozenset({404, 405})
"""Reply codes of a queue that does not exist (NOT_FOUND), or is exclusive to another connection (RESOURCE_LOCKED)."""
REFUSED = 403
MISSING_SECONDS = 10.0
"""Seconds until a missing queue is declared again."""
MOST_MISSING = 20
"""The maximum number of missing queues that one count declares again, those with the oldest attempt first."""


class QueueCounter:
    """Count queues on a dedicated connection."""

    def __init__(self, endpoint: KombuEndpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._link: Link | None = None
        self._channel: Any = None
        self._refused: dict[str, float] = {}
        self._missing: dict[str, float] = {}  # When each was declared last.
        self._busy = threading.Lock()
        self._closing = False

    @property
    def refused(self) -> tuple[str, ...]:
        """Return the queues that the user may not count, sorted."""
        return tuple(sorted(self._refused))

    def count(self, queues: Sequence[str], deadline: float, consumed: Collection[str] = ()) -> list[QueueCount]:
        """Count the queues that exist, within ``deadline`` seconds. Raises SourceError.

        ``consumed`` queues are always declared, because their workers have created them.
        """
        until = self._clock.monotonic() + deadline
        with self._busy:
            if self._closing:
                raise SourceError("closed", "the exporter is stopping")
            try:
                return self._count(self._due(queues, consumed), until)
            except SourceError:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection. Thread-safe. A count that is running ends by its deadline."""
        self._closing = True
        if self._busy.acquire(blocking=False):
            self._drop()
            self._busy.release()

    def _count(self, queues: Sequence[str], until: float) -> list[QueueCount]:
        link = self._link
        if link is None:
            link = self._link = self._endpoint.open()
            self._channel = None
        try:
            if self._channel is None:
                self._channel = link.channel()
            self._wait_until(link, until)
            self._channel.basic_qos(0, 1, False)  # noqa: FBT003 -- as in AMQP. Needs an answer even without queues
            counts = []
            for queue in queues:
                self._wait_until(link, until)
                counts += self._look(queue)
        except link.errors as error:
            raise source_error(error) from None
        return counts

    def _due(self, queues: Sequence[str], consumed: Collection[str]) -> list[str]:
        """Return the queues to declare now, and forget the state of other queues."""
        self._refused = {queue: self._refused[queue] for queue in queues if queue in self._refused}
        self._missing = {queue: self._missing[queue] for queue in queues if queue in self._missing}
        now = self._clock.monotonic()
        again = sorted(self._missing, key=self._missing.__getitem__)[:MOST_MISSING]
        again = [queue for queue in again if now - self._missing[queue] >= MISSING_SECONDS]
        waiting = self._missing.keys() - {*again, *consumed}
        return [
            queue
            for queue in queues
            if queue not in waiting and now - self._refused.get(queue, -RETRY_SECONDS) >= RETRY_SECONDS
        ]

    def _look(self, queue: str) -> list[QueueCount]:
        try:
            _, messages, consumers = self._channel.queue_declare(queue=queue, passive=True)
        except self._channel.connection.channel_errors as error:
            code = reply_code(error)
            if code == REFUSED:
                self._refused[queue] = self._clock.monotonic()
            elif code in MISSING:
                self._missing[queue] = self._clock.monotonic()
            else:
                raise
            return []
        self._missing.pop(queue, None)
        self._refused.pop(queue, None)
        # kombu's own transports only know the consumers of the same connection.
        return [QueueCount(queue, messages, consumers if self._endpoint.is_amqp else None)]

    def _wait_until(self, link: Link, until: float) -> None:
        left = until - self._clock.monotonic()
        if left <= 0:
            raise SourceError("timeout", "no complete answer within the deadline")
        link.wait_at_most(left)

    def _drop(self) -> None:
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            link.close()
