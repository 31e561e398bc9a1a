# SPDX-License-Identifier: Apache-2.0
"""Define the report: one document for the status page, the terminal and ``/api/v1/status``.

Data only; reads no metric. Times of the day are seconds since the epoch, everything else is in
seconds, bytes and shares of one. None is what is not known: it is never 0.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

Epoch = Annotated[float, Meta(description="Seconds since the epoch.")]
Seconds = Annotated[float, Meta(description="Seconds.")]
Bytes = Annotated[float, Meta(description="Bytes.")]
Error = Annotated[float, Meta(description="Half the width of the 95 % interval, as a ratio to the value.")]
Ratio = Annotated[float, Meta(description="A share, from 0 to 1.")]
PerSecond = Annotated[float, Meta(description="Per second.")]
State = Literal["ok", "unknown", "warning", "critical"]
WORST_FIRST: tuple[State, ...] = ("critical", "warning", "unknown", "ok")


class Health(Struct, frozen=True):
    """How one part is doing, and why it is not well; thresholds are those of the alerts.

    ``unknown`` where what the verdict needs was not received or could not be read.
    """

    subject: str
    state: State
    reason: str = ""


class Check(Struct, frozen=True):
    """What the exporter itself is connected to: ``state`` is ok, off, starting or failed."""

    check: str
    state: str
    detail: str


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """A worker, by its heartbeats and its answers to inspect.

    ``lost`` is one that stopped sending heartbeats and reported no stop. ``load`` are the averages of its machine over
    1, 5 and 15 minutes, ``memory_bytes`` the largest resident set of its main process so far, ``events_missed``
    executions that it counted and whose events did not arrive. ``failed`` and ``retried`` are executions since the
    exporter knows the worker.
    """

    name: str
    state: Literal["online", "lost"]
    pool: str | None = None
    concurrency: float | None = None
    active: float | None = None
    processed: float | None = None
    failed: float = 0
    retried: float = 0
    reserved: float | None = None
    load: tuple[float, float, float] | None = None
    memory_bytes: Bytes | None = None
    uptime_seconds: Seconds | None = None
    queues: list[str] = []
    last_heartbeat: Epoch | None = None
    clock_skew_seconds: Seconds | None = None
    sends_events: bool | None = None
    events_missed: float = 0
    version: str | None = None


class QueueStatus(Struct, frozen=True, kw_only=True):
    """A queue: what waits, by priority step where steps are used, and how it moves.

    ``running`` are tasks of it that execute now. ``incoming`` are tasks published to it, ``outgoing`` executions begun,
    over the last minute or two. The ``verdict`` is critical where messages wait and no worker consumes, a warning where
    many wait, or one for long. ``trend`` is ``length`` minute by minute over the last hour, the oldest first.
    """

    name: str
    length: float | None = None
    running: float = 0
    priorities: dict[str, float] = {}
    oldest_age_seconds: Seconds | None = None
    length_threshold: float | None = None
    wait_threshold_seconds: Seconds | None = None
    consumers: float | None = None
    concurrency: float | None = None
    incoming: PerSecond | None = None
    outgoing: PerSecond | None = None
    verdict: State = "ok"
    trend: list[float | None] = []


class Unacked(Struct, frozen=True, kw_only=True):
    """Messages that workers hold and have not acknowledged; ``overdue`` ones will be delivered a second time."""

    messages: float
    oldest_age_seconds: Seconds | None = None
    overdue: float | None = None
    visibility_timeout_seconds: Seconds | None = None


class Recent(Struct, frozen=True, kw_only=True):
    """A task's executions that ended within the window: how many, how, and how long they took.

    ``failure_ratio`` is of those that succeeded or failed, as in the alerts; ``retry_ratio`` of those that began.
    """

    ended: float
    failure_ratio: Ratio | None = None
    retry_ratio: Ratio | None = None
    p50_seconds: Seconds | None = None
    p95_seconds: Seconds | None = None


class TaskStatus(Struct, frozen=True, kw_only=True):
    """A task by name, all queues together; counts are since the exporter started.

    ``rate`` are executions ended per second over the last minute or two. Percentiles are of all executions, whatever
    their outcome, by linear interpolation within the histogram's buckets. The ``verdict`` is on ``failure_ratio`` and
    ``consecutive_failures``. ``exceptions`` are counts by class, at most five, the most frequent first.
    ``expected_interval_seconds`` is that of a periodic task. ``trend`` is ``rate`` minute by minute over the last hour,
    the oldest first, empty if no execution ended in it.
    """

    name: str
    queues: list[str]
    sent: float
    started: float
    success: float
    failure: float
    retry: float
    revoked: float
    rejected: float
    running: float
    rate: PerSecond | None = None
    recent: Recent | None = None
    last_success: Epoch | None = None
    last_failure: Epoch | None = None
    consecutive_failures: float = 0
    oldest_started: Epoch | None = None
    verdict: State = "ok"
    exceptions: dict[str, float] = {}
    last_sent: Epoch | None = None
    expected_interval_seconds: Seconds | None = None
    trend: list[PerSecond] = []


class RunningTask(Struct, frozen=True):
    """A task that a worker executes at this moment, without its arguments, which are never kept.

    ``since`` is the start by the worker's clock.
    """

    task: str
    task_id: str
    worker: str
    since: Epoch


class KeyGroup(Struct, frozen=True, kw_only=True):
    """Keys of a database that belong together, estimated by sampling.

    Errors are half the width of the 95 % interval as a ratio to the value; 0 where everything was looked at.
    """

    db: str
    name: str
    keys: float | None = None
    keys_error: Error | None = None
    memory_bytes: Bytes | None = None
    memory_error: Error | None = None


class Memory(Struct, frozen=True, kw_only=True):
    """A server's memory against its limit, which is its own ``maxmemory``, one ``assumed``, or the ``system``'s."""

    used_bytes: Bytes | None = None
    rss_bytes: Bytes | None = None
    peak_bytes: Bytes | None = None
    fragmentation_ratio: float | None = None
    limit_bytes: Bytes | None = None
    limit_source: Literal["maxmemory", "assumed", "system"] | None = None
    used_ratio: Ratio | None = None
    state: State | None = None


class Clients(Struct, frozen=True, kw_only=True):
    """A server's connections."""

    clients: float | None = None
    blocked_clients: float | None = None
    max_clients: float | None = None


