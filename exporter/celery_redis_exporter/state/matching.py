# SPDX-License-Identifier: Apache-2.0
"""Find the task, publication and run of an event if its own content does not name them.

Input: events, workers and the table of tasks. Output: records of ``state.task``, which are added if they do not exist
yet. Only evictions are counted. Not thread-safe: see state.
"""

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.records.events import TaskReceived
from celery_redis_exporter.state import runs
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.task import MOST_AT_ONCE, Publication, Run, Task, Worker
from celery_redis_exporter.state.task_series import TaskSeries


class Matching:
    """Find and add records. ``tracked`` is the table of tasks."""

    def __init__(self, all_runs: runs.Runs, names: Names) -> None:
        self.tracked = all_runs.tracked
        self._runs = all_runs
        self._names = names

    def track(self, uuid: str, publication: Publication, now: float) -> Task:
        """Add a task, and evict others if there are too many. ``now`` is in monotonic seconds."""
        if len(self.tracked) >= self.tracked.limit:
            evicted = self.tracked.evict()
            self._runs.count_evicted("count", sum(not gone.has_ended for gone in evicted))
            for gone in evicted:
                runs.forget(gone)
        task = self.tracked[uuid] = Task(now, (publication,))
        return task

    def add(self, uuid: str, task: Task, publication: Publication, now: float) -> Publication:
        """Add a publication of a task that is known, which is as old as its last publication."""
        task.born = now
        self.tracked[uuid] = self.tracked.pop(uuid)
        return task.add(publication)

    def add_unsent(self, task: Task | None, event: TaskReceived, queue: str, now: float) -> tuple[Task, Publication]:
        """Add the publication of a task-received without a task-sent. A retry goes to the queue of the run before."""
        last = task.publications[-1] if task is not None else None
        if last is not None and last.name == event.name and queue == UNKNOWN:
            series = last.series
        else:
            series = self._names.series(event.name, queue)
        publication = Publication(event.name, event.retries, series, event.timestamp, awaits_sent=True)
        if task is None:
            return self.track(event.uuid, publication, now), publication
        return task, self.add(event.uuid, task, publication, now)

    def run_to_start(self, task: Task, worker: Worker, at: float) -> Run:
        """Return the run of a task-started at ``at`` (epoch seconds). Add one if no event announced it."""
        if len(task.runs) >= MOST_AT_ONCE:
            self._runs.close_crowd(task)
        found, untaken = task.to_start(worker, at)
        if found is None:
            if untaken is None:
                last = task.publications[-1]
                untaken = task.add(Publication(last.name, None, last.series, at, awaits_sent=True))
            return self.add_run(task, worker, untaken)
        if found.series.expired:
            found.series = self.series_at(found.publication, worker)
        return found

    def add_run(self, task: Task, worker: Worker, publication: Publication) -> Run:
        """Add a run whose task-received did not arrive."""
        return task.add_run(worker, publication, self.series_at(publication, worker))

    def series_at(self, publication: Publication, worker: Worker) -> TaskSeries:
        """Return the series that count a publication on a worker, or new ones if they expired while it waited."""
        if publication.series.expired:
            publication.series = self._names.series(publication.name, publication.series.queue)
        return self._names.at(publication.series, worker.name)

    def unstarted_run(self, task: Task, worker: Worker, kind: str) -> Run | None:
        """Return the run of an end that is the first event of its worker, or None if it repeats an end.

        A task that ended is reported again at the hard time limit, and a revocation is reported by several workers.
        """
        publication, has_ended = task.untaken, task.has_ended_on(worker)
        if publication is None or (has_ended and kind != "task-revoked"):
            if has_ended or (kind == "task-revoked" and task.publications[-1].ended):
                return None
            publication = task.publications[-1]
        return self.add_run(task, worker, publication)
