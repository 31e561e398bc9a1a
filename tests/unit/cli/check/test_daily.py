# SPDX-License-Identifier: Apache-2.0
"""The daily checklist, from reports."""

from typing import Any

import pytest

from celery_redis_exporter.cli.check.daily import daily_findings
from celery_redis_exporter.records.report import (
    Check,
    Clients,
    ExporterStatus,
    Health,
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
        "health": [],
    }
    return Report(version="1", time=0, uptime_seconds=900, window_seconds=900, **(empty | parts))


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


def verdicts(*health: Health, **parts: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401 -- fields of Report
    """Return level, subject and text of the findings that are not of the checklist itself."""
    found = daily_findings(report(health=list(health), **parts))
    return [(one.level, one.subject, one.text) for one in found if one.code in {"daily-critical", "daily-warning"}]


NONE_ONLINE = Health("Workers", "critical", "none is online")


def test_a_verdict_of_the_status_page_is_a_finding() -> None:
    """What the page shows as critical fails, what it warns of is a warning, and anything else is no finding."""
    saving = Health("Redis", "critical", "can't save their data: broker")
    behind = Health("Event stream", "warning", "the exporter falls behind: events wait in Redis")
    found = verdicts(
        behind, saving, Health("Tasks", "unknown", "no event"), Health("Queues", "ok"), redis=[server(0.1)]
    )
    assert [("warn", "event stream", behind.reason), ("fail", "redis", saving.reason)] == found


def test_workers_that_stopped_are_missed_while_messages_wait() -> None:
    """Without a worker the checklist fails if messages wait, and does not say that it knows nothing."""
    queue = QueueStatus(name="q", length=1)
    assert [("fail", "workers", "none is online")] == verdicts(NONE_ONLINE, queues=[queue])
    unknown = [one for one in daily_findings(report(health=[NONE_ONLINE])) if one.code == "daily-unknown"]
    assert "workers" not in {one.subject for one in unknown}


def test_no_worker_and_no_work_is_unknown() -> None:
    """An application that is scaled to zero may have had workers, so the finding does not deny it."""
    idle = Health("Workers", "unknown", "none is online, and no message waits")
    first = next(daily_findings(report(health=[idle])))
    assert ("daily-unknown", "no worker is online") == (first.code, first.text)


@pytest.mark.parametrize(
    ("health", "parts"),
    [
        (Health("Workers", "critical", "none is online; stopped sending heartbeats: b@h"), {"workers": [LOST]}),
        (Health("Workers", "warning", "stopped sending heartbeats: b@h"), {"workers": [LOST]}),
        (Health("Redis", "critical", "no answer: broker (refused)"), {"redis": [server(None, up=False)]}),
        (Health("Redis", "warning", "memory: broker 85% used"), {"redis": [server(0.85)]}),
        (Health("Queues", "warning", "long: q 2,000"), {"queues": [QueueStatus(name="q", length=2000)]}),
        (Health("Tasks", "warning", "some fail: t 30%"), {"tasks": [task("t", 10, 0.3)]}),
        (Health("Event stream", "critical", "no events are received: x"), {"checks": [Check("Events", "failed", "x")]}),
    ],
)
def test_nothing_is_reported_twice(health: Health, parts: dict[str, Any]) -> None:
    """A verdict is left out if the checklist has reported all of its reasons."""
    assert [] == verdicts(health, **parts)


@pytest.mark.parametrize(
    ("health", "parts"),
    [
        (Health("Redis", "critical", "memory: broker 99% used"), {"redis": [server(0.99)]}),
        (
            Health("Redis", "critical", "no answer: a (b); can't save their data: c"),
            {"redis": [server(None, up=False)]},
        ),
        (Health("Queues", "critical", "messages and no consumer: q"), {"queues": [QueueStatus(name="q", length=99)]}),
    ],
)
def test_a_worse_verdict_is_reported_too(health: Health, parts: dict[str, Any]) -> None:
    """A verdict is a finding if one of its reasons is missing in the checklist, or is only a warning there."""
    assert [("fail", health.subject.lower(), health.reason)] == verdicts(health, **parts)
