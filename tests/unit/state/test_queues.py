# SPDX-License-Identifier: Apache-2.0
"""Known queues and the age of their next message."""

import re

from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.records.replies import QueueCount, QueuedMessage, QueueReading
from celery_redis_exporter.records.samples import Reading, Sample
from celery_redis_exporter.state.queues import Queues, QueueThresholds
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from tests.support.lab import Lab
from tests.support.options import task_limits

TENANTS = Naming(queue=NameRules(rewrites=[Rewrite(re.compile(r"tenant-.+"), "tenants")]))


def values(samples: list[Sample]) -> dict[tuple[str, tuple[str, ...]], Reading]:
    """Return sample values by metric name and labels."""
    return {(sample.metric.name, sample.labels): sample.value for sample in samples}


def test_queues_come_from_settings_events_and_bindings() -> None:
    """Queues come from the settings, from task-sent and from bindings; `unknown` is not a queue."""
    lab = Lab()
    queues = Queues(lab.tasks, ["configured"], 10)
    lab.sent("a", 0, queue="sent-to")
    lab.sent("b", 0, queue=None)
    queues.add(["bound"])
    assert ("configured", "bound", "sent-to") == queues.names()


def test_queues_have_a_bound() -> None:
    """Queues beyond the limit are not read, and each counts as dropped once."""
    refused: list[int] = []
    queues = Queues(Lab().tasks, [], 2, lambda: refused.append(1))
    for _ in range(3):
        queues.add(["a", "b", "c", "d"])
    assert 2 == len(refused)
    assert ("a", "b") == queues.names()


def test_empty_queue_is_zero() -> None:
    """A known queue that is empty has length 0 and age 0."""
    queues = Queues(Lab().tasks, [], 10)
    found = values(queues.fold(QueueReading("q", {0: 0, 3: 0}, {}), 100.0))
    assert {(rows.QUEUE_LENGTH.name, ("q",)): 0, (rows.QUEUE_OLDEST_AGE.name, ("q",)): 0} == found


def test_priorities() -> None:
    """The length is the sum over priority steps; the steps are shown once a step after the first was used."""
    queues = Queues(Lab().tasks, [], 10)
    assert (0,) == queues.used_steps("q")
    found = values(queues.fold(QueueReading("q", {0: 1, 3: 2, 6: 0}, {}), 100.0))
    assert 3 == found[rows.QUEUE_LENGTH.name, ("q",)]
    assert 2 == found[rows.QUEUE_PRIORITY_LENGTH.name, ("q", "3")]
    assert (0, 3) == queues.used_steps("q")
    again = values(queues.fold(QueueReading("q", {0: 0, 3: 0, 6: 0}, {}), 101.0))
    assert 0 == again[rows.QUEUE_PRIORITY_LENGTH.name, ("q", "3")]


def test_age_from_task_sent() -> None:
    """The age of the next message counts from its task-sent; the oldest message of all priority steps counts."""
    lab = Lab()
    lab.sent("a", 0)
    lab.sent("b", 10)
    queues = Queues(lab.tasks, [], 10)
    oldest = {0: QueuedMessage("b"), 3: QueuedMessage("a")}
    found = values(queues.fold(QueueReading("q", {0: 1, 3: 1}, oldest), lab.start + 30))
    assert 30 == found[rows.QUEUE_OLDEST_AGE.name, ("q",)]


def test_age_as_lower_bound() -> None:
    """Without its task-sent a message's age counts from the first scrape in which it was the next message."""
    queues = Queues(Lab().tasks, [], 10)
    reading = QueueReading("q", {0: 5}, {0: QueuedMessage("x")})
    assert [0, 15] == [values(queues.fold(reading, now))[rows.QUEUE_OLDEST_AGE.name, ("q",)] for now in (100.0, 115.0)]
    moved_on = QueueReading("q", {0: 4}, {0: QueuedMessage("y")})
    assert 0 == values(queues.fold(moved_on, 120.0))[rows.QUEUE_OLDEST_AGE.name, ("q",)]


def test_unreadable_queue_has_no_sample() -> None:
    """A queue that could not be read has no samples; it does not show 0."""
    queues = Queues(Lab().tasks, [], 10)
    assert [] == queues.fold(QueueReading("q", {}, {}), 100.0)


