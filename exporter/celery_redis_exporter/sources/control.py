"""Celery's remote control on Redis, in few commands: questions to workers and the list that their answers come to.

kombu's pidbox sends a request as a message on the fanout channel of the exchange ``{control_exchange}.pidbox``, which
every worker subscribes to, and each worker named in ``destination`` answers to the exchange and routing key in
``reply_to``. Celery's own client binds a reply queue for this, with keys that stay behind when it dies. Here the
exchange is the default one, for which kombu pushes straight to the list named by the routing key: no binding is ever
written.

That list is ours, and whatever happens does not live for ever: before anything is asked a mat is laid, one element that
is never taken away and that gives the list a time to live; workers push on top of it. Answers are read in place. Those
that come too late find the mat of their round or of the next one; where some are still due, it stays.

Requests are JSON, Celery's default; a worker whose ``accept_content`` is without json logs an error and says nothing.
Sends DEL, RPUSH, EXPIRE and LRANGE on that key and PUBLISH on that channel, nothing else; all O(1) but LRANGE, which is
O(answers). Lives in its caller's thread. A failure raises SourceError, with the reason noperm where rights are missing.
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
"""Answers fetched in one reply: an answer can be large, and none can be measured before."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command for the workers named, or with ``pattern`` for every node whose name fits that shell pattern.

    ``ticket`` comes back with each answer, empty where none is wanted.
    """

    command: str
    destination: Sequence[str]
    ticket: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pattern: str | None = None


def request_body(request: Request, queue: str) -> dict[str, Any]:
    """Give a request as workers read it; answers go to ``queue``, by the default exchange."""
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
    """Asks workers; ``topic`` is the one of the control exchange, ``deadline`` bounds each exchange in seconds."""

    def __init__(self, session: Session, keys: QueueKeys, topic: Topic, deadline: float) -> None:
        self._session = session
        self._exchange_name = topic.event_exchange
        self._channel = topic.channel
        self._deadline = deadline
        self._queue = f"{KEY_PREFIX}{uuid4()}"
        # Workers push a reply, of priority 0, to the list of that step, computed as kombu does.
        steps = keys.priority_steps
        self._key = keys.list_of(self._queue, steps[bisect(steps, 0) - 1])
        commands = " ".join(f"+{name}" for name in COMMANDS)
        self._grant = f"ACL SETUSER <user> ~{keys.global_keyprefix}{KEY_PREFIX}* &{self._channel} {commands}"
        self._read = 0

    @property
    def rights(self) -> str:
        """The command that grants what it needs."""
        return self._grant

    def open(self) -> None:
        """Lay a fresh mat; raise SourceError."""
        self._read = 0
        self._exchange([("DEL", self._key), ("RPUSH", self._key, MAT), ("EXPIRE", self._key, MAT_SECONDS)])

    def send(self, requests: Sequence[Request]) -> None:
        """Publish requests, in order; raise SourceError."""
        self._exchange([("PUBLISH", self._channel, self._encode(request)) for request in requests])

    def receive(self) -> list[bytes]:
        """Give answers that came since ``open`` and were not given yet, READ_AT_ONCE at most; raise SourceError."""
        # Newest first, the mat last: what was read lies between it and what was not.
        last = -2 - self._read
        (found,) = self._exchange([("LRANGE", self._key, last - READ_AT_ONCE + 1, last)])
        self._read += len(found)
        return list(reversed(found))

    def settle(self, *, complete: bool) -> None:
        """End what ``open`` began: nothing is left if all is ``complete``, else a mat; raise SourceError."""
        if complete:
            self._exchange([("DEL", self._key)])
        else:
            self.open()

    def close(self) -> None:
        """Close the connection; safe from any thread."""
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
