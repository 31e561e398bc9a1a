# SPDX-License-Identifier: Apache-2.0
"""The daily checklist, from reports."""

from typing import Any

import pytest

from celery_redis_exporter.cli.check.daily import daily_findings
from celery_redis_exporter.records.report import (
    Check,
    Clients,
    ExporterStatus,
    Memory,
    QueueStatus,
    Recent,
    Report,
    ServerStatus,
    TaskStatus,
    WorkerStatus,
)

ONLINE, LOST = WorkerStatus(name="a@h", state="online"), WorkerStatus(name="b@h", state="lost")


def report(**parts: Any) -> Report:  # noqa: ANN401 -- fields of Report
    """Return a report that contains only these parts."""
    empty: dict[str, Any] = {
        "workers": [],
        "queues": [],
        "tasks": [],
        "redis": [],
        "checks": [],
        "exporter": ExporterStatus(),
    }
    return Report(version="1", time=0, uptime_seconds=900, window_seconds=900, health=[], **(empty | parts))


def task(name: str, ended: float, failure_ratio: float | None, failure: float = 0) -> TaskStatus:
    """Return a task."""
    recent = Recent(ended=ended, failure_ratio=failure_ratio)
    return TaskStatus(
        name=name, queues=[], sent=0, started=0, success=0, failure=failure, retry=0, revoked=0, rejected=0, running=0,
        recent=recent,
    )  # fmt: skip


def server(ratio: float | None, *, up: bool = True) -> ServerStatus:
    """Return a server that uses this share of its 100 bytes."""
    used = None if ratio is None else 100 * ratio
    memory = Memory(used_bytes=used, limit_bytes=100, limit_source="maxmemory", used_ratio=ratio)
    return ServerStatus(name="broker", up=up, error=None if up else "refused", memory=memory, clients=Clients())


@pytest.mark.parametrize(
    ("parts", "codes"),
    [
        ({}, ["daily-unknown", "daily-unknown", "daily-unknown", "daily-no-errors"]),
        ({"workers": [ONLINE]}, ["daily-workers-online"]),
        ({"workers": [ONLINE, LOST], "lacks_workers": True}, ["daily-workers-lost"]),
        ({"workers": [ONLINE, LOST]}, ["daily-workers-replaced"]),
        ({"workers": [LOST]}, ["daily-workers-lost"]),
        ({"queues": [QueueStatus(name="q", length=9), QueueStatus(name="p")]}, ["daily-queues-short"]),
        ({"queues": [QueueStatus(name="q", length=10)]}, ["daily-queues-long"]),
        ({"queues": [QueueStatus(name="q", length=10, length_threshold=11)]}, ["daily-queues-short"]),
        ({"queues": [QueueStatus(name="q")]}, ["daily-unknown"]),
        ({"tasks": [task("t", 100, 0.1)]}, ["daily-success"]),
        ({"tasks": [task("t", 100, 0.11)]}, ["daily-failing"]),
        ({"tasks": [task("t", 10, 1.0), task("u", 90, 0.0)]}, ["daily-success"]),
        ({"tasks": [task("t", 0, None)]}, ["daily-unknown"]),
        ({"tasks": [task("t", 100, 0.0, failure=3)]}, ["daily-success", "daily-errors"]),
        ({"redis": [server(0.69)]}, ["daily-memory-low"]),
        ({"redis": [server(0.7)]}, ["daily-memory-high"]),
        ({"redis": [server(None)]}, ["daily-unknown"]),
        ({"redis": [server(None, up=False)]}, ["daily-server-down"]),
        ({"checks": [Check("Event stream", "failed", "refused")]}, ["daily-not-read"]),
        ({"checks": [Check("Control", "starting", "starting")]}, ["daily-unknown", "daily-no-errors"]),
        ({"exporter": ExporterStatus(events_missed=7)}, ["daily-missed", "daily-no-errors"]),
    ],
)
def test_the_checklist(parts: dict[str, Any], codes: list[str]) -> None:
    """Each line of the checklist has one answer: good, bad with numbers, or unknown."""
    found = [finding.code for finding in daily_findings(report(**parts))]
    assert set(codes) <= set(found)
    assert {*found} - {*codes} <= {"daily-unknown", "daily-no-errors"}
    assert len(found) >= 4


def test_the_worst_is_named_first() -> None:
    """The task with the most failures comes first, with numbers; the subject contains the application's name."""
    tasks = [task("rare", 2, 1.0), task("often", 50, 0.5), task("fine", 10, 0.0)]
    (found,) = [one for one in daily_findings(report(tasks=tasks), "shop") if one.code == "daily-failing"]
    text = "56.5 % of 62 executions of the last 15 min succeeded: often 50 % of 50 failed, rare 100 % of 2 failed"
    assert ("shop tasks", text) == (found.subject, found.text)
