# SPDX-License-Identifier: Apache-2.0
"""The rounds in which workers are queried."""

import base64
import json
import threading
from collections.abc import Callable, Sequence

import pytest
import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.collectors.control import BATCH, COLLECTOR, REFUSED_SECONDS, Control, ControlOptions
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.events import TaskSent
from celery_redis_exporter.sources.control import MAT_SECONDS, Request
from celery_redis_exporter.state.control import (
    COMMANDS,
    MOST_INTRODUCTIONS,
    REPEATS,
    ROUTINE,
    SEEDING_SECONDS,
    Inspection,
)
from tests.support.lab import W1, W2, Lab
from tests.support.options import control_options

ANSWERS: dict[str, object] = {
    "stats": {"pool": {"implementation": "celery.concurrency.solo:TaskPool", "max-concurrency": 1}},
    "active_queues": [{"name": "mail", "exchange": {"name": "media", "type": "topic"}, "routing_key": "media.#"}],
    "scheduled": [], "reserved": [], "active": [], "registered": ["t"],
    "conf": {"worker_send_task_events": True},
}  # fmt: skip


def payload(worker: str, ticket: str, content: object) -> bytes:
    """Return a reply as Redis stores it."""
    body = base64.b64encode(json.dumps({worker: content}).encode()).decode()
    return json.dumps({"body": body, "headers": {"ticket": ticket}}).encode()


class ScriptedPostbox:
    """A client whose workers answer at once, except those in ``mute``; its methods raise their ``failures``."""

    rights = "~key +right"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: list[Request] = []
        self.answers: list[bytes] = []
        self.mute: set[str] = set()
        self.failures: dict[str, SourceError] = {}

    def open(self) -> None:
        """Record the call."""
        self._call("open")
        self.answers.clear()

    def send(self, requests: Sequence[Request]) -> None:
        """Record the requests, and add the workers' replies."""
        self._call("send")
        self.sent += requests
        self.answers += [
            payload(worker, request.ticket, ANSWERS[request.command])
            for request in requests
            for worker in request.destination
            if request.ticket and worker not in self.mute
        ]

    def receive(self) -> list[bytes]:
        """Return two replies at a time."""
        self._call("receive")
        given, self.answers = self.answers[:2], self.answers[2:]
        return given

    def settle(self, *, complete: bool) -> None:
        """Record the end of the round."""
        self._call("settle" if complete else "leave")

    def close(self) -> None:
        """Record the call."""
        self._call("close")

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise self.failures[name]


class ImpatientStop(threading.Event):
    """A stop event whose waits only advance the clock; after ``after`` waits of a second or more it is set."""

    def __init__(self, lab: Lab, after: int = 1) -> None:
        super().__init__()
        self.lab = lab
        self.left = after
        self.waited: list[float] = []
        self.between: Callable[[], None] = lambda: None

    def wait(self, timeout: float | None = None) -> bool:
        """Advance the clock."""
        assert timeout is not None
        self.lab.clock.advance(timeout)
        if timeout >= 1:
            self.waited.append(timeout)
            self.left -= 1
            self.between()
            if self.left <= 0:
                self.set()
        return self.is_set()


class Round:
    """A control with scripted workers."""

    def __init__(self, *workers: str, options: ControlOptions | None = None) -> None:
        self.lab = Lab()
        self.control_client = ScriptedPostbox()
        self.inspection = Inspection(self.lab.workers, self.lab.tasks, self.lab.clock)
        options = options or control_options()
        self.control = Control(self.control_client, self.inspection, self.lab.store, self.lab.clock, options)
        for worker in workers:
            self.lab.beat(worker=worker)

    def run(self, after: int = 1, between: Callable[[], None] = lambda: None) -> ImpatientStop:
        """Run until this many waits of a second or more."""
        stop = ImpatientStop(self.lab, after)
        stop.between = between
        self.control.run(stop, lambda: None)
        return stop

    def missing(self) -> set[float | None]:
        """Return all numbers of missing replies."""
        return {self.lab.value(internals.CONTROL_MISSING, command) for command in COMMANDS}

    def invalid(self, reason: str) -> float | None:
        """Return the number of replies that were skipped for a reason."""
        return self.lab.value(internals.CONTROL_INVALID, reason)


