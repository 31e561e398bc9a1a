# SPDX-License-Identifier: Apache-2.0
"""Executions of a task id on several workers, counted correctly in whatever order the senders' events arrive."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_redis_exporter.catalog import UNKNOWN
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.state.worker import Setup
from tests.support.lab import Lab
from tests.support.sizes import scaled
from tests.support.stories import BROADCAST, Event, Publication, Story

WORKERS = ("pre1@h", "pre2@h", "pre3@h")
STATES = ("success", "failure", "retry", "revoked", "rejected")


def fold(lab: Lab, event: Event) -> None:
    """Fold one event of a story."""
    fields = event.fields
    match event.kind:
        case "sent":
            lab.sent("a", event.at, fields["name"], fields["queue"], fields["retries"])
        case "received":
            lab.received("a", event.at, fields["name"], event.sender, fields["retries"])
        case "started":
            lab.started("a", event.at, event.sender)
        case "succeeded":
            lab.succeeded("a", event.at, fields["runtime"], event.sender)
        case "failed":
            lab.failed("a", event.at, worker=event.sender)
        case "retried":
            lab.retried("a", event.at, worker=event.sender)
        case "requeued":
            lab.rejected("a", event.at, requeue=True, worker=event.sender)
        case "revoked":
            lab.revoked("a", event.at, worker=event.sender, terminated=fields.get("terminated", False))


def fold_story(story: Story, delays: dict[str, float], *, queue_known: bool = False) -> Lab:
    """Fold a story's events in the order of their arrival, with the time between them.

    With ``queue_known`` every worker has reported that it consumes only the first queue, so that no event is deferred.
    """
    lab = Lab()
    if queue_known:
        for worker in WORKERS:
            lab.workers.meet(worker).setup = Setup((next(iter(story.truth.sent))[1],))
    for name in sorted({name for name, _ in story.truth.sent}):
        lab.sent(f"another {name}", 0, name, "elsewhere")  # so that a task-sent is expected
    now = 0.0
    for at, event in story.arrivals(delays):
        if at > now:
            lab.advance(at - now)
            now = at
        fold(lab, event)
    lab.advance(2)
    return lab


def check(story: Story, lab: Lab) -> None:
    """Compare the counts with the truth."""
    truth = story.truth
    for name, queue in truth.sent | truth.received:
        counts = [lab.value(m, name, queue) for m in (rows.TASKS_SENT, rows.TASKS_RECEIVED, rows.TASKS_STARTED)]
        key = name, queue
        assert [truth.sent[key], truth.received[key], truth.started[key]] == counts, key
        assert truth.running[key] == lab.value(rows.TASKS_RUNNING, name, queue), key
        ends = {state: truth.ends[name, queue, state] for state in STATES if truth.ends[name, queue, state]}
        assert ends == lab.ends(name, queue), key
    waits = [lab.observations(rows.TASK_WAIT, name, queue) for name, queue in truth.sent]
    assert len(truth.waits) == sum(count for count, _ in waits)
    assert sum(truth.waits) == pytest.approx(sum(total for _, total in waits), abs=1e-4)


def replaced(first_queue: str, second_queue: str) -> Story:
    """Return a story of a task that is replaced, and whose replacement another worker executes."""
    story = Story()
    first = story.publish(0, "p.replace", first_queue)
    story.receive(0.0008, first, WORKERS[0])
    story.start(0.0069, first, WORKERS[0])
    second = story.replace(0.0076, first, "p.ok", second_queue)
    story.receive(0.0078, second, WORKERS[1])
    story.start(0.0079, second, WORKERS[1])
    story.end(0.0095, second, WORKERS[1], "succeeded", 0.0079)
    return story


def replaced_on_another_worker() -> Story:
    """Return a story of a task that is replaced in its own queue."""
    return replaced("alpha", "alpha")


def retried_to_another_queue() -> Story:
    """Return a story of a task that two workers retry into another queue and back."""
    story = Story()
    first = story.publish(0, "r", "alpha")
    story.receive(0.0007, first, WORKERS[1])
    story.start(0.0284, first, WORKERS[1])
    second = story.publish(0.0361, "r", "beta", 1)
    story.receive(0.0496, second, WORKERS[0])
    story.end(0.0799, first, WORKERS[1], "retried", 0.0284)
    third = story.publish(0.1716, "r", "alpha", 2)
    story.receive(0.1726, third, WORKERS[1])
    story.start(0.1832, third, WORKERS[1])
    story.end(0.2033, third, WORKERS[1], "succeeded", 0.1832)
    story.start(0.2148, second, WORKERS[0])
    story.end(0.2594, second, WORKERS[0], "retried", 0.2148)
    return story


def retried_at_once_over_three_workers() -> Story:
    """Return a story of a task that three workers execute one after the other, without a countdown."""
    story = Story()
    published = story.publish(0, "p.auto", "beta")
    for number, worker in enumerate(WORKERS):
        at = 0.02 * number
        story.receive(at + 0.001, published, worker)
        story.start(at + 0.002, published, worker)
        if number < 2:
            following = story.publish(at + 0.018, "p.auto", "beta", number + 1)
            story.end(at + 0.02, published, worker, "retried", at + 0.002)
            published = following
    story.end(0.06, published, WORKERS[2], "succeeded", 0.042)
    return story


def redelivered_while_running() -> Story:
    """Return a story of a publication that a second worker executes while the first one still runs it."""
    story = Story()
    published = story.publish(0, "slow", "q")
    story.receive(0.1, published, WORKERS[0])
    story.start(0.2, published, WORKERS[0])
    story.receive(3600.1, published, WORKERS[1])
    story.start(3600.2, published, WORKERS[1])
    story.end(3601, published, WORKERS[1], "succeeded", 3600.2)
    story.end(3700, published, WORKERS[0], "failed", 0.2)
    return story


def replaced_in_another_queue() -> Story:
    """Return a story of a replacement in another queue, as by a solo worker, whose events arrive after the task."""
    return replaced("beta", "alpha")


def broadcast_to_three_workers() -> Story:
    """Return a story of one publication that three workers execute."""
    story = Story()
    published = story.publish(0, "reload", BROADCAST)
    for number, worker in enumerate(WORKERS):
        story.receive(0.01 + number / 100, published, worker)
        story.start(0.02 + number / 100, published, worker)
        story.end(0.05 + number / 100, published, worker, "succeeded", 0.02 + number / 100)
    return story


SHAPES = (
    replaced_on_another_worker, retried_to_another_queue, retried_at_once_over_three_workers,
    redelivered_while_running, replaced_in_another_queue, broadcast_to_three_workers,
)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_orders_of_arrival(shape: Callable[[], Story]) -> None:
    """The counts are correct for many orders in which the senders' events can arrive."""
    chance = random.Random(1)  # noqa: S311 -- no secret
    for _ in range(scaled(30, 200)):
        story = shape()
        delays = {sender: chance.random() * 0.9 for sender in story.senders()}
        check(story, fold_story(story, delays))


