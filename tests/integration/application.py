# SPDX-License-Identifier: Apache-2.0
"""Build the Celery application under test, with one task per outcome.

Input: a broker URL and Celery settings. Output: the application. Tests publish with it, and workers import it through
``worker_app``. Tasks that wait do so for a file, their gate, so that a test decides when they continue.
"""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject
from celery.signals import worker_ready

PLAIN_TASKS = (
    "plain", "burst", "delayed", "expired", "revoked", "revoked_scheduled", "first", "second", "part", "body",
    "measured", "unheard", "silent", "packed", "counted", "again", "queried", "kept", "secured", "aged", "waiting",
    "quiet", "formatted", "grouped", "child", "replaced_by", "reserved", "identified", "named",
)  # fmt: skip
"""Tasks that succeed and return the sum of their numbers. Each test uses another name, so that counts are separate."""

READY = "application: worker is ready"
GATE_SECONDS = 60.0
NO_LIMIT = 3600


def build(broker_url: str, settings: Mapping[str, Any]) -> Celery:
    """Build the application. ``settings`` are Celery's and override these defaults."""
    app = Celery("application", broker=broker_url, set_as_current=False, task_cls=None)
    app.conf.update(
        task_send_sent_event=True,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
    )
    app.conf.update(settings)
    for name in PLAIN_TASKS:
        app.task(_add, name=name)
    _add_outcomes(app)
    _add_waiting(app)
    worker_ready.connect(_announce)
    return app


def _announce(**_: object) -> None:
    sys.stderr.write(f"{READY}\n")


def _launch_chord(self: Any) -> None:  # noqa: ANN401 -- Celery's bound task has no public type
    """Publish a chord from the worker, which has the result backend that a chord needs."""
    parts = group([self.app.signature("part", args=(number,)) for number in range(4)], app=self.app)
    chord(parts, self.app.signature("body"), app=self.app).apply_async()


def _launch_canvas(self: Any) -> None:  # noqa: ANN401 -- as above
    """Publish a group, a chain and a single task from the worker."""
    first, second, grouped, child = (self.app.signature(name) for name in ("first", "second", "grouped", "child"))
    group([grouped.clone(args=(number,)) for number in range(3)], app=self.app).apply_async()
    chain(first.clone(args=(1,)), second.clone(args=(2,)), app=self.app).apply_async()
    child.apply_async()


def _replace(self: Any) -> None:  # noqa: ANN401 -- as above
    """Replace this task by another one with the same id."""
    self.replace(self.app.signature("replaced_by"))


def _add(*numbers: Any) -> int:  # noqa: ANN401 -- a chord's body receives one list
    flat = numbers[0] if numbers and isinstance(numbers[0], list) else numbers
    return sum(flat)


def _wait(gate: str, seconds: float = GATE_SECONDS) -> None:
    """Wait until the file ``gate`` exists, or until ``seconds`` have passed."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if Path(gate).exists():
            return
        pause.wait(0.02)


def _fail() -> None:
    raise ValueError("secret words of the user")


class RefusedError(Exception):
    """An error whose repr is its text, which has several lines, like pydantic's ValidationError."""

    __repr__ = Exception.__str__


def _fail_in_lines(self: Any, *, retries: int = 0) -> None:  # noqa: ANN401 -- Celery's bound task has no public type
    """Fail with a text of several lines, after this number of retries."""
    try:
        raise RefusedError("2 errors\nKeyError: a line that looks like a class\n  indented")
    except RefusedError as error:
        if self.request.retries < retries:
            raise self.retry(exc=error, countdown=0) from error
        raise


def _fail_at_length(characters: int) -> None:
    raise ValueError("x" * characters)


def _reject() -> None:
    raise Reject("unwanted", requeue=False)


def _ignore() -> None:
    raise Ignore


def _kill_child() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _requeue_once(self: Any) -> None:  # noqa: ANN401 -- Celery's bound task has no public type
    if not self.request.delivery_info.get("redelivered"):
        raise Reject("not yet", requeue=True)


def _retry_once(self: Any, countdown: float = 0) -> None:  # noqa: ANN401 -- as above
    if self.request.retries == 0:
        raise self.retry(exc=KeyError("x"), countdown=countdown)


def _lose_key(self: Any, *, for_ever: bool = False) -> None:  # noqa: ANN401 -- as above
    if for_ever or self.request.retries == 0:
        raise KeyError("x")


def _add_outcomes(app: Celery) -> None:
    app.task(_fail, name="fail")
    app.task(_fail, name="fail_again")
    app.task(_fail_at_length, name="fail_at_length")
    app.task(_fail_in_lines, name="fail_in_lines", bind=True)
    app.task(_fail_in_lines, name="retry_in_lines", bind=True)
    app.task(_retry_once, name="retry_once", bind=True)
    app.task(_retry_once, name="retry_later", bind=True)
    once = {"autoretry_for": (KeyError,), "default_retry_delay": 0, "max_retries": 1}
    app.task(_lose_key, name="retried_by_itself", bind=True, **once)
    app.task(_lose_key, name="given_up", bind=True, **once)
    app.task(_fail, name="fail_unacknowledged", acks_late=True, acks_on_failure_or_timeout=False)
    app.task(_reject, name="reject", acks_late=True)
    app.task(_requeue_once, name="requeue_once", bind=True, acks_late=True)
    app.task(_ignore, name="ignore")
    app.task(_ignore, name="ignored_beside")
    app.task(_launch_chord, name="launch_chord", bind=True)
    app.task(_launch_canvas, name="launch_canvas", bind=True)
    app.task(_replace, name="replaced", bind=True)
    app.task(_add, name="late", acks_late=True)
    app.task(_add, name="without_result", ignore_result=True)
    app.task(_kill_child, name="kill_child")


def _add_waiting(app: Celery) -> None:
    app.task(_wait, name="hold")
    app.task(_wait, name="hold_watched")
    app.task(_wait, name="hold_late", acks_late=True)
    app.task(_wait, name="terminated")
    app.task(_wait, name="signalled")
    app.task(_wait, name="overrun_hard", time_limit=0.5)
    app.task(_wait, name="overrun_soft", soft_time_limit=0.5, time_limit=NO_LIMIT)
