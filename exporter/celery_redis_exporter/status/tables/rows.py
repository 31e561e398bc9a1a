# SPDX-License-Identifier: Apache-2.0
"""List the tables. Each column is one line."""

from operator import attrgetter
from typing import NamedTuple

from celery_redis_exporter.alerts.thresholds import threshold
from celery_redis_exporter.records.report import (
    WORST_FIRST,
    ApplicationStatus,
    QueueStatus,
    Report,
    RunningTask,
    ServerStatus,
    State,
    TaskStatus,
    WorkerStatus,
)
from celery_redis_exporter.status.format import say_bytes, say_count, say_duration, say_moment, say_rate, say_share
from celery_redis_exporter.status.tables.columns import Cell, Column, Table, Tone, moment, name, number, trend, words

COUNTED = ("sent", "started", "success", "failure", "retry", "revoked", "rejected", "running")
LIMITS = {"maxmemory": "maxmemory", "assumed": "the assumed limit", "system": "the machine's memory"}


def _worker_state(worker: WorkerStatus, _: float) -> Cell:
    if worker.state == "lost":
        return Cell("lost", "critical", hint="stopped sending heartbeats, and did not report a stop")
    if worker.sends_events is False:
        return Cell("no events", "warning", hint="executes tasks and sends no task events: start it with -E")
    return Cell("online", "ok")


def _slots(worker: WorkerStatus, _: float) -> Cell:
    active, slots = worker.active, worker.concurrency
    share = active / slots if active is not None and slots else None
    text = say_count(active) if slots is None else f"{say_count(active)} / {say_count(slots)}"
    return Cell(text, share=share)


def _load(worker: WorkerStatus, _: float) -> Cell:
    if worker.load is None:
        return Cell(say_count(None))
    return Cell(f"{worker.load[0]:.2f}", hint=" ".join(f"{load:.2f}" for load in worker.load))


def _missed(worker: WorkerStatus, _: float) -> Cell:
    return Cell(say_count(worker.events_missed), "warning" if worker.events_missed else "")


def _waiting(queue: QueueStatus, _: float) -> Cell:
    return Cell(say_count(queue.length), _tone(queue.verdict))


def _priorities(queue: QueueStatus) -> str:
    return "  ".join(f"{step}: {say_count(count)}" for step, count in queue.priorities.items() if count)


def _failing(task: TaskStatus, _: float) -> Cell:
    return Cell(say_share(task.recent.failure_ratio if task.recent else None), _tone(task.verdict))


def _run_time(run: RunningTask, now: float) -> Cell:
    """Return how long a task has run. The worker's clock may be ahead of the exporter's."""
    return Cell(say_duration(max(now - run.since, 0.0)), hint=f"since {say_moment(run.since)}")


class PeriodicRow(NamedTuple):
    """A periodic task. Times are in seconds since the epoch, ``interval`` is in seconds."""

    name: str
    interval: float
    last_sent: float | None
    last_success: float | None
    state: State

    @property
    def next(self) -> float | None:
        """Return when it is published next, or None if that is not known."""
        return None if self.last_sent is None else self.last_sent + self.interval


def find_periodic(report: Report) -> list[PeriodicRow]:
    """Return the tasks with an expected interval. As in the alert, one without success for several is critical."""
    found = []
    for task in report.tasks:
        interval = task.expected_interval_seconds
        if interval:
            silent = report.uptime_seconds if task.last_success is None else report.time - task.last_success
            stale = silent > interval * threshold("CeleryPeriodicTaskStale", "intervals")
            unknown = task.last_success is None and not stale
            state: State = "critical" if stale else "unknown" if unknown else "ok"
            found.append(PeriodicRow(task.name, interval, task.last_sent, task.last_success, state))
    return found


def _periodic_state(task: PeriodicRow, _: float) -> Cell:
    words = {"critical": "overdue", "unknown": "not seen yet"}
    return Cell(words.get(task.state, "on time"), _tone(task.state) or "ok")


def _say_next(task: PeriodicRow, now: float) -> Cell:
    if task.next is None:
        return Cell(say_duration(None))
    left = task.next - now
    return Cell(f"in {say_duration(left)}" if left >= 0 else f"{say_duration(-left)} late", hint=say_moment(task.next))


def _exceptions(task: TaskStatus) -> list[str]:
    return [f"{name} {say_count(count)}" for name, count in task.exceptions.items()]


def _seen_tasks(report: Report) -> list[TaskStatus]:
    """Return the tasks with events. Tasks that workers only registered would fill the report of a large application."""
    return [task for task in report.tasks if any(getattr(task, field) for field in COUNTED)]


