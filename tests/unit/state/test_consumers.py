# SPDX-License-Identifier: Apache-2.0
"""Consumers of each queue."""

import pytest

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import queues as rows
from celery_redis_exporter.records.events import WorkerHeartbeat
from celery_redis_exporter.state.consumers import Consumers
from celery_redis_exporter.state.queues import Queues
from tests.support.lab import W1, W2, Lab

PATIENCE = 30.0


class Fleet(Lab):
    """A lab with consumers that has received events for as long as consumers need to become certain."""

    def __init__(self, elsewhere: tuple[Metric, ...] = ()) -> None:
        super().__init__()
        self.queues = Queues(self.tasks, ["orders"], 10)
        self.consumers = Consumers(self.store, self.workers, self.queues, self.clock, PATIENCE, elsewhere)
        self.workers.tick(listening=True)
        self.clock.advance(PATIENCE)

    def tells(self, worker: str, queues: list[str] | None, concurrency: int | None = 1) -> None:
        """Fold a heartbeat that carries the worker's setup."""
        beat = WorkerHeartbeat(worker, self.clock.epoch, 1, 2.0, 0, 0, queues=queues, concurrency=concurrency)
        self.workers.fold_heartbeat(beat)

    def shown(self, queue: str) -> tuple[float | None, float | None]:
        """Return the number of consumers and the concurrency of a queue."""
        self.workers.tick(listening=True)
        self.consumers.refresh()
        return self.value(rows.QUEUE_CONSUMERS, queue), self.value(rows.QUEUE_CONCURRENCY, queue)


@pytest.fixture
def fleet() -> Fleet:
    """Return a fleet without workers."""
    return Fleet()


def test_consumers_are_summed(fleet: Fleet) -> None:
    """A queue shows its number of consumers and their total concurrency; a known queue without consumers shows 0."""
    fleet.tells(W1, ["mail", "video"], 2)
    fleet.tells(W2, ["mail"], 3)
    assert (2, 5) == fleet.shown("mail")
    assert (1, 2) == fleet.shown("video")
    assert (0, 0) == fleet.shown("orders")
    assert ("orders", "mail", "video") == fleet.queues.known()


def test_consumers_follow(fleet: Fleet) -> None:
    """Consumers change when a worker consumes less, leaves, is lost or comes back."""
    fleet.tells(W1, ["mail", "video"], 2)
    fleet.tells(W2, ["mail"], 3)
    assert (2, 5) == fleet.shown("mail")
    fleet.tells(W1, ["video"], 4)
    assert ((1, 3), (1, 4)) == (fleet.shown("mail"), fleet.shown("video"))
    fleet.offline(W2)
    assert (0, 0) == fleet.shown("mail")
    fleet.clock.advance(60)
    assert (0, 0) == fleet.shown("video")
    fleet.tells(W1, ["video"], 4)
    assert (1, 4) == fleet.shown("video")


def test_nobody_is_only_said_where_it_is_certain(fleet: Fleet) -> None:
    """While an online worker has not reported its queues, no queue shows 0 consumers."""
    fleet.tells(W1, ["mail"])
    assert (0, 0) == fleet.shown("orders")
    fleet.tells(W2, None, None)
    assert (None, None) == fleet.shown("orders")
    assert (1, 1) == fleet.shown("mail")
    fleet.offline(W2)
    assert (0, 0) == fleet.shown("orders")


def test_nobody_is_said_after_a_while() -> None:
    """After the start and after an interruption, queues show 0 consumers only once workers had time to report."""
    lab = Fleet()
    lab.clock.advance(-1)
    assert (None, None) == lab.shown("orders")
    lab.clock.advance(1)
    assert (0, 0) == lab.shown("orders")
    lab.workers.tick(listening=False)
    assert (None, None) == lab.shown("orders")


def test_unknown_slots_are_not_guessed(fleet: Fleet) -> None:
    """A queue's concurrency is absent while one of its consumers has not reported its concurrency."""
    fleet.tells(W1, ["mail"], 2)
    fleet.tells(W2, ["mail"], None)
    assert (2, None) == fleet.shown("mail")


def test_worker_without_a_queue(fleet: Fleet) -> None:
    """A worker that reports an empty list of queues does not make the number of consumers uncertain."""
    fleet.tells(W1, [])
    assert (0, 0) == fleet.shown("orders")


def test_queues_found_later_are_shown(fleet: Fleet) -> None:
    """A queue that is discovered while the workers stay the same shows 0 consumers."""
    fleet.tells(W1, ["mail"])
    fleet.shown("mail")
    fleet.queues.add(["found"])
    assert (0, 0) == fleet.shown("found")


def test_what_the_broker_counts_is_left_to_it() -> None:
    """If the broker counts consumers, the workers' reports are used for the concurrency only."""
    fleet = Fleet(elsewhere=(rows.QUEUE_CONSUMERS,))
    fleet.tells(W1, ["orders"], 4)
    assert (None, 4) == fleet.shown("orders")
