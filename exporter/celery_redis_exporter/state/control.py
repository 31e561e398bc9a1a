# SPDX-License-Identifier: Apache-2.0
"""Fold workers' replies to control commands: gauges, names of future tasks, and tasks that workers already have.

Input: replies. Output: series, and the commands to send to each worker. A missing reply removes its values: absent is
not zero. Not thread-safe: see state.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.inspection import Answers, ConsumedQueue, HeldTask, RegisteredTask, WorkerStats
from celery_redis_exporter.records.replies import DIRECT, Route
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.eventless import EventlessTasks
from celery_redis_exporter.state.task import Worker
from celery_redis_exporter.state.tasks import Tasks
from celery_redis_exporter.state.transport import Transport
from celery_redis_exporter.state.worker import UNTOLD, Presence, Questions, Setup
from celery_redis_exporter.state.workers import Workers

ROUTINE = ("stats", "active_queues", "scheduled", "reserved")
"""The commands of every round. A task moves from scheduled to reserved to active, so in this order none is missed."""
INTRODUCTION = ("active", "registered", "conf")
"""Commands that are sent until a worker process has answered. Their results are constant, or events report changes."""
COMMANDS = (*ROUTINE, *INTRODUCTION)
REPEATS = (2.0, 5.0, 10.0)
"""Seconds after the first commands to a new worker at which they are repeated, until it answers.

A worker sends worker-online before it can receive commands.
"""
MOST_INTRODUCTIONS = 5
"""The number of rounds in which a worker that answers is queried for the missing part of its introduction.

A reply that is too large, or that can't be read, will be so again.
"""
SEEDING_SECONDS = 13.0
"""Seconds for which events of unknown tasks wait for their worker's introduction. It takes less if workers answer."""
NUDGE_SECONDS = 60.0
DOUBT = ("active",)
"""The commands for a worker that reports fewer active tasks than it runs by its events."""
DOUBT_INTERVAL = 5.0
"""Seconds between two such queries of one worker."""
_LINUX_UNIT, _MACOS_UNIT = 1024, 1


class InspectionTarget(NamedTuple):
    """A worker, and the ``commands`` to send to it."""

    worker: str
    commands: tuple[str, ...]


