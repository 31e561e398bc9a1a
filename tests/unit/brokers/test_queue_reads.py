# SPDX-License-Identifier: Apache-2.0
"""The commands that a scrape sends to the broker, and the samples that it makes of the replies."""

from celery_redis_exporter.brokers.queue_reads import (
    HEAVY_BYTES,
    LEFT_OUT_MINUTES,
    LIGHT_BYTES,
    BacklogRead,
    QueuesRead,
    UnackedRead,
)
from celery_redis_exporter.records.samples import Reading
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.state.queues import Queues
from tests.support.lab import Lab
from tests.support.options import queue_keys

KEYS = queue_keys(priority_steps=(0, 3))
MESSAGE = b'{"body": "", "headers": {"id": "a"}}'


def make(lab: Lab, names: list[str], keys: QueueKeys = KEYS) -> QueuesRead:
    """Return the part that reads these queues."""
    return QueuesRead(Queues(lab.tasks, names, 10), lambda: keys, lab.store, lab.clock, oldest=True)


def found(part: QueuesRead, replies: list[object]) -> dict[tuple[str, ...], Reading]:
    """Return sample values by metric name and labels."""
    return {(sample.metric.name, *sample.labels): sample.value for sample in part.samples(replies)}


def test_commands_per_queue() -> None:
    """A queue is read with one LLEN per priority step and one LINDEX, with the application's key prefix."""
    part = make(Lab(), ["q"], queue_keys(global_keyprefix="app:", priority_steps=(0, 3)))
    assert [("LLEN", "app:q"), ("LLEN", "app:q\x06\x163"), ("LINDEX", "app:q", -1)] == part.commands()


def test_used_steps_are_looked_at() -> None:
    """The next message of a priority step is read once the step has contained a message."""
    part = make(Lab(), ["q"])
    part.commands()
    part.samples([0, 2, None])
    assert ("LINDEX", "q\x06\x163", -1) in part.commands()


def test_unreadable_key_costs_its_queue_alone() -> None:
    """A queue whose key is refused or has another type has no sample, and other queues have all samples."""
    part = make(Lab(), ["bad", "good"])
    part.commands()
    samples = found(part, [Refusal("WRONGTYPE"), 0, Refusal("WRONGTYPE"), 4, 0, MESSAGE])
    assert 4 == samples["celery_queue_length", "good"]
    assert not [key for key in samples if "bad" in key]


def test_foreign_message_has_a_length_and_no_age() -> None:
    """A message that is not from Celery counts in the length and has no age."""
    part = make(Lab(), ["q"])
    part.commands()
    assert {("celery_queue_length", "q"): 1} == found(part, [1, 0, b"not json"])


def test_heavy_message_is_not_fetched_every_time() -> None:
    """A very large next message is not read again for a while; its age increases while its list is not empty."""
    lab = Lab()
    part = make(lab, ["q"])
    part.commands()
    part.samples([1, 0, MESSAGE + b" " * HEAVY_BYTES])
    lab.clock.advance(10)
    assert [("LLEN", "q"), ("LLEN", "q\x06\x163")] == part.commands()
    age = ("celery_queue_oldest_message_age_seconds", "q")
    assert {("celery_queue_length", "q"): 1, age: 10} == found(part, [1, 0])
    part.commands()
    assert {("celery_queue_length", "q"): 0, age: 0} == found(part, [0, 0])
    lab.clock.advance(6)
    assert ("LINDEX", "q", -1) in part.commands()
    assert {("celery_queue_length", "q"): 1, age: 0} == found(part, [1, 0, MESSAGE.replace(b'"a"', b'"b"')])


