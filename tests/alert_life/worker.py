# SPDX-License-Identifier: Apache-2.0
"""A Celery worker of a simulated installation: its running tasks, its events and its answers."""

from dataclasses import dataclass, field
from typing import Any

from celery_redis_exporter.records.inspection import Answers, ConsumedQueue, RegisteredTask, WorkerStats

Event = dict[str, Any]
"""An event as Celery publishes it."""


@dataclass
class Worker:
    """One worker; ``running`` are the ids of its running tasks; its clock is ``skew`` seconds ahead.

    ``beats``: it sends heartbeats. ``reports``: it sends task events. ``answers``: it answers inspect commands.
    ``drains``: it takes no more messages and stops when its running tasks are finished. ``hangs``: it is up and takes
    no messages.
    """

    name: str
    queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    skew: float = 0.0
    beats: bool = True
    reports: bool = True
    answers: bool = True
    heartbeat: float = 10.0
    pid: int = 1
    processed: int = 0
    drains: bool = False
    hangs: bool = False
    running: set[str] = field(default_factory=set)

    @property
    def is_free(self) -> bool:
        """Return whether it takes another message."""
        return not self.drains and not self.hangs and len(self.running) < self.concurrency

    def event(self, kind: str, now: float) -> Event:
        """Return one of its worker events."""
        counts = {"active": len(self.running), "processed": self.processed, "freq": self.heartbeat, "pid": self.pid}
        software = {"sw_ident": "py-celery", "sw_ver": "5.5.0", "sw_sys": "Linux"}
        return {"type": kind, "hostname": self.name, "timestamp": now + self.skew, **counts, **software}

    def answer(self) -> Answers:
        """Return its answers to inspect commands."""
        return Answers(
            stats=WorkerStats("prefork", self.concurrency, self.concurrency * 4),
            active_queues=[ConsumedQueue(queue, queue, queue, "direct") for queue in self.queues],
            scheduled=[],
            reserved=[],
            active=[],
            registered=[RegisteredTask("celery.backend_cleanup")],
        )
