"""Make reports for tests, with the given parts only."""

from celery_redis_exporter.records.report import Clients, ExporterStatus, Memory, Report, ServerStatus, TaskStatus


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
