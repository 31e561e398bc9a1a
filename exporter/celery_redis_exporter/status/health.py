# SPDX-License-Identifier: Apache-2.0
"""Judge the health of the event stream, the servers, workers, queues and tasks.

Input: what was read. Output: a state and its reason for each, ``unknown`` where nothing was read. The thresholds are
those of the alerts. An alert waits some minutes before it fires; the verdict does not wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from celery_redis_exporter.alerts.thresholds import is_written, severity, threshold
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.records.report import (
    Check,
    Health,
    QueueStatus,
    ServerStatus,
    State,
    TaskStatus,
    Unacked,
    WorkerStatus,
)
from celery_redis_exporter.status.conditions import CONDITIONS, Moment
from celery_redis_exporter.status.numbers import Numbers
from celery_redis_exporter.status.queues import is_long, is_old
from celery_redis_exporter.status.tasks import is_failing

NAMED = 3
"""Names that a reason lists."""
PATIENCE = 60.0
"""Seconds after the start in which heartbeats of workers may not have arrived yet."""
SENTINEL = "/sentinel/"
WORKERS = "Workers"
"""The subject of the verdict on workers."""
NO_EVENTS, NO_ANSWER, NO_ANSWER_OF_SENTINELS = "no events are received", "no answer", "no answer of sentinels"
NONE_ONLINE, NO_HEARTBEATS = "none is online", "stopped sending heartbeats"
MEMORY, LONG, SOME_FAIL = "memory", "long", "some fail"
"""Reasons that the daily checklist of ``check`` contains too, in its own words."""
SEPARATOR = "; "
"""What is between the reasons of one verdict."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The exporter's counts within the window: executions whose events were missed, messages that could not be read."""

    missed: float
    invalid: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is judged. ``now`` is in epoch seconds, ``uptime`` in seconds.

    ``lacks_workers`` is ``LastHours.lacks_workers``.
    """

    now: float
    uptime: float
    numbers: Numbers
    counted: Counted
    checks: Sequence[Check]
    servers: Sequence[ServerStatus]
    workers: Sequence[WorkerStatus]
    lacks_workers: bool
    queues: Sequence[QueueStatus]
    unacked: Unacked | None
    tasks: Sequence[TaskStatus]


class _Verdict:
    """Collects reasons. The state is that of the worst reason."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._reasons: dict[State, list[str]] = {"critical": [], "warning": [], "unknown": []}

    def add(self, state: State, reason: str, names: Iterable[str] | None = None) -> None:
        """Add a reason. With ``names`` it is added only if there are any, and lists the first ones."""
        found = None if names is None else list(names)
        if found:
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            reason = f"{reason}: {', '.join(found[:NAMED])}{more}"
        if found is None or found:
            self._reasons[state].append(reason)

    def give(self, scene: Scene) -> Health:
        """Return the verdict, with the conditions of the alerts about the subject."""
        moment = Moment(scene.numbers, scene.now, scene.uptime)
        for condition in CONDITIONS:
            if condition.subject == self._subject:
                self.add(severity(condition.alert), condition.reason, condition.names(moment))
        found = [state for state, reasons in self._reasons.items() if reasons]
        if not found:
            return Health(self._subject, "ok")
        return Health(self._subject, found[0], SEPARATOR.join(chain.from_iterable(self._reasons.values())))


def judge(scene: Scene) -> list[Health]:
    """Return the verdict on every subject, in the order in which they are shown."""
    parts = (_judge_stream, _judge_servers, _judge_workers, _judge_queues, _judge_tasks)
    return [part(scene) for part in parts]


def _judge_stream(scene: Scene) -> Health:
    verdict, numbers = _Verdict("Event stream"), scene.numbers
    closed = _closed_stream(scene)
    if closed:
        state: State = "unknown" if closed.state == "starting" else "critical"
        verdict.add(state, f"{NO_EVENTS}: {closed.detail}")
    last = numbers.one(internals.LAST_EVENT)
    if not closed and not last:
        verdict.add("unknown", "no event was received yet")
    silence = threshold("CeleryEventsSilent", "seconds")
    if not closed and last and scene.now - last > silence and _beating(scene):
        verdict.add("critical", f"no event for {scene.now - last:.0f} s although workers send heartbeats")
    if scene.counted.missed > threshold("CeleryEventsLost", "executions"):
        verdict.add("warning", f"{scene.counted.missed:.0f} executions were not seen in the last minutes")
    if scene.counted.invalid > threshold("CeleryEventsInvalid", "events"):
        verdict.add("warning", f"{scene.counted.invalid:.0f} messages could not be read in the last minutes")
    if numbers.total(internals.EVENT_BACKLOG) > threshold("CeleryEventBacklogGrowing", "bytes"):
        verdict.add("warning", "the exporter falls behind: events wait in Redis")
    return verdict.give(scene)


