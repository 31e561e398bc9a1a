# SPDX-License-Identifier: Apache-2.0
"""The meaning of a passive declare that fails.

RabbitMQ up to 4.2.5, as the integration tests have it, answers a passive declare to everyone. From 4.2.6 it refuses
users without a permission on the queue, which is why the channel is a fake here.
"""

from typing import cast

import pytest
from amqp.exceptions import AccessRefused, ChannelError, InternalError, NotFound, PreconditionFailed, ResourceLocked

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.records.replies import QueueCount
from celery_redis_exporter.sources.kombu_link import KombuEndpoint
from celery_redis_exporter.sources.kombu_queues import MISSING_SECONDS, MOST_MISSING, QueueCounter
from celery_redis_exporter.sources.refusals import RETRY_SECONDS
from tests.support.fakes import FakeClock


class FakeRabbit:
    """A fake of endpoint, link, channel and broker; ``faults`` are raised by queue."""

    is_amqp = True
    errors = (ChannelError, InternalError)
    channel_errors = (ChannelError,)

    def __init__(self, **faults: Exception) -> None:
        self.faults = faults
        self.declared: list[str] = []
        self.closed = False
        self.connection = self

    def open(self) -> "FakeRabbit":
        """Connect."""
        return self

    def channel(self) -> "FakeRabbit":
        """Open a channel."""
        return self

    def close(self) -> None:
        """Record the call."""
        self.closed = True

    def wait_at_most(self, _seconds: float) -> None:
        """Accept every time."""

    def basic_qos(self, *_: object) -> None:
        """Accept everything."""

    def queue_declare(self, queue: str, *, passive: bool) -> tuple[str, int, int]:
        """Count a queue."""
        assert passive
        self.declared.append(queue)
        if queue in self.faults:
            raise self.faults[queue]
        return queue, 3, 1


def counter_of(rabbit: FakeRabbit, clock: FakeClock | None = None) -> QueueCounter:
    """Return a queue counter for this fake."""
    return QueueCounter(cast("KombuEndpoint", rabbit), clock or FakeClock())


@pytest.mark.parametrize(
    "fault",
    [
        NotFound("NOT_FOUND - no queue 'other'", (50, 10), "Queue.declare"),
        ResourceLocked("RESOURCE_LOCKED - exclusive queue", (50, 10), "Queue.declare"),
        ChannelError("NOT_FOUND - as kombu's own transports raise it", (50, 10), "Channel.queue_declare", "404"),
    ],
    ids=["missing", "exclusive", "missing elsewhere"],
)
def test_a_queue_that_is_missing_is_left_out(fault: Exception) -> None:
    """A queue that is missing, or exclusive to another connection, affects no other one and is no refusal."""
    counter = counter_of(FakeRabbit(other=fault))
    assert [QueueCount("celery", 3, 1)] == counter.count(["other", "celery"], 1.0)
    assert not counter.refused


def test_a_queue_that_is_refused_is_not_missing() -> None:
    """A queue that the user may not read is recorded as refused, and affects no other one."""
    counter = counter_of(FakeRabbit(other=AccessRefused("ACCESS_REFUSED - access to queue", (50, 10), "Queue.declare")))
    assert [QueueCount("celery", 3, 1)] == counter.count(["other", "celery"], 1.0)
    assert ("other",) == counter.refused


def test_a_refused_queue_is_asked_for_again_after_a_while() -> None:
    """A refused queue is not declared for ten minutes, as RabbitMQ logs each refusal."""
    rabbit, clock = FakeRabbit(other=AccessRefused()), FakeClock()
    counter = counter_of(rabbit, clock)
    for _ in range(3):
        counter.count(["other", "celery"], 1.0)
    assert 1 == rabbit.declared.count("other")
    assert ("other",) == counter.refused
    clock.advance(RETRY_SECONDS)
    rabbit.faults.clear()
    assert {"other", "celery"} == {count.queue for count in counter.count(["other", "celery"], 1.0)}
    assert not counter.refused


def test_a_refusal_is_forgotten_with_its_queue() -> None:
    """Refusals of queues that are no longer known are dropped."""
    counter = counter_of(FakeRabbit(other=AccessRefused()))
    counter.count(["other"], 1.0)
    counter.count(["celery"], 1.0)
    assert not counter.refused


@pytest.mark.parametrize("fault", [PreconditionFailed(), ChannelError("odd"), InternalError()])
def test_other_failures_are_failures_of_the_broker(fault: Exception) -> None:
    """An error that doesn't state that a queue is missing fails the read, and the next one connects again."""
    rabbit = FakeRabbit(other=fault)
    counter = counter_of(rabbit)
    with pytest.raises(SourceError):
        counter.count(["other"], 1.0)
    assert rabbit.closed


def test_a_missing_queue_is_not_asked_for_at_each_scrape() -> None:
    """A missing queue is declared every ten seconds, and once it exists it is read each time."""
    rabbit, clock = FakeRabbit(dead=NotFound()), FakeClock()
    counter = counter_of(rabbit, clock)
    for _ in range(30):
        counter.count(["dead", "celery"], 1.0)
        clock.advance(1)
    assert (3, 30) == (rabbit.declared.count("dead"), rabbit.declared.count("celery"))
    rabbit.faults.clear()
    for _ in range(2):
        assert {"dead", "celery"} == {count.queue for count in counter.count(["dead", "celery"], 1.0)}


def test_a_missing_queue_that_is_consumed_is_asked_for() -> None:
    """A queue that a worker has begun to consume is counted at once, although it was missing before."""
    rabbit = FakeRabbit(new=NotFound())
    counter = counter_of(rabbit)
    counter.count(["new"], 1.0)
    rabbit.faults.clear()
    assert [] == counter.count(["new"], 1.0)
    assert [QueueCount("new", 3, 1)] == counter.count(["new"], 1.0, {"new"})


def test_many_missing_queues_are_looked_for_in_turn() -> None:
    """Only some of many missing queues are declared at a time, in turn; none is kept after it is no longer known."""
    names = [f"bcast.{number}" for number in range(3 * MOST_MISSING)]
    rabbit, clock = FakeRabbit(**{name: NotFound() for name in names}), FakeClock()
    counter = counter_of(rabbit, clock)
    counter.count(names, 1.0)
    for _ in range(6):
        clock.advance(MISSING_SECONDS)
        before = len(rabbit.declared)
        counter.count(names, 1.0)
        assert MOST_MISSING == len(rabbit.declared) - before
    assert {3} == {rabbit.declared.count(name) for name in names}
    counter.count([], 1.0)
    assert not counter._missing
