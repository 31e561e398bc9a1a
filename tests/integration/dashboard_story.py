# SPDX-License-Identifier: Apache-2.0
"""Six hours of a web shop: the history of its tasks, workers, queues, Redis servers and its exporter.

Input: a history, to which the series are added. The story, by hours: an exporter restarts (1.2), a worker is lost and
returns (2.0 to 2.6), a payment gateway is down, so that its tasks fail and pile up (3.2 to 4.4), all workers are
deployed anew (4.8), and the result backend fills up to its alert (from 5.2).
"""

import math
from typing import NamedTuple

from tests.integration.dashboard_history import Course, History, Level, constant, noisy, scaled

RESTART, DEPLOYMENT = 1.2, 4.8
LOST, OUTAGE, DRAINED, FULL = (2.0, 2.6), (3.2, 3.7), 4.4, 5.2
MEBIBYTE = 1 << 20
OUTCOMES = ("success", "failure", "retry", "revoked", "rejected")


class Task(NamedTuple):
    """A task: executions per second, seconds of one execution, and the shares that fail, are retried, are revoked."""

    name: str
    queue: str
    rate: float
    runtime: float
    failure: float = 0.0
    retry: float = 0.0
    revoked: float = 0.0
    exceptions: tuple[str, ...] = ()
    every: int = 0


TASKS = (
    Task("shop.charge_card", "payments", 3.2, 0.45, 0.011, 0.03, 0, ("CardDeclinedError", "GatewayTimeoutError")),
    Task("shop.refund_card", "payments", 0.35, 0.22),
    Task("shop.send_receipt", "default", 3.0, 0.08, 0.004, 0.06, 0, ("MailboxBusyError",)),
    Task("shop.resize_image", "default", 1.5, 0.55, 0.02, 0, 0, ("ValueError",)),
    Task("shop.send_newsletter", "default", 0.9, 0.3, 0, 0, 0.08),
    Task("shop.export_orders", "reports", 0.03, 6, 0.03, 0, 0, ("SoftTimeLimitExceeded",)),
    Task("shop.sync_stock", "reports", 1 / 60, 0.25, every=60),
    Task("shop.nightly_report", "reports", 1 / 900, 48, every=900),
)
WORKERS = {
    "payments@web-1": "payments", "payments@web-2": "payments",
    "shop@web-1": "default", "shop@web-2": "default", "shop@web-3": "default", "reports@batch-1": "reports",
}  # fmt: skip
SLOTS = 4


def within(hours: float, span: tuple[float, float]) -> bool:
    """Return whether a moment is in a span."""
    return span[0] <= hours < span[1]


def suffers(task: Task, hours: float) -> bool:
    """Return whether the gateway's outage affects a task."""
    return task.name == "shop.charge_card" and within(hours, OUTAGE)


def backlog(hours: float) -> float:
    """Return the number of messages that pile up during the gateway's outage."""
    rising, falling = (hours - OUTAGE[0]) / (OUTAGE[1] - OUTAGE[0]), (DRAINED - hours) / (DRAINED - OUTAGE[1])
    return max(0.0, 840 * min(rising, falling))


def outcome(task: Task, state: str) -> Level:
    """Return the rate at which executions of a task end in a state."""
    flow = noisy(task.rate, 0.1, task.name)
    shares = {"failure": task.failure, "retry": task.retry, "revoked": task.revoked, "rejected": 0.0}
    worse = {"failure": 0.24, "retry": 0.3}

    def share(hours: float, of: str) -> float:
        return worse.get(of, 0.0) if suffers(task, hours) else shares[of]

    def rate(hours: float) -> float:
        pace = 0.55 if suffers(task, hours) else 1 + backlog(hours) / 2400 * (task.queue == "payments")
        part = share(hours, state) if state in shares else 1 - sum(share(hours, other) for other in shares)
        return flow(hours) * pace * part

    return rate


def pace(task: Task) -> Level:
    """Return the rate at which executions of a task start: slower than published in the outage, faster after it."""
    outcomes = [outcome(task, state) for state in OUTCOMES]
    return lambda hours: sum(rate(hours) for rate in outcomes)


