# SPDX-License-Identifier: Apache-2.0
"""Missed events of workers some of whose tasks send no events."""

import pytest

from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.inspection import Answers, RegisteredTask, WorkerStats
from celery_redis_exporter.state.control import COMMANDS, Inspection, InspectionTarget
from tests.support.lab import W1, Lab

LOUD, QUIET = "loud", "quiet"


class Mixed(Lab):
    """A lab with one worker that executes tasks with events and tasks without."""

    def __init__(self, processed: int = 0) -> None:
        super().__init__()
        self.inspection = Inspection(self.workers, self.tasks, self.clock)
        self.inspection.expect(answers=True)
        self.totals = {LOUD: processed} if processed else {}
        self.sent_runs = 0
        self.pass_time()

    def execute(self, name: str, number: int, *, lost: bool = False) -> None:
        """Execute a task ``number`` times, with its events unless it has none or they are ``lost``."""
        for _ in range(number):
            self.totals[name] = self.totals.get(name, 0) + 1
            if name == LOUD and not lost:
                self.sent_runs += 1
                uuid, at = f"u{self.sent_runs}", self.clock.epoch - self.start + 0.5
                self.received(uuid, at, name)
                self.started(uuid, at)
                self.succeeded(uuid, at)

    def pass_time(self, beats: int = 1) -> None:
        """Receive heartbeats."""
        for _ in range(beats):
            self.advance(2)
            self.beat(sum(self.totals.values()))

    def answer(self, totals: dict[str, int] | None = None) -> None:
        """Fold the worker's answers."""
        stats = WorkerStats("prefork", 2, totals=dict(self.totals if totals is None else totals))
        registered = [RegisteredTask(LOUD), RegisteredTask(QUIET, sends_events=False)]
        answers = Answers(stats, [], [], [], [], registered)
        self.inspection.fold(InspectionTarget(W1, COMMANDS), answers)

    def missed(self) -> float | None:
        """Return the missed events that are shown."""
        return self.value(rows.WORKER_EVENTS_MISSED, W1)


@pytest.mark.parametrize("processed", [0, 100])
def test_only_lost_events_are_missed(processed: int) -> None:
    """The next answer accounts for executions without events, and the remaining ones count as missed events."""
    lab = Mixed(processed)
    lab.answer()
    lab.execute(LOUD, 5)
    lab.execute(QUIET, 7)
    lab.pass_time(5)
    assert 0 == lab.missed()
    lab.answer()
    assert 0 == lab.missed()
    lab.execute(LOUD, 3, lost=True)
    lab.execute(QUIET, 2)
    lab.pass_time(5)
    lab.answer()
    assert 3 == lab.missed()
    lab.answer()
    lab.pass_time(5)
    lab.answer()
    assert 3 == lab.missed()
    assert 1 == lab.value(rows.WORKER_TASK_EVENTS, W1)


def test_a_busy_worker_misses_nothing_that_was_not_lost() -> None:
    """Answers between heartbeats of a busy worker cause no missed events; lost events count once it is idle."""
    lab = Mixed(50)
    for step in range(40):
        lab.execute(LOUD, 2, lost=step == 30)
        lab.execute(QUIET, 3)
        if step % 3 == 0:
            lab.answer()
        lab.execute(QUIET, 1)
        lab.pass_time()
        assert (lab.missed() or 0) <= (2 if step >= 30 else 0)
    lab.pass_time(5)
    lab.answer()
    # One execution without events came between the first answer and the next heartbeat.
    assert 1 == lab.missed()


def test_an_old_answer_settles_nothing() -> None:
    """An answer that is older than the last heartbeat settles no executions that the heartbeat counts."""
    lab = Mixed()
    lab.answer()
    before = dict(lab.totals)
    lab.execute(LOUD, 1)
    lab.execute(QUIET, 4)
    lab.pass_time(5)
    lab.answer(before)
    assert 0 == lab.missed()


def test_a_subscription_that_comes_back_keeps_the_account() -> None:
    """After an interruption, counts of tasks without events are kept until the worker is queried again."""
    lab = Mixed()
    lab.answer()
    lab.workers.gap()
    lab.execute(QUIET, 4)
    lab.pass_time(5)
    assert 0 == lab.missed()
    lab.answer()
    assert 0 == lab.missed()


def test_a_new_process_begins_anew() -> None:
    """A restarted worker may have other tasks, so its counts of tasks without events begin at 0."""
    lab = Mixed(9)
    lab.answer()
    lab.beat(0, pid=2)
    assert lab.workers.by_name[W1].questions.eventless is None


def test_a_task_with_another_name_is_no_loss() -> None:
    """A task without events that Celery counts under its shadow name causes no missed events."""
    lab = Mixed()
    lab.answer()
    lab.execute(LOUD, 1)
    lab.execute("sync customer 7", 2)
    lab.pass_time(5)
    lab.answer()
    assert 0 == lab.missed()


def test_workers_without_events_are_reported() -> None:
    """A worker that executed a task with events, none of which arrived, is shown as sending none and misses none."""
    lab = Mixed()
    lab.answer()
    lab.execute(QUIET, 3)
    lab.pass_time(5)
    lab.answer()
    assert lab.value(rows.WORKER_TASK_EVENTS, W1) is None
    lab.execute(LOUD, 1, lost=True)
    lab.pass_time(5)
    lab.answer()
    assert 0 == lab.value(rows.WORKER_TASK_EVENTS, W1)
    assert 0 == lab.missed()
