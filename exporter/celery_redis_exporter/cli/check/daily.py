# SPDX-License-Identifier: Apache-2.0
"""Answer the daily checklist from the report of a running exporter: workers, queues, success, memory, errors.

The verdicts of the status page follow, if they are not good and the checklist has not reported their reasons. Input: a
report. Output: findings. Pure functions; the report comes from ``cli.top.source``.
"""

from collections.abc import Iterator, Mapping, Sequence

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import LEVELS, Finding
from celery_redis_exporter.records.report import Health, QueueStatus, Report
from celery_redis_exporter.status import health
from celery_redis_exporter.status.format import say_bytes, say_count, say_duration, say_share

MOST_WAITING = 10
"""Messages that may wait in a queue without its own ``length_threshold``."""
LEAST_SUCCESS = 0.9
"""Share of the executions that must succeed, of those that succeeded or failed."""
MOST_MEMORY = 0.7
"""Share of its memory limit that a server may use."""
SHOWN = 5
"""Number of names in one line."""
SAME = {
    health.NO_EVENTS: {rows.DAILY_NOT_READ.code},
    health.NO_ANSWER: {rows.DAILY_SERVER_DOWN.code, rows.DAILY_NOT_READ.code},
    health.NO_ANSWER_OF_SENTINELS: {rows.DAILY_SERVER_DOWN.code},
    health.NONE_ONLINE: {rows.DAILY_WORKERS_LOST.code},
    health.NO_HEARTBEATS: {rows.DAILY_WORKERS_LOST.code},
    health.MEMORY: {rows.DAILY_MEMORY_HIGH.code},
    health.LONG: {rows.DAILY_QUEUES_LONG.code},
    health.SOME_FAIL: {rows.DAILY_FAILING.code},
}
"""Codes of the findings that report the same as a reason of a verdict."""


def daily_findings(report: Report, application: str = "") -> Iterator[Finding]:
    """Yield the answers to the checklist. ``application`` is in the subject of each, if there are several."""
    place = f"{application} " if application else ""
    found = [
        *_workers(report, f"{place}workers"),
        *_queues(report.queues, f"{place}queues"),
        *_success(report, f"{place}tasks"),
        *_memory(report, f"{place}redis"),
        *_errors(report, f"{place}errors"),
    ]
    yield from found
    levels = {finding.code: LEVELS.index(finding.level) for finding in found}
    for verdict in report.health:
        row = {"critical": rows.DAILY_CRITICAL, "warning": rows.DAILY_WARNING}.get(verdict.state)
        if row is not None and not _is_reported(verdict, LEVELS.index(row.level), levels):
            yield row.found(f"{place}{verdict.subject.lower()}", verdict.reason)


def _is_reported(verdict: Health, level: int, reported: Mapping[str, int]) -> bool:
    """Return whether findings of this level or a worse one contain every reason of a verdict.

    ``reported`` are levels of findings by code.
    """
    reasons = (reason.partition(": ")[0] for reason in verdict.reason.split(health.SEPARATOR))
    return all(any(reported.get(code, -1) >= level for code in SAME.get(reason, ())) for reason in reasons)


def _workers(report: Report, subject: str) -> Iterator[Finding]:
    online = [worker.name for worker in report.workers if worker.state == "online"]
    lost = [worker.name for worker in report.workers if worker.state == "lost"]
    if lost:
        # As in the alert: lost workers that were replaced do not matter.
        row = rows.DAILY_WORKERS_LOST if report.lacks_workers or not online else rows.DAILY_WORKERS_REPLACED
        yield row.found(subject, f"{len(online)} online; lost: {_name_some(lost)}")
    elif online:
        yield rows.DAILY_WORKERS_ONLINE.found(subject, f"{len(online)} online, none is lost")
    elif all(verdict.state != "critical" for verdict in report.health if verdict.subject == health.WORKERS):
        yield rows.DAILY_UNKNOWN.found(subject, "no worker is online")


def _queues(queues: Sequence[QueueStatus], subject: str) -> Iterator[Finding]:
    known = [queue for queue in queues if queue.length is not None]
    long = [
        f"{queue.name} {say_count(queue.length)} (at most {say_count(most)})"
        for queue in known
        if (queue.length or 0) >= (most := queue.length_threshold or MOST_WAITING)
    ]
    if long:
        yield rows.DAILY_QUEUES_LONG.found(subject, _name_some(long))
    elif known:
        total = sum(queue.length or 0 for queue in known)
        yield rows.DAILY_QUEUES_SHORT.found(subject, f"{say_count(total)} messages in {len(known)} queues")
    else:
        yield rows.DAILY_UNKNOWN.found(subject, "the length of no queue is known")


def _success(report: Report, subject: str) -> Iterator[Finding]:
    window = say_duration(report.window_seconds)
    ended = [(task, task.recent.ended, task.recent.failure_ratio) for task in report.tasks if task.recent]
    judged = [(task, count, ratio) for task, count, ratio in ended if ratio is not None and count]
    total = sum(count for _, count, _ in judged)
    if not total:
        yield rows.DAILY_UNKNOWN.found(subject, f"no task ended in the last {window}")
        return
    succeeded = 1 - sum(count * ratio for _, count, ratio in judged) / total
    text = f"{say_share(succeeded)} of {say_count(total)} executions of the last {window} succeeded"
    if succeeded >= LEAST_SUCCESS:
        yield rows.DAILY_SUCCESS.found(subject, text)
        return
    worst = sorted(judged, key=lambda row: -row[1] * row[2])
    names = [f"{task.name} {say_share(ratio)} of {say_count(count)} failed" for task, count, ratio in worst if ratio]
    yield rows.DAILY_FAILING.found(subject, f"{text}: {_name_some(names)}")


def _memory(report: Report, subject: str) -> Iterator[Finding]:
    for server in report.redis:
        memory, name = server.memory, f"{subject} {server.name}"
        if not server.up:
            yield rows.DAILY_SERVER_DOWN.found(name, f"does not answer: {server.error or 'unknown'}")
        elif memory.used_ratio is None:
            yield rows.DAILY_UNKNOWN.found(name, "its memory limit is not known")
        else:
            used = f"{say_share(memory.used_ratio)} of {say_bytes(memory.limit_bytes)} ({memory.limit_source}) are used"
            row = rows.DAILY_MEMORY_HIGH if memory.used_ratio >= MOST_MEMORY else rows.DAILY_MEMORY_LOW
            yield row.found(name, used)


def _errors(report: Report, subject: str) -> Iterator[Finding]:
    """Yield what the exporter finds wrong itself, and the tasks that failed lately."""
    bad = [check for check in report.checks if check.state == "failed"]
    for check in bad:
        yield rows.DAILY_NOT_READ.found(subject, f"{check.check}: {check.detail}")
    if report.exporter.events_missed:
        missed = say_count(report.exporter.events_missed)
        yield rows.DAILY_MISSED.found(subject, f"{missed} executions of workers were not observed")
    worst_first = sorted((task for task in report.tasks if task.failure), key=lambda task: -task.failure)
    failed = [f"{task.name} {say_count(task.failure)}" for task in worst_first]
    for check in report.checks:
        if check.state == "starting":
            yield rows.DAILY_UNKNOWN.found(subject, f"{check.check}: starting")
    if failed:
        yield rows.DAILY_ERRORS.found(subject, f"failed since the exporter started: {_name_some(failed)}")
    elif not bad:
        yield rows.DAILY_NO_ERRORS.found(subject, "no task failed since the exporter started")


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
