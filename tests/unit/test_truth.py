# SPDX-License-Identifier: Apache-2.0
"""The truth harness itself: it finds wrong values, and derives the expected ones from the facts."""

from pathlib import Path
from random import Random

import celery
import pytest

from tests.integration.exporters import Samples
from tests.truth.compare import differences
from tests.truth.events import Events
from tests.truth.expect import (
    ENDED,
    EXCEPTIONS,
    MISSED,
    RECEIVED,
    RUNNING,
    RUNTIME_SUM,
    SENT,
    STARTED,
    WAIT_SUM,
    WAITS,
    Reported,
    expect,
)
from tests.truth.explained import EXPLAINED, IGNORED, KILLED, UNACCEPTED, Explained
from tests.truth.facts import Fact
from tests.truth.generate import KINDS, choose_kinds, story
from tests.truth.truth import begin_unwritten, settle, tell

STARTS = Fact("started", 11.0, "w.1", "w.1.7", "a", "t", "q", "p", "r")
STORY = [
    Fact("sent", 10.0, "publisher", "publisher.1", "a", "t", "q", "p"),
    Fact("received", 10.5, "w.1", "w.1.7", "a", "t", "q", "p"),
    STARTS,
]
TASK = {"task": "t", "queue": "q"}


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the key of a sample."""
    return name, frozenset(labels.items())


def expected(*facts: Fact, killed: str = "", events: Events | None = None) -> Samples:
    """Return the samples that are expected for facts; ``killed`` is a worker that was killed."""
    ended = {killed: ("kill", 7)} if killed else {}
    truth = tell([*STORY, *facts])
    settle(truth, ended)
    return expect(truth, Reported(events or Events([]), ended, {"w.1": 7})).samples


def of_run(kind: str, at: float, detail: str = "", value: float = 0.0) -> Fact:
    """Return a fact of the execution."""
    return STARTS._replace(kind=kind, at=at, detail=detail, value=value)


@pytest.mark.parametrize(
    "key",
    [
        sample(SENT, **TASK),
        sample(RECEIVED, **TASK),
        sample(STARTED, **TASK),
        sample(ENDED, **TASK, state="failure"),
        sample(EXCEPTIONS, task="t", exception="ValueError"),
        sample(WAITS, **TASK),
        sample(RUNNING, **TASK),
        sample(MISSED, worker="w"),
        sample(ENDED, task="t", queue="unknown", state="success"),
    ],
    ids=lambda key: f"{key[0]}-{'-'.join(value for _, value in sorted(key[1]))}",
)
def test_a_wrong_number_is_found(key: tuple[str, frozenset[tuple[str, str]]]) -> None:
    """A count that is wrong by one is the only difference, in every compared sample."""
    right = expected(of_run("failed", 12.0, "ValueError"), of_run("ended", 12.0, "FAILURE"))
    assert differences(right, right) == []
    wrong = {**right, key: right.get(key, 0.0) + 1}
    (found,) = differences(right, wrong)
    assert (found.name, frozenset(found.labels.items())) == key
    assert found.found == found.expected + 1


def test_a_missing_sample_is_found() -> None:
    """A missing sample is a difference."""
    right = expected(of_run("ended", 12.0, "SUCCESS"))
    shown = {key: value for key, value in right.items() if key[0] != ENDED}
    assert ["expected 1, found 0"] == [str(found).rpartition(": ")[2] for found in differences(right, shown)]


def test_sums_may_differ_a_little() -> None:
    """A sum of waiting times may differ by the allowed delay between an act and its event, and by no more."""
    right = expected(of_run("ended", 12.0, "SUCCESS"))
    key = sample(WAIT_SUM, **TASK)
    assert right[key] == 1.0
    assert differences(right, {**right, key: 1.5}) == []
    assert [WAIT_SUM] == [found.name for found in differences(right, {**right, key: 1.6})]


def test_the_runtime_of_a_success_is_exact() -> None:
    """The runtime of a success must be equal, because Celery's event contains it."""
    right = expected(of_run("succeeded", 12.0, value=0.75), of_run("ended", 12.0, "SUCCESS"))
    key = sample(RUNTIME_SUM, **TASK, state="success")
    assert right[key] == 0.75
    assert [RUNTIME_SUM] == [found.name for found in differences(right, {**right, key: 0.751})]