class Inspection:
    """Query workers for information that their events do not contain.

    ``beats`` are pinged too. ``transport`` receives the transport options that workers report.
    """

    def __init__(
        self,
        workers: Workers,
        tasks: Tasks,
        clock: Clock,
        beats: Beats | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.beats = beats
        self._workers = workers
        self._tasks = tasks
        self._clock = clock
        self._transport = transport
        self._foreseen: frozenset[tuple[frozenset[str], tuple[str, ...] | None]] = frozenset()
        self._registers: dict[frozenset[str], frozenset[str]] = {}
        self._revision = -1  # The revision of the workers at the last ``foresee``.

    def expect(self, *, answers: bool) -> None:
        """Record whether workers will be queried. Only then are events of unknown tasks deferred for the replies."""
        self._workers.seeding = SEEDING_SECONDS if answers else 0.0

    def targets(self, *, everyone: bool) -> list[InspectionTarget]:
        """Return workers and their commands: ``everyone``, or those not queried since they started or in doubt."""
        now = self._clock.monotonic()
        found = []
        for worker in self._workers.online():
            if everyone or (not worker.questions.asked and now >= worker.questions.due):
                if worker.questions.due < 0:
                    worker.questions.first = now
                found.append(InspectionTarget(worker.name, _commands(worker.questions)))
            elif worker.doubt is not None and now - worker.questions.active_asked >= DOUBT_INTERVAL:
                worker.questions.active_asked = now
                found.append(InspectionTarget(worker.name, DOUBT))
        return found

    def fold(self, target: InspectionTarget, answers: Answers) -> None:
        """Fold one worker's replies. The values of missing replies are removed."""
        worker = self._workers.by_name.get(target.worker)
        if worker is None or worker.presence is not Presence.ONLINE:
            return
        if target.commands == DOUBT:
            self._settle_doubt(worker, answers)
            return
        self._note_answers(worker, {command: getattr(answers, command) is not None for command in target.commands})
        stats = answers.stats
        self._tasks.routes.learn(_routes(answers.active_queues or ()))
        queues = None if answers.active_queues is None else tuple(queue.name for queue in answers.active_queues)
        self._workers.learn(worker, worker.announced, Setup(queues, stats and stats.concurrency))
        self._fold_stats(worker, stats)
        self._workers.show(worker, rows.WORKER_RESERVED, None if answers.reserved is None else len(answers.reserved))
        self._workers.show(worker, rows.WORKER_SCHEDULED, None if answers.scheduled is None else len(answers.scheduled))
        if answers.registered is not None:
            self._note_tasks(worker, answers.registered)
            self._revision = -1
        if answers.conf is not None:
            worker.questions.conf = answers.conf
            self._revision = -1
        if stats is not None and stats.totals is not None:
            self._workers.fold_totals(worker, stats.totals)
        if "active" in target.commands:
            self._seed(worker, answers)

    def foresee(self) -> None:
        """Apply changes of the online workers to the transport options and to the counters of future tasks.

        The counters of tasks that are registered and were not seen yet are created at 0. The queue of a task is certain
        only if all workers that register it consume the same single queue, and report it. In other fleets the first
        event creates the counters, because a series under a wrong queue would stay at 0 for ever. A worker that has not
        sent a task event yet may never send one, and its counters would stay at 0 while it executes tasks. It counts
        from its first event on. A task that is known already has its counters.
        """
        if self._revision == self._workers.revision:
            return
        self._revision = self._workers.revision
        if self._transport is not None:
            confs = (worker.questions.conf for worker in self._workers.online())
            self._transport.learn(conf for conf in confs if conf is not None)
        replied = [worker for worker in self._workers.online() if worker.questions.registered and sends_events(worker)]
        fleet = frozenset((worker.questions.registered or frozenset(), worker.setup.queues) for worker in replied)
        if fleet == self._foreseen:
            return
        self._foreseen = fleet
        self._registers = {names: names for names, _ in fleet}
        homes: dict[str, set[str]] = {}
        for names, queues in fleet:
            for name in names:
                homes.setdefault(name, set()).update(queues or (UNKNOWN,))
        for name in sorted(homes):
            if len(homes[name]) == 1 and UNKNOWN not in homes[name] and not name.startswith("celery."):
                self._tasks.names.foresee(name, *homes[name])

    def silent(self) -> list[str]:
        """Return workers that process tasks and send no task events, each at most once in NUDGE_SECONDS."""
        now = self._clock.monotonic()
        found = []
        for worker in self._workers.online():
            if sends_events(worker) is False and now - worker.questions.nudged >= NUDGE_SECONDS:
                worker.questions.nudged = now
                found.append(worker.name)
        return found

    def forget(self) -> None:
        """Remove the values that workers reported, because no worker can be queried."""
        for worker in self._workers.online():
            self._workers.learn(worker, worker.announced, UNTOLD)
            self._fold_stats(worker, None)
            for metric in (rows.WORKER_RESERVED, rows.WORKER_SCHEDULED):
                self._workers.show(worker, metric, None)

    def _note_tasks(self, worker: Worker, registered: Sequence[RegisteredTask]) -> None:
        names = frozenset(task.name for task in registered)
        worker.questions.registered = self._registers.setdefault(names, names)
        if worker.questions.eventless is None and not all(task.sends_events for task in registered):
            loud = frozenset(task.name for task in registered if task.sends_events)
            worker.questions.eventless = EventlessTasks(loud)

    def _note_answers(self, worker: Worker, answered: Mapping[str, bool]) -> None:
        """Record which commands a worker answered. A new one that did not answer all is queried again a few times.

        It may have missed the first commands, which were sent before it could receive any.
        """
        questions = worker.questions
        questions.unanswered += 1
        if any(answered.values()):
            questions.unanswered = 0
            self._workers.note_answer(worker)
            questions.introductions += questions.asked and "conf" in answered
        if all(answered.values()) or questions.repeats == len(REPEATS):
            questions.asked = True
        elif not questions.asked:
            questions.due = questions.first + REPEATS[questions.repeats]
            questions.repeats += 1

    def _fold_stats(self, worker: Worker, stats: WorkerStats | None) -> None:
        show = self._workers.show
        replied = stats or WorkerStats("")
        show(worker, rows.WORKER_PREFETCH_COUNT, replied.prefetch_count)
        show(worker, rows.WORKER_UPTIME, replied.uptime)
        show(worker, rows.WORKER_MAX_RSS, replied.max_rss and replied.max_rss * _rss_unit(worker))
        self._workers.show_only(worker, rows.WORKER_POOL_INFO, {(replied.pool,)} if replied.pool else ())

    def _settle_doubt(self, worker: Worker, answers: Answers) -> None:
        """Close the runs that the worker does not list. Without a reply its next heartbeats decide."""
        if answers.active is not None and worker.doubt is not None:
            active = Counter(task.uuid for task in answers.active)
            self._workers.runs.close_absent(worker, active, worker.doubt.before)
            worker.doubt = None

    def _seed(self, worker: Worker, answers: Answers) -> None:
        """Add the tasks that the worker has, whose first events were before the subscription."""
        bound = {(queue.exchange, queue.routing_key): queue.name for queue in answers.active_queues or ()}
        for task in answers.active or ():
            started_at = self._clock.now() if task.started_at is None else task.started_at
            self._tasks.adopt(task.uuid, task.name, _queue_of(task, bound), worker, started_at)
        for task in (*(answers.reserved or ()), *(answers.scheduled or ())):
            self._tasks.adopt(task.uuid, task.name, _queue_of(task, bound), worker, None)
        if answers.active_queues is not None and answers.active is not None:
            worker.seeding_until = 0.0
            self._tasks.hasten(worker)


def _commands(questions: Questions) -> tuple[str, ...]:
    """Return the commands for a worker: all, until it answered the constant ones, or was queried often enough."""
    if questions.asked and questions.introductions >= MOST_INTRODUCTIONS:
        return ROUTINE
    if not questions.asked or questions.registered is None:
        return COMMANDS
    return ROUTINE if questions.conf is not None else (*ROUTINE, "conf")


def sends_events(worker: Worker) -> bool | None:
    """Return whether a worker sends task events, or None if it neither sent one nor executed a task without one."""
    enabled = worker.series.get((rows.WORKER_TASK_EVENTS, ()))
    return None if enabled is None else bool(enabled.value)


def _routes(queues: Iterable[ConsumedQueue]) -> list[Route]:
    """Return the bindings that a worker reported, except those of the default exchange, which need none."""
    return [
        Route(queue.exchange, queue.routing_key, queue.name, queue.exchange_type or DIRECT)
        for queue in queues
        if queue.exchange
    ]


def _queue_of(task: HeldTask, bound: Mapping[tuple[str, str], str]) -> str:
    """Return the queue that a task came from. ``bound`` maps exchange and routing key to the queue.

    On the default exchange the routing key is the queue's name. If the binding is a pattern, the queue is known only if
    the worker consumes a single one.
    """
    if not task.exchange and task.routing_key:
        return task.routing_key
    only = next(iter(bound.values())) if len(bound) == 1 else UNKNOWN
    return bound.get((task.exchange, task.routing_key), only)


def _rss_unit(worker: Worker) -> int:
    """Return the bytes in a unit of the worker's getrusage. Its heartbeats report the system."""
    systems = {labels[-1] for metric, labels in worker.series if metric is rows.WORKER_INFO}
    return _MACOS_UNIT if "Darwin" in systems else _LINUX_UNIT
