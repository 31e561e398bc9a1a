# SPDX-License-Identifier: Apache-2.0
"""Tasks that were published and that no worker reports."""

import pytest

from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.cli.check.questions import unreceived_findings
from celery_redis_exporter.records.events import TaskReceived, TaskSent, WorkerHeartbeat

W = "w1@host"


def observed(*, received: tuple[str, ...] = ("a",), eta: str | None = None, latest: float = 3.0) -> Observations:
    """Return observations: two tasks published to two queues, and the events that a worker sent for them."""
    result = Observations(messages=1)
    result.fold(TaskSent("a", 1.0, "proj.add", "mail"), 1.0)
    for uuid in received:
        result.fold(TaskReceived(uuid, 1.0, W, "proj.add"), 1.0)
    result.fold(TaskSent("b", 1.0, "proj.batch", "batches", eta), 1.0)
    result.fold(WorkerHeartbeat(W, latest), latest)
    return result


@pytest.mark.parametrize(
    ("what", "lengths", "found"),
    [
        (observed(), {"mail": 0, "batches": 0}, True),
        (observed(), {"mail": 0, "batches": 1}, False),
        (observed(), {"mail": 0}, False),
        (observed(received=("b", "a")), {"mail": 0, "batches": 0}, False),
        (observed(received=()), {"mail": 0, "batches": 0}, False),
        (observed(eta="2027-01-01T00:00:00"), {"mail": 0, "batches": 0}, False),
        (observed(latest=2.5), {"mail": 0, "batches": 0}, False),
    ],
    ids=["taken", "waits", "unknown length", "received before", "no worker reports", "due later", "just sent"],
)
def test_unreceived(what: Observations, lengths: dict[str, float], found: bool) -> None:  # noqa: FBT001 -- a table
    """Tasks that left their queue and that no worker reports are named, if workers report other tasks."""
    findings = list(unreceived_findings(what, lengths))
    assert ["tasks-unreceived"] * found == [finding.code for finding in findings]
    assert all(finding.text.endswith(": proj.batch (batches)") for finding in findings)