def test_messages_that_can_not_be_read_are_left_out_for_a_while() -> None:
    """If next messages can't be read, only lengths are read for a pause, and ages are shown again after it."""
    lab = Lab()
    part = make(lab, ["q"])
    assert part.leave_out()
    assert not part.leave_out()
    assert [("LLEN", "q"), ("LLEN", "q\x06\x163")] == part.commands()
    assert {("celery_queue_length", "q"): 1} == found(part, [1, 0])
    lab.clock.advance(60 * LEFT_OUT_MINUTES)
    assert ("LINDEX", "q", -1) in part.commands()
    assert ("celery_queue_oldest_message_age_seconds", "q") in found(part, [1, 0, MESSAGE])
    assert part.leave_out()


def test_a_queue_that_stands_still_grows_older() -> None:
    """The age of an unchanged next message increases, and begins again with another message."""
    lab = Lab()
    part = make(lab, ["q"])
    part.commands()
    length, age = ("celery_queue_length", "q"), ("celery_queue_oldest_message_age_seconds", "q")
    assert {length: 1, age: 0} == found(part, [1, 0, MESSAGE])
    lab.clock.advance(5)
    assert {length: 1, age: 5} == found(part, [1, 0, MESSAGE])
    assert {length: 2, age: 5} == found(part, [2, 0, MESSAGE])
    assert {length: 2, age: 0} == found(part, [2, 0, MESSAGE.replace(b'"a"', b'"b"')])
    assert {length: 0, age: 0} == found(part, [0, 0, None])


def test_messages_are_not_hoarded() -> None:
    """Of the next messages only small ones are kept until the next scrape."""
    part = make(Lab(), ["small", "large"])
    part.commands()
    part.samples([1, 0, MESSAGE, 1, 0, MESSAGE + b" " * LIGHT_BYTES])
    assert ["small"] == list(part._read)
    part.samples([1, 0, MESSAGE + b" " * LIGHT_BYTES, 0, 0, None])
    assert ["large"] == list(part._read)


def test_a_queue_is_asked_for_as_soon_as_a_task_names_it() -> None:
    """A queue that a task-sent names is read in the next scrape."""
    lab = Lab()
    part = make(lab, ["q"])
    assert 3 == len(part.commands())
    lab.sent("a", 0, queue="other")
    assert ("LLEN", "other") in part.commands()
    assert 6 == len(part.commands())


def test_unacked() -> None:
    """The count, oldest age and overdue messages among the unacknowledged are read, by the visibility timeout."""
    lab = Lab()
    part = UnackedRead(KEYS, lambda: 3600, lab.clock)
    cutoff = lab.clock.epoch - 3600
    assert ("ZCOUNT", "unacked_index", "-inf", cutoff) == part.commands()[2]
    oldest = [b"tag", str(lab.clock.epoch - 90).encode()]
    samples = {sample.metric.name: sample.value for sample in part.samples([2, oldest, 1])}
    assert {
        "celery_broker_visibility_timeout_seconds": 3600, "celery_unacked_messages": 2,
        "celery_unacked_oldest_age_seconds": 90, "celery_unacked_overdue_messages": 1,
    } == samples  # fmt: skip


def test_unacked_none_and_refused() -> None:
    """Without unacknowledged messages the oldest age is 0, and refused commands have no sample."""
    part = UnackedRead(KEYS, lambda: 3600, Lab().clock)
    empty = {sample.metric.name: sample.value for sample in part.samples([0, [], 0])}
    assert 0 == empty["celery_unacked_oldest_age_seconds"]
    refused = {sample.metric.name for sample in part.samples([Refusal("NOPERM")] * 3)}
    assert {"celery_broker_visibility_timeout_seconds"} == refused


def test_backlog() -> None:
    """The backlog is read only while a subscription is open."""
    assert [] == BacklogRead(lambda: None).commands()
    assert [] == BacklogRead(lambda: None).samples([])
    part = BacklogRead(lambda: 7)
    assert [("CLIENT", "LIST", "ID", 7)] == part.commands()
    assert [12] == [sample.value for sample in part.samples([b"id=7 omem=12 cmd=psubscribe"])]
