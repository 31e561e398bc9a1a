# SPDX-License-Identifier: Apache-2.0
"""The signal handlers that write facts, in publishers, in workers and in their child processes.

Input: Celery's signals. Output: facts. Where no signal exists (Ignore, Reject, a killed child) the state of
task_postrun, or a fact that the task itself writes (``tasks.py``), is the source.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import signals

from tests.truth.facts import CLOCK, FOLDER, NODE, Fact, FactWriter

PUBLICATION = "truth_publication"
"""The message header that identifies a publication; a retry gets another one, a redelivery keeps it."""


class Scribe:
    """Converts signals to facts. Connect it once per process; forked children inherit it."""

    def __init__(self, writer: FactWriter) -> None:
        self._writer = writer

    def connect(self) -> None:
        """Connect the handlers to Celery's signals."""
        for source, handler in self._handlers():
            source.connect(handler, weak=False)

    def disconnect(self) -> None:
        """Disconnect the handlers."""
        for source, handler in self._handlers():
            source.disconnect(handler)

    def _handlers(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        return (
            (signals.before_task_publish, self.mark),
            (signals.after_task_publish, self.published),
            (signals.task_received, self.received),
            (signals.task_prerun, self.started),
            (signals.task_postrun, self.ended),
            (signals.task_success, self.succeeded),
            (signals.task_failure, self.failed),
            (signals.task_retry, self.retried),
            (signals.task_revoked, self.revoked),
            (signals.task_unknown, self.unknown),
            (signals.task_internal_error, self.broken),
        )

    def note(self, kind: str, request: Any, detail: str = "", value: float = 0.0) -> None:  # noqa: ANN401 -- no public type
        """Write a fact about an execution or a message, which ``request`` describes."""
        delivery = request.delivery_info or {}
        self._writer.write(
            Fact(
                kind,
                CLOCK.now(),
                id=str(request.id),
                task=str(request.task),
                queue=str(delivery.get("routing_key", "")),
                publication=str(getattr(request, PUBLICATION, "")),
                run=str(getattr(request, "truth_run", "")),
                detail=detail,
                value=value,
            )
        )

    def mark(self, headers: dict[str, Any], **_: object) -> None:
        """Add an id to a publication's headers."""
        headers[PUBLICATION] = uuid4().hex

    def published(self, sender: str, headers: Mapping[str, Any], routing_key: str = "", **_: object) -> None:
        """Write that a task was published, with its eta; the routing key is the queue's name in a truth run."""
        eta = str(headers.get("eta") or "")
        publication = str(headers[PUBLICATION])
        fact = Fact("sent", CLOCK.now(), id=str(headers["id"]), task=sender, queue=routing_key)
        self._writer.write(fact._replace(publication=publication, detail=eta))

    def received(self, request: Any, **_: object) -> None:  # noqa: ANN401 -- Celery's request has no public type
        """Write that the worker's main process received a task."""
        self.note("received", _context(request))

    def started(self, task: Any, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write that an execution starts, and assign an id to it."""
        task.request.truth_run = uuid4().hex
        self.note("started", task.request)

    def ended(self, task: Any, state: str | None = None, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write that an execution's body ended. The state is None if a BaseException ended it."""
        self.note("ended", task.request, str(state or ""))

    def succeeded(self, sender: Any, runtime: float = 0.0, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write the runtime that task-succeeded contains."""
        self.note("succeeded", sender.request, value=runtime)

    def failed(self, sender: Any, task_id: str, exception: BaseException, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write the class of a failure; the main process calls this for lost children, hard time limits and Reject."""
        request = sender.request
        if request.id == task_id and getattr(request, "truth_run", ""):
            self.note("failed", request, type(exception).__name__)
        else:
            self._writer.write(Fact("failed", CLOCK.now(), id=task_id, detail=type(exception).__name__))

    def retried(self, request: Any, reason: Any, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write the class of the exception behind a retry, or of Retry itself if there is none."""
        self.note("retried", request, type(reason.exc or reason).__name__)

    def revoked(self, request: Any, *, terminated: bool, expired: bool, **_: object) -> None:  # noqa: ANN401 -- as above
        """Write that the worker refused a message, or terminated an execution."""
        self.note("revoked", request, "terminated" if terminated else "expired" if expired else "revoked")

    def unknown(self, message: Any, name: str, id: str, **_: object) -> None:  # noqa: A002, ANN401 -- Celery's names
        """Write that the worker refused a task that is not registered."""
        queue = str(message.delivery_info.get("routing_key", ""))
        publication = str(message.headers.get(PUBLICATION, ""))
        fact = Fact("unknown", CLOCK.now(), id=id, task=name, queue=queue)
        self._writer.write(fact._replace(publication=publication, detail="NotRegistered"))

    def broken(self, task_id: str, exception: BaseException, **_: object) -> None:
        """Write that Celery itself failed outside the task's body."""
        self._writer.write(Fact("broken", CLOCK.now(), id=task_id, detail=repr(exception)))


def scribe() -> Scribe:
    """Return the scribe of this process, configured by its environment."""
    return Scribe(FactWriter(Path(os.environ[FOLDER]), os.environ[NODE]))


def _context(request: Any) -> Any:  # noqa: ANN401 -- as above
    """Return the fields of a received message that ``note`` reads, without decoding its body."""
    return _Received(request)


class _Received:
    """A received message, in the form of an execution's request."""

    truth_run = ""

    def __init__(self, request: Any) -> None:  # noqa: ANN401 -- as above
        self.id, self.task = request.id, request.task_name
        self.delivery_info = request.delivery_info
        self.truth_publication = request.request_dict.get(PUBLICATION, "")