def write_executions(history: History) -> None:
    """Add the number of tasks and their outcomes."""
    for task in TASKS:
        labels = {"task": task.name, "queue": task.queue}
        flow = noisy(task.rate, 0.1, task.name)
        history.counter("celery_tasks_sent_total", flow, **labels)
        for name in ("received", "started"):
            history.counter(f"celery_tasks_{name}_total", pace(task), **labels)
        for state in OUTCOMES:
            history.counter("celery_tasks_total", outcome(task, state), **labels, state=state)


def write_tasks(history: History) -> None:
    """Add the other metrics of tasks: times, errors, running executions."""
    for task in TASKS:
        labels = {"task": task.name, "queue": task.queue}
        flow = noisy(task.rate, 0.1, task.name)

        def runtime(hours: float, task: Task = task) -> float:
            return task.runtime * (4 if suffers(task, hours) else 1)

        def wait(hours: float, task: Task = task) -> float:
            return 0.06 + (backlog(hours) / 8 if task.queue == "payments" else 0.0)

        for state in ("success", "failure"):
            if state == "success" or task.failure:
                history.histogram("celery_task_runtime_seconds", outcome(task, state), runtime, **labels, state=state)
        history.histogram("celery_task_wait_seconds", flow, wait, **labels)
        history.histogram("celery_task_prefetch_seconds", flow, lambda _: 0.02, **labels)
        history.gauge("celery_tasks_running", _product(flow, runtime), **labels)
        history.gauge("celery_tasks_waiting", _product(flow, wait), **labels)
        _tell_errors(history, task)
        _tell_times(history, task)


def _product(one: Level, other: Level) -> Level:
    return lambda hours: round(one(hours) * other(hours))


def _tell_errors(history: History, task: Task) -> None:
    for number, exception in enumerate(task.exceptions):
        rate = outcome(task, "retry" if number or (task.retry and len(task.exceptions) == 1) else "failure")
        history.counter("celery_task_exceptions_total", rate, task=task.name, exception=exception)
    if task.revoked:
        history.counter("celery_task_revocations_total", outcome(task, "revoked"), task=task.name, reason="expired")


def _tell_times(history: History, task: Task) -> None:
    gap = max(1 / task.rate, 1.0)
    history.stamp("celery_task_last_sent_timestamp_seconds", lambda h: round(h * 3600 + 20) % gap, task=task.name)
    last = max(1, task.runtime)
    history.stamp(
        "celery_task_last_success_timestamp_seconds", lambda h: round(h * 3600 + 20) % gap + last, task=task.name
    )
    if task.failure or task.every == TASKS[-1].every:
        history.stamp("celery_task_last_failure_timestamp_seconds", lambda h: (h * 3600) % (40 * gap), task=task.name)
    if task.runtime > 1:
        oldest = noisy(task.runtime / 2, 0.4, task.name)
        history.stamp("celery_task_oldest_started_timestamp_seconds", oldest, task=task.name)
    if task.every:
        history.gauge("celery_task_expected_interval_seconds", lambda _: task.every, task=task.name)


def write_workers(history: History) -> None:
    """Add which workers are online, and how busy they are."""
    for worker, queue in WORKERS.items():
        _tell_worker(history, worker, queue)
    lost = {
        "online": lambda h: len(WORKERS) - within(h, LOST),
        "lost": lambda h: within(h, LOST),
        "offline": lambda _: 0,
    }
    for state, course in lost.items():
        history.gauge("celery_workers", course, state=state)
    history.gauge("celery_beat_up", lambda _: 1, beat="celerybeat@batch-1")


