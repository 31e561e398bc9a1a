# SPDX-License-Identifier: Apache-2.0
"""The Celery application of a truth run: a task for each way in which an execution can end.

Input: a broker URL and a result backend. Output: the application that workers import through ``worker_app``, and one
without tasks for publishers. A task whose end no signal reports writes it as a fact beforehand.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject
from celery.signals import worker_ready

from tests.integration.application import READY
from tests.truth.signals import Scribe

LIMIT_SECONDS = 0.4
OVERRUN_SECONDS = 20.0
"""The runtime of a task that is not ended before; on a pool that ends it, this time is never reached."""
UNLIMITED = {"threads", "solo"}
"""Pools that don't enforce time limits, on which an overrun is short."""


def publisher(broker_url: str) -> Celery:
    """Build an application without tasks and results, for publishing."""
    app = Celery("truth", broker=broker_url, set_as_current=False)
    app.conf.task_send_sent_event = True
    return app


def build(broker_url: str, backend: str, scribe: Scribe) -> Celery:
    """Build the application with all tasks, for a worker."""
    app = publisher(broker_url)
    app.conf.update(
        result_backend=backend,
        result_expires=600,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
    )
    for name in ("plain", "first", "second", "part", "body", "replacement", "late", "delayed", "expiring", "revocable"):
        app.task(_work, name=name, acks_late=name == "late")
    _add_ends(app)
    Outcomes(scribe).add(app)
    _add_retries(app)
    _add_waits(app)
    worker_ready.connect(_announce, weak=False)
    return app


def _announce(**_: object) -> None:
    sys.stderr.write(f"{READY}\n")
    sys.stderr.flush()


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _work(*numbers: Any, seconds: float = 0.0) -> int:  # noqa: ANN401 -- a chord's body receives one list
    """Return the sum of the numbers after a time."""
    if seconds:
        _pause(seconds)
    return sum(number for number in numbers if isinstance(number, int))


def _fail(*_: object) -> None:
    raise ValueError("secret words of the user")


def _ignore() -> None:
    raise Ignore


def _reject() -> None:
    raise Reject("unwanted", requeue=False)


def _lose_key(self: Any, *, times: int = 1) -> None:  # noqa: ANN401 -- Celery's bound task has no public type
    if self.request.retries < times:
        raise KeyError("x")


def _retry(self: Any, *, times: int = 1, countdown: float = 0.0, queue: str = "") -> None:  # noqa: ANN401 -- as above
    """Retry a number of times, on another queue if one is named."""
    if self.request.retries < times:
        options = {"queue": queue} if queue else {}
        raise self.retry(exc=KeyError("x"), countdown=countdown, max_retries=times, **options)


def _retry_without_cause(self: Any, *, times: int = 1) -> None:  # noqa: ANN401 -- as above
    """Retry a number of times without an exception; with no retry left, Celery raises MaxRetriesExceededError."""
    raise self.retry(countdown=0, max_retries=times)


def _replace(self: Any, *, queue: str = "") -> None:  # noqa: ANN401 -- as above
    """Replace itself with another task under the same id, on another queue if one is named."""
    signature = self.app.signature("replacement", args=(1,))
    raise self.replace(signature.set(queue=queue or self.request.delivery_info["routing_key"]))


def _launch(self: Any, kind: str, queue: str) -> None:  # noqa: ANN401 -- as above
    """Publish a chain, a group or a chord from within the worker, which has the backend that a chord needs."""
    first, second, part, body = (
        self.app.signature(name).set(queue=queue) for name in ("first", "second", "part", "body")
    )
    if kind == "chain":
        chain(first.clone(args=(1,)), second.clone(args=(2,)), app=self.app).apply_async()
        return
    parts = group([part.clone(args=(number,)) for number in range(3)], app=self.app)
    if kind == "chord":
        chord(parts, body, app=self.app).apply_async()
    else:
        parts.apply_async()


class Outcomes:
    """Task bodies that write a fact before an end that no signal reports, for the tasks of one application."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe

    def add(self, app: Celery) -> None:
        """Add the tasks that requeue their message, and those that kill their process."""

        def requeue(self: Any) -> None:  # noqa: ANN401 -- as above
            announced.requeue(self)

        def kill_child(self: Any) -> None:  # noqa: ANN401 -- as above
            announced.kill_child(self)

        announced = self
        app.task(requeue, name="requeue", bind=True, acks_late=True)
        app.task(requeue, name="requeue_acknowledged", bind=True)
        app.task(kill_child, name="kill_child", bind=True)
        app.task(kill_child, name="kill_child_late", bind=True, acks_late=True, reject_on_worker_lost=True)
        options = {"bind": True, "retry_on_worker_lost": True, "default_retry_delay": 0}
        app.task(kill_child, name="kill_child_retried", **options)

    def requeue(self, task: Any) -> None:  # noqa: ANN401 -- as above
        """Requeue the message once, if it is not acknowledged yet."""
        if not task.request.delivery_info.get("redelivered"):
            self._scribe.note("requeues", task.request, "late" if task.acks_late else "acknowledged")
            raise Reject("not yet", requeue=True)

    def kill_child(self, task: Any) -> None:  # noqa: ANN401 -- as above
        """Kill the child process, once."""
        if not task.request.delivery_info.get("redelivered") and not task.request.retries:
            self._scribe.note("dies", task.request, "rejected" if task.reject_on_worker_lost else "")
            os.kill(os.getpid(), signal.SIGKILL)


def _add_ends(app: Celery) -> None:
    app.task(_fail, name="fail")
    app.task(_fail, name="fail_late", acks_late=True)
    app.task(_fail, name="fail_unacknowledged", acks_late=True, acks_on_failure_or_timeout=False)
    app.task(_ignore, name="ignore")
    app.task(_ignore, name="ignore_late", acks_late=True)
    app.task(_reject, name="reject", acks_late=True)
    app.task(_reject, name="reject_acknowledged")
    app.task(_replace, name="replaced", bind=True)
    app.task(_launch, name="launch", bind=True)


def _add_retries(app: Celery) -> None:
    once = {"autoretry_for": (KeyError,), "default_retry_delay": 0, "max_retries": 1}
    app.task(_lose_key, name="retried_by_itself", bind=True, **once)
    app.task(_lose_key, name="given_up", bind=True, **once)
    for name in ("retry", "retry_later", "retry_elsewhere"):
        app.task(_retry, name=name, bind=True)
    app.task(_retry_without_cause, name="retry_without_cause", bind=True)


def _overrun() -> None:
    seconds = 2 * LIMIT_SECONDS if os.environ.get("TRUTH_POOL") in UNLIMITED else OVERRUN_SECONDS
    _pause(seconds)


def _hold(gate: str) -> None:
    """Run until the file ``gate`` exists, for at most a minute."""
    pause = threading.Event()
    for _ in range(3000):
        if Path(gate).exists():
            return
        pause.wait(0.02)


def _add_waits(app: Celery) -> None:
    app.task(_overrun, name="overrun_hard", time_limit=LIMIT_SECONDS)
    app.task(_overrun, name="overrun_soft", soft_time_limit=LIMIT_SECONDS, time_limit=3600)
    app.task(_overrun, name="terminated")
    app.task(_hold, name="held", acks_late=True)
