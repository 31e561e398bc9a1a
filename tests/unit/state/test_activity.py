# SPDX-License-Identifier: Apache-2.0
"""The running tasks that the report lists."""

from celery_redis_exporter.records.report import RunningTask
from celery_redis_exporter.state.activity import MOST_RUNNING, describe_activity
from celery_redis_exporter.state.rules import Naming
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits
from tests.unit.state.test_failures import RULES


def described(lab: Lab, naming: Naming) -> tuple[list[RunningTask], dict[str, tuple[int, int]]]:
    """Return running tasks and ends by worker."""
    workers, hidden = lab.workers.by_name.values(), lab.tasks.names.hidden.task
    found = describe_activity(workers, naming, hidden)
    return list(found.running), dict(found.ends)


def start(lab: Lab, uuid: str, at: float, name: str = "t", worker: str = W1) -> None:
    """Publish and start a task."""
    lab.sent(uuid, at, name)
    lab.started(uuid, at, worker=worker)


def test_the_longest_comes_first() -> None:
    """Running tasks are listed with id, name, worker and start, longest first, until they end."""
    lab = Lab()
    start(lab, "young", 20)
    start(lab, "old", 10, worker=W2)
    start(lab, "over", 5)
    lab.succeeded("over", 21)
    running, _ = described(lab, Naming())
    assert [
        RunningTask("t", "old", W2, lab.start + 10), RunningTask("t", "young", W1, lab.start + 20),
    ] == running  # fmt: skip


def test_the_list_is_bounded() -> None:
    """If more tasks run than the list may contain, it contains the ones that have run longest."""
    lab = Lab()
    for number in reversed(range(MOST_RUNNING + 5)):
        start(lab, f"{number:03}", number)
    running, _ = described(lab, Naming())
    assert [f"{number:03}" for number in range(MOST_RUNNING)] == [task.task_id for task in running]


def test_names_are_those_of_the_metrics() -> None:
    """A hidden task is not listed, and the ends of workers with one shown name are summed under that name."""
    lab = Lab(task_limits(naming=RULES))
    start(lab, "hidden", 1, name="secret")
    for uuid, worker in (("a", W1), ("b", W2), ("c", W2)):
        start(lab, uuid, 2, worker=worker)
    lab.failed("a", 3, worker=W1)
    lab.retried("b", 3, worker=W2)
    running, ends = described(lab, RULES)
    assert [("c", "any@host")] == [(task.task_id, task.worker) for task in running]
    assert {"any@host": (1, 1)} == ends
