# SPDX-License-Identifier: Apache-2.0
"""The losses of an interruption, which are reported once."""

import pytest

from celery_redis_exporter.state import losses
from celery_redis_exporter.state.losses import Loss, Losses
from tests.support.lab import W1, W2, Lab


class Interruption:
    """Two workers that had executed ten tasks each, whose task-started events arrived, and an interruption."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.losses = Losses(self.lab.workers, self.lab.clock)
        for worker in (W1, W2):
            self.lab.online(worker)
            self.lab.beat(0, worker=worker)
        for number in range(20):
            worker = (W1, W2)[number % 2]
            self.lab.received(str(number), 1, worker=worker)
            self.lab.started(str(number), 1, worker=worker)
        for _ in range(3):
            self.lab.advance(2)
            self.beat(10, 10)
        self.lab.advance(30, listening=False)
        self.lab.workers.gap()
        self.losses.begin("reconnection")

    def beat(self, *counts: int | None) -> None:
        """Receive a heartbeat from each worker, none where the count is None."""
        for worker, processed in zip((W1, W2), counts, strict=True):
            if processed is not None:
                self.lab.beat(processed, worker=worker)

    def rounds(self, *counts: int | None) -> Loss | None:
        """Receive three rounds of heartbeats, before whose end no loss may be reported."""
        found = None
        for _ in range(3):
            assert found is None
            self.lab.advance(2)
            self.beat(*counts)
            found = self.losses.settle()
        return found


def test_losses_are_stated_to_the_execution() -> None:
    """Once the losses of every worker are known their sum is reported, and reported once."""
    interruption = Interruption()
    assert Loss("reconnection", 12, 2, {}) == interruption.rounds(17, 15)
    assert interruption.losses.settle() is None


def test_nothing_lost_is_stated_too() -> None:
    """An interruption in which no task was executed is reported with no losses."""
    assert Loss("reconnection", 0, 2, {}) == Interruption().rounds(10, 10)


def test_a_worker_that_does_not_send_heartbeats_any_more_is_unknown() -> None:
    """The report waits for a silent worker until it is lost, and then states that its losses are unknown."""
    interruption = Interruption()
    assert interruption.rounds(17, None) is None
    interruption.lab.advance(31)
    assert Loss("reconnection", 7, 1, {losses.STOPPED: [W2]}) == interruption.losses.settle()


def test_a_restarted_worker_is_unknown() -> None:
    """The losses of a worker that restarted during the interruption are unknown."""
    interruption = Interruption()
    interruption.lab.advance(2)
    interruption.lab.beat(3, worker=W2, pid=2)
    assert Loss("reconnection", 7, 1, {losses.RESTARTED: [W2]}) == interruption.rounds(17, None)


def test_too_few_heartbeats_end_the_wait() -> None:
    """The report waits at most a minute for a worker that is up and sends no heartbeats."""
    interruption = Interruption()
    assert interruption.rounds(17, None) is None
    for _ in range(6):
        interruption.lab.advance(10)
        interruption.beat(17, None)
        interruption.lab.received("more", 1, worker=W2)
    assert Loss("reconnection", 7, 1, {losses.UNCOUNTED: [W2]}) == interruption.losses.settle()


@pytest.mark.parametrize("beats", [1, 2])
def test_a_second_interruption_is_settled_with_the_first(beats: int) -> None:
    """Two interruptions in a row are reported once, with the events that were missed in both."""
    interruption = Interruption()
    for _ in range(beats):
        interruption.lab.advance(2)
        interruption.beat(17, 15)
        assert interruption.losses.settle() is None
    interruption.lab.advance(30, listening=False)
    interruption.lab.workers.gap()
    interruption.losses.begin("reconnection")
    assert Loss("reconnection", 14, 2, {}) == interruption.rounds(18, 16)


def test_without_workers_nothing_is_waited_for() -> None:
    """If no worker is known, the loss is reported at once, with 0 workers."""
    lab = Lab()
    found = Losses(lab.workers, lab.clock)
    assert found.settle() is None
    found.begin("start after a clean stop")
    assert Loss("start after a clean stop", 0, 0, {}) == found.settle()