def _server_state(server: ServerStatus, _: float) -> Cell:
    return Cell("up", "ok") if server.up else Cell(server.error or "down", "critical")


def _memory(server: ServerStatus, _: float) -> Cell:
    memory = server.memory
    if memory.limit_source is None:
        return Cell(say_bytes(memory.used_bytes))
    text = f"{say_bytes(memory.used_bytes)} / {say_bytes(memory.limit_bytes)}"
    hint = f"{say_share(memory.used_ratio)} of {LIMITS[memory.limit_source]}"
    return Cell(text, _tone(memory.state or "ok"), memory.used_ratio, hint)


def _application_state(application: ApplicationStatus, _: float) -> Cell:
    tone: Tone = "ok" if application.state == "ok" else _tone(application.state)
    return Cell(application.state.upper(), tone)


def _reasons(application: ApplicationStatus) -> list[str]:
    """Return the reasons of all verdicts, the worst first."""
    worst_first = sorted(application.health, key=lambda health: WORST_FIRST.index(health.state))
    return [f"{health.subject}: {health.reason}" for health in worst_first if health.reason]


def _why(application: ApplicationStatus, _: float) -> Cell:
    reasons = _reasons(application)
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return Cell(f"{reasons[0]}{more}" if reasons else "", hint="; ".join(reasons))


def _workers(application: ApplicationStatus, _: float) -> Cell:
    lost = application.workers_lost
    text = f"{application.workers_online}, {lost} lost" if lost else str(application.workers_online)
    return Cell(text, "warning" if lost else "")


def _judge_worker(worker: WorkerStatus) -> State:
    if worker.state == "lost":
        return "critical"
    return "warning" if worker.sends_events is False else "ok"


def _judge_server(server: ServerStatus) -> State:
    return "critical" if not server.up else server.memory.state or "ok"


def _tone(state: State) -> Tone:
    """Return the tone of a state. A good state has no colour."""
    return "" if state == "ok" else "soft" if state == "unknown" else state


WORKERS = Table("workers", "Workers", (
    name("Worker"),
    Column("state", "State", attrgetter("state"), _worker_state, 0, numeric=False),
    Column("active", "Active", attrgetter("active"), _slots, 0, "executions in progress / slots"),
    number("processed", "Processed", "processed", say_count, 1, "since it started"),
    number("failed", "Failed", "failed", say_count, 3, "executions, since the exporter knows the worker"),
    number("retried", "Retried", "retried", say_count, 4, "executions, since the exporter knows the worker"),
    moment("heartbeat", "Heartbeat", "last_heartbeat", 2),
    Column("load", "Load", attrgetter("load"), _load, 4, "of its machine, over 1 minute"),
    number("memory", "Memory", "memory_bytes", say_bytes, 3, "largest of its main process"),
    number("uptime", "Uptime", "uptime_seconds", say_duration, 4),
    words("pool", "Pool", attrgetter("pool"), 5),
    Column("missed", "Missed", attrgetter("events_missed"), _missed, 5, "executions whose events did not arrive"),
    words("queues", "Queues", attrgetter("queues"), 3),
), attrgetter("workers"), lambda row: (row.name, *row.queues), "state",
    "No worker is online. Start workers with -E.", _judge_worker)  # fmt: skip

QUEUES = Table("queues", "Queues", (
    name("Queue"),
    Column("length", "Waiting", attrgetter("length"), _waiting, 0, "messages, all priorities together"),
    number("age", "Oldest", "oldest_age_seconds", say_duration, 1, "age of the next message"),
    number("consumers", "Consumers", "consumers", say_count, 1, "workers that consume it"),
    trend("Last hour", say_count, 3, "messages that wait, minute by minute"),
    number("slots", "Slots", "concurrency", say_count, 4, "tasks that its workers can run at once"),
    number("in", "In", "incoming", say_rate, 2, "published"),
    number("out", "Out", "outgoing", say_rate, 2, "begun"),
    words("priorities", "By priority", _priorities, 4),
), attrgetter("queues"), lambda row: (row.name,), "-length", "No queue is known yet.",
    attrgetter("verdict"))  # fmt: skip