def test_a_round() -> None:
    """A round sends each command to each worker by name, folds the replies, ends after the last, and leaves no key."""
    trial = Round(W1, W2)
    for worker in trial.lab.workers.by_name.values():
        trial.lab.workers.note_task_events(worker)
    began = trial.lab.clock.monotonic()
    stop = trial.run()
    assert [(command, [W1, W2]) for command in COMMANDS] == [
        (sent.command, sent.destination) for sent in trial.control_client.sent
    ]
    assert 1 == trial.lab.value(rows.WORKER_CONCURRENCY, W1) == trial.lab.value(rows.WORKER_CONCURRENCY, W2)
    assert ["open", "send", *["receive"] * 7, "settle"] == trial.control_client.calls
    assert trial.lab.clock.monotonic() - began == sum(stop.waited)
    assert {0} == trial.missing()
    assert 0 == trial.lab.value(task_rows.TASKS, "t", "mail", "failure")
    assert 1 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert trial.lab.value(internals.COLLECTOR_LAST_SUCCESS, COLLECTOR) == trial.lab.clock.epoch - sum(stop.waited)


def test_bindings_are_learned_from_answers() -> None:
    """A round reads the bindings of the workers' queues, for tasks that are sent to those exchanges."""
    trial = Round(W1)
    trial.run()
    event = TaskSent("u", trial.lab.start, "t", "celery", exchange="media", routing_key="media.video")
    trial.lab.tasks.fold_sent(event)
    assert 1 == trial.lab.value(task_rows.TASKS_SENT, "t", "mail")


def test_nobody_is_asked_where_there_is_nobody() -> None:
    """Without workers nothing is sent to the server."""
    trial = Round()
    trial.run(3)
    assert [] == trial.control_client.calls


def test_rounds_come_at_their_interval() -> None:
    """All workers are queried once per interval, after the first time with the routine commands only."""
    trial = Round(W1)
    trial.run(61, lambda: trial.lab.beat(worker=W1))
    assert len(COMMANDS) + len(ROUTINE) == len(trial.control_client.sent)


def test_new_workers_are_asked_between_rounds() -> None:
    """A new worker is queried within a second, alone."""
    trial = Round(W1)
    trial.run(3, lambda: trial.lab.beat(worker=W2))
    assert [[W1], [W2]] == [sent.destination for sent in trial.control_client.sent if sent.command == "stats"]


def test_large_fleets_are_asked_in_batches() -> None:
    """The number of workers that answer at a time is limited to a batch."""
    names = [f"w{number}@host" for number in range(2 * BATCH + 1)]
    trial = Round(*names)
    trial.run()
    queried = [sent.destination for sent in trial.control_client.sent if sent.command == "stats"]
    assert [BATCH, BATCH, 1] == [len(batch) for batch in queried]
    assert names == [name for batch in queried for name in batch]
    assert 3 == trial.control_client.calls.count("open")
    assert all(trial.lab.value(rows.WORKER_CONCURRENCY, name) == 1 for name in names)


def test_missing_answers() -> None:
    """A worker that does not reply by the deadline is counted and has no values; other workers are not affected."""
    trial = Round(W1, W2)
    trial.control_client.mute = {W2}
    began = trial.lab.clock.monotonic()
    stop = trial.run()
    assert 5 <= trial.lab.clock.monotonic() - began - sum(stop.waited) < 5.2
    assert trial.control_client.calls.count("receive") < 80
    assert {1} == trial.missing()
    assert 1 == trial.lab.value(rows.WORKER_CONCURRENCY, W1)
    assert trial.lab.value(rows.WORKER_CONCURRENCY, W2) is None
    assert 1 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)


def test_answers_that_are_due_find_a_place() -> None:
    """While late replies are possible, rounds leave a list that lets them expire; afterwards they leave nothing."""
    trial = Round(W1)
    trial.control_client.mute = {W1}

    def live() -> None:
        trial.control_client.mute = set()
        trial.lab.beat(worker=W1)

    trial.run(int(MAT_SECONDS) + 120, live)
    ends = [call for call in trial.control_client.calls if call in {"leave", "settle"}]
    assert ["leave", "settle"] == sorted(set(ends))
    assert sorted(ends) == ends
    assert 59 <= ends.count("leave") <= 64  # three of them repeat the first requests


def test_rubbish_is_counted() -> None:
    """Invalid, oversized and late replies and those of unknown workers are counted by reason and affect no other."""
    trial = Round(W1, options=control_options(max_bytes=1000))
    rubbish = [
        b"", payload(W1, "1/reserved", ["x" * 1000]), payload(W1, "0/stats", ANSWERS["stats"]),
        payload("other@host", "1/reserved", []), payload(W1, "1/stats", {"error": "x"}),
    ]  # fmt: skip
    send = trial.control_client.send

    def send_among_rubbish(requests: Sequence[Request]) -> None:
        trial.control_client.answers += rubbish
        send(requests)

    trial.control_client.send = send_among_rubbish  # type: ignore[method-assign]
    trial.run()
    reasons = ("envelope", "size", "late", "unknown_worker", "schema", "body", "serializer")
    assert [1, 1, 1, 1, 1, 0, 0] == [trial.invalid(reason) for reason in reasons]
    assert 1 == trial.lab.value(rows.WORKER_CONCURRENCY, W1)
    assert {0} == trial.missing()


