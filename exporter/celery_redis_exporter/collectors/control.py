# SPDX-License-Identifier: Apache-2.0
"""Query workers by control commands: sources.control -> decode.control -> state.control, in the background.

Each round queries all workers, in batches, so that the workers of a large fleet do not answer all at once. A batch ends
when all its workers have answered, or at its deadline. New workers, and all workers at the start, are queried within a
second. Only this collector and the memory guard, which is off by default, do more to a server than read: this one
writes the requests and one key of the exporter. If the user has no permission for that, it is logged once, and the next
attempt follows an hour later.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Protocol

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.collector_metrics import CollectorMetrics
from celery_redis_exporter.decode.control import decode_reply
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.inspection import Answers, ControlReply
from celery_redis_exporter.sources.control import MAT_SECONDS, Request
from celery_redis_exporter.state.beats import Beats
from celery_redis_exporter.state.control import COMMANDS, Inspection, InspectionTarget
from celery_redis_exporter.state.series import Store

COLLECTOR = "control"
BATCH = 50
"""The number of workers that one batch queries."""
LOOK_SECONDS = 1.0
"""Seconds between looks for workers that were not queried yet."""
PING, BEATS = "ping", "celerybeat@*"
BEAT_SECONDS = 1.0
"""Seconds in which schedulers that are not known yet may answer."""
NEW_SECONDS = 2.0
"""Seconds in which new workers may answer. They are queried again later."""
TIDY_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between looks for replies while some are missing."""
REFUSED_SECONDS = 3600.0
ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "conf": {"with_defaults": True},
    "registered": {"taskinfoitems": ["send_events"]},
}
"""Arguments of commands that need some. Without defaults, ``conf`` returns settings under any of their old names."""
INVALID_REASONS = ("envelope", "serializer", "body", "schema", "size", "late", "unknown_worker")

log = structlog.get_logger(__name__)


class ControlClient(Protocol):
    """How workers are reached: ``RedisControlClient`` on Redis, ``KombuControlClient`` on other transports.

    All methods but ``rights`` and ``close`` raise SourceError. ``receive`` returns kombu's envelopes, as they are in
    Redis.
    """

    @property
    def rights(self) -> str:
        """Return the command that grants the user the necessary permissions."""

    def open(self) -> None:
        """Prepare for replies to the next requests. Replies to earlier requests are lost or count as late."""

    def send(self, requests: Sequence[Request]) -> None:
        """Send requests."""

    def receive(self) -> list[bytes]:
        """Return replies that arrived and were not returned yet. Do not wait."""

    def settle(self, *, complete: bool) -> None:
        """Clean up. Unless ``complete``, replies may still arrive, and must not be kept on the server."""

    def close(self) -> None:
        """Close the connection. Thread-safe."""


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """The options of remote control.

    Seconds between rounds (0: no rounds), seconds that a batch waits for replies, the maximum size of a reply in bytes,
    and whether to enable task events on workers that do not send them.
    """

    interval: float
    timeout: float
    max_bytes: int
    enable_events: bool

    @property
    def is_needed(self) -> bool:
        """Return True if the options require control commands."""
        return bool(self.interval) or self.enable_events