UNSTARTED = ("revoked", "refused")
ENDS = ("succeeded", "failed", "terminated", "ignored", "redelivered")
GOES_ON = ("retried", "retried late", "replaced", "requeued")


class Narrator:
    """Draws a story of up to five executions on three workers."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.story = Story()
        self._draw = draw
        self._at = 0.0
        self._begun: dict[int, tuple[str, float]] = {}

    def make(self) -> Story:
        """Return a whole story."""
        published = self.story.publish(0, "t0", "q0")
        for _ in range(self._draw(st.integers(0, 4))):
            published = self._go_on(published, self._draw(st.sampled_from(GOES_ON)))
        ends = ENDS if published.number in self._begun else (*UNSTARTED, *ENDS)
        self._finish(published, self._draw(st.sampled_from(ends)))
        return self.story

    def _go_on(self, published: Publication, outcome: str) -> Publication:
        worker, started_at = self._execute(published)
        queue = self._draw(st.sampled_from(("q0", "q1")))
        if outcome == "replaced":
            return self.story.replace(self._later(), published, f"t{len(self.story.events)}", queue)
        if outcome == "requeued":
            self.story.end(self._later(), published, worker, outcome, started_at)
            self._at += 10  # otherwise either of two simultaneous deliveries could have the waiting time
            return published
        following = self.story.publish(self._later(), published.name, queue, published.retries + 1)
        if outcome == "retried late":  # another worker starts the retry before the end of the first run is reported
            self._begun[following.number] = self._execute(following)
        self.story.end(self._later(), published, worker, "retried", started_at)
        return following

    def _finish(self, published: Publication, outcome: str) -> None:
        if outcome in UNSTARTED:
            worker = self._draw(st.sampled_from(WORKERS))
            if outcome == "revoked":  # a worker that received the revocation earlier does not send task-received
                self.story.receive(self._later(), published, worker)
            self.story.revoke(self._later(), published, worker)
            return
        worker, started_at = self._execute(published)
        if outcome == "redelivered":
            self._at += 10  # past the visibility timeout
            other, again_at = self._execute(published, besides=worker)
            self.story.end(self._later(), published, other, "succeeded", again_at)
            self.story.end(self._later(), published, worker, "succeeded", started_at)
        elif outcome == "terminated":
            self.story.terminate(self._later(), published, worker)
        elif outcome != "ignored":
            self.story.end(self._later(), published, worker, outcome, started_at)

    def _execute(self, published: Publication, besides: str = "") -> tuple[str, float]:
        if published.number in self._begun and not besides:
            return self._begun.pop(published.number)
        worker = self._draw(st.sampled_from([name for name in WORKERS if name != besides]))
        self.story.receive(self._later(), published, worker)
        started_at = self._later()
        self.story.start(started_at, published, worker)
        return worker, started_at

    def _later(self) -> float:
        self._at += self._draw(st.floats(0.001, 2))
        return self._at


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a story."""
    return Narrator(draw).make()


