# SPDX-License-Identifier: Apache-2.0
"""What is known of one worker besides what it runs: where it is, its setup, and limits. The worker: ``state.task``."""

import enum
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from celery_redis_exporter.records.inspection import AppSettings
from celery_redis_exporter.state.eventless import EventlessTasks
from celery_redis_exporter.state.rules import Naming


class Presence(enum.StrEnum):
    """Where a worker is."""

    ONLINE = "online"
    LOST = "lost"
    OFFLINE = "offline"


ONLINE = Presence.ONLINE
"""For the path of an event: in an enumeration Python looks twice."""


class Setup(NamedTuple):
    """What a worker consumes, and how many tasks it can run at once; None if it was not reported."""

    queues: tuple[str, ...] | None = None
    concurrency: int | None = None


UNTOLD = Setup()


class Doubt(NamedTuple):
    """A worker reports fewer active tasks than it runs by its events.

    ``since`` is in monotonic seconds; runs that started after ``before`` (the worker's clock) are not in doubt.
    """

    since: float
    before: float


@dataclass(slots=True)
class Questions:
    """The queries to one process of a worker, and its answers.

    ``asked`` is False until it answered all first questions, or was sent them often enough: at ``first`` and, now for
    the ``repeats``th time, at ``due`` (monotonic). ``unanswered`` is how often it was queried since its last answer.
    ``introductions`` are the rounds afterwards that it answered and in which something of its introduction was missing.
    ``registered`` are its tasks, ``conf`` its settings, None until it answered; ``nudged`` is when it was last sent
    enable_events (monotonic). ``active_asked`` is when it was last queried for the tasks it executes, because of a
    doubt (monotonic). ``eventless`` is not None where some of its tasks send no events.
    """

    asked: bool = False
    first: float = -inf
    due: float = -inf
    repeats: int = 0
    unanswered: int = 0
    introductions: int = 0
    registered: frozenset[str] | None = None
    conf: AppSettings | None = None
    eventless: EventlessTasks | None = None
    nudged: float = -inf
    active_asked: float = -inf


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Bounds in seconds, the number of workers that are distinguished, and the names that they are shown by.

    ``lost_after_by_worker`` maps shell patterns of worker names to their own ``lost_after``.
    """

    lost_after: float
    lost_after_by_worker: tuple[tuple[str, float], ...]
    retention: float
    count: int
    naming: Naming
