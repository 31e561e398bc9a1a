# SPDX-License-Identifier: Apache-2.0
"""The sample application's tasks, without a worker."""

from typing import NoReturn

import pytest
from celery.exceptions import Retry

from celery_redis_exporter.demo import application
from celery_redis_exporter.demo.application import CardDeclinedError, GatewayTimeoutError, app, seconds_of


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the duration of every task."""
    monkeypatch.setattr(application, "seconds_of", lambda *_: 0.0)


class FakeTask:
    """A bound task with a number of retries."""

    def __init__(self, retries: int) -> None:
        self.request = self
        self.retries = retries

    def retry(self, exc: Exception, **_: object) -> NoReturn:
        """Raise Celery's Retry."""
        raise Retry(exc=exc)


def test_durations_lie_between_their_bounds_and_differ() -> None:
    """Durations differ and lie between their bounds, so that histograms fill more than one bucket."""
    seconds = [seconds_of(order, 0.2, 0.7) for order in range(100)]
    assert 0.2 <= min(seconds) < max(seconds) <= 0.7
    assert len(set(seconds)) == 100


def test_orders_end_in_different_ways() -> None:
    """The order's number determines whether its card is charged, declined or retried."""
    assert application.charge_card(FakeTask(0), 1) == "charged order 1"
    with pytest.raises(CardDeclinedError):
        application.charge_card(FakeTask(0), 4)
    with pytest.raises(Retry) as caught:
        application.charge_card(FakeTask(0), 2)
    assert isinstance(caught.value.exc, GatewayTimeoutError)
    assert application.charge_card(FakeTask(1), 2) == "charged order 2"


def test_the_application_sends_every_event() -> None:
    """The application sends task events and task-sent, so that all task metrics have values."""
    assert (True, True) == (app.conf.worker_send_task_events, app.conf.task_send_sent_event)
