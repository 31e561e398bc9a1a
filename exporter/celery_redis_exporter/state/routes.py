# SPDX-License-Identifier: Apache-2.0
"""Find the queue that a message reaches, by its exchange and routing key.

Input: bindings that collectors read on Redis, and those that workers report of the queues they consume. Output: the
queue of a task-sent event, whose field ``queue`` names the queue of the settings even if ``apply_async`` was called
with another exchange. Not thread-safe: see state.
"""

import re
from collections.abc import Iterable
from itertools import islice

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.records.events import TaskSent
from celery_redis_exporter.records.replies import DIRECT, FANOUT, TOPIC, Route

BROADCAST = "bcast."
"""kombu's prefix of the name of a Broadcast queue, of which each worker has one: ``bcast.`` and a UUID."""
ANY_BROADCAST = "bcast.*"
"""The name under which Broadcast queues are shown if their exchange is unknown."""
MOST_ROUTES = 20_000
ANSWERS_KEPT = 10_000
LEVELS = 28
"""The number of queues that kombu declares for native delayed delivery, one for each bit of the delay."""
PREFIXES_KEPT = 10
_DELAYED = re.compile(r"((?:.+_)?)celery_delayed_\d{1,2}")
_DELAY = re.compile(r"(?:[01]\.){28}")
_ANY_TOPIC = "\0any topic exchange"


class Routes:
    """The bindings of queues, at most MOST_ROUTES from each of both sources.

    ``hold`` replaces those that a search of the broker found. ``learn`` adds those that a worker reported. They are
    kept, as the bindings themselves are, until there are too many.
    """

    def __init__(self) -> None:
        self._held: frozenset[Route] = frozenset()
        self._learned: dict[Route, None] = {}
        self._direct: dict[tuple[str, str], list[Route]] = {}
        self._others: dict[str, list[Route]] = {}
        self._bound: dict[str, str] = {}  # The queues, and one of the exchanges of each.
        self._answers: dict[tuple[str, str], frozenset[str]] = {}
        self._stale = False
        self._prefixes: list[str] = []

    def hold(self, routes: Iterable[Route]) -> None:
        """Replace the bindings that the broker has."""
        held = frozenset(islice(routes, MOST_ROUTES))
        if held != self._held:
            self._held, self._stale = held, True

    def learn(self, routes: Iterable[Route]) -> None:
        """Add bindings that a worker reported. The oldest are removed if there are too many."""
        for route in routes:
            if route not in self._learned:
                self._learned[route] = None
                self._stale = True
        for route in list(islice(self._learned, max(len(self._learned) - MOST_ROUTES, 0))):
            del self._learned[route]

    def destination(self, event: TaskSent) -> str:
        """Return the queue that a task was sent to, or UNKNOWN if it can't be determined.

        The event's own queue counts if it is one of the message's destinations. It also counts if neither a destination
        nor a binding of it is known: then it may be new.
        """
        exchange, queue = event.exchange, event.queue
        if queue is not None and queue.startswith(BROADCAST):
            return exchange or self.shown(queue)
        if not exchange:
            return queue or (exchange is not None and event.routing_key) or UNKNOWN
        found = self._queues_of(exchange, event.routing_key or "")
        if queue is not None and (queue in found or not (found or queue in self._bound)):
            return queue
        return next(iter(found)) if len(found) == 1 else UNKNOWN

    def queue_of(self, exchange: str, routing_key: str) -> str | None:
        """Return the queue that such a message reaches.

        None if no binding is known, or if it reaches several queues.
        """
        found = self._queues_of(exchange, routing_key)
        return next(iter(found)) if len(found) == 1 else None

    def shown(self, queue: str) -> str:
        """Return the name of a queue in metrics. A Broadcast queue has the name of its exchange."""
        if not queue.startswith(BROADCAST):
            return queue
        self._rebuild()
        return self._bound.get(queue) or ANY_BROADCAST

    def note_delayed(self, name: str) -> bool:
        """Record the name of a queue or exchange if it belongs to native delayed delivery. Return whether it does."""
        delayed = _DELAYED.fullmatch(name)
        if delayed is None:
            return False
        if delayed.group(1) not in self._prefixes and len(self._prefixes) < PREFIXES_KEPT:
            self._prefixes.append(delayed.group(1))
        return True

    def delayed_queues(self) -> list[str]:
        """Return the queues of delays, of every prefix that was recorded."""
        return [f"{prefix}celery_delayed_{level}" for prefix in self._prefixes for level in reversed(range(LEVELS))]

    def _queues_of(self, exchange: str, routing_key: str) -> frozenset[str]:
        """Return every queue that such a message reaches. Broadcast queues have the name of their exchange."""
        if not exchange:
            return frozenset((routing_key,) if routing_key else ())
        if self.note_delayed(exchange):
            return self._delayed(routing_key)
        self._rebuild()
        answer = self._answers.get((exchange, routing_key))
        return self._find(exchange, routing_key) if answer is None else answer

    def _delayed(self, routing_key: str) -> frozenset[str]:
        """Return the destinations of a message with native delayed delivery (quorum queues on RabbitMQ).

        It is published to ``[PREFIX_]celery_delayed_27`` with 28 bits of the delay before its own routing key. After
        the delay it reaches its topic exchange. The name of that is lost, so every topic exchange is tried. Celery
        binds its own queues by their names, which is assumed if no binding is known.
        """
        own = _DELAY.sub("", routing_key, count=1)
        self._rebuild()
        answer = self._answers.get((_ANY_TOPIC, own))
        if answer is None:
            answer = self._find(_ANY_TOPIC, own)
        return answer or frozenset((own,) if own else ())

    def _find(self, exchange: str, routing_key: str) -> frozenset[str]:
        if len(self._answers) >= ANSWERS_KEPT:
            self._answers.clear()
        routes = [*self._direct.get((exchange, routing_key), ()), *self._others.get(exchange, ())]
        answer = self._answers[exchange, routing_key] = frozenset(
            route.exchange if route.queue.startswith(BROADCAST) else route.queue
            for route in routes
            if matches(route, routing_key)
        )
        return answer

    def _rebuild(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self._answers, self._direct, self._others, self._bound = {}, {}, {}, {}
        for route in {**dict.fromkeys(self._held), **self._learned}:
            if route.kind == DIRECT:
                self._direct.setdefault((route.exchange, route.routing_key), []).append(route)
            else:
                self._others.setdefault(route.exchange, []).append(route)
            if route.kind == TOPIC:
                self._others.setdefault(_ANY_TOPIC, []).append(route)
            self._bound[route.queue] = route.exchange


def matches(route: Route, routing_key: str) -> bool:
    """Return True if a message with this routing key follows the route.

    In a topic's key ``*`` is one word and ``#`` any number of words. kombu's own transports (``virtual``) require at
    least one word for ``#``.
    """
    if route.kind == FANOUT or route.routing_key == routing_key:
        return True
    if route.kind == DIRECT:
        return False
    words, least = routing_key.split("."), int(route.virtual)
    places = {0}
    for word in route.routing_key.split("."):
        if word == "#":
            places = set(range(min(places) + least, len(words) + 1))
        else:
            places = {
                place + 1
                for place in places
                if place < len(words) and (words[place] == word or (word == "*" and words[place]))
            }
        if not places:
            return False
    return len(words) in places
