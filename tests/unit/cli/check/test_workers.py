# SPDX-License-Identifier: Apache-2.0
"""The findings that check derives from its observations."""

import pytest

from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.cli.check.workers import observation_findings, pool_findings
from celery_redis_exporter.records.events import TaskReceived, TaskSent, TaskStarted, WorkerHeartbeat
from celery_redis_exporter.records.inspection import Answers, RegisteredTask, WorkerStats

W = "w1@host"


def observed(*, processed: tuple[int, ...] = (), received: int = 0, sent: int = 0) -> Observations:
    """Return the observations of six seconds."""
    result = Observations(messages=1)
    for count in processed:
        result.fold(WorkerHeartbeat(W, 1.0, processed=count), 1.0)
    for _ in range(received):
        result.fold(TaskReceived("u", 1.0, W, "t"), 1.0)
        result.fold(TaskStarted("u", 1.0, W), 1.0)
    for _ in range(sent):
        result.fold(TaskSent("u", 1.0, "t"), 1.0)
    return result


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (observed(), ["workers-unheard"]),
        (observed(processed=(5, 5)), ["workers-seen", "task-events-unknown", "task-sent-unknown"]),
        (observed(processed=(5, 9)), ["workers-seen", "task-events-off", "task-sent-unknown"]),
        (observed(processed=(5, 9), received=4), ["workers-seen", "task-events-on", "task-sent-off"]),
        (observed(processed=(5, 9), received=4, sent=4), ["workers-seen", "task-events-on", "task-sent-on"]),
    ],
    ids=["silence", "idle", "without -E", "without task-sent", "all"],
)
def test_verdict(what: Observations, expected: list[str]) -> None:
    """Missing events show which settings are off in Celery."""
    assert expected == [finding.code for finding in observation_findings(what, {})]


def test_every_trouble_has_a_line_that_mends_it() -> None:
    """A warning or a failure states its cause and what to change."""
    for what in (observed(), observed(processed=(5, 9)), observed(processed=(5, 9), received=4), Observations(3, 3)):
        for finding in observation_findings(what, {}):
            assert (finding.cause and finding.lines) or finding.level in {"ok", "note"}


def test_one_silent_worker_among_others_is_named() -> None:
    """A worker without -E is reported even if another one sends events."""
    what = observed(processed=(5, 9), received=4)
    for count in (1, 2):
        what.fold(WorkerHeartbeat("w2@host", 1.0, processed=count), 1.0)
    found = {finding.code: finding for finding in observation_findings(what, {})}
    assert "task-events-on" in found
    assert found["task-events-off"].text.endswith(": w2@host")


@pytest.mark.parametrize(
    ("totals", "registered", "code"),
    [
        ({"proj.quiet": 4}, ["proj.quiet"], "task-events-eventless"),
        ({"proj.quiet": 9, "proj.add": 90, "celery.backend_cleanup": 5}, ["proj.quiet"], "task-events-eventless"),
        ({"proj.quiet": 3, "proj.add": 1}, ["proj.quiet"], "task-events-off"),
        ({"celery.chord_unlock": 4}, ["proj.quiet"], "task-events-off"),
        ({"proj.add": 4}, [], "task-events-off"),
        ({}, ["proj.quiet"], "task-events-off"),
        (None, ["proj.quiet"], "task-events-off"),
        ({"proj.quiet": 4}, None, "task-events-off"),
    ],
)
def test_a_worker_that_executed_tasks_without_events(
    totals: dict[str, int] | None, registered: list[str] | None, code: str
) -> None:
    """A worker whose tasks may all have send_events=False is named, but is not a failure."""
    stats = WorkerStats("prefork", totals=totals)
    answers = Answers(stats)
    if registered is not None:
        answers.registered = [RegisteredTask("proj.add")]
        answers.registered += [RegisteredTask(task, sends_events=False) for task in registered]
    found = {finding.code: finding for finding in observation_findings(observed(processed=(5, 9)), {W: answers})}
    assert [code] == [name for name in found if name.startswith("task-events")]
    assert found[code].text.endswith(f": {W}")


@pytest.mark.parametrize(
    ("seconds", "beats", "expected"), [(6.0, False, True), (6.0, True, False), (1.0, False, False)]
)
def test_a_worker_without_heartbeats_is_found(seconds: float, beats: bool, expected: bool) -> None:  # noqa: FBT001 -- a table
    """A worker that sends task events and no heartbeats is reported, if one was due in the time observed."""
    what = Observations(seconds=seconds)
    what.fold(TaskStarted("u", 1.0, W), 1.0)
    if beats:
        what.fold(WorkerHeartbeat(W, 1.0, processed=1), 1.0)
    assert expected == ("worker-heartbeats-off" in {finding.code for finding in observation_findings(what, {})})


@pytest.mark.parametrize(
    ("pids", "several"),
    [((7, 7, 7), False), ((7, 8), False), ((7, 8, 7), True), ((7, 7, 8, 8, 7), True)],
)
def test_a_restart_is_not_a_second_worker(pids: tuple[int, ...], several: bool) -> None:  # noqa: FBT001 -- a table
    """A process id that returns after another one means a second worker; one that only changes means a restart."""
    what = Observations()
    for pid in pids:
        what.fold(WorkerHeartbeat(W, 1.0, pid=pid), 1.0)
    assert several == ("worker-name-twice" in {finding.code for finding in observation_findings(what, {})})


@pytest.mark.parametrize(
    ("stamps", "text"),
    [((95.0, 94.9), ""), ((94.0, 94.5), "6 s behind"), ((106.0, 109.0), "6 s ahead"), ((90.0, 100.0), "")],
)
def test_the_heartbeat_that_was_least_late_tells_the_clock(stamps: tuple[float, ...], text: str) -> None:
    """A worker's clock is reported if even its best heartbeat differs by more than five seconds."""
    what = Observations()
    for stamp in stamps:
        what.fold(WorkerHeartbeat(W, stamp), 100.0)
    found = [finding.text for finding in observation_findings(what, {}) if finding.code == "worker-clock-skew"]
    assert bool(text) == bool(found)
    assert all("6 s" in line and text.rsplit(maxsplit=1)[-1] in line for line in found) or "5 s" in found[0]


@pytest.mark.parametrize(("version", "old"), [("5.2.7", True), ("5.3.0", False), ("5.10.1", False), ("dev", False)])
def test_an_old_celery_is_noted(version: str, old: bool) -> None:  # noqa: FBT001 -- a table
    """Celery before 5.3 is noted, and a text that is no version is not."""
    what = Observations()
    what.fold(WorkerHeartbeat(W, 1.0, sw_ver=version), 1.0)
    assert old == ("worker-celery-old" in {finding.code for finding in observation_findings(what, {})})


@pytest.mark.parametrize(
    ("pool", "version", "found"),
    [
        ("threads", "5.6.3", True),
        ("threads", "5.3.6", True),
        ("threads", "5.7.0", False),
        ("threads", "5.10.1", False),
        ("threads", "", False),
        ("threads", "unknown", False),
        ("prefork", "5.6.3", False),
        ("", "5.2.7", False),
    ],
)
def test_workers_whose_celery_loses_events(pool: str, version: str, found: bool) -> None:  # noqa: FBT001 -- a table
    """A worker is named with its pool and version if Celery itself loses events with that combination."""
    what = Observations(messages=1)
    what.fold(WorkerHeartbeat(W, 1.0, sw_ver=version), 1.0)
    findings = list(pool_findings(what, {W: pool, "unheard@host": pool}))
    assert [f"{W} runs Celery {version} with the pool {pool}"] * found == [finding.text for finding in findings]
