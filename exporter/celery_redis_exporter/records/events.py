# SPDX-License-Identifier: Apache-2.0
"""Celery's events, decoded: one struct per type of event.

Data only. Timestamps are seconds since the epoch by the *sender's* clock; other
fields of an event (args, kwargs, result) are user data and are not even decoded.
"""

from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Raw, Struct

Timestamp = Annotated[float, Meta(ge=0, le=253_402_300_799)]  # year 9999, where datetime ends
Text = Annotated[str, Meta(max_length=512)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Load = Annotated[float, Meta(ge=0, le=1e9)]
LONGEST_MESSAGE = 32 * 1024 * 1024
"""Bytes of a message of events that is read: what Redis keeps for a subscriber by default. Longer ones are dropped, and
counted. A message contains several events: of tasks that fail with texts of 3 MB a message has 8 MiB for each."""
MOST_QUEUES = 1000
"""Queues that one worker may name."""
MOST_PERIODIC = 1000
"""Periodic tasks that one event of a beat may contain."""
Interval = Annotated[float, Meta(gt=0, le=1e9)]


class TaskSent(Struct, tag_field="type", tag="task-sent", gc=False):
    """A client published a task, or a worker its retry; ``eta`` is ISO 8601 or None, ``retries`` counts from 0.

    ``queue`` is that of the client's settings. The message follows ``exchange`` and ``routing_key``; on the default
    exchange, whose name is empty, the routing key is the queue's name.
    """

    uuid: Text
    timestamp: Timestamp
    name: Text
    queue: Text | None = None
    eta: Text | None = None
    retries: Count = 0
    exchange: Text | None = None
    routing_key: Text | None = None


class TaskReceived(Struct, tag_field="type", tag="task-received", gc=False):
    """A worker took a task from its queue; which queue it does not say. ``retries`` counts from 0."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    name: Text
    eta: Text | None = None
    retries: Count = 0


class TaskStarted(Struct, tag_field="type", tag="task-started", gc=False):
    """A worker began to execute a task."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text


class TaskSucceeded(Struct, tag_field="type", tag="task-succeeded", gc=False):
    """``runtime`` in seconds; None when the worker was lost after storing the result."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    runtime: Annotated[float, Meta(ge=0, le=1e10)] | None = None


class TaskFailed(Struct, tag_field="type", tag="task-failed", gc=False):
    """``exception`` is a repr, or free text; ``traceback`` is left as it came, only its last line is ever read."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    exception: str | None = None
    traceback: Raw = Raw()


class TaskRetried(Struct, tag_field="type", tag="task-retried", gc=False):
    """An execution ended in a retry; fields as in TaskFailed."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    exception: str | None = None
    traceback: Raw = Raw()


class TaskRejected(Struct, tag_field="type", tag="task-rejected", gc=False):
    """The message was refused (Reject), and put back into its queue if ``requeue``."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    requeue: bool | None = None


class TaskRevoked(Struct, tag_field="type", tag="task-revoked", gc=False):
    """The task will not run, or was ended: revoked, expired, or terminated by ``signum`` (a number or a name)."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text
    terminated: bool | None = None
    expired: bool | None = None
    signum: Count | Text | None = None


class TaskCancelled(Struct, tag_field="type", tag="task-cancelled", gc=False):
    """A worker gave a late-ack task back when it lost its connection or stopped cold."""

    uuid: Text
    timestamp: Timestamp
    hostname: Text


class WorkerEvent(Struct, gc=False):
    """Fields of the three worker events.

    ``freq`` is the heartbeat interval in seconds. A heartbeat that answers a remote command carries neither
    ``active`` nor ``processed`` nor ``loadavg`` (1, 5, 15 minutes): None is unknown, not 0. ``queues`` and
    ``concurrency`` are there only if the application adds them (deploy/celery_events.py).
    """

    hostname: Text
    timestamp: Timestamp
    pid: Count = 0
    freq: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    active: Count | None = None
    processed: Count | None = None
    loadavg: tuple[Load, Load, Load] | None = None
    sw_ident: Text | None = None
    sw_ver: Text | None = None
    sw_sys: Text | None = None
    queues: Annotated[list[Text], Meta(max_length=MOST_QUEUES)] | None = None
    concurrency: Count | None = None


class WorkerOnline(WorkerEvent, tag_field="type", tag="worker-online", gc=False):
    """The worker connected to the broker."""


class WorkerHeartbeat(WorkerEvent, tag_field="type", tag="worker-heartbeat", gc=False):
    """The worker lives."""


class WorkerOffline(WorkerEvent, tag_field="type", tag="worker-offline", gc=False):
    """The worker leaves on purpose, or lost its connection and could still say so."""


class BeatHeartbeat(Struct, tag_field="type", tag="beat-heartbeat", gc=False):
    """A beat ticks; ``freq`` is the heartbeat interval in seconds. Sent by deploy/celery_events.py, not by Celery.

    ``tasks`` is a part of its schedule, if there: the longest time between two runs in seconds, by task.
    """

    hostname: Text
    timestamp: Timestamp
    freq: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    tasks: Annotated[dict[Text, Interval], Meta(max_length=MOST_PERIODIC)] | None = None


class BeatOffline(Struct, tag_field="type", tag="beat-offline", gc=False):
    """A beat stops on purpose."""

    hostname: Text
    timestamp: Timestamp


class UnknownEvent(Struct, gc=False):
    """A well-formed event of a type that is not folded: a custom event, gossip."""

    timestamp: ClassVar[float | None] = None


class Broken(Struct, gc=False):
    """A part of a batch that is no event, or whose fields are not as they should be; ``reason`` as DecodeError's."""

    timestamp: ClassVar[float | None] = None
    reason: str


TaskEvent = (
    TaskSent
    | TaskReceived
    | TaskStarted
    | TaskSucceeded
    | TaskFailed
    | TaskRetried
    | TaskRejected
    | TaskRevoked
    | TaskCancelled
)
Event = TaskEvent | WorkerOnline | WorkerHeartbeat | WorkerOffline | BeatHeartbeat | BeatOffline


class Repaired(Struct, gc=False):
    """An event with names that had to be cut, or without optional fields that could not be read (``ignored``)."""

    event: Event
    cut: int
    ignored: tuple[str, ...]

    @property
    def timestamp(self) -> float:
        """The event's own."""
        return self.event.timestamp


Part = Event | Repaired | UnknownEvent | Broken

EVENT_CLASSES: tuple[type[Struct], ...] = (
    TaskSent, TaskReceived, TaskStarted, TaskSucceeded, TaskFailed, TaskRetried, TaskRejected, TaskRevoked,
    TaskCancelled, WorkerOnline, WorkerHeartbeat, WorkerOffline, BeatHeartbeat, BeatOffline,
)  # fmt: skip


class EventMessage(NamedTuple):
    """A message of Celery's events as AMQP carries it: its body and what it is written in."""

    body: bytes
    content_type: str
