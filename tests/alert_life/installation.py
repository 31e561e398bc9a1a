# SPDX-License-Identifier: Apache-2.0
"""Simulation of a Celery installation: arrivals, queues, workers, deployments, servers, exporters, Prometheus.

Input: the parts of an installation and the events that happen to them. Output: the series of its exporters at each
scrape. Values result from the events, never from the threshold of a rule; the same seed results in the same series.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from celery_redis_exporter.records.report import Health
from tests.alert_life.agenda import HOUR, Agenda
from tests.alert_life.exporters import Exporter, Key, server_key
from tests.alert_life.series import Recording
from tests.alert_life.servers import RedisServer, Sentinel
from tests.alert_life.worker import Event, Worker

Course = float | Callable[[float], float]
"""A number, or a function that returns one for a second."""


class Pace(NamedTuple):
    """Seconds between two heartbeats and between two scrapes, chosen so that evaluations rarely coincide with scrapes.

    ``flags`` are the exporter's flags for these intervals; a worker is lost after three heartbeats.
    """

    heartbeat: float
    scrape: int
    flags: tuple[str, ...] = ()


QUICK = Pace(10.0, 29)
SLOW = Pace(40.0, 119, ("--workers.lost-after=130s", "--series.zero-first=125s"))
"""The pace of lives that last days."""
BUCKETS = "[1, 10, 60, 300, 600, 1800, 3600, 7200]"
FEW_BUCKETS = (f'--buckets={{"celery_task_wait_seconds": {BUCKETS}, "celery_task_runtime_seconds": {BUCKETS}}}',)
"""Every second default bucket, which halves the number of series."""
VISIBILITY = 3600.0


def one_in(number: int, since: float) -> Callable[[float], float]:
    """Return a course by which one in ``number`` executions fails after the second ``since``, and none before."""
    turn = count(1)
    return lambda now: float(now > since and next(turn) % number == 0)


def now_of(course: Course, now: float) -> float:
    """Return the value of a course at a second."""
    return course(now) if callable(course) else course


@dataclass(frozen=True)
class Task:
    """A task: executions per hour, runtime in seconds, shares that fail, are retried or are terminated.

    ``every`` is the interval of beat's schedule in seconds. ``eta`` and ``expires`` are seconds after the publication.
    A retry is published at once, with an eta ``retry_after`` seconds later. ``fails_with`` is the exception's class.
    """

    name: str
    queue: str = "default"
    per_hour: Course = 0.0
    runtime: Course = 1.0
    fails: Course = 0.0
    terminated: Course = 0.0
    retried: Course = 0.0
    every: float = 0.0
    eta: float = 0.0
    expires: float = math.inf
    retry_after: float = 1.0
    acks_late: bool = False
    fails_with: str = "ValueError"


@dataclass(frozen=True)
class Message:
    """A published task; ``due`` is its eta."""

    uuid: str
    task: Task
    published: float
    due: float
    retries: int


class Installation:
    """One Celery application with its exporters and Prometheus servers.

    ``where`` are the labels of its targets, ``settings`` flags of its exporters, and ``wanted`` the names of the
    samples that are recorded. Methods take effect at the start; ``at`` calls them later.
    """

    def __init__(
        self, where: dict[str, str], wanted: frozenset[str], settings: Sequence[str] = (), pace: Pace = QUICK
    ) -> None:
        self.agenda = Agenda()
        self.broker = RedisServer("broker")
        self.servers: list[RedisServer | Sentinel] = [self.broker]
        self.workers: dict[str, Worker] = {}
        self.exporters: list[Exporter] = []
        self.beat_ticks: bool | None = None
        self.beat_reports = True
        self.is_scraped = True
        self.loses_events: Course = 0.0
        self.recordings = {"": Recording(wanted)}
        self.away: frozenset[str] = frozenset()
        self._pace, self._wanted, self._where = pace, wanted, where
        self._settings = [*FEW_BUCKETS, *pace.flags, *settings]
        self._random = random.Random(str(where))  # noqa: S311 -- the same life each time
        self._queues: dict[str, deque[Message]] = {}
        self._unacked: dict[str, float] = {}
        self._successors: dict[str, Worker] = {}
        self._schedule: dict[str, float] = {}
        self._numbers = count(1)
        self.exporter = self.add_exporter("exporter:9808")
        self.verdicts: dict[float, list[Health]] = {}
        self.agenda.every(pace.heartbeat, self._pulse, first=1.0)
        self.agenda.every(pace.scrape, self._scrape)

    def judge_at(self, *instants: float) -> None:
        """Record the verdicts of the first exporter's report at these seconds, after the marks that it needs."""
        for instant in instants:
            for number in range(12):
                self.agenda.at(instant - number * 60, self.exporter.mark)
            self.agenda.at(instant, lambda instant=instant: self._judge(instant))  # type: ignore[misc]

    def at(self, hours: float, act: Callable[..., object], *arguments: object) -> None:
        """Call ``act`` a number of hours after the start."""
        self.agenda.at(hours * HOUR, lambda: act(*arguments))

    def run(self, hours: float) -> dict[str, str]:
        """Simulate a number of hours; return the series."""
        self.agenda.run(hours * HOUR)
        return {series: values for recording in self.recordings.values() for series, values in recording.rows()}

    # The parts.

    def add_exporter(self, instance: str) -> Exporter:
        """Add an exporter that Prometheus scrapes, and start it."""
        exporter = Exporter(self.agenda, instance, self._settings, self._wanted)
        self.exporters.append(exporter)
        exporter.start()
        return exporter

    def scrape_with(self, *replicas: str) -> None:
        """Scrape with several Prometheus servers, whose series have the label ``replica`` in a shared store.

        The servers in ``away`` do not run.
        """
        self.recordings = {replica: Recording(self._wanted) for replica in replicas}

    def add_server(self, server: RedisServer | Sentinel) -> None:
        """Add a server that the exporters read."""
        self.servers.append(server)

    def task(self, task: Task) -> None:
        """Publish a task from now on, by its rate or its schedule."""
        self._queues.setdefault(task.queue, deque())
        if task.every:
            self._schedule[task.name] = task.every
            self.agenda.every(task.every, lambda: self._tick_beat(task), first=self.agenda.now + task.every)
        else:
            self._await_arrival(task)

    def publish(self, task: Task, messages: int) -> None:
        """Publish many messages at once."""
        for _ in range(messages):
            self._publish(task)

    def announce(self, kind: str) -> None:
        """Publish a custom event of the application."""
        self._publish_event({"type": kind, "hostname": "app@host", "timestamp": self.agenda.now})

    # Events of workers.

    def start(self, *workers: Worker) -> None:
        """Start workers."""
        for worker in workers:
            started = replace(
                worker,
                heartbeat=self._pace.heartbeat,
                pid=next(self._numbers),
                running=set(),
                processed=0,
                drains=False,
            )
            self.workers[worker.name] = started
            if started.beats:
                self._publish_event(started.event("worker-online", self.agenda.now))
            self.agenda.at(self.agenda.now + 1, lambda started=started: self._feed(started))  # type: ignore[misc]

    def stop(self, name: str) -> None:
        """Stop a worker cleanly, after it finishes its running tasks."""
        worker = self.workers[name]
        worker.drains = True
        self._leave_if_done(worker)

    def kill(self, name: str) -> None:
        """Kill a worker and its running tasks."""
        del self.workers[name]

    def restart(self, name: str, as_name: str = "") -> None:
        """Stop a worker cleanly and start another one in its place, named ``as_name`` if that is set."""
        worker = self.workers.get(name)
        if worker is None or worker.drains:
            return
        self._successors[name] = replace(worker, name=as_name or name)
        self.stop(name)

    def deploy(self, prefix: str = "", *, new_names: bool = False) -> None:
        """Restart workers whose names begin with ``prefix``, one a minute; ``new_names`` renames them as new pods."""
        for place, name in enumerate([name for name in self.workers if name.startswith(prefix)]):
            new = f"celery@pod-{next(self._numbers)}" if new_names else ""
            self.agenda.at(self.agenda.now + place * 60, lambda name=name, new=new: self.restart(name, new))  # type: ignore[misc]

    def scale(self, workers: int, template: Worker = Worker("celery@pod")) -> None:  # noqa: B008 -- never changed
        """Start or stop workers until ``workers`` run; those that start are new pods."""
        running = [name for name, worker in self.workers.items() if not worker.drains]
        for name in running[workers:]:
            self.stop(name)
        self.start(
            *(replace(template, name=f"{template.name}-{next(self._numbers)}") for _ in range(workers - len(running)))
        )

    # Events of other parts.

    def restart_exporter(self, seconds: float = 20.0) -> None:
        """Restart the first exporter, which is down for ``seconds``."""
        self.exporter.stop()
        self.agenda.at(self.agenda.now + seconds, self.exporter.start)

    def break_broker(self, *, down: bool = True) -> None:
        """Stop or restore the broker: while it is down nothing is published, executed or received."""
        self.broker.is_up = not down
        for exporter in self.exporters:
            exporter.reaches_broker = not down
            exporter.cut(off=down)
        for worker in self.workers.values():
            self._feed(worker)

    def set(self, thing: object, **values: object) -> None:
        """Set attributes of a server, a worker, an exporter or the installation itself."""
        for name, value in values.items():
            assert hasattr(thing, name), name
            setattr(thing, name, value)

    # The simulation.

    def _await_arrival(self, task: Task) -> None:
        """Wait for the next arrival, or check the rate again after at most a quarter of an hour, because it changes."""
        rate = now_of(task.per_hour, self.agenda.now) / HOUR
        gap = self._random.expovariate(rate) if rate else math.inf
        if gap > 900:
            self.agenda.at(self.agenda.now + 900, lambda: self._await_arrival(task))
            return

        def arrive() -> None:
            self._publish(task)
            self._await_arrival(task)

        self.agenda.at(self.agenda.now + gap, arrive)

    def _tick_beat(self, task: Task) -> None:
        if self.beat_ticks:
            self._publish(task)

    def _publish(self, task: Task, uuid: str = "", retries: int = 0, after: float = 0.0) -> None:
        if not self.broker.is_up:
            return
        now = self.agenda.now
        message = Message(uuid or f"t{next(self._numbers)}", task, now, now + (after or task.eta), retries)
        route = {"queue": task.queue, "exchange": "", "routing_key": task.queue, "retries": retries}
        self._publish_event({"type": "task-sent", "uuid": message.uuid, "timestamp": now, "name": task.name, **route})
        self._queues.setdefault(task.queue, deque()).append(message)
        self._offer(task.queue)

    def _offer(self, queue: str) -> None:
        """Let a free worker take messages from a queue."""
        free = [worker for worker in self.workers.values() if worker.is_free and queue in worker.queues]
        if free:
            self._feed(self._random.choice(free))

    def _feed(self, worker: Worker) -> None:
        """Let a worker take messages from its queues until all its processes are busy."""
        while (
            worker.is_free and self.broker.is_up and not self._is_read_only and self.workers.get(worker.name) is worker
        ):
            waiting = [self._queues[queue] for queue in worker.queues if self._queues.get(queue)]
            if not waiting:
                return
            self._take(worker, self._random.choice(waiting).popleft())

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Return whether an alert with these labels is about this installation."""
        return all(labels.get(name, "") == value for name, value in self._where.items())

    def _judge(self, instant: float) -> None:
        if self.exporter.is_running:
            servers = {server.name: [*server.rows(self.agenda.now, self._messages)] for server in self.servers}
            self.exporter.fold(self.workers.values())
            self.verdicts[instant] = self.exporter.judge(servers, self._waiting, self._deliveries)

    @property
    def _messages(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def _deliveries(self) -> list[float]:
        return [self.agenda.now - (self.agenda.now - since) % VISIBILITY for since in self._unacked.values()]

    @property
    def _waiting(self) -> dict[str, list[tuple[str, float]]]:
        return {name: [(row.uuid, row.published) for row in waiting] for name, waiting in self._queues.items()}

    @property
    def _is_read_only(self) -> bool:
        return self.broker.role == "slave"

    def _take(self, worker: Worker, message: Message) -> None:
        now, stamp = self.agenda.now, self.agenda.now + worker.skew
        of_task = {"uuid": message.uuid, "timestamp": stamp, "hostname": worker.name}
        self._report(
            worker, {"type": "task-received", "name": message.task.name, "retries": message.retries, **of_task}
        )
        if now - message.published > message.task.expires:
            self._report(worker, {"type": "task-revoked", "expired": True, **of_task})
        elif message.due > now + 1:
            self._unacked[message.uuid] = now
            self.agenda.at(message.due, lambda: self._return_due(message))
        else:
            self._begin(worker, message)

    def _return_due(self, message: Message) -> None:
        self._unacked.pop(message.uuid, None)
        self._queues[message.task.queue].appendleft(message)
        self._offer(message.task.queue)

    def _begin(self, worker: Worker, message: Message) -> None:
        now, task = self.agenda.now, message.task
        worker.running.add(message.uuid)
        worker.processed += 1
        of_task = {"uuid": message.uuid, "timestamp": now + worker.skew, "hostname": worker.name}
        self._report(worker, {"type": "task-started", **of_task})
        if task.acks_late:
            self._unacked[message.uuid] = now
        runtime = now_of(task.runtime, now) * self._random.uniform(0.6, 1.4)
        self.agenda.at(now + runtime, lambda: self._end(worker, message, runtime))

    def _end(self, worker: Worker, message: Message, runtime: float) -> None:
        self._unacked.pop(message.uuid, None)
        if self.workers.get(worker.name) is not worker:
            return
        worker.running.discard(message.uuid)
        now, task, luck = self.agenda.now, message.task, self._random.random()
        fails, retried = now_of(task.fails, now), now_of(task.retried, now)
        event: Event = {"uuid": message.uuid, "timestamp": now + worker.skew, "hostname": worker.name}
        if luck < fails:
            self._report(worker, {"type": "task-failed", "exception": f"{task.fails_with}()", **event})
        elif luck < fails + retried:
            self._report(worker, {"type": "task-retried", "exception": "OSError()", **event})
            self._publish(task, message.uuid, 1, task.retry_after)
        elif luck > 1 - now_of(task.terminated, now):
            self._report(worker, {"type": "task-revoked", "terminated": True, **event})
        else:
            self._report(worker, {"type": "task-succeeded", "runtime": runtime, **event})
        self._leave_if_done(worker)
        self._feed(worker)

    def _leave_if_done(self, worker: Worker) -> None:
        if worker.drains and not worker.running and self.workers.get(worker.name) is worker:
            if worker.beats:
                self._publish_event(worker.event("worker-offline", self.agenda.now))
            del self.workers[worker.name]
            successor = self._successors.pop(worker.name, None)
            if successor is not None:
                self.agenda.at(self.agenda.now + 15, lambda: self.start(successor))

    def _report(self, worker: Worker, event: Event) -> None:
        if worker.reports:
            self._publish_event(event)

    def _publish_event(self, event: Event) -> None:
        if self.broker.is_up and self._random.random() >= now_of(self.loses_events, self.agenda.now):
            for exporter in self.exporters:
                exporter.hear(event)

    def _pulse(self) -> None:
        now = self.agenda.now
        for worker in self.workers.values():
            if worker.beats:
                self._publish_event(worker.event("worker-heartbeat", now))
            self._feed(worker)
        if self.beat_ticks and self.beat_reports:
            beat = {"hostname": "beat@host", "timestamp": now, "freq": self._pace.heartbeat, "tasks": self._schedule}
            self._publish_event({"type": "beat-heartbeat", **beat})
        for exporter in self.exporters:
            exporter.fold(self.workers.values())

    def _scrape(self) -> None:
        """Record the samples that Prometheus receives, none while it does not run."""
        for replica, recording in self.recordings.items():
            if self.is_scraped and replica not in self.away:
                recording.begin()
            else:
                recording.skip()
        if not self.is_scraped:
            return
        queues, deliveries = self._waiting, self._deliveries
        servers = [server_key(row) for server in self.servers for row in server.rows(self.agenda.now, self._messages)]
        running = {replica: found for replica, found in self.recordings.items() if replica not in self.away}
        for exporter in self.exporters:
            if exporter.is_target:
                samples: dict[Key, float] = {}
                if exporter.is_running:
                    exporter.fold(self.workers.values())
                    samples = {**dict(exporter.scrape(queues, deliveries)), **dict(servers)}
                for replica, recording in running.items():
                    where = {**self._where, "instance": exporter.instance, **({"replica": replica} if replica else {})}
                    recording.add(where, {("up", ()): float(exporter.is_running)}, is_own=False)
                    recording.add(where, samples)
        for recording in running.values():
            recording.end()
