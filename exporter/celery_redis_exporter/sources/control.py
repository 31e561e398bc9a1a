# SPDX-License-Identifier: Apache-2.0
"""Send Celery's remote control commands on Redis, and read the list that receives the replies.

kombu's pidbox sends a request as a message on the fanout channel of the exchange ``{control_exchange}.pidbox``, which
every worker subscribes to. Each worker in ``destination`` replies to the exchange and routing key in ``reply_to``.
Celery's own client binds a reply queue for this, with keys that stay behind when the client dies. This module uses the
default exchange, for which kombu pushes directly to the list that the routing key names. No binding is ever written.

The list belongs to the exporter, and always has a time to live. Before a request is sent, one element called the mat is
pushed, which is never removed, and the list gets its time to live. Workers push their replies on top of it. Replies are
read without removing them. Late replies find the mat of their round or of the next one. While replies are missing, the
mat stays.

Requests are JSON, Celery's default. A worker whose ``accept_content`` does not contain json logs an error and sends no
reply.

Sends only DEL, RPUSH, EXPIRE and LRANGE on that key, and PUBLISH on that channel. All are O(1) but LRANGE, which is
O(replies). Runs in the caller's thread. A failure raises SourceError, with the reason noperm if a permission is
missing.
"""

import base64
import json
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from celery_redis_exporter.sources.event_stream import Topic
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.sources.refusals import Refusal, right
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command

KEY_PREFIX = "celery-redis-exporter.reply."
COMMANDS = ("del", "rpush", "expire", "lrange", "publish")
MAT = b"mat"
MAT_SECONDS = 3600
READ_AT_ONCE = 8
"""The number of replies that one LRANGE reads. A reply can be large, and its size is not known before."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command for the workers in ``destination``, or for every node whose name matches the shell pattern ``pattern``.

    ``ticket`` is returned with each reply. It is empty if no reply is wanted.
    """

    command: str
    destination: Sequence[str]
    ticket: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pattern: str | None = None


def request_body(request: Request, queue: str) -> dict[str, Any]:
    """Return a request in the form that workers read. Replies go to ``queue``, by the default exchange."""
    body: dict[str, Any] = {
        "method": request.command,
        "arguments": dict(request.arguments),
        "destination": list(request.destination),
        "pattern": request.pattern,
        "matcher": request.pattern and "glob",
    }
    if request.ticket:
        body["ticket"] = request.ticket
        body["reply_to"] = {"exchange": "", "routing_key": queue}
    return body


class RedisControlClient:
    """Send requests to workers and receive their replies.

    ``topic`` is the topic of the control exchange. ``deadline`` bounds each exchange with the server, in seconds.
    """

    def __init__(self, session: Session, keys: QueueKeys, topic: Topic, deadline: float) -> None:
        self._session = session
        self._exchange_name = topic.event_exchange
        self._channel = topic.channel
        self._deadline = deadline
        self._queue = f"{KEY_PREFIX}{uuid4()}"
        # Workers push a reply, of priority 0, to the list of that step. It is computed as kombu does.
        steps = keys.priority_steps
        self._key = keys.list_of(self._queue, steps[bisect(steps, 0) - 1])
        commands = " ".join(f"+{name}" for name in COMMANDS)
        self._grant = f"ACL SETUSER <user> ~{keys.global_keyprefix}{KEY_PREFIX}* &{self._channel} {commands}"
        self._read = 0

    @property
    def rights(self) -> str:
        """Return the command that grants the necessary permissions."""
        return self._grant

    def open(self) -> None:
        """Replace the list by one that contains only the mat. Raises SourceError."""
        self._read = 0
        self._exchange([("DEL", self._key), ("RPUSH", self._key, MAT), ("EXPIRE", self._key, MAT_SECONDS)])

    def send(self, requests: Sequence[Request]) -> None:
        """Publish requests, in order. Raises SourceError."""
        self._exchange([("PUBLISH", self._channel, self._encode(request)) for request in requests])

    def receive(self) -> list[bytes]:
        """Return replies that arrived since ``open`` and were not returned yet, READ_AT_ONCE at most.

        Raises SourceError.
        """
        # The newest reply is first and the mat is last. Replies that were read lie between it and the others.
        last = -2 - self._read
        (found,) = self._exchange([("LRANGE", self._key, last - READ_AT_ONCE + 1, last)])
        self._read += len(found)
        return list(reversed(found))

    def settle(self, *, complete: bool) -> None:
        """Delete the list if all replies are ``complete``, else leave only the mat. Raises SourceError."""
        if complete:
            self._exchange([("DEL", self._key)])
        else:
            self.open()

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self._session.close()

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._session.exchange(commands, self._deadline)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Refusal):
                raise reply.as_error(right(command).upper())
        return replies

    def _encode(self, request: Request) -> str:
        message = {
            "body": base64.b64encode(json.dumps(request_body(request, self._queue)).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 0, "expires": 0},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": self._exchange_name, "routing_key": ""},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
        return json.dumps(message)
