# SPDX-License-Identifier: Apache-2.0
"""Records of what workers answer to Celery's inspect commands; data only."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct


class ConsumedQueue(NamedTuple):
    """A queue that a worker consumes, and the exchange, of which type, and routing key that it is bound to."""

    name: str
    exchange: str
    routing_key: str
    exchange_type: str = ""


class HeldTask(NamedTuple):
    """A task in a worker's hands; ``started_at`` is its start by the worker's clock, None if it does not run yet."""

    uuid: str
    name: str
    exchange: str
    routing_key: str
    started_at: float | None = None


class WorkerStats(NamedTuple):
    """What a worker reports of itself; None where it does not.

    ``pool`` is empty where the worker does not report it (Celery 5.2 and earlier). ``uptime`` is in seconds.
    ``max_rss`` is in the unit of the worker's system: kilobytes, bytes on macOS.
    ``totals`` are executions by task name.
    """

    pool: str
    concurrency: int | None = None
    prefetch_count: int | None = None
    uptime: float | None = None
    max_rss: int | None = None
    totals: Mapping[str, int] | None = None


class RegisteredTask(NamedTuple):
    """A task that a worker can execute, and whether its executions send events."""

    name: str
    sends_events: bool = True


class AppSettings(NamedTuple):
    """What a worker reports of its Celery settings; None where it reports nothing that can be read.

    The first three are transport options of Redis, in ``visibility_timeout`` as seconds. Nothing else of the settings
    is kept.
    """

    visibility_timeout: float | None = None
    sep: str | None = None
    priority_steps: tuple[int, ...] | None = None
    sends_task_events: bool | None = None
    sends_sent_events: bool | None = None


class Answers(Struct):
    """One worker's answers of a round, by inspect command; None where it was not queried or did not answer."""

    stats: WorkerStats | None = None
    active_queues: list[ConsumedQueue] | None = None
    scheduled: list[HeldTask] | None = None
    reserved: list[HeldTask] | None = None
    active: list[HeldTask] | None = None
    registered: list[RegisteredTask] | None = None
    conf: AppSettings | None = None

    def add(self, command: str, answer: object) -> None:
        """Add the answer to one command; ``answer`` has the type of the field called ``command``."""
        setattr(self, command, answer)


class ControlReply(NamedTuple):
    """One worker's answer to one command; ``answer`` is of the type of the field of Answers called ``command``.

    ``cut`` is the number of names that were too long, ``ignored`` the optional fields that could not be read.
    """

    ticket: str
    command: str
    worker: str
    answer: object
    cut: int = 0
    ignored: tuple[str, ...] = ()