def test_an_ignored_execution_has_no_end() -> None:
    """An execution that ended by Ignore counts as started and has no expected end, which is explained."""
    truth = tell([*STORY, of_run("ended", 12.0, "IGNORED")])
    outcome = expect(truth, Reported(Events([]), {}, {}))
    assert +outcome.explained == {IGNORED: 1}
    assert ENDED not in {name for name, _ in outcome.samples}


def test_what_a_killed_worker_did_not_send_is_explained() -> None:
    """Only those facts of a killed worker are expected whose events it sent."""
    received = {"type": "task-received", "uuid": "a", "pid": 7}
    truth = tell([*STORY])
    settle(truth, {"w.1": ("kill", 7)})
    outcome = expect(truth, Reported(Events([received]), {"w.1": ("kill", 7)}, {"w.1": 7}))
    assert +outcome.explained == {KILLED: 2}
    assert {SENT, RECEIVED} == {name for name, _ in outcome.samples}


def test_a_start_that_a_killed_worker_sent_before_the_body_began_is_expected() -> None:
    """A start counts even if its worker was killed between task-started and the task's body."""
    kinds = ("task-received", "task-started")
    events = Events([{"type": kind, "uuid": "a", "pid": 7} for kind in kinds])
    truth = tell(STORY[:2])
    (fact,) = events.unwritten(truth, {"w.1": 7})
    assert fact == STORY[1]
    assert events.unwritten(tell(STORY), {"w.1": 7}) == events.unwritten(truth, {}) == []
    begin_unwritten(truth, [fact])
    settle(truth, {"w.1": ("kill", 7)})
    outcome = expect(truth, Reported(events, {"w.1": ("kill", 7)}, {"w.1": 7}))
    assert +outcome.explained == {KILLED: 1}
    assert outcome.samples[sample(STARTED, **TASK)] == 1


def test_a_message_that_is_executed_again_waited_until_its_first_start() -> None:
    """The waiting time of a redelivered message ends with its first start, even if only task-started reports it."""
    again = [fact._replace(at=fact.at + 5, node="w.2", process="w.2.8") for fact in STORY[1:]]
    truth = tell([*STORY[:2], *again])
    begin_unwritten(truth, [STORY[1]])
    started = {"type": "task-started", "uuid": "a", "pid": 7, "timestamp": 11.0}
    received = {"type": "task-received", "uuid": "a", "pid": 7, "timestamp": 10.5}
    outcome = expect(truth, Reported(Events([received, started]), {"w.1": ("kill", 7)}, {"w.1": 7, "w.2": 8}))
    assert outcome.samples[sample(STARTED, **TASK)] == 2
    assert (outcome.samples[sample(WAITS, **TASK)], outcome.samples[sample(WAIT_SUM, **TASK)]) == (1, 0.5)
    assert outcome.delays[sample(WAIT_SUM, **TASK)] == 0.5


def test_a_child_that_was_killed_before_its_acceptance_was_read() -> None:
    """An execution that killed its child sends no event if the same message is executed again."""
    dies = of_run("dies", 11.1, "rejected")
    second = STARTS._replace(at=12.0, run="r2")
    end = second._replace(kind="ended", at=13.0, detail="SUCCESS")
    truth = tell([*STORY, dies, second, end])
    outcome = expect(truth, Reported(Events([]), {}, {}))
    assert +outcome.explained == {UNACCEPTED: 1}
    assert (outcome.samples[sample(STARTED, **TASK)], outcome.samples[sample(WAITS, **TASK)]) == (1, 1)
    events = [{"type": kind, "uuid": "a", "pid": 7} for kind in ("task-received", "task-started", "task-succeeded")]
    assert Events(events).disagreements(truth, {"w.1": 7}) == []
    assert expected(dies, STORY[1]._replace(at=11.5), second, end)[sample(STARTED, **TASK)] == 2


