# SPDX-License-Identifier: Apache-2.0
"""What servers reply, decoded: queues and their messages, periodic tasks, addresses of nodes.

Data only. Times are seconds since the epoch by the sender's clock.
"""

from typing import NamedTuple

DIRECT, TOPIC, FANOUT = "direct", "topic", "fanout"
"""Types of exchanges."""


class BoundMember(NamedTuple):
    """A member of the set that kombu keeps per exchange on Redis: one binding, not decoded."""

    exchange: str
    member: bytes


class Route(NamedTuple):
    """A binding of a queue to an exchange, wherever it was read; ``kind`` is DIRECT, TOPIC or FANOUT.

    ``virtual`` if kombu itself routes the messages, as on Redis, and not the broker.
    """

    exchange: str
    routing_key: str
    queue: str
    kind: str
    virtual: bool = False


class Binding(NamedTuple):
    """A binding as kombu keeps it on Redis.

    ``pattern`` is kombu's regular expression of a topic's routing key, empty for other types of exchange. ``separator``
    is the text that the member is split by.
    """

    routing_key: str
    pattern: str
    queue: str
    separator: str


class QueueCount(NamedTuple):
    """A queue as its broker counts it: messages that wait, and consumers; None if it does not report them."""

    queue: str
    messages: int
    consumers: int | None


class QueuedMessage(NamedTuple):
    """A message in a queue: its task id, and when it was published (epoch seconds) if its headers contain that."""

    task_id: str
    published_at: float | None = None


class QueueReading(NamedTuple):
    """One queue as read from Redis: messages per priority step, and the next message to be served.

    ``oldest`` maps a step to its next message; a step is missing if it is empty or was not requested.
    """

    queue: str
    lengths: dict[int, int]
    oldest: dict[int, QueuedMessage]


class PeriodicTask(NamedTuple):
    """A task, and the longest time between two of its runs by its schedule, in seconds."""

    task: str
    interval: float


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
