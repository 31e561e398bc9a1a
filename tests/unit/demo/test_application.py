# SPDX-License-Identifier: Apache-2.0
"""The sample application's tasks, without a worker."""

from typing import NoReturn

import pytest
from celery.exceptions import Retry

from celery_redis_exporter.demo import application
from celery_redis_exporter.demo.application import CardDeclinedError, GatewayTimeoutError, app, seconds_of


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every task take no time."""
    monkeypatch.setattr(application, "seconds_of", lambda *_: 0.0)


class FakeTask:
    """A bound task that was retried some times."""

    def __init__(self, retries: int) -> None:
        self.request = self
        self.retries = retries

    def retry(self, exc: Exception, **_: object) -> NoReturn:
        """Raise what Celery raises for a retry."""
        raise Retry(exc=exc)


def test_durations_lie_between_their_bounds_and_differ() -> None:
    """Histograms get more than one bucket."""
    seconds = [seconds_of(order, 0.2, 0.7) for order in range(100)]
    assert 0.2 <= min(seconds) < max(seconds) <= 0.7
    assert len(set(seconds)) == 100


def test_orders_end_in_different_ways() -> None:
    """A card is charged, declined or tried again, as the order's number says."""
    assert application.charge_card(FakeTask(0), 1) == "charged order 1"
    with pytest.raises(CardDeclinedError):
        application.charge_card(FakeTask(0), 4)
    with pytest.raises(Retry) as caught:
        application.charge_card(FakeTask(0), 2)
    assert isinstance(caught.value.exc, GatewayTimeoutError)
    assert application.charge_card(FakeTask(1), 2) == "charged order 2"


def test_the_application_sends_every_event() -> None:
    """The exporter's task metrics, queue and wait included, are filled."""
    assert (True, True) == (app.conf.worker_send_task_events, app.conf.task_send_sent_event)
