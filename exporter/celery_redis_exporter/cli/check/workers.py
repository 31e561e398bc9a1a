# SPDX-License-Identifier: Apache-2.0
"""Report findings about workers, their settings and publishers.

Input: the events that a check received, and answers of workers. Output: findings. Pure functions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.finding import Finding, celery_setting
from celery_redis_exporter.cli.check.observations import Observations, ObservedWorker
from celery_redis_exporter.records.inspection import Answers
from celery_redis_exporter.state.eventless import count_eventless

SKEW_SECONDS = 5.0
OLDEST_CELERY = (5, 3)
LOSING_POOL, FIXED_CELERY = "threads", (5, 7)
"""The pool with which Celery loses events (celery#10434), before this version."""
BEAT_SECONDS = 5.0
"""Seconds in which a worker with the default interval of 2 s sends two heartbeats."""
SHOWN = 5
"""Number of names in one line."""


def observation_findings(observed: Observations, answered: Mapping[str, Answers]) -> Iterator[Finding]:
    """Yield findings about workers and Celery's settings.

    They follow from events, and from ``answered``, the answers of workers by node name.
    """
    if observed.undecodable:
        is_all = observed.undecodable == observed.messages
        yield (rows.EVENTS_ALL_UNREADABLE if is_all else rows.EVENTS_UNREADABLE).found(
            "events",
            f"{observed.undecodable} of {observed.messages} messages can't be read",
            celery_setting("event_serializer", '"json"'),
        )
    if not observed.workers:
        yield rows.WORKERS_UNOBSERVED.found("workers", "no heartbeat was received", "celery --app=APP worker -E")
        return
    yield rows.WORKERS_OBSERVED.found(
        "workers", f"{len(observed.workers)} found: {name_some(sorted(observed.workers))}"
    )
    yield from _process_findings(observed)
    yield from _task_findings(observed, answered)
    yield from _sent_findings(observed)


def name_some(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def pool_findings(observed: Observations, pools: Mapping[str, str]) -> Iterator[Finding]:
    """Report workers whose Celery version loses events. ``pools`` contains the pool that each worker reported."""
    for name, pool in sorted(pools.items()):
        version = observed.workers[name].version if name in observed.workers else ""
        if pool == LOSING_POOL and (0, 0) < _minor(version) < FIXED_CELERY:
            text = f"{name} runs Celery {version} with the pool {pool}"
            yield rows.EVENTS_LOST.found("workers", text, 'pip install --upgrade "celery>=5.7"')


def _minor(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; (0, 0) if it has none."""
    found = re.match(r"(\d{1,9})\.(\d{1,9})", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _process_findings(observed: Observations) -> Iterator[Finding]:
    still = sorted(name for name, worker in observed.workers.items() if worker.skew is None)
    if still and observed.seconds >= BEAT_SECONDS:
        yield rows.HEARTBEATS_OFF.found(
            "workers", f"these sent no heartbeat in {observed.seconds:g} s: {name_some(still)}",
            "celery --app=APP worker -E",
        )  # fmt: skip
    for name, worker in sorted(observed.workers.items()):
        if worker.is_several:
            pids = ", ".join(map(str, sorted(set(worker.processes))))
            line = "celery --app=APP worker -E -n NAME@%h"
            yield rows.NAME_TWICE.found("workers", f"{name} is several processes: {pids}", line)
        if worker.skew is not None and abs(worker.skew) > SKEW_SECONDS:
            way = "ahead of" if worker.skew > 0 else "behind"
            text = f"the clock of {name} is {abs(worker.skew):.0f} s {way} this machine's"
            yield rows.CLOCK_SKEW.found("workers", text, "timedatectl set-ntp true")
        if (0, 0) < _minor(worker.version) < OLDEST_CELERY:
            text = f"{name} runs Celery {worker.version}"
            yield rows.CELERY_OLD.found("workers", text, 'pip install --upgrade "celery>=5.3"')


def _task_findings(observed: Observations, answered: Mapping[str, Answers]) -> Iterator[Finding]:
    working = sorted(name for name, worker in observed.workers.items() if worker.worked and not worker.tasks)
    eventless = [name for name in working if _may_be_eventless(observed.workers[name], answered.get(name, Answers()))]
    silent = [name for name in working if name not in eventless]
    if observed.started or observed.received:
        yield rows.TASK_EVENTS_ON.found("task events", f"{observed.received} received, {observed.started} started")
    if silent:
        yield rows.TASK_EVENTS_OFF.found(
            "task events", f"these execute tasks and send no task events: {name_some(silent)}",
            celery_setting("worker_send_task_events", "True"),
            f"celery --app=APP control --destination={','.join(silent[:SHOWN])} enable_events",
        )  # fmt: skip
    if eventless:
        yield rows.TASK_EVENTS_EVENTLESS.found(
            "task events", f"these may have executed only tasks with send_events=False: {name_some(eventless)}",
            "celery --app=APP inspect registered send_events",
        )  # fmt: skip
    if not (working or observed.started or observed.received):
        yield rows.TASK_EVENTS_UNKNOWN.found("task events", f"no task event in {observed.seconds:g} s")


def _may_be_eventless(worker: ObservedWorker, answers: Answers) -> bool:
    """Return whether all executions in the meantime may be tasks with send_events=False.

    The worker's answers state which tasks these are, and how often it has executed each since it started.
    """
    if answers.registered is None or answers.stats is None or answers.stats.totals is None or worker.processed is None:
        return False
    loud = {task.name for task in answers.registered if task.sends_events}
    return count_eventless(answers.stats.totals, loud) >= worker.processed[1] - worker.processed[0]


def _sent_findings(observed: Observations) -> Iterator[Finding]:
    if observed.sent:
        yield rows.TASK_SENT_ON.found("task-sent", f"{observed.sent} received")
    elif observed.received:
        text = f"no task-sent in {observed.seconds:g} s, in which {observed.received} tasks were received"
        yield rows.TASK_SENT_OFF.found("task-sent", text, celery_setting("task_send_sent_event", "True"))
    else:
        yield rows.TASK_SENT_UNKNOWN.found("task-sent", f"no task-sent in {observed.seconds:g} s")
