# SPDX-License-Identifier: Apache-2.0
"""Describe what workers execute at this moment, and how many of their executions failed or were retried, for people.

Input: workers. Output: records of the report, under the names that metrics show. Arguments are never kept. Not
thread-safe: see state.
"""

from collections.abc import Collection
from heapq import nsmallest

from celery_redis_exporter.records.report import Activity, RunningTask
from celery_redis_exporter.state.rules import Naming
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.task_series import TaskName

MOST_RUNNING = 200
"""The maximum number of running tasks that are listed."""


def describe_activity(workers: Collection[Worker], naming: Naming, hidden: TaskName) -> Activity:
    """Return what ``workers`` run and how their runs ended. Tasks of the name ``hidden`` are left out."""
    return Activity(_running(workers, naming, hidden), _ends(workers, naming))


def _running(workers: Collection[Worker], naming: Naming, hidden: TaskName) -> list[RunningTask]:
    runs = (
        (run.started_at, uuid, run)
        for worker in workers
        for run, uuid in worker.runs.items()
        if run.series.task is not hidden
    )
    return [
        RunningTask(run.series.task.name, uuid, naming.worker_shown(run.worker.name), started_at)
        for started_at, uuid, run in nsmallest(MOST_RUNNING, runs, key=lambda found: found[:2])
    ]


def _ends(workers: Collection[Worker], naming: Naming) -> dict[str, tuple[int, int]]:
    """Return the failed and retried runs of each shown worker. Workers that share a name are summed up."""
    ends: dict[str, tuple[int, int]] = {}
    for worker in workers:
        name = naming.worker.apply(worker.name)
        if name is not None:
            failed, retried = ends.get(name, (0, 0))
            ends[name] = failed + worker.failed, retried + worker.retried
    return ends