def _judge_servers(scene: Scene) -> Health:
    verdict = _Verdict("Redis")
    away = [server for server in scene.servers if not server.up]
    verdict.add("critical", NO_ANSWER, (_why(server) for server in away if SENTINEL not in server.name))
    verdict.add("warning", NO_ANSWER_OF_SENTINELS, (_why(server) for server in away if SENTINEL in server.name))
    verdict.add("critical", NO_ANSWER, _broker_away(scene))
    if not scene.servers and scene.numbers.one(internals.BROKER_UP) is None:
        verdict.add("unknown", "no server was read yet")
    replicas = (server.name for server in scene.servers if server.read_only and is_written(server.name))
    verdict.add("critical", "read-only replicas, to which Celery can't write", replicas)
    for state in ("critical", "warning"):
        full = [server for server in scene.servers if server.memory.state == state]
        verdict.add(state, MEMORY, (f"{server.name} {server.memory.used_ratio or 0:.0%} used" for server in full))
    return verdict.give(scene)


def _broker_away(scene: Scene) -> list[str]:
    """Return the broker if it is not Redis and does not answer."""
    if scene.numbers.one(internals.BROKER_UP) != 0:
        return []
    failed = [check.detail for check in scene.checks if check.check == "Broker" and check.state == "failed"]
    return [f"broker ({detail})" for detail in failed or ["failed"]]


def _judge_workers(scene: Scene) -> Health:
    verdict, lost = _Verdict(WORKERS), [worker.name for worker in scene.workers if worker.state == "lost"]
    if _closed_stream(scene):
        verdict.add("unknown", NO_EVENTS)
    elif not _online(scene):
        early = scene.uptime < PATIENCE and not lost
        # As in the alert: an application that was scaled to zero and has nothing to do needs no worker.
        has_work = bool(lost) or any(queue.length or queue.incoming for queue in scene.queues)
        if has_work and not early:
            verdict.add("critical", NONE_ONLINE)
        else:
            verdict.add("unknown", "no heartbeat was received yet" if early else "none is online, and no message waits")
    # As in the alert: lost workers that were replaced do not matter.
    verdict.add("warning", NO_HEARTBEATS, lost if scene.lacks_workers or not _online(scene) else ())
    silent = (worker.name for worker in scene.workers if worker.sends_events is False)
    verdict.add("warning", "send no task events (-E)", silent)
    allowed = threshold("CeleryWorkerClockSkew", "seconds")
    wrong = (worker.name for worker in scene.workers if abs(worker.clock_skew_seconds or 0) > allowed)
    verdict.add("warning", "clock is wrong", wrong)
    return verdict.give(scene)


def _judge_queues(scene: Scene) -> Health:
    verdict, queues, unacked = _Verdict("Queues"), scene.queues, scene.unacked
    if all(queue.length is None for queue in queues):
        verdict.add("unknown", "their lengths can't be read" if queues else "no queue is known yet")
    alone = (queue.name for queue in queues if queue.verdict == "critical")
    verdict.add("critical", "messages and no consumer", alone)
    long = (f"{queue.name} {queue.length:,.0f}" for queue in queues if is_long(queue.length, queue.length_threshold))
    verdict.add("warning", LONG, long)
    old = (queue.name for queue in queues if is_old(queue.oldest_age_seconds, queue.wait_threshold_seconds))
    verdict.add("warning", "old messages", old)
    if unacked and unacked.overdue:
        verdict.add("warning", f"{unacked.overdue:,.0f} unacknowledged messages are past the visibility timeout")
    return verdict.give(scene)


def _judge_tasks(scene: Scene) -> Health:
    verdict = _Verdict("Tasks")
    if _closed_stream(scene):
        verdict.add("unknown", NO_EVENTS)
    elif not scene.tasks:
        verdict.add("unknown", "no event of a task was received yet")
    in_a_row = [(task.name, task.consecutive_failures) for task in scene.tasks if is_failing(task.consecutive_failures)]
    verdict.add("critical", "fail every time", (f"{name} {count:,.0f} times" for name, count in in_a_row))
    words: dict[State, str] = {"critical": "many fail", "warning": SOME_FAIL}
    for state, what in words.items():
        failing = (
            f"{task.name} {task.recent.failure_ratio:.0%}"
            for task in scene.tasks
            if task.verdict == state and not is_failing(task.consecutive_failures)
            if task.recent and task.recent.failure_ratio is not None
        )
        verdict.add(state, what, failing)
    return verdict.give(scene)


def _closed_stream(scene: Scene) -> Check | None:
    """Return the check of the event stream if no events are received, else None."""
    return next((check for check in scene.checks if check.check == "Event stream" and check.state != "ok"), None)


def _online(scene: Scene) -> bool:
    return any(worker.state == "online" for worker in scene.workers)


def _beating(scene: Scene) -> bool:
    """Return whether a worker that sends heartbeats is online. Other workers are silent when they have no task."""
    return any(worker.state == "online" and worker.last_heartbeat is not None for worker in scene.workers)


def _why(server: ServerStatus) -> str:
    return f"{server.name} ({server.error or 'unknown'})"
