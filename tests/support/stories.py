# SPDX-License-Identifier: Apache-2.0
"""Make stories of one task id over several workers: events in order of arrival, and the correct counts.

Each step of a story adds events with their timestamps and counts what happened. Nothing here imports the state layer,
so that the expected counts and the implementation can't share a mistake. Each sender delivers its events in order,
after a delay. A child process that publishes a retry has a separate connection, and so another delay.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

TaskQueue = tuple[str, str]
BROADCAST = "bcast.*"
"""The name under which Broadcast queues are shown."""


@dataclass
class Truth:
    """What happened, by task name and queue. ``waits`` contains the waiting times of all starts in seconds."""

    sent: Counter[TaskQueue] = field(default_factory=Counter)
    received: Counter[TaskQueue] = field(default_factory=Counter)
    started: Counter[TaskQueue] = field(default_factory=Counter)
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    running: Counter[TaskQueue] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    """One event: its sender, its timestamp (seconds), its type and further fields."""

    sender: str
    at: float
    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Publication:
    """One publication, with its number in the story."""

    number: int
    name: str
    queue: str
    retries: int
    at: float


class Story:
    """The story of the task id "a". Times are seconds and never decrease."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.truth = Truth()
        self._published = 0
        self._received: set[int] = set()
        self._waits: set[tuple[int, str]] = set()

    def __repr__(self) -> str:
        return "\n".join(f"{event.at:.3f} {event.sender}: {event.kind} {event.fields}" for event in self.events)

    def publish(self, at: float, name: str, queue: str, retries: int = 0) -> Publication:
        """Publish the task with a new connection."""
        number = self._published
        self._published += 1
        self._add(f"publisher {number}", at, "sent", name=name, queue=queue, retries=retries)
        self.truth.sent[name, queue] += 1
        return Publication(number, name, queue, retries, at)

    def replace(self, at: float, publication: Publication, name: str, queue: str) -> Publication:
        """Let a running task publish another one under the same id. It ends without an event."""
        self.truth.running[publication.name, publication.queue] -= 1
        return self.publish(at, name, queue, publication.retries)

    def receive(self, at: float, publication: Publication, worker: str) -> None:
        """Let a worker receive a publication."""
        self._add(worker, at, "received", name=publication.name, retries=publication.retries)
        number = publication.number
        if number not in self._received or publication.queue == BROADCAST:
            self._waits.add((number, worker))
        self._received.add(number)
        self.truth.received[publication.name, publication.queue] += 1

    def start(self, at: float, publication: Publication, worker: str) -> None:
        """Let a worker start a publication that it received."""
        self._add(worker, at, "started")
        key = publication.name, publication.queue
        self.truth.started[key] += 1
        self.truth.running[key] += 1
        if (publication.number, worker) in self._waits:  # a redelivered message did not wait in its queue
            self._waits.remove((publication.number, worker))
            self.truth.waits.append(at - publication.at)

    def end(self, at: float, publication: Publication, worker: str, state: str, started_at: float) -> None:
        """Let a worker report an end: succeeded, failed, retried or requeued (a rejection that puts it back)."""
        fields = {"runtime": at - started_at} if state == "succeeded" else {}
        self._add(worker, at, state, **fields)
        key = publication.name, publication.queue
        shown = {"succeeded": "success", "failed": "failure", "retried": "retry", "requeued": "rejected"}[state]
        self.truth.ends[(*key, shown)] += 1
        self.truth.running[key] -= 1

    def revoke(self, at: float, publication: Publication, worker: str) -> None:
        """Let a worker refuse a publication because it was revoked."""
        self._add(worker, at, "revoked")
        self.truth.ends[publication.name, publication.queue, "revoked"] += 1

    def terminate(self, at: float, publication: Publication, worker: str) -> None:
        """Let a worker end a running task because it was revoked with ``terminate``."""
        self._add(worker, at, "revoked", terminated=True)
        self.truth.ends[publication.name, publication.queue, "revoked"] += 1
        self.truth.running[publication.name, publication.queue] -= 1

    def arrivals(self, delays: dict[str, float]) -> list[tuple[float, Event]]:
        """Return the events with their times of arrival, sorted by them."""
        timed = [(event.at + delays.get(event.sender, 0.0), number, event) for number, event in enumerate(self.events)]
        return [(at, event) for at, _, event in sorted(timed, key=lambda item: item[:2])]

    def senders(self) -> list[str]:
        """Return all senders."""
        return sorted({event.sender for event in self.events})

    def _add(self, sender: str, at: float, kind: str, **fields: Any) -> None:  # noqa: ANN401 -- fields of any event
        self.events.append(Event(sender, at, kind, fields))
