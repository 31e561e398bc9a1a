"""Executions: how a task's runs begin, end, overlap and vanish.

Takes tasks and workers, changes them in place; counts nothing but what is running. Pure bookkeeping without
state of its own.
"""

from exporter.state.task import Task, TaskSeries
from exporter.state.workers import Worker


def begin(uuid: str, task: Task, worker: Worker, at: float) -> TaskSeries:
    """Enter the start of an execution on ``worker`` at ``at``; give its series."""
    if task.running:
        _set_aside(uuid, task, worker)
    series = task.run_series = task.series
    task.running, task.ended = True, False
    task.started_at, task.worker = at, worker
    series.running.value += 1
    worker.running[uuid] = task
    return series


def end(uuid: str, task: Task, worker: Worker) -> tuple[TaskSeries, float] | None:
    """Enter an end reported by ``worker``; give the execution's series and start (0 if unknown).

    None means that this end was reported before.
    """
    if task.running and task.worker is worker:  # the common way, without a further call
        task.running, task.worker = False, None
        series = task.run_series
        series.running.value -= 1
        worker.running.pop(uuid, None)
        return series, task.started_at
    aside = _take_aside(task, worker)
    if aside is not None:
        _leave(uuid, worker, aside[0])
        return aside
    if task.ended:
        return None
    if not task.running and task.worker is worker:  # closed unseen, and it ended after all
        task.worker = None
        return task.run_series, task.started_at
    return task.series, 0.0


def stop(uuid: str, task: Task) -> None:
    """Take the latest execution off what is running, whether it ended or vanished."""
    if task.running and task.worker is not None:
        task.running = False
        _leave(uuid, task.worker, task.run_series)


def close(worker: Worker, until: float) -> list[str]:
    """Take what ``worker`` began before ``until`` off what is running; give the ids."""
    stale = [(uuid, task) for uuid, task in worker.running.items() if task.started_at < until]
    for uuid, task in stale:
        aside = _take_aside(task, worker)
        if aside is not None:
            _leave(uuid, worker, aside[0])
        else:
            stop(uuid, task)
    return [uuid for uuid, _ in stale]


def forget(uuid: str, task: Task) -> None:
    """Take every execution of a task off what is running, because the task will not be known any more."""
    stop(uuid, task)
    for worker, _, series in task.others:
        _leave(uuid, worker, series)
    task.others = ()


def _leave(uuid: str, worker: Worker, series: TaskSeries) -> None:
    series.running.value -= 1
    worker.running.pop(uuid, None)


def _set_aside(uuid: str, task: Task, worker: Worker) -> None:
    """Keep the running execution while another begins (redelivery); the same worker replaces its own."""
    if task.worker is None or task.worker is worker:
        stop(uuid, task)
    else:
        task.others = (*task.others, (task.worker, task.started_at, task.run_series))


def _take_aside(task: Task, worker: Worker) -> tuple[TaskSeries, float] | None:
    for entry in task.others:
        if entry[0] is worker:
            task.others = tuple(other for other in task.others if other is not entry)
            return entry[2], entry[1]
    return None