def test_age_of_a_retry_waiting_in_its_queue() -> None:
    """The age of a waiting retry counts from its own publication, not from the first one of the task."""
    lab = Lab()
    lab.sent("a", 0)
    lab.received("a", 0)
    lab.started("a", 1)
    lab.sent("a", 20, retries=1)
    queues = Queues(lab.tasks, [], 10)
    found = values(queues.fold(QueueReading("q", {0: 1}, {0: QueuedMessage("a")}), lab.start + 30))
    assert 10 == found[rows.QUEUE_OLDEST_AGE.name, ("q",)]


def test_age_from_the_message_itself() -> None:
    """The publish time in a message's headers takes precedence over its task-sent."""
    lab = Lab()
    lab.sent("a", 20)
    queues = Queues(lab.tasks, [], 10)
    message = QueuedMessage("a", lab.start + 5)
    found = values(queues.fold(QueueReading("q", {0: 1}, {0: message}), lab.start + 30))
    assert 25 == found[rows.QUEUE_OLDEST_AGE.name, ("q",)]


def test_what_a_broker_counts() -> None:
    """Lengths and consumers are shown as the broker counts them; consumers it does not count are absent."""
    queues = Queues(Lab().tasks, [], 10)
    found = values(queues.fold_counts([QueueCount("q", 3, 0), QueueCount("r", 0, None)]))
    lengths = {(rows.QUEUE_LENGTH.name, ("q",)): 3, (rows.QUEUE_LENGTH.name, ("r",)): 0}
    assert {**lengths, (rows.QUEUE_CONSUMERS.name, ("q",)): 0} == found


def test_age_of_queues_shown_under_one_name() -> None:
    """The age of queues that are shown under one name is that of the oldest message in any of them."""
    lab = Lab(task_limits(naming=TENANTS))
    queues = Queues(lab.tasks, ["tenant-a", "tenant-b"], 10)
    young = QueueReading("tenant-a", {0: 1}, {0: QueuedMessage("a", lab.start + 20)})
    old = QueueReading("tenant-b", {0: 2}, {0: QueuedMessage("b", lab.start)})
    for readings in ([young, old], [old, young]):
        found = values(queues.fold_all(readings, lab.start + 30))
        assert {(rows.QUEUE_LENGTH.name, ("tenants",)): 3, (rows.QUEUE_OLDEST_AGE.name, ("tenants",)): 30} == found


def test_broker_counts_of_queues_shown_under_one_name() -> None:
    """Messages and consumers of queues that are shown under one name are summed."""
    queues = Queues(Lab(task_limits(naming=TENANTS)).tasks, ["tenant-a", "tenant-b"], 10)
    found = values(queues.fold_counts([QueueCount("tenant-a", 3, 1), QueueCount("tenant-b", 4, 2)]))
    assert {(rows.QUEUE_LENGTH.name, ("tenants",)): 7, (rows.QUEUE_CONSUMERS.name, ("tenants",)): 3} == found


def test_thresholds() -> None:
    """The first pattern that matches a queue's shown name sets its thresholds; without a match it has none."""
    lab = Lab(task_limits(naming=TENANTS))
    thresholds = QueueThresholds((("tenants", 7.0), ("*-slow", 9.0), ("a-*", 8.0)), (("tenants", 60.0),))
    names = ["tenant-1", "tenant-2", "a-slow", "mail"]
    queues = Queues(lab.tasks, names, 10, thresholds=thresholds)
    samples = values(queues.fold_all([QueueReading(name, {0: 1}, {}) for name in names], lab.start))
    found = {key: value for key, value in samples.items() if "threshold" in key[0]}
    length, wait = "celery_queue_length_threshold", "celery_queue_wait_threshold_seconds"
    assert {(length, ("tenants",)): 7, (length, ("a-slow",)): 9, (wait, ("tenants",)): 60} == found
    counted = values(queues.fold_counts([QueueCount("a-slow", 1, 1)]))
    assert 9 == counted[length, ("a-slow",)]


def test_age_is_never_negative() -> None:
    """A message whose publisher's clock is ahead has an age of 0 s."""
    lab = Lab()
    queues = Queues(lab.tasks, [], 10)
    found = values(queues.fold(QueueReading("q", {0: 1}, {0: QueuedMessage("a", lab.start + 5)}), lab.start))
    assert 0 == found[rows.QUEUE_OLDEST_AGE.name, ("q",)]


def test_names_of_refused_queues_are_bounded() -> None:
    """At most ten thousand names of queues over the limit are kept."""
    queues = Queues(Lab().tasks, ["a"], 1)
    queues.add(f"bcast.{number}" for number in range(10_001))
    assert len(queues._refused) <= 10_000
