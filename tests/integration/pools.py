# SPDX-License-Identifier: Apache-2.0
"""Start one worker with all it needs, and tasks of every outcome, for the tests of pools and of Celery's versions.

Input: a pool and a Python. Output: a running set of programs. A case is a task, how often it is sent, and its expected
counts. Nothing is asserted here.
"""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from celery import Celery

from tests.integration.celery_workers import QUICK, Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, Exporter, times
from tests.integration.processes import Process
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Case:
    """A task that is sent ``number`` times, and its expected counts. Another task publishes it if the number is 0."""

    task: str
    account: Mapping[str, float]
    number: int = 1
    args: tuple[object, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


NOWHERE = "/nonexistent/gate"
ENDS_WELL = MappingProxyType({"success": 1, "runtime success": 1})
RETRIED = MappingProxyType({**times(2, ONE_RUN), "retry": 1, "KeyError": 1, "runtime retry": 1, **ENDS_WELL})
UNSENT = MappingProxyType({title: value for title, value in ONE_SUCCESS.items() if title not in {"sent", "wait"}})

NEVER = {
    "celery_tasks_running", "celery_worker_events_missed_total", "celery_exporter_tasks_unmatched_total",
    "celery_exporter_events_invalid_total", "celery_exporter_series_dropped_total",
    "celery_exporter_control_replies_invalid_total", "celery_exporter_unexpected_errors_total",
}  # fmt: skip
"""Metrics that are 0 for every outcome of a task."""


def failed(exception: str) -> dict[str, float]:
    """Return the account of one execution that failed."""
    return {**ONE_RUN, "failure": 1, exception: 1, "runtime failure": 1}


CASES = (
    Case("plain", times(3, ONE_SUCCESS), 3),
    Case("fail", times(3, failed("ValueError")), 3),
    Case("fail_in_lines", times(2, failed("RefusedError")), 2),
    Case(
        "retry_in_lines",
        {**times(2, ONE_RUN), "retry": 1, "runtime retry": 1, "failure": 1, "runtime failure": 1, "RefusedError": 2},
        options={"kwargs": {"retries": 1}},
    ),
    Case("retry_once", times(3, RETRIED), 3),
    Case("retry_later", RETRIED, args=(0.5,)),
    Case("retried_by_itself", times(2, RETRIED), 2),
    Case(
        "given_up",
        {**times(2, ONE_RUN), "retry": 1, "runtime retry": 1, "failure": 1, "runtime failure": 1, "KeyError": 2},
        options={"kwargs": {"for_ever": True}},
    ),
    Case("reject", times(2, {**ONE_RUN, "rejected": 1}), 2),
    Case("requeue_once", times(2, {**ONE_SUCCESS, "received": 2, "started": 2, "prefetch": 2, "rejected": 1}), 2),
    Case("ignore", times(2, ONE_RUN), 2),
    Case("expired", times(3, {"sent": 1, "revoked": 1, "revocation expired": 1}), 3, options={"expires": -1}),
    Case("nowhere.registered", {"sent": 1, "failure": 1, "NotRegistered": 1}),
    Case("delayed", ONE_SUCCESS, options={"countdown": 1}),
    Case("late", times(2, ONE_SUCCESS), 2),
    Case("without_result", times(2, ONE_SUCCESS), 2),
    Case("quiet", times(2, UNSENT), 2),
    Case("replaced", ONE_RUN),
    Case("replaced_by", ONE_SUCCESS, 0),
    Case("launch_canvas", ONE_SUCCESS),
    Case("grouped", times(3, ONE_SUCCESS), 0),
    Case("first", ONE_SUCCESS, 0),
    Case("second", ONE_SUCCESS, 0),
    Case("child", ONE_SUCCESS, 0),
    Case("launch_chord", ONE_SUCCESS),
    Case("part", times(4, ONE_SUCCESS), 0),
    Case("body", ONE_SUCCESS, 0),
)
"""The cases that all pools and versions count alike."""


@dataclass(frozen=True)
class Fleet:
    """One worker, its broker, an exporter, and two publishers: one that sends task-sent events, one that does not."""

    pool: str
    redis: RedisServer
    exporter: Exporter
    worker: Worker
    app: Celery
    silent: Celery
    programs: Programs

    @property
    def processes(self) -> list[Process]:
        """Return every program, for a failed test's report."""
        return self.programs.processes

    def send(self, task: str, *args: object, **options: Any) -> str:  # noqa: ANN401 -- Celery's options
        """Publish a task. Return its id."""
        return str(self.app.send_task(task, args, **options).id)

    def publish(self, case: Case) -> None:
        """Publish the tasks of a case. The task ``quiet`` is published without task-sent events."""
        app = self.silent if case.task == "quiet" else self.app
        for _ in range(case.number):
            app.send_task(case.task, case.args, **case.options)

    def is_idle(self) -> bool:
        """Return whether the broker contains no message, neither waiting nor delivered."""
        return not self.redis.command("HLEN", "unacked") and not self.redis.command("LLEN", "celery")

    def unexplained(self) -> dict[str, float]:
        """Return metrics that no case explains: remaining runs, losses, invalid events, unknown queues."""
        found = {}
        for (name, pairs), value in self.exporter.metrics("celery_").items():
            labels = dict(pairs)
            if value and (name in NEVER or labels.get("queue") == "unknown"):
                found[f"{name}{labels}"] = value
        return found


def assemble(folder: Path, ending: ExitStack, pool: str, python: str = sys.executable) -> Fleet:
    """Start a fleet whose worker is of ``pool``, with the Celery of ``python``. It sends a heartbeat every second."""
    programs = Programs(folder, ending)
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s")
    worker = programs.worker(server, pool, worker_options(server, pool, python=python))
    # From here on every task's queue is known, even if the first task-received arrives before its task-sent.
    eventually(lambda: exporter.value("celery_worker_queue_info", worker=worker.name, queue="celery") == 1)
    app = programs.publisher(server)
    silent = programs.publisher(server, task_send_sent_event=False)
    return Fleet(pool, server, exporter, worker, app, silent, programs)


def worker_options(server: RedisServer, pool: str, **options: Any) -> WorkerOptions:  # noqa: ANN401 -- WorkerOptions'
    """Return the options of a worker of a pool that starts quickly and can launch chords."""
    arguments = (*QUICK, "--heartbeat-interval", "1", "-P", pool)
    return WorkerOptions(settings={"result_backend": server.url(db=1)}, arguments=arguments, **options)
