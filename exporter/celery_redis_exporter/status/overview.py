# SPDX-License-Identifier: Apache-2.0
"""Summarize the reports of several applications.

Input: a report of each. Output: an ``Overview``, the worst application first.
"""

from collections.abc import Mapping, Sequence

from celery_redis_exporter.records.report import WORST_FIRST, ApplicationStatus, Health, Overview, Report, TaskStatus


def make_overview(reports: Mapping[str, Report], version: str, now: float, uptime: float) -> Overview:
    """Return the overview of applications by name. ``now`` is in seconds since the epoch, ``uptime`` in seconds."""
    applications = [_summarize(name, report) for name, report in reports.items()]
    applications.sort(key=lambda one: (WORST_FIRST.index(one.state), one.name))
    return Overview(version=version, time=now, uptime_seconds=uptime, applications=applications)


def worst_of(health: Sequence[Health]) -> Health | None:
    """Return the first of the worst verdicts, or None if there is none."""
    return min(health, key=lambda one: WORST_FIRST.index(one.state), default=None)


def _summarize(name: str, report: Report) -> ApplicationStatus:
    worst = worst_of(report.health)
    lengths = [queue.length for queue in report.queues if queue.length is not None]
    rates = [task.rate for task in report.tasks if task.rate is not None]
    return ApplicationStatus(
        name=name,
        state=worst.state if worst else "unknown",
        health=report.health,
        workers_online=sum(worker.state == "online" for worker in report.workers),
        workers_lost=sum(worker.state == "lost" for worker in report.workers),
        waiting=sum(lengths) if lengths else None,
        running=sum(task.running for task in report.tasks),
        rate=sum(rates) if rates else None,
        failure_ratio=_failure_ratio(report.tasks),
        events_per_second=report.exporter.events_per_second,
    )


def _failure_ratio(tasks: Sequence[TaskStatus]) -> float | None:
    """Return the ratio of all tasks together, each weighted with its executions that ended."""
    known = [(task.recent.ended, task.recent.failure_ratio) for task in tasks if task.recent]
    ended = sum(count for count, ratio in known if ratio is not None)
    return sum(count * ratio for count, ratio in known if ratio is not None) / ended if ended else None