def _tell_worker(history: History, worker: str, queue: str) -> None:
    def there(hours: float) -> bool:
        return not (worker == "shop@web-3" and within(hours, LOST))

    def present(course: Course) -> Course:
        return lambda hours: course(hours) if there(hours) else None

    busy = noisy({"payments": 1.4, "default": 0.9, "reports": 0.5}[queue], 0.12, worker)
    fill = noisy(SLOTS * 0.96, 0.02, worker)

    def active(hours: float) -> float:
        return min(SLOTS, round(fill(hours) if queue == "payments" and backlog(hours) else busy(hours)))

    start_size = 84 + 4 * list(WORKERS).index(worker)
    started = LOST[1] if worker == "shop@web-3" else -20.0
    history.gauge("celery_worker_up", there, worker=worker)
    gauges = {
        "celery_worker_tasks_active": active, "celery_worker_concurrency": lambda _: SLOTS,
        "celery_worker_prefetch_count": lambda _: SLOTS, "celery_worker_task_events_enabled": lambda _: 1,
        "celery_worker_tasks_reserved": lambda h: SLOTS if queue == "payments" and backlog(h) else 0,
        "celery_worker_tasks_scheduled": lambda h: round(noisy(6, 0.05, worker)(h)) if queue == "default" else 0,
        "celery_worker_uptime_seconds": lambda h: 3600 * (h - max(x for x in (-20.0, started, DEPLOYMENT) if x <= h)),
        "celery_worker_memory_max_rss_bytes": lambda h: (start_size + 9 * (h % DEPLOYMENT)) * MEBIBYTE,
        "celery_worker_clock_skew_seconds": noisy(0.012 if "web" in worker else -0.4, 0.03, worker),
    }  # fmt: skip
    for name, course in gauges.items():
        history.gauge(name, present(course), worker=worker)
    history.stamp("celery_worker_last_heartbeat_timestamp_seconds",
                  lambda h: 1.0 if there(h) else 3600 * (h - LOST[0]), worker=worker)  # fmt: skip
    history.counter("celery_worker_tasks_processed_total", lambda h: busy(h) if there(h) else 0, worker=worker)
    history.counter("celery_worker_events_missed_total", lambda h: 0.02 if within(h, (RESTART, 1.22)) else 0,
                    worker=worker)  # fmt: skip
    starts = (DEPLOYMENT, LOST[1]) if worker == "shop@web-3" else (DEPLOYMENT,)
    history.counter("celery_worker_starts_total",
                    lambda h: any(within(h, (at, at + history.hours_of_a_step)) for at in starts)
                    / history.seconds_of_a_step, worker=worker)  # fmt: skip
    history.gauge("celery_worker_load_average", noisy(1.1, 0.2, worker), worker=worker, period="1m")
    history.gauge("celery_worker_info", present(lambda _: 1), worker=worker, version="5.7.0", software="py-celery",
                  system="Linux")  # fmt: skip
    history.gauge("celery_worker_pool_info", present(lambda _: 1), worker=worker, pool="prefork")
    history.gauge("celery_worker_queue_info", present(lambda _: 1), worker=worker, queue=queue)


def write_queues(history: History) -> None:
    """Add the metrics of queues and of unacknowledged messages."""
    lengths = {
        "payments": lambda h: round(backlog(h) + noisy(2, 0.5, "p")(h)),
        "default": lambda h: round(4 + 26 * max(0.0, math.sin(h * 5)) ** 6),
        "reports": lambda h: round(max(0.0, 2 * math.sin(h * 3))),
    }
    for queue, length in lengths.items():
        workers = sum(1 for other in WORKERS.values() if other == queue)
        history.gauge("celery_queue_length", length, queue=queue)
        history.gauge("celery_queue_consumers", constant(workers), queue=queue)
        history.gauge("celery_queue_concurrency", constant(SLOTS * workers), queue=queue)
        history.gauge("celery_queue_oldest_message_age_seconds", scaled(length, 0.25), queue=queue)
    history.gauge("celery_queue_length_threshold", constant(500), queue="payments")
    history.gauge("celery_queue_wait_threshold_seconds", constant(120), queue="payments")
    for priority, share in (("0", 0.1), ("3", 0.3), ("6", 0.6)):
        history.gauge(
            "celery_queue_priority_length",
            scaled(lengths["payments"], share),
            queue="payments",
            priority=priority,
        )
    single = {
        "celery_unacked_messages": lambda h: round(14 + backlog(h) / 100),
        "celery_unacked_overdue_messages": lambda _: 0,
        "celery_unacked_oldest_age_seconds": noisy(900, 0.4),
        "celery_broker_visibility_timeout_seconds": lambda _: 3600,
        "celery_reply_queues": lambda _: 2,
    }
    for name, course in single.items():
        history.gauge(name, course)
