# SPDX-License-Identifier: Apache-2.0
"""The values that /metrics and the status page show of one state."""

import random

import pytest

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.records.events import WorkerHeartbeat, WorkerOffline, WorkerOnline
from celery_redis_exporter.settings import load
from tests.support.fakes import FakeClock
from tests.support.sizes import scaled

REWRITE = '--names.worker.rewrite={"celery@web-.*": "celery@web"}'
COUNTERS = (rows.WORKER_STARTS, rows.WORKER_PROCESSED, rows.WORKER_EVENTS_MISSED)


class Shown:
    """An exporter that was not started, with the worker values of its views."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        settings = load([REWRITE, "--series.zero-first=60s"], {})
        self.application = Application(settings, Endpoints(settings, self.clock), self.clock)

    def act(self, action: str, worker: str, number: int) -> None:
        """Apply an action to a worker; ``number`` is its process id, its count or the seconds to wait."""
        workers, now = self.application.workers, self.clock.epoch
        if action == "online":
            workers.fold_online(WorkerOnline(worker, now, number, 2.0, 0, 0, None))
        elif action == "heartbeat":
            workers.fold_heartbeat(WorkerHeartbeat(worker, now, 1, 2.0, 0, number))
        elif action == "offline":
            workers.fold_offline(WorkerOffline(worker, now, 1, 2.0))
        else:
            self.clock.advance(number)
            workers.tick(listening=True)

    def page(self, metric: Metric, only: frozenset[Metric] | None = None) -> dict[str, object]:
        """Return the values that the status page shows, by worker; ``only`` limits the metrics to read."""
        return self._values(metric, whole=True, only=only)

    def metrics(self, metric: Metric) -> dict[str, object]:
        """Return the values that /metrics shows, by worker."""
        return self._values(metric, whole=False, only=None)

    def _values(self, metric: Metric, *, whole: bool, only: frozenset[Metric] | None) -> dict[str, object]:
        for family in self.application.families(whole=whole, only=only):
            if family.metric.name == metric.name:
                return {series.labels[0]: value for series, value in zip(family.series, family.values, strict=True)}
        return {}


def test_reading_changes_nothing() -> None:
    """Reading one view does not change the other: both show the same counters, except new series, which start at 0."""
    shown = Shown()
    shown.act("online", "celery@web-1", 1)
    for _ in range(4):
        assert {"celery@web": 1} == shown.page(rows.WORKER_STARTS)
        assert {"celery@web": 0} == shown.metrics(rows.WORKER_STARTS)
    shown.clock.advance(61)
    for _ in range(4):
        assert {"celery@web": 1} == shown.page(rows.WORKER_STARTS, frozenset([rows.WORKER_STARTS]))
        assert {"celery@web": 1} == shown.metrics(rows.WORKER_STARTS)


@pytest.mark.parametrize("seed", range(scaled(5, 20)))
def test_every_order_of_reads_shows_the_same(seed: int) -> None:
    """An exporter that was read at any time, by any view, shows the same values as one that was never read."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    read, unread = Shown(), Shown()
    for _ in range(60):
        action = chance.choice(["online", "heartbeat", "heartbeat", "offline", "wait"])
        worker, number = f"celery@web-{chance.randrange(4)}", chance.randrange(1, 40)
        for shown in (read, unread):
            shown.act(action, worker, number)
        for view in chance.choices([read.page, read.metrics], k=chance.randrange(3)):
            view(chance.choice(COUNTERS))
    for metric in COUNTERS:
        assert unread.page(metric) == read.page(metric)
        assert unread.metrics(metric) == read.metrics(metric)
