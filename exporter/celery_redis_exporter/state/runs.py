"""Executions: how a task's runs begin, end, overlap and vanish.

Takes tasks and workers, changes them in place; counts nothing but what is running. Pure bookkeeping without
state of its own.
"""

from collections.abc import Iterable, Iterator

from celery_redis_exporter.state.task import Task, Worker
from celery_redis_exporter.state.task_series import TaskSeries

MOST_AT_ONCE = 10
"""Executions of one task id that are told apart; nobody ends all of more."""


def begin(uuid: str, task: Task, series: TaskSeries, worker: Worker, at: float) -> bool:
    """Enter the start of an execution on ``worker`` at ``at``, which ``series`` count; tell whether another had to go.

    The oldest goes, uncounted, where a task id has too many executions at once.
    """
    crowded = False
    if task.running and task.worker is not None:  # delivered again while it runs, perhaps to the same worker
        crowded = len(task.others) >= MOST_AT_ONCE - 1
        if crowded:
            _end_aside(uuid, task, task.others[0])
        task.others = (*task.others, (task.worker, task.started_at, task.run_series))
    task.run_series = series
    task.running, task.ended = True, False
    task.started_at, task.worker = at, worker
    series.running.value += 1
    worker.executions += 1
    worker.running[uuid] = task
    return crowded


def end(uuid: str, task: Task, worker: Worker, retried: bool) -> tuple[TaskSeries, float] | None:  # noqa: FBT001 -- hot
    """Enter an end reported by ``worker``; give the execution's series and start (0 if unknown).

    Of two executions on one worker a retry ends the older one: what it published is the other. None means that this
    end was reported before.
    """
    if task.running and task.worker is worker and not (retried and task.others):  # the common way, without a call
        task.running, task.worker = False, None
        series = task.run_series
        series.running.value -= 1
        worker.executions -= 1
        if task.others:
            _strike_off(uuid, task, worker)
        else:
            worker.running.pop(uuid, None)
        return series, task.started_at
    for run in task.others:
        if run[0] is worker:
            _end_aside(uuid, task, run)
            return run[2], run[1]
    if task.running and task.worker is worker:
        stop(uuid, task)
        task.worker = None
        return task.run_series, task.started_at
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
        task.run_series.running.value -= 1
        task.worker.executions -= 1
        _strike_off(uuid, task, task.worker)


def cancel(uuid: str, task: Task, worker: Worker) -> None:
    """Remove the latest execution on ``worker`` from what is running: the worker returned its message to the queue."""
    if task.running and task.worker is worker:
        stop(uuid, task)
        return
    for run in reversed(task.others):
        if run[0] is worker:
            _end_aside(uuid, task, run)
            return


def close(worker: Worker, until: float) -> list[str]:
    """Take what ``worker`` began before ``until`` off what is running; give the ids, one per execution."""
    closed = []
    for uuid, task in list(worker.running.items()):
        for run in [run for run in task.others if run[0] is worker and run[1] < until]:
            _end_aside(uuid, task, run)
            closed.append(uuid)
        if task.running and task.worker is worker and task.started_at < until:
            stop(uuid, task)
            closed.append(uuid)
    return closed


def forget(uuid: str, task: Task) -> None:
    """Take every execution of a task off what is running, because the task will not be known any more."""
    stop(uuid, task)
    for run in task.others:
        _end_aside(uuid, task, run)


def oldest_starts(workers: Iterable[Worker]) -> dict[str, float]:
    """Return the start of the longest running execution of all that ``workers`` run, by task name."""
    oldest: dict[str, float] = {}
    for worker in workers:
        for series, started_at in running_on(worker):
            name = series.task.name
            oldest[name] = min(started_at, oldest.get(name, started_at))
    return oldest


def running_on(worker: Worker) -> Iterator[tuple[TaskSeries, float]]:
    """Yield the series and the start (epoch seconds) of every execution on ``worker``, also several of one task id."""
    for task in worker.running.values():
        for run_worker, started_at, series in task.others:
            if run_worker is worker:
                yield series, started_at
        if task.running and task.worker is worker:
            yield task.run_series, task.started_at


def _end_aside(uuid: str, task: Task, run: tuple[Worker, float, TaskSeries]) -> None:
    worker, _, series = run
    task.others = tuple(other for other in task.others if other is not run)
    series.running.value -= 1
    worker.executions -= 1
    _strike_off(uuid, task, worker)


def _strike_off(uuid: str, task: Task, worker: Worker) -> None:
    """Take a task off its worker's list, unless the worker runs it a second time."""
    if not (task.running and task.worker is worker) and all(run[0] is not worker for run in task.others):
        worker.running.pop(uuid, None)
