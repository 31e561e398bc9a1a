# SPDX-License-Identifier: Apache-2.0
"""Send Celery's remote control commands through kombu, and receive the replies in a queue of the exporter.

As on Redis, workers reply by the default exchange, with the name of the exporter's queue as routing key. Only that
queue is declared, and nothing is bound. It is exclusive and is deleted with its connection. Needs the permission to
write to the exchange ``{control_exchange}.pidbox``, and to configure, write and read ``celery-redis-exporter.*``. If
the exchange does not exist, remote control is off in all workers, and nothing is sent. Runs in the caller's thread. A
failure raises SourceError, with the reason noperm if a permission is missing.
"""

import base64
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.control import Request, request_body
from celery_redis_exporter.sources.kombu_link import (
    QUEUE_PREFIX,
    KombuEndpoint,
    Link,
    is_missing,
    permissions,
    source_error,
)

READ_AT_ONCE = 8
ANSWER_SECONDS = 60.0
"""How long a reply may stay in the queue, in seconds."""


class KombuControlClient:
    """Send requests to workers and receive their replies.

    ``exchange`` is Celery's control exchange without the suffix.
    """

    def __init__(self, endpoint: KombuEndpoint, exchange: str, event_exchange: str) -> None:
        self._endpoint = endpoint
        self._exchange = f"{exchange}.pidbox"
        self._event_exchange = event_exchange
        self._queue = f"{QUEUE_PREFIX}reply.{uuid4()}"
        self._link: Link | None = None
        self._channel: Any = None
        self._answers: list[bytes] = []
        self._busy = threading.Lock()

    @property
    def rights(self) -> str:
        """Return the command that grants the permissions that this client and the event queue need."""
        return permissions(self._exchange, [self._event_exchange])

    def open(self) -> None:
        """Prepare for replies to the next requests. Raises SourceError."""
        if self._link is None:
            self._link = self._endpoint.open()
            self._do(self._prepare)
        self.receive()
        self._answers = []

    def send(self, requests: Sequence[Request]) -> None:
        """Publish requests, in order. Raises SourceError."""
        if self._link is None:
            self.open()
        self._do(lambda: self._publish_all(requests))

    def receive(self) -> list[bytes]:
        """Return replies that arrived and were not returned yet, READ_AT_ONCE at most. Raises SourceError."""
        link = self._open_link()
        with self._busy:
            try:
                link.drain(0.0, READ_AT_ONCE)
            except SourceError:
                self._drop()
                raise
        answers, self._answers = self._answers, []
        return answers

    def settle(self, *, complete: bool) -> None:
        """Do nothing: the queue is deleted with the connection."""

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        if self._busy.acquire(blocking=False):
            self._drop()
            self._busy.release()

    def _prepare(self) -> None:
        channel = self._channel = self._open_link().channel()
        arguments = channel.prepare_queue_arguments({}, message_ttl=ANSWER_SECONDS, expires=ANSWER_SECONDS)
        channel.queue_declare(
            queue=self._queue, exclusive=True, auto_delete=True, durable=False, arguments=arguments or {}
        )
        channel.auto_decode = False
        channel.basic_consume(queue=self._queue, no_ack=True, callback=self._take, consumer_tag=self._queue)

    def _is_there(self) -> bool:
        """Return True if the exchange exists, which the first worker creates.

        The check uses a dedicated channel, because a refusal closes the channel.
        """
        channel = self._open_link().channel()
        try:
            # kombu's own transports only have exchanges that were declared on the same connection.
            channel.exchange_declare(exchange=self._exchange, type="fanout", passive=self._endpoint.is_amqp)
        except channel.connection.channel_errors as error:
            if not is_missing(error):
                raise
            return False
        finally:
            channel.close()
        return True

    def _publish_all(self, requests: Sequence[Request]) -> None:
        if self._is_there():
            for request in requests:
                self._publish(request)

    def _publish(self, request: Request) -> None:
        body = request_body(request, self._queue)
        message = self._channel.prepare_message(
            json.dumps(body).encode(),
            content_type="application/json",
            content_encoding="utf-8",
            headers={"clock": 0, "expires": 0},
            properties={"delivery_mode": 1},
        )
        self._channel.basic_publish(message, exchange=self._exchange, routing_key="")

    def _take(self, raw: Any) -> None:  # noqa: ANN401 -- a message of any transport
        """Put a reply into the envelope that it has on Redis, which is the one that is decoded."""
        message = self._channel.message_to_python(raw)
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        envelope = {
            "body": base64.b64encode(body).decode(),
            "content-type": message.content_type or "application/json",
            "headers": {"ticket": str((message.headers or {}).get("ticket", ""))},
        }
        self._answers.append(json.dumps(envelope).encode())

    def _open_link(self) -> Link:
        link = self._link
        if link is None:
            raise SourceError("closed", "the connection was closed meanwhile")
        return link

    def _do(self, call: Callable[[], None]) -> None:
        link = self._open_link()
        with self._busy:
            try:
                call()
            except link.errors as error:
                self._drop()
                raise source_error(error) from None

    def _drop(self) -> None:
        link, self._link, self._channel = self._link, None, None
        if link is not None:
            link.close()