class TrendReading(Struct, frozen=True):
    """A server at one moment; hits and operations are those since the reading before."""

    at: Epoch
    used_bytes: Bytes
    hit_ratio: Ratio | None = None
    operations: PerSecond | None = None


class ServerStatus(Struct, frozen=True, kw_only=True):
    """A Redis server; ``trend`` are its last readings, the oldest first. ``version`` is that of its ``product``.

    ``read_only`` is whether it is a replica that takes no writes.
    """

    name: str
    up: bool
    error: str | None = None
    product: str | None = None
    version: str | None = None
    mode: str | None = None
    role: str | None = None
    read_only: bool | None = None
    uptime_seconds: Seconds | None = None
    memory: Memory
    clients: Clients
    hit_ratio: Ratio | None = None
    operations_per_second: PerSecond | None = None
    evicted_keys: float | None = None
    key_groups: list[KeyGroup] = []
    trend: list[TrendReading] = []


class Failure(Struct, frozen=True):
    """A failed execution: nothing of what it was called with, or said."""

    at: Epoch
    task: str
    exception: str
    worker: str
    task_id: str


class ExporterStatus(Struct, frozen=True, kw_only=True):
    """The exporter itself; ``events_missed`` and ``gap_seconds`` state what it missed.

    ``lag_p95_seconds`` is the time from an event's stamp to its count, within the window.
    """

    events_per_second: PerSecond | None = None
    lag_p95_seconds: Seconds | None = None
    backlog_bytes: Bytes | None = None
    events_missed: float = 0
    events_invalid: float = 0
    gap_seconds: Seconds = 0
    tasks_tracked: float = 0
    tasks_unmatched: float = 0
    series: float = 0
    series_dropped: float = 0


class LastHour(Struct, frozen=True, kw_only=True):
    """All tasks together over the last ``seconds``: an hour, less where the exporter is younger.

    ``success_ratio`` is of the executions that succeeded or failed.
    """

    seconds: Seconds
    published: float
    started: float
    success: float
    failure: float
    retry: float
    revoked: float
    rejected: float
    success_ratio: Ratio | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The state of a Celery application and its Redis servers at one moment.

    ``window_seconds`` is how far ``recent`` looks back, less where the exporter is younger. ``running`` are the tasks
    that run, the longest first, at most 200 of them. ``failures`` is None while they are not kept
    (``status.failures``). ``lacks_workers`` says that lost workers were not replaced, as CeleryWorkerDown defines it.
    """

    version: str
    time: Epoch
    uptime_seconds: Seconds
    window_seconds: Seconds
    last_hour: LastHour | None = None
    health: list[Health]
    checks: list[Check]
    workers: list[WorkerStatus]
    lacks_workers: bool = False
    queues: list[QueueStatus]
    unacked: Unacked | None = None
    tasks: list[TaskStatus]
    running: list[RunningTask] = []
    redis: list[ServerStatus]
    failures: list[Failure] | None = None
    exporter: ExporterStatus


class ApplicationStatus(Struct, frozen=True, kw_only=True):
    """One of several Celery applications: its state is the worst of its ``health``.

    ``waiting`` are messages in its queues, ``rate`` executions ended per second over the last minute or two, and
    ``failure_ratio`` is of those that succeeded or failed within the window.
    """

    name: str
    state: State
    health: list[Health]
    workers_online: int
    workers_lost: int
    waiting: float | None = None
    running: float = 0
    rate: PerSecond | None = None
    failure_ratio: Ratio | None = None
    events_per_second: PerSecond | None = None


class Overview(Struct, frozen=True, kw_only=True):
    """The state of several Celery applications at one moment, the worst first."""

    version: str
    time: Epoch
    uptime_seconds: Seconds
    applications: list[ApplicationStatus]


class Activity(NamedTuple):
    """What events state of workers and no metric contains: running tasks, longest first, and ends by worker.

    ``ends`` are numbers of failed and of retried executions by the worker's shown name.
    """

    running: Sequence[RunningTask] = ()
    ends: Mapping[str, tuple[int, int]] = {}
