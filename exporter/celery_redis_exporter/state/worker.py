"""The record of one worker: where it is, what it said of itself, and what it runs."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from celery_redis_exporter.catalog import UNKNOWN, Metric
from celery_redis_exporter.state.ledger import StartsLedger

if TYPE_CHECKING:
    from celery_redis_exporter.state.series import Series
    from celery_redis_exporter.state.task import Task


class Presence(enum.StrEnum):
    """Where a worker is."""

    ONLINE = "online"
    LOST = "lost"
    OFFLINE = "offline"


ONLINE = Presence.ONLINE
"""For the path of an event: in an enumeration Python looks twice."""


class Setup(NamedTuple):
    """What a worker consumes, and how many tasks it can run at once; None where it was not told."""

    queues: tuple[str, ...] | None = None
    concurrency: int | None = None


UNTOLD = Setup()


@dataclass(slots=True)
class Questions:
    """What one process of a worker was asked, and answered for good.

    ``registered`` are its tasks, None until it told; ``nudged`` is when it was last told to send task events
    (monotonic).
    """

    asked: bool = False
    registered: frozenset[str] | None = None
    nudged: float = -inf


@dataclass(slots=True, eq=False)
class Worker:
    """One worker by its node name. ``seen`` and ``since`` are on the monotonic clock.

    ``announced`` is the setup that heartbeats carry, ``answered`` the one of inspect; ``setup`` is what holds: the
    heartbeats', which are younger, before inspect's. Until ``seeding_until`` (monotonic) the worker is expected to
    tell what tasks it holds, so events of unknown ones wait. ``running`` are the tasks that it executes by id, and
    ``executions`` the number of their executions on it: a redelivered task can have several.
    """

    name: str
    seen: float
    lost_after: float
    presence: Presence = Presence.ONLINE
    since: float = 0.0
    pid: int = 0
    interval: float = 2.0
    announced: Setup = UNTOLD
    answered: Setup = UNTOLD
    setup: Setup = UNTOLD
    questions: Questions = field(default_factory=Questions)
    seeding_until: float = 0.0
    last_beat: tuple[float, int] = (0.0, 0)  # its time stamp, and its count of active executions
    ledger: StartsLedger = field(default_factory=StartsLedger)
    running: dict[str, Task] = field(default_factory=dict)
    executions: int = 0
    series: dict[tuple[Metric, tuple[str, ...]], Series] = field(default_factory=dict)

    @property
    def only_queue(self) -> str:
        """The queue that the worker's tasks come from, where it consumes a single known one; else UNKNOWN."""
        queues = self.setup.queues
        return queues[0] if queues is not None and len(queues) == 1 else UNKNOWN