def test_delays_of_the_events_are_allowed() -> None:
    """Sums may differ in either direction by the delay between the facts and the recorded events."""
    stamps = {"task-started": 11.5, "task-failed": 14.0}
    events = Events([{"type": kind, "uuid": "a", "pid": 7, "timestamp": at} for kind, at in stamps.items()])
    truth = tell([*STORY, of_run("failed", 12.0, "ValueError"), of_run("ended", 12.0, "FAILURE")])
    outcome = expect(truth, Reported(events, {}, {"w.1": 7}))
    waits, runtimes = sample(WAIT_SUM, **TASK), sample(RUNTIME_SUM, **TASK, state="failure")
    assert (outcome.delays[waits], outcome.delays[runtimes]) == (0.5, 1.5)
    shown = {**outcome.samples, waits: 1.5 + 0.5, runtimes: 1.0 + 2.0}
    assert differences(outcome.samples, shown, outcome.delays) == []
    assert len(differences(outcome.samples, {**shown, runtimes: 3.1}, outcome.delays)) == 1
    assert len(differences(outcome.samples, shown)) == 2


def test_an_execution_without_an_end_is_expected_nowhere() -> None:
    """An execution without an end is expected in a state that no exporter shows, so that it is always a difference."""
    assert expected()[sample(ENDED, **TASK, state="none")] == 1


def test_the_main_process_ends_what_its_child_could_not() -> None:
    """A failure or a revocation that the worker's main process writes ends the open execution of the task."""
    failed = Fact("failed", 12.0, "w.1", "w.1.7", "a", detail="TimeLimitExceeded")
    assert expected(failed)[sample(EXCEPTIONS, task="t", exception="TimeLimitExceeded")] == 1
    revoked = Fact("revoked", 12.0, "w.1", "w.1.7", "a", "t", "q", "p", detail="terminated")
    assert expected(revoked)[sample(ENDED, **TASK, state="revoked")] == 1


def test_what_celery_did_not_send_is_told_apart() -> None:
    """A fact whose event Celery did not send is reported as a difference of Celery."""
    truth = tell([*STORY, of_run("ended", 12.0, "SUCCESS")])
    kinds = ("task-received", "task-started")
    events = Events([{"type": kind, "uuid": "a", "pid": 7} for kind in kinds])
    assert events.disagreements(truth, {"w.1": 7}) == ["a on w.1: 1 task-succeeded happened, 0 sent"]


def test_a_seed_is_a_story() -> None:
    """A seed always results in the same story, which has the requested number of tasks."""
    first, again, other = (list(story(seed, 300)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for rounds in (first, other):
        assert sum(len(turn.sendings) + len(turn.doomed) for turn in rounds) == 300
    assert {"kill", "shutdown"} == {turn.scene for turn in first}
    assert all(turn.doomed for turn in first)


def test_a_story_has_every_kind() -> None:
    """Each kind of task is sent at least once."""
    assert set(KINDS) == set(choose_kinds(Random(1), len(KINDS)))  # noqa: S311 -- a story, no secret


def test_few_kinds_are_explained() -> None:
    """At most six kinds of difference are explained."""
    assert len(EXPLAINED) <= 6


@pytest.mark.pinned
@pytest.mark.parametrize("row", EXPLAINED, ids=lambda row: row.kind)
def test_an_explanation_names_a_line_of_celery(row: Explained) -> None:
    """The line that an explanation names is that of the installed Celery."""
    text = (Path(celery.__file__).parent / row.file).read_text(encoding="utf-8").splitlines()[row.line - 1]
    assert row.code == text.strip()