class Control:
    """Query workers, and enable task events on workers without them if the options require it.

    ``refused`` is the error for a missing permission. It is empty if none is missing, or if nothing was sent yet.
    """

    def __init__(
        self, control_client: ControlClient, inspection: Inspection, store: Store, clock: Clock, options: ControlOptions
    ) -> None:
        self.refused = ""
        self._control_client = control_client
        self._inspection = inspection
        self._store = store
        self._clock = clock
        self._options = options
        self._metrics = CollectorMetrics(store, self._clock, COLLECTOR)
        self._ended = threading.Event()
        self._ended.set()
        self._due = 0.0
        self._owed_until = 0.0
        self._tokens = count(1)
        self._enabled = store.scalar(internals.CONTROL_ENABLED)
        self._nudged = store.scalar(internals.EVENTS_ENABLED)
        self._names_cut = store.scalar(internals.NAMES_CUT)
        self._missing = {command: store.scalar(internals.CONTROL_MISSING, command) for command in COMMANDS}
        self._invalid = {reason: store.scalar(internals.CONTROL_INVALID, reason) for reason in INVALID_REASONS}
        self._switch(on=bool(options.interval))

    def run(self, stop: threading.Event, works: Callable[[], None]) -> None:
        """Query workers until ``stop`` is set. Raises SourceError, except for a missing permission."""
        self._ended.clear()
        try:
            while not stop.is_set():
                self._try_turn(stop, works)
        finally:
            self._ended.set()

    def close(self) -> None:
        """Close the connection, after a short time in which ``run`` may clean up. Thread-safe."""
        self._ended.wait(TIDY_SECONDS)
        self._control_client.close()

    def _try_turn(self, stop: threading.Event, works: Callable[[], None]) -> None:
        try:
            self._turn(stop)
        except SourceError as error:
            self._note_failure()
            if error.reason != "noperm":
                raise
            works()
            self._wait_for_rights(stop, error)
            return
        works()
        stop.wait(LOOK_SECONDS)

    def _turn(self, stop: threading.Event) -> None:
        if self._options.interval:
            everyone = self._clock.monotonic() >= self._due
            if everyone:
                self._due = self._clock.monotonic() + self._options.interval
            with self._store.lock:
                targets = self._inspection.targets(everyone=everyone)
            if targets:
                self._ask_all(targets, stop, min(self._options.timeout, inf if everyone else NEW_SECONDS))
            with self._store.lock:
                self._inspection.foresee()
            beats = self._inspection.beats
            # Without workers nothing else is written to the broker, and a beat has no worker to schedule for.
            if everyone and beats is not None and (targets or beats.known()):
                self._ask_beats(beats, stop)
        if self._options.enable_events:
            self._enable_events()

    def _ask_all(self, targets: list[InspectionTarget], stop: threading.Event, timeout: float) -> None:
        started = self._clock.monotonic()
        for first in range(0, len(targets), BATCH):
            if stop.is_set():
                return
            self._ask(targets[first : first + BATCH], stop, timeout)
        self._control_client.settle(complete=self._clock.monotonic() >= self._owed_until)
        self.refused = ""
        with self._store.lock:
            self._metrics.succeeded(started)

    def _ask(self, targets: list[InspectionTarget], stop: threading.Event, timeout: float) -> None:
        """Query a batch of workers. Fold a worker's replies when all have arrived, or at the deadline."""
        token = str(next(self._tokens))
        batch = {target.worker: (target, Answers()) for target in targets}
        for payloads in ask(self._control_client, _requests(targets, token), timeout, self._clock, stop):
            for payload in payloads:
                self._enter(payload, token, batch)
            if not batch:
                break
        if batch and not stop.is_set():
            self._owed_until = self._clock.monotonic() + MAT_SECONDS
            for target, answers in batch.values():
                self._fold(target, answers)

    def _ask_beats(self, beats: Beats, stop: threading.Event) -> None:
        """Ping schedulers by a pattern, since no event contains their names.

        Wait longer for those that answered before.
        """
        token = str(next(self._tokens))
        ping = Request(PING, (), f"{token}/{PING}", pattern=BEATS)
        started, answered = self._clock.monotonic(), set[str]()
        with self._store.lock:
            known = beats.known()
        for payloads in ask(self._control_client, [ping], self._options.timeout, self._clock, stop):
            for payload in payloads:
                with contextlib.suppress(DecodeError):
                    answered.add(read_answer(payload, token, self._options.max_bytes).worker)
            if known <= answered and self._clock.monotonic() - started >= BEAT_SECONDS:
                break
        self._control_client.settle(complete=known <= answered and self._clock.monotonic() >= self._owed_until)
        with self._store.lock:
            beats.note(answered)

    def _enter(self, payload: bytes, token: str, batch: dict[str, tuple[InspectionTarget, Answers]]) -> None:
        """Store a reply in its batch. A worker is folded and leaves the batch when all its replies have arrived."""
        try:
            reply = read_answer(payload, token, self._options.max_bytes)
        except DecodeError as error:
            with self._store.lock:
                self._invalid[error.reason].value += 1
            return
        with self._store.lock:
            self._names_cut.value += reply.cut
            for name in reply.ignored:
                self._store.scalar(internals.FIELDS_IGNORED, name).value += 1
            if reply.worker not in batch:
                self._invalid["unknown_worker"].value += 1
                return
        target, answers = batch[reply.worker]
        answers.add(reply.command, reply.answer)
        if all(getattr(answers, command) is not None for command in target.commands):
            del batch[reply.worker]
            self._fold(target, answers)

    def _fold(self, target: InspectionTarget, answers: Answers) -> None:
        with self._store.lock:
            self._inspection.fold(target, answers)
            for command in target.commands:
                if getattr(answers, command) is None:
                    self._missing[command].value += 1

    def _enable_events(self) -> None:
        with self._store.lock:
            names = self._inspection.silent()
        for first in range(0, len(names), BATCH):
            batch = names[first : first + BATCH]
            self._control_client.send([Request("enable_events", batch)])
            log.info("control.events_enabled", workers=batch)
            with self._store.lock:
                self._nudged.value += len(batch)

    def _note_failure(self) -> None:
        self._due = 0.0
        with self._store.lock:
            self._inspection.forget()
            self._metrics.failed()

    def _wait_for_rights(self, stop: threading.Event, error: SourceError) -> None:
        """Disable queries for an hour.

        Meanwhile the user may receive permissions, or another user may be configured.
        """
        # The clean-up comes before the log line, so that no key without a time to live is left when it is read.
        with contextlib.suppress(SourceError):
            self._control_client.settle(complete=True)
        self._control_client.close()  # A refused command is not sent again on the same connection.
        if not self.refused:
            log.warning(
                "control.switched_off",
                refused=str(error),
                grant=self._control_client.rights,
                instead="--celery.inspect-interval 0 turns these queries off; then only answers of workers are missing",
                again_in_seconds=REFUSED_SECONDS,
            )
        self.refused = str(error)
        self._switch(on=False)
        if not stop.wait(REFUSED_SECONDS):
            self._switch(on=bool(self._options.interval))

    def _switch(self, *, on: bool) -> None:
        with self._store.lock:
            self._enabled.value = float(on)
            self._inspection.expect(answers=on)


