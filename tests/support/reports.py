# SPDX-License-Identifier: Apache-2.0
"""Make reports for tests, with the given parts only."""

from celery_redis_exporter.records.report import (
    Clients,
    ExporterStatus,
    Health,
    LastHour,
    Memory,
    QueueStatus,
    Recent,
    Report,
    RunningTask,
    ServerStatus,
    TaskStatus,
    WorkerStatus,
)


def make_report(**parts: object) -> Report:
    """Return a report with these parts."""
    empty: dict[str, object] = {
        "version": "1.2.3", "time": 1795356000.0, "uptime_seconds": 90.0, "window_seconds": 90.0, "health": [],
        "checks": [], "workers": [], "queues": [], "tasks": [], "redis": [], "exporter": ExporterStatus(),
    }  # fmt: skip
    return Report(**(empty | parts))  # type: ignore[arg-type]  # by name


def make_task(name: str, rate: float | None = None, **parts: object) -> TaskStatus:
    """Return a task that was published once."""
    counts = dict.fromkeys(("started", "success", "failure", "retry", "revoked", "rejected", "running"), 0.0)
    given: dict[str, object] = {"queues": ["q"], "rate": rate, "sent": 1.0, **counts, **parts}
    return TaskStatus(name=name, **given)  # type: ignore[arg-type]  # by name


def make_server(name: str, **parts: object) -> ServerStatus:
    """Return a server that answers."""
    given: dict[str, object] = {"up": True, "memory": Memory(), "clients": Clients(), **parts}
    return ServerStatus(name=name, **given)  # type: ignore[arg-type]  # by name


def make_large_report() -> Report:
    """Return a report of 300 workers, 500 tasks, 40 queues and two servers, with troubles of each kind."""
    workers = [
        WorkerStatus(name=f"celery@worker-{number:03}.prod.internal", state="lost" if number % 50 == 7 else "online",
                     pool="prefork", concurrency=8, active=number % 9, queues=["celery", "mail"])
        for number in range(300)
    ]  # fmt: skip
    queues = [
        QueueStatus(name=f"queue-{number}", length=10.0 * number, consumers=8,
                    verdict="critical" if number == 3 else "warning" if number % 9 == 1 else "ok",
                    trend=[float((minute * number) % 17) for minute in range(60)])
        for number in range(40)
    ]  # fmt: skip
    tasks = [
        make_task(f"shop.orders.tasks.task_{number}", float(number), verdict="critical" if number % 83 == 2 else "ok",
                  recent=Recent(ended=100, failure_ratio=0.3 if number % 83 == 2 else 0.01),
                  trend=[float(number + minute % 11) for minute in range(60)])
        for number in range(500)
    ]  # fmt: skip
    running = [RunningTask("shop.task", f"id-{number}", workers[number].name, 1795350000.0) for number in range(60)]
    memory = Memory(used_bytes=5e8, limit_bytes=1e9, limit_source="maxmemory", used_ratio=0.5, state="ok")
    lost = ", ".join(worker.name for worker in workers if worker.state == "lost")
    health = [
        Health("Event stream", "ok"), Health("Redis", "ok"), Health("Queues", "warning", "many wait: queue-1 10"),
        Health("Workers", "critical", f"stopped sending heartbeats: {lost}; 3 stuck tasks; 2 other reasons"),
        Health("Tasks", "critical", "many fail: shop.orders.tasks.task_2 30 % and 5 more"),
    ]  # fmt: skip
    servers = [make_server(name, memory=memory) for name in ("broker", "results")]
    last_hour = LastHour(
        seconds=3600, published=1_200_000, started=1_199_500, success=1_180_000, failure=12_000, retry=7_500, revoked=3,
        rejected=0, success_ratio=0.9899,
    )  # fmt: skip
    return make_report(
        health=health, workers=workers, queues=queues, tasks=tasks, running=running, redis=servers, last_hour=last_hour
    )
