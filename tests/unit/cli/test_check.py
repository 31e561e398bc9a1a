"""What check makes of what it heard."""

import pytest

from exporter.cli.check import Finding, Heard, heard_findings
from exporter.records import TaskReceived, TaskSent, TaskStarted, WorkerHeartbeat

W = "w1@host"


def heard(*, processed: tuple[int, ...] = (), received: int = 0, sent: int = 0) -> Heard:
    """What six seconds brought."""
    result = Heard(messages=1)
    for count in processed:
        result.fold(WorkerHeartbeat(W, 1.0, processed=count))
    for _ in range(received):
        result.fold(TaskReceived("u", 1.0, W, "t"))
        result.fold(TaskStarted("u", 1.0, W))
    for _ in range(sent):
        result.fold(TaskSent("u", 1.0, "t"))
    return result


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (heard(), [("warn", "workers")]),
        (heard(processed=(5, 5)), [("ok", "workers"), ("note", "task events"), ("note", "task-sent")]),
        (heard(processed=(5, 9)), [("ok", "workers"), ("fail", "task events"), ("note", "task-sent")]),
        (heard(processed=(5, 9), received=4), [("ok", "workers"), ("ok", "task events"), ("warn", "task-sent")]),
        (heard(processed=(5, 9), received=4, sent=4), [("ok", "workers"), ("ok", "task events"), ("ok", "task-sent")]),
    ],
    ids=["silence", "idle", "without -E", "without task-sent", "all"],
)
def test_verdict(what: Heard, expected: list[tuple[str, str]]) -> None:
    """What is switched off in Celery is told from what just did not happen."""
    assert expected == [(finding.level, finding.subject) for finding in heard_findings(what)]


def test_every_trouble_has_a_cure() -> None:
    """A warning or a failure says what to change."""
    for what in (heard(), heard(processed=(5, 9)), heard(processed=(5, 9), received=4), Heard(3, 3)):
        for finding in heard_findings(what):
            assert finding.cure or finding.level in {"ok", "note"}


def test_line() -> None:
    """A finding is a line, its cure another."""
    text = str(Finding("fail", "events", "no subscription", "do this"))
    assert "FAIL  events              no subscription" == text.splitlines()[0]
    assert "-> do this" == text.splitlines()[1].strip()
