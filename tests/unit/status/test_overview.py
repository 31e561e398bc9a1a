# SPDX-License-Identifier: Apache-2.0
"""The overview of several applications."""

from celery_redis_exporter.records.report import (
    ExporterStatus,
    Health,
    QueueStatus,
    Recent,
    Report,
    State,
    TaskStatus,
    WorkerStatus,
)
from celery_redis_exporter.status.overview import make_overview


def report(state: State, reason: str = "", **parts: object) -> Report:
    """Return a report with one verdict."""
    rest = {"workers": [], "queues": [], "tasks": []} | parts
    health = [Health("Redis", "ok"), Health("Tasks", state, reason)]
    return Report(
        version="1", time=0, uptime_seconds=1, window_seconds=1, health=health, checks=[], redis=[],
        exporter=ExporterStatus(), **rest,  # type: ignore[arg-type]
    )  # fmt: skip


def task(name: str, ended: float, failure_ratio: float | None, running: float = 0) -> TaskStatus:
    """Return a task."""
    return TaskStatus(
        name=name, queues=[], recent=Recent(ended=ended, failure_ratio=failure_ratio), running=running,
        sent=0, started=0, success=0, failure=0, retry=0, revoked=0, rejected=0,
    )  # fmt: skip


def test_the_worst_application_is_first() -> None:
    """Applications are sorted by their worst verdict, then by name."""
    states: dict[str, State] = {"b": "ok", "c": "unknown", "a": "ok", "e": "warning", "d": "critical"}
    overview = make_overview({name: report(state) for name, state in states.items()}, "1", 5, 6)
    assert ["d", "e", "c", "a", "b"] == [one.name for one in overview.applications]
    assert ("1", 5, 6) == (overview.version, overview.time, overview.uptime_seconds)


def test_the_numbers_of_an_application() -> None:
    """A row sums queues and tasks, its failure ratio is that of all executions, and absent values are not zero."""
    tasks = [task("a", 90, 0.0, running=2), task("b", 10, 1.0, running=1), task("c", 50, None)]
    workers = [WorkerStatus(name="x", state="online"), WorkerStatus(name="y", state="lost")]
    queues = [QueueStatus(name="q", length=3), QueueStatus(name="p"), QueueStatus(name="r", length=4)]
    one, none = make_overview(
        {"a": report("ok", tasks=tasks, workers=workers, queues=queues), "b": report("ok")}, "1", 0, 0
    ).applications
    assert (1, 1, 7, 3, 0.1) == (one.workers_online, one.workers_lost, one.waiting, one.running, one.failure_ratio)
    assert (None, 0, None, None) == (none.waiting, none.running, none.failure_ratio, none.rate)