def ask(
    control_client: ControlClient, requests: Sequence[Request], timeout: float, clock: Clock, stop: threading.Event
) -> Iterator[list[bytes]]:
    """Send requests, and yield a list of replies after each look, possibly empty, for ``timeout`` seconds.

    Ends earlier when ``stop`` is set. The caller leaves the loop when it has every reply, and calls ``settle``
    afterwards.
    """
    control_client.open()
    control_client.send(requests)
    until = clock.monotonic() + timeout
    pause = FIRST_PAUSE
    while not stop.is_set() and clock.monotonic() < until:
        payloads = control_client.receive()
        yield payloads
        if not payloads:
            stop.wait(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def read_answer(payload: bytes, token: str, max_bytes: int) -> ControlReply:
    """Return the reply to a request whose ticket begins with ``token``.

    Raises DecodeError for any other payload, and for one of more than ``max_bytes`` bytes.
    """
    if len(payload) > max_bytes:
        raise DecodeError("size", "a larger answer than is read")
    reply = decode_reply(payload)
    if reply.ticket.partition("/")[0] != token:
        raise DecodeError("late", "an answer to an earlier question")
    return reply


def _requests(targets: Sequence[InspectionTarget], token: str) -> list[Request]:
    """Return one request per command, in the order of COMMANDS, to the workers that are queried for it."""
    asked = {
        command: [target.worker for target in targets if command in target.commands] for command in COMMANDS
    }  # fmt: skip
    return [
        Request(command, names, f"{token}/{command}", ARGUMENTS.get(command, {}))
        for command, names in asked.items()
        if names
    ]
