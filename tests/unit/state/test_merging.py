# SPDX-License-Identifier: Apache-2.0
"""Workers that are shown under one name."""

import re
from collections.abc import Callable

import pytest

from celery_redis_exporter.catalog import OVERFLOW, Metric
from celery_redis_exporter.catalog import tasks as task_rows
from celery_redis_exporter.catalog import workers as rows
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from celery_redis_exporter.state.series import NewSeries
from tests.support.lab import Lab
from tests.support.options import worker_limits

PODS = NameRules([], [re.compile("debug@.*")], [Rewrite(re.compile(r"(.+)-[0-9]+"), r"\g<1>")])
QUEUES = NameRules([], [re.compile("secret")], [Rewrite(re.compile(r"reply\..*"), "reply")])


class Shown:
    """A state with workers, and their shown series."""

    def __init__(self) -> None:
        new = NewSeries(labels=StaticLabels({"env": "prod"}))
        self.lab = Lab(workers=worker_limits(naming=Naming(worker=PODS, queue=QUEUES)), new=new)
        self.store, self.merging = self.lab.store, self.lab.workers.merging

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a worker's series."""
        self.store.scalar(metric, *labels).value = value

    def values(self, metric: Metric) -> dict[tuple[str, ...], object]:
        """Return the values of a metric that a scrape shows."""
        families = self.merging.merge(self.store.collect())
        found = (family for family in families if family.metric.name == metric.name)
        return {
            series.labels: value for family in found for series, value in zip(family.series, family.values, strict=True)
        }


@pytest.fixture
def shown() -> Shown:
    """Return an empty state."""
    return Shown()


def test_gauges(shown: Shown) -> None:
    """Workers with one shown name show their maximum, or their sum where that fits the gauge; hidden ones show none."""
    for worker, up, active in (("web-1", 1, 3), ("web-2", 0, 4), ("mail-1", 0, 0), ("debug@x-1", 1, 9)):
        shown.set(rows.WORKER_UP, up, worker)
        shown.set(rows.WORKER_ACTIVE, active, worker)
    assert {("web", "prod"): 1, ("mail", "prod"): 0} == shown.values(rows.WORKER_UP)
    assert {("web", "prod"): 7, ("mail", "prod"): 0} == shown.values(rows.WORKER_ACTIVE)


def test_counters_never_fall(shown: Shown) -> None:
    """A shown counter grows by what its workers count, whether they start, stop or restart."""
    lab = shown.lab
    steps: list[tuple[Callable[[], None], int]] = [
        (lambda: lab.beat(10, worker="web-1"), 10),
        (lambda: lab.beat(5, worker="web-2"), 15),
        (lambda: lab.beat(12, worker="web-1"), 17),
        (lambda: lab.beat(12, worker="web-1"), 17),  # it executed nothing
        (lambda: lab.offline("web-2"), 17),
        (lambda: lab.beat(4, worker="web-3"), 21),
        (lambda: lab.beat(1, worker="web-1", pid=2), 22),  # it restarted
        (lambda: lab.beat(6, worker="web-3"), 24),
        (lambda: lab.offline("web-1"), 24),
        (lambda: lab.beat(9, worker="debug@x-1"), 24),
    ]
    for step, expected in steps:
        step()
        for _ in range(2):  # another scrape adds nothing
            assert {("web", "prod"): expected} == shown.values(rows.WORKER_PROCESSED)


def test_what_is_gone_is_forgotten(shown: Shown) -> None:
    """A shown counter is removed with the last of its workers, and begins at 0 with the next one."""
    lab = shown.lab
    for worker in ("web-1", "web-2"):
        lab.beat(10, worker=worker)
    for worker in ("web-1", "web-2"):
        lab.offline(worker)
    assert {} == shown.values(rows.WORKER_PROCESSED)
    lab.beat(3, worker="web-3")
    assert {("web", "prod"): 3} == shown.values(rows.WORKER_PROCESSED)


def test_workers_beyond_the_limit(shown: Shown) -> None:
    """Workers beyond the limit count in the overflow series, as they do without rewrites."""
    shown.lab.store._scalars[rows.WORKER_PROCESSED]._limit = 1
    for worker, processed in (("web-1", 10), ("web-2", 5), ("web-3", 4)):
        shown.lab.beat(processed, worker=worker)
    shown.lab.offline("web-2")
    assert {("web", "prod"): 10, (OVERFLOW, "prod"): 4} == shown.values(rows.WORKER_PROCESSED)


def test_other_labels(shown: Shown) -> None:
    """Queue labels of worker series follow the rules for queues, and other labels stay separate."""
    for queue in ("mail", "reply.1", "reply.2", "secret"):
        shown.set(rows.WORKER_QUEUE_INFO, 1, "web-1", queue)
    shown.set(rows.WORKER_LOAD, 0.5, "web-1", "1m")
    shown.set(rows.WORKER_LOAD, 0.75, "web-2", "1m")
    shown.set(rows.WORKER_LOAD, 0.25, "web-2", "5m")
    assert {("web", "mail", "prod"): 1, ("web", "reply", "prod"): 1} == shown.values(rows.WORKER_QUEUE_INFO)
    assert {("web", "1m", "prod"): 0.75, ("web", "5m", "prod"): 0.25} == shown.values(rows.WORKER_LOAD)


def test_metrics_without_workers_pass(shown: Shown) -> None:
    """Series without a worker label are returned unchanged."""
    shown.set(task_rows.TASKS, 3, "t", "q", "success")
    family = next(family for family in shown.store.collect() if family.metric.name == task_rows.TASKS.name)
    merged = next(f for f in shown.merging.merge(shown.store.collect()) if f.metric.name == task_rows.TASKS.name)
    assert family.series[0] is merged.series[0]
