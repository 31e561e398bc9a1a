"""Binds the rooms for questions to workers: sources.control -> decode.control -> state.control, in the background.

Asks in rounds, some workers at a time, so that a large fleet does not answer all at once; each batch ends as soon as
all have answered, or at its deadline. Workers that come, and all of them at the start, are asked within a second. The
one part of the exporter that writes to a server: the questions, and one key of its own. A user without the right to do
so is told once, and asking is tried again an hour later.
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
"""Workers asked at a time."""
LOOK_SECONDS = 1.0
"""Time between looks for workers that were not asked yet."""
PING, BEATS = "ping", "celerybeat@*"
BEAT_SECONDS = 1.0
"""Time in which schedulers that are not known yet may answer."""
NEW_SECONDS = 2.0
"""Time for the answers of new workers, which are asked again."""
TIDY_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1
"""Seconds between looks for answers, while some are missing."""
REFUSED_SECONDS = 3600.0
ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "conf": {"with_defaults": True},
    "registered": {"taskinfoitems": ["send_events"]},
}
"""Arguments of the commands that have some. Without defaults ``conf`` has the settings under any of their old names."""
INVALID_REASONS = ("envelope", "serializer", "body", "schema", "size", "late", "stranger")

log = structlog.get_logger(__name__)


class ControlClient(Protocol):
    """How workers are reached: on Redis ``sources.control.Mailbox``, elsewhere ``sources.kombu_control.KombuMailbox``.

    All but ``rights`` and ``close`` raise SourceError. What ``receive`` gives are kombu's envelopes, as in Redis.
    """

    @property
    def rights(self) -> str:
        """The command that grants its user what it needs."""

    def open(self) -> None:
        """Get ready for answers to what is sent next; what comes to earlier questions is lost or late."""

    def send(self, requests: Sequence[Request]) -> None:
        """Send requests."""

    def receive(self) -> list[bytes]:
        """Give some answers that came and were not given yet, without waiting."""

    def settle(self, *, complete: bool) -> None:
        """Leave nothing behind; unless all is ``complete``, answers may still come, and must not stay."""

    def close(self) -> None:
        """Close the connection; safe from any thread."""


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """Seconds between rounds (0: none), seconds for the answers of a batch, bytes of an answer, whether to nudge."""

    interval: float
    timeout: float
    max_bytes: int
    enable_events: bool

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.interval) or self.enable_events


class Control:
    """Asks workers, and tells those without task events to send them if the options say so.

    ``refused`` says what its user may not do; empty while it may, or nobody was asked yet.
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
        """Ask until ``stop`` is set; raises SourceError, unless for want of rights."""
        self._ended.clear()
        try:
            while not stop.is_set():
                self._try_turn(stop, works)
        finally:
            self._ended.set()

    def close(self) -> None:
        """Close the connection, after a moment in which ``run`` may tidy up; safe from any thread."""
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
            # Where no worker was heard nothing is written, and a beat would schedule for nobody.
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
        """Ask some workers; fold each one's answers when it has given all, or at the deadline what there is."""
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
        """Ping schedulers, whose names nobody tells; those that answered before are waited for longer than others."""
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
        """Enter an answer; a worker that has given all of them leaves the batch."""
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
                self._invalid["stranger"].value += 1
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
        """Switch off for a while; a user may be given rights, or another user be configured, meanwhile."""
        # Before a word is said: whoever reads that asking is over finds no key that was left without an end.
        with contextlib.suppress(SourceError):
            self._control_client.settle(complete=True)
        self._control_client.close()  # what was refused on a connection is not sent again on it
        if not self.refused:
            log.warning(
                "control.switched_off",
                refused=str(error),
                grant=self._control_client.rights,
                instead="--celery.inspect-interval 0 asks nobody, and all but the answers of workers is shown",
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
    """Send requests, and yield the answers of each look, none of them if need be, for ``timeout`` seconds.

    Ends earlier when ``stop`` is set. The caller leaves the loop when it has every answer, and settles afterwards.
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
    """Return the answer to a request whose ticket begins with ``token``; raise DecodeError for any other payload."""
    if len(payload) > max_bytes:
        raise DecodeError("size", "a larger answer than is read")
    reply = decode_reply(payload)
    if reply.ticket.partition("/")[0] != token:
        raise DecodeError("late", "an answer to an earlier question")
    return reply


def _requests(targets: Sequence[InspectionTarget], token: str) -> list[Request]:
    """One request per command, in order, to those who are asked it."""
    asked = {
        command: [target.worker for target in targets if command in target.commands] for command in COMMANDS
    }  # fmt: skip
    return [
        Request(command, names, f"{token}/{command}", ARGUMENTS.get(command, {}))
        for command, names in asked.items()
        if names
    ]