TASKS = Table("tasks", "Tasks", (
    name("Task"),
    number("rate", "Rate", "rate", say_rate, 0, "executions ended"),
    trend("Last hour", say_rate, 3, "executions ended, minute by minute"),
    number("running", "Running", "running", say_count, 1),
    number("success", "Succeeded", "success", say_count, 2),
    number("failure", "Failed", "failure", say_count, 1),
    Column("failing", "Failing", lambda row: row.recent and row.recent.failure_ratio, _failing, 0,
           "of those that lately succeeded or failed"),
    number("retrying", "Retried", "recent.retry_ratio", say_share, 3, "of those begun lately"),
    number("p50", "p50", "recent.p50_seconds", say_duration, 3, "run time, lately"),
    number("p95", "p95", "recent.p95_seconds", say_duration, 1, "run time, lately"),
    moment("last", "Last success", "last_success", 2),
    words("exceptions", "Exceptions", _exceptions, 5),
    words("queues", "Queues", attrgetter("queues"), 5),
), _seen_tasks, lambda row: (row.name, *row.queues), "-rate", "No event of a task was received yet.",
    attrgetter("verdict"))  # fmt: skip

PERIODIC = Table("periodic", "Periodic tasks", (
    name("Task"),
    Column("state", "State", lambda row: WORST_FIRST.index(row.state), _periodic_state, 0, numeric=False),
    number("every", "Every", "interval", say_duration, 0, "the interval that is expected"),
    moment("sent", "Last published", "last_sent", 1),
    moment("last", "Last success", "last_success", 0),
    Column("next", "Next", lambda row: row.next, _say_next, 1, "one interval after it was last published"),
), find_periodic, lambda row: (row.name,), "state", "No interval is known.", attrgetter("state"))  # fmt: skip

RUNNING = Table("running", "Running now", (
    words("task", "Task", attrgetter("task"), 0),
    Column("since", "For", lambda row: -row.since, _run_time, 0, "since its start; the 200 longest tasks at most"),
    words("worker", "Worker", attrgetter("worker"), 1),
    words("id", "Task id", attrgetter("task_id"), 2, "soft"),
), attrgetter("running"), lambda row: (row.task, row.worker, row.task_id), "-since", "No task runs.")  # fmt: skip

SERVERS = Table("redis", "Redis", (
    name("Server"),
    Column("state", "State", attrgetter("up"), _server_state, 0, numeric=False),
    Column("memory", "Memory", lambda row: row.memory.used_ratio, _memory, 0),
    number("clients", "Clients", "clients.clients", say_count, 2),
    number("hits", "Hit rate", "hit_ratio", say_share, 2, "of look-ups"),
    number("ops", "Commands", "operations_per_second", say_rate, 1),
    number("evicted", "Evicted", "evicted_keys", say_count, 4, "keys thrown away for want of memory"),
    words("version", "Version", attrgetter("version"), 4),
    words("role", "Role", lambda row: row.role or row.mode, 3),
    number("uptime", "Uptime", "uptime_seconds", say_duration, 5),
), attrgetter("redis"), lambda row: (row.name,), "name", "No Redis server is read.", _judge_server)  # fmt: skip

FAILURES = Table("failures", "Last failures", (
    moment("at", "When", "at", 0),
    words("task", "Task", attrgetter("task"), 0),
    words("exception", "Exception", attrgetter("exception"), 0),
    words("worker", "Worker", attrgetter("worker"), 2),
    words("id", "Task id", attrgetter("task_id"), 4, "soft"),
), lambda report: report.failures or [], lambda row: (row.task, row.exception, row.worker, row.task_id), "-at",
    "None yet.",
)  # fmt: skip

APPLICATIONS = Table("applications", "Applications", (
    Column("name", "Application", attrgetter("name"), lambda row, _: Cell(row.name, application=row.name), 0,
           numeric=False),
    Column("state", "State", lambda row: WORST_FIRST.index(row.state), _application_state, 0, numeric=False),
    Column("reason", "Why", lambda row: _reasons(row)[:1], _why, 0, numeric=False),
    Column("workers", "Workers", attrgetter("workers_online"), _workers, 1, "online, and lost ones"),
    number("waiting", "Waiting", "waiting", say_count, 1, "messages in its queues"),
    number("running", "Running", "running", say_count, 3),
    number("rate", "Rate", "rate", say_rate, 2, "executions ended"),
    number("failing", "Failing", "failure_ratio", say_share, 1, "of those that lately succeeded or failed"),
    number("events", "Events", "events_per_second", say_rate, 4),
), attrgetter("applications"), lambda row: (row.name, row.state), "state", "No application is configured.",
    attrgetter("state"), shown=100)  # fmt: skip

TABLES = (WORKERS, QUEUES, TASKS, PERIODIC, RUNNING, SERVERS, FAILURES)


def tables_of(report: Report) -> list[Table]:
    """Return the tables of a report: failures only if they are kept, periodic tasks only if there are some."""
    shown = {FAILURES.name: report.failures is not None, PERIODIC.name: bool(find_periodic(report))}
    return [table for table in TABLES if shown.get(table.name, True)]
