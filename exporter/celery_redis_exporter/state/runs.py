# SPDX-License-Identifier: Apache-2.0
"""Close runs whose end no event reports, and find the oldest runs.

Input: workers and tasks. Output: fewer runs, and how many were closed, by reason. A closed run is not counted as an
end. If its end is reported later, it is counted as usual.
"""

from collections.abc import Iterable, Mapping

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.task import MOST_AT_ONCE, Run, Task, UncertainEnd, Worker
from celery_redis_exporter.state.tracking import Tracking

CERTAIN_SECONDS = 5.0
MOST_UNCERTAIN = 10_000
"""The number of ends of one worker that may still be corrected. Beyond it the oldest is counted."""
UNCERTAIN_SECONDS = 15.0
"""Long enough for two heartbeats at five seconds each. A worker without heartbeats sends no later timestamp."""


class Runs:
    """Close runs. ``tracked`` may then forget their tasks."""

    def __init__(self, store: Store, tracked: Tracking) -> None:
        self._store = store
        self.tracked = tracked

    def close(self, runs: Iterable[Run], reason: str) -> None:
        """Close runs without counting an end."""
        closed = [(run, run.worker.runs[run]) for run in runs if run.running]
        for run, uuid in closed:
            run.stop()
            self.tracked.retire(uuid)
        self.count_evicted(reason, len(closed))

    def close_all(self, worker: Worker, reason: str) -> None:
        """Close every run of a worker that is gone. ``reopen`` opens them again."""
        worker.left.update(worker.runs)
        self.close(list(worker.runs), reason)

    def reopen(self, worker: Worker, active: int) -> None:
        """Open the runs that were closed when a worker was gone: its process is back, and executes ``active`` tasks.

        It had lost its connection, or was suspended. Runs that ended meanwhile without an event are closed as ever.
        """
        left, worker.left = worker.left, {}
        for run, uuid in left.items() if active else ():
            task = self.tracked.get(uuid)
            if task is not None and run in task.runs and not (run.running or run.ended):
                run.begin(uuid, run.started_at)

    def close_surplus(self, worker: Worker, active: int, before: float) -> None:
        """Close the runs that a worker does not execute any more, if it executes only ``active`` tasks.

        It is not known which runs ended. Of those that started before ``before`` (the worker's clock) the youngest ones
        are closed, since an alert may concern the longest one.
        """
        begun = sorted((run for run in worker.runs if run.started_at < before), key=lambda run: run.started_at)
        self.close(begun[max(active, 0) :], "inactive")

    def close_absent(self, worker: Worker, active: Mapping[str, int], before: float) -> None:
        """Close the runs that a worker's list of active tasks does not contain.

        ``active`` is the number of runs by task id. Only runs that started before ``before`` (the worker's clock) are
        closed.
        """
        left = dict(active)
        absent = []
        for run, uuid in sorted(worker.runs.items(), key=lambda item: item[0].started_at):
            if left.get(uuid, 0) > 0:
                left[uuid] -= 1
            elif run.started_at < before:
                absent.append(run)
        self.close(absent, "inactive")

    def close_crowd(self, task: Task) -> None:
        """Make room for one more run of a task id: forget ended ones, and close the oldest if there are too many."""
        running = [run for run in task.runs if run.running]
        if len(running) >= MOST_AT_ONCE:
            self.close([min(running, key=lambda run: run.started_at)], "count")
        task.runs = tuple(run for run in task.runs if run.running or not run.started_at)

    def settle_ends(self, worker: Worker, *, at: float, now: float) -> None:
        """Count the ends that no other event corrected.

        With ``acks_on_failure_or_timeout=False`` Celery rejects the message of a task that failed, then writes the
        result and sends task-failed (``Request.on_failure``). gevent and eventlet report a task that was terminated as
        succeeded without a runtime, and as revoked. So such an end is certain CERTAIN_SECONDS later by the worker's own
        clock, of which ``at`` is the latest timestamp, or UNCERTAIN_SECONDS later by the exporter's (``now``).
        """
        for uuid, end in list(worker.uncertain.items()):
            if at - end.at >= CERTAIN_SECONDS or now - end.since >= UNCERTAIN_SECONDS:
                del worker.uncertain[uuid]
                end.count()

    def count_evicted(self, reason: str, count: int) -> None:
        """Count runs or tasks that are evicted."""
        if count:
            self._store.scalar(internals.TASKS_EVICTED, reason).value += count


def count_later(uuid: str, end: UncertainEnd) -> None:
    """Count an end in a moment, unless an event corrects it. An earlier uncertain end of the task is counted now."""
    uncertain = end.run.worker.uncertain
    if uuid in uncertain or len(uncertain) >= MOST_UNCERTAIN:
        uncertain.pop(uuid if uuid in uncertain else next(iter(uncertain))).count()
    uncertain[uuid] = end


def corrected(worker: Worker, uuid: str, kind: str) -> UncertainEnd | None:
    """Return the recent end, reported by this worker as another kind, that an event of ``kind`` corrects, or None."""
    end = worker.uncertain.get(uuid)
    return worker.uncertain.pop(uuid) if end is not None and end.corrected_by == kind else None


def forget(task: Task) -> None:
    """Remove a task from all gauges, because it will be forgotten."""
    for run in task.runs:
        run.stop()
    for publication in task.publications:
        publication.stop_waiting()


def oldest_starts(workers: Iterable[Worker]) -> dict[str, float]:
    """Return the oldest start (epoch seconds) of the runs of ``workers``, by task name."""
    oldest: dict[str, float] = {}
    for worker in workers:
        for run in worker.runs:
            name = run.series.task.name
            oldest[name] = min(run.started_at, oldest.get(name, run.started_at))
    return oldest