@settings(max_examples=scaled(60, 400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_story(data: st.DataObject) -> None:
    """Any story over three workers, each with a different delay, is counted correctly."""
    story = data.draw(stories())
    delays = {sender: data.draw(st.floats(0, 0.9), label=sender) for sender in story.senders()}
    one_queue = len({queue for _, queue in story.truth.sent}) == 1
    check(story, fold_story(story, delays, queue_known=one_queue and data.draw(st.booleans(), label="queue_known")))


def totals(lab: Lab, name: str) -> tuple[list[float], Counter[str], int]:
    """Return received, started and running, ends by state, and the number of waiting times, over all queues."""
    queues = ("alpha", "beta", "q", BROADCAST, UNKNOWN)
    counts = [
        sum(lab.value(metric, name, queue) or 0 for queue in queues)
        for metric in (rows.TASKS_RECEIVED, rows.TASKS_STARTED, rows.TASKS_RUNNING)
    ]
    ends = Counter[str]()
    for queue in queues:
        ends.update({state: int(count) for state, count in lab.ends(name, queue).items()})
    return counts, ends, sum(lab.observations(rows.TASK_WAIT, name, queue)[0] for queue in queues)


@pytest.mark.parametrize(("shape", "lost"), [(shape, lost) for shape in SHAPES for lost in range(len(shape().events))])
def test_each_event_lost(shape: Callable[[], Story], lost: int) -> None:
    """A lost event costs only the counts of that event."""
    story = shape()
    gone = story.events.pop(lost)
    lab = fold_story(story, {})
    truth = story.truth
    for name in {name for name, _ in truth.sent}:
        keys = [key for key in truth.sent if key[0] == name]
        ends = Counter({state: sum(truth.ends[(*key, state)] for key in keys) for state in STATES})
        (received, started, _), found, _ = totals(lab, name)
        missing = Counter({"received": sum(truth.received[key] for key in keys) - received})
        missing += Counter({"started": sum(truth.started[key] for key in keys) - started})
        missing += Counter({"ended": (ends - found).total()})
        assert (found - ends).total() == 0
        assert missing.total() <= (gone.kind != "sent")
        assert not missing or {"received", "started"} & {gone.kind} == set(missing) or set(missing) == {"ended"}
    waits = sum(totals(lab, name)[2] for name in {name for name, _ in truth.sent})
    key = gone.fields.get("name", ""), gone.fields.get("queue", "")
    deliveries = max(truth.received.values())
    # Without its task-received a start could belong to an unknown publication if other workers received the task.
    costs = {"sent": truth.started[key], "started": 1, "received": deliveries > 1}
    assert waits >= len(truth.waits) - costs.get(gone.kind, 0)
    assert waits <= len(truth.waits) - (gone.kind == "sent")
    assert lab.tasks.tracked["a"].over or gone.kind in {"succeeded", "failed", "retried"}
