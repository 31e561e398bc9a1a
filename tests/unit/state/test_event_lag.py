# SPDX-License-Identifier: Apache-2.0
"""The lag of events while clocks are changed."""

import pytest

from celery_redis_exporter.state.event_lag import EventLag
from celery_redis_exporter.state.histograms import Histogram
from tests.support.fakes import FakeClock

HOURS = 6 * 3600.0


class Senders:
    """Publishes events that are folded half a second later; the senders' clock is ``ahead`` of the true time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.true = self.clock.epoch
        self.ahead = 0.0
        self.histogram = Histogram((), (1.0,))
        self._lag = EventLag(self.histogram)

    def send(self, lag: float = 0.5) -> float:
        """Return the lag that is observed a minute later."""
        self.clock.advance(60)
        self.true += 60
        before = self.histogram.total
        self._lag.observe([self.true + self.ahead - lag], self.clock.now(), self.clock.monotonic())
        return self.histogram.total - before


@pytest.mark.parametrize("step", [HOURS, -HOURS, 2.0, -2.0])
def test_a_step_of_our_clock_is_no_lag(step: float) -> None:
    """A step of the exporter's clock in either direction does not change the lag."""
    senders = Senders()
    assert senders.send() == pytest.approx(0.5)
    senders.clock.epoch += step
    assert [0.5] * 3 == pytest.approx([senders.send() for _ in range(3)])
    assert senders.send(30) == pytest.approx(30)
    senders.clock.epoch -= step
    assert [0.5] * 3 == pytest.approx([senders.send() for _ in range(3)])


def test_a_machine_that_steps_with_its_workers() -> None:
    """A step changes no lag if workers share the exporter's clock, and neither does a suspended machine."""
    senders = Senders()
    senders.send()
    senders.clock.epoch += HOURS
    senders.ahead += HOURS
    assert [0.5] * 3 == pytest.approx([senders.send() for _ in range(3)])


def test_a_step_that_corrects_our_clock() -> None:
    """A clock that was wrong at the start counts as lag only until it is corrected."""
    senders = Senders()
    senders.clock.epoch += HOURS
    assert senders.send() == pytest.approx(HOURS + 0.5)
    senders.clock.epoch -= HOURS
    assert [0.5] * 3 == pytest.approx([senders.send() for _ in range(3)])


def test_small_corrections_are_not_followed() -> None:
    """Small corrections by NTP are part of the lag, which is never below 0."""
    senders = Senders()
    senders.send()
    senders.clock.epoch += 0.3
    assert senders.send() == pytest.approx(0.8)
    senders.clock.epoch -= 0.9
    assert senders.send() == pytest.approx(0.0)