@pytest.mark.parametrize(("conf", "reason"), [({"broker_url": "x" * 1000}, "size"), ({"error": "x"}, "schema")])
def test_settings_that_can_not_be_read_are_asked_for_a_few_times(
    monkeypatch: pytest.MonkeyPatch, conf: dict[str, str], reason: str
) -> None:
    """Settings that are too large or missing are queried at first and in five rounds, and not afterwards."""
    monkeypatch.setitem(ANSWERS, "conf", conf)
    trial = Round(W1, options=control_options(max_bytes=1000))
    trial.run(20 * 60, lambda: trial.lab.beat(worker=W1))
    times = [request.command for request in trial.control_client.sent].count("conf")
    assert 1 + len(REPEATS) + MOST_INTRODUCTIONS == times == trial.invalid(reason)
    assert 1 == trial.lab.value(rows.WORKER_CONCURRENCY, W1)


@pytest.mark.parametrize("step", ["open", "send", "receive", "settle"])
def test_failures_are_handed_on(step: str) -> None:
    """If the broker fails during a round, all values are removed, and the round is repeated once it can be reached."""
    trial = Round(W1)
    trial.run()
    trial.lab.clock.advance(60)
    trial.lab.beat(worker=W1)
    trial.control_client.failures = {step: SourceError("closed", "gone")}
    with pytest.raises(SourceError):
        trial.run()
    assert trial.lab.value(rows.WORKER_CONCURRENCY, W1) is None
    assert 0 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    trial.control_client.failures = {}
    trial.run()
    assert 1 == trial.lab.value(rows.WORKER_CONCURRENCY, W1)
    assert 1 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert 1 == trial.lab.value(internals.CONTROL_ENABLED)


def test_a_user_without_rights_switches_it_off() -> None:
    """A missing permission is no crash: one line states the fix, the metric is 0, and it is retried after an hour."""
    trial = Round(W1)
    trial.control_client.failures = {"send": SourceError("noperm", "PUBLISH: NOPERM")}
    seen: list[float | None] = []

    def look() -> None:
        seen.append(trial.lab.value(internals.CONTROL_ENABLED))
        trial.lab.beat()

    with structlog.testing.capture_logs() as lines:
        stop = trial.run(2, look)
    assert [REFUSED_SECONDS, REFUSED_SECONDS] == stop.waited
    assert ["control.switched_off"] == [line["event"] for line in lines]
    assert "~key +right" in lines[0]["grant"]
    assert [0, 0] == seen
    assert "PUBLISH: NOPERM" == trial.control.refused
    assert 0 == trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR)
    assert "close" in trial.control_client.calls
    assert 0 == trial.lab.workers.seeding
    trial.control_client.failures = {}
    trial.lab.beat()
    trial.run()
    assert (1, "") == (trial.lab.value(internals.COLLECTOR_SUCCESS, COLLECTOR), trial.control.refused)


def test_a_stop_ends_a_round() -> None:
    """A stop does not wait for replies, and counts none as missing."""
    trial = Round(W1)
    trial.control_client.mute = {W1}
    stop = threading.Event()
    send = trial.control_client.send

    def send_and_stop(requests: Sequence[Request]) -> None:
        send(requests)
        stop.set()

    trial.control_client.send = send_and_stop  # type: ignore[method-assign]
    trial.control.run(stop, lambda: None)
    assert {0} == trial.missing()


def test_events_wait_for_answers_where_some_are_asked_for() -> None:
    """With an interval, events of unknown tasks may be deferred until the replies arrive."""
    assert SEEDING_SECONDS == Round().lab.workers.seeding


def test_off() -> None:
    """With an interval of 0 no worker is queried, the metric shows that, and no event is deferred for a reply."""
    trial = Round(W1, options=control_options(interval=0))
    trial.run()
    assert [] == trial.control_client.calls
    assert 0 == trial.lab.value(internals.CONTROL_ENABLED)
    assert 0 == trial.lab.workers.seeding
    assert not control_options(interval=0).is_needed
    assert control_options(interval=0, enable_events=True).is_needed


def test_events_are_enabled() -> None:
    """A worker that executes tasks without task events gets a command to send them, if the options enable that."""
    for enable in (True, False):
        trial = Round(W1, W2, options=control_options(interval=0, enable_events=enable))
        for processed in (1, 2, 3):
            trial.lab.beat(processed)
        trial.run(5)
        expected = [("enable_events", [W1], "")] if enable else []
        assert expected == [(sent.command, sent.destination, sent.ticket) for sent in trial.control_client.sent]
        assert float(enable) == trial.lab.value(internals.EVENTS_ENABLED)
