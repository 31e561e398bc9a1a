# SPDX-License-Identifier: Apache-2.0
"""Record what a check receives from the event stream.

Input: events. Output: one record for each worker, and counts of task events.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from celery_redis_exporter.records.events import (
    Part,
    TaskReceived,
    TaskSent,
    TaskStarted,
    WorkerEvent,
    WorkerHeartbeat,
    WorkerOnline,
)

MOST_TASKS = 100_000
"""Number of tasks that are kept during a check."""


@dataclass(slots=True)
class ObservedWorker:
    """The events of one node name.

    ``processed`` is the count in its first and in its last heartbeat, ``tasks`` counts task events. ``skew`` is its
    clock minus this machine's in seconds. ``processes`` are its process ids in the order of events; when another
    process sends an event, its id is appended again.
    """

    processed: tuple[int, int] | None = None
    tasks: int = 0
    skew: float | None = None
    version: str = ""
    queues: frozenset[str] | None = None
    processes: list[int] = field(default_factory=list)

    @property
    def worked(self) -> bool:
        """Return whether it started executions during the check."""
        return self.processed is not None and self.processed[1] > self.processed[0]

    @property
    def is_several(self) -> bool:
        """Return whether a process sent events again after another one. A restart changes the process id only once."""
        return len(set(self.processes)) < len(self.processes)


class Unreceived(NamedTuple):
    """A publication that no worker reported: its task, its queue, and when task-sent was received (epoch seconds)."""

    task: str
    queue: str
    at: float


@dataclass(slots=True)
class Observations:
    """Everything that was received in ``seconds``: messages, workers by node name, and counts of task events.

    ``unreceived`` contains publications by task id, ``reported`` the ids of tasks that a worker reported. ``latest`` is
    when the last event was received (epoch seconds).
    """

    messages: int = 0
    undecodable: int = 0
    workers: dict[str, ObservedWorker] = field(default_factory=dict)
    sent: int = 0
    started: int = 0
    received: int = 0
    seconds: float = 0
    unreceived: dict[str, Unreceived] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    latest: float = 0.0

    def fold(self, event: Part, now: float) -> None:
        """Record an event that was received at ``now`` (epoch seconds)."""
        self.latest = now
        match event:
            case TaskSent():
                self.sent += 1
                if event.uuid not in self.reported and event.eta is None and len(self.unreceived) < MOST_TASKS:
                    self.unreceived[event.uuid] = Unreceived(event.name, event.queue or "", now)
            case TaskStarted():
                self._report(event.uuid)
                self.started += 1
                self._worker(event.hostname).tasks += 1
            case TaskReceived():
                self._report(event.uuid)
                self.received += 1
                self._worker(event.hostname).tasks += 1
            case WorkerHeartbeat() | WorkerOnline():
                self._beat(event, now)

    def _report(self, uuid: str) -> None:
        """Record that a worker reported a task. Its task-sent may arrive later."""
        self.unreceived.pop(uuid, None)
        if len(self.reported) < MOST_TASKS:
            self.reported.add(uuid)

    def _worker(self, name: str) -> ObservedWorker:
        return self.workers.setdefault(name, ObservedWorker())

    def _beat(self, event: WorkerEvent, now: float) -> None:
        worker, skew = self._worker(event.hostname), event.timestamp - now
        if event.processed is not None:
            worker.processed = ((worker.processed or (event.processed, 0))[0], event.processed)
        if worker.skew is None or abs(skew) < abs(worker.skew):  # the heartbeat with the smallest delay
            worker.skew = skew
        if event.queues is not None:
            worker.queues = frozenset(event.queues)
        worker.version = event.sw_ver or worker.version
        if event.pid and worker.processes[-1:] != [event.pid]:
            worker.processes.append(event.pid)
