"""Workers that are shown under one name."""

import re

import pytest

from exporter.catalog import Metric, internals
from exporter.catalog import tasks as task_rows
from exporter.catalog import workers as rows
from exporter.state.merging import Merging
from exporter.state.rules import NameRules, Naming, Rewrite
from exporter.state.series import NewSeries, Store
from exporter.static_labels import StaticLabels

PODS = NameRules([], [re.compile("debug@.*")], [Rewrite(re.compile(r"(.+)-[0-9]+"), r"\g<1>")])
QUEUES = NameRules([], [re.compile("secret")], [Rewrite(re.compile(r"reply\..*"), "reply")])


class Shown:
    """A store, and what is shown of it."""

    def __init__(self) -> None:
        labels = StaticLabels({"env": "prod"})
        self.store = Store((*rows.METRICS, task_rows.TASKS, *internals.METRICS), 100, {}, NewSeries(labels=labels))
        self.merging = Merging(Naming(worker=PODS, queue=QUEUES))

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a worker's series."""
        self.store.scalar(metric, *labels).value = value

    def values(self, metric: Metric) -> dict[tuple[str, ...], object]:
        """What a scrape shows of a metric."""
        families = self.merging.merge(self.store.collect())
        family = next(family for family in families if family.metric.name == metric.name)
        return {series.labels: value for series, value in zip(family.series, family.values, strict=True)}


@pytest.fixture
def shown() -> Shown:
    """An empty one."""
    return Shown()


def test_gauges(shown: Shown) -> None:
    """Of workers of one name the largest is shown, or the sum where that says more; what is left out is not there."""
    for worker, up, active in (("web-1", 1, 3), ("web-2", 0, 4), ("mail-1", 0, 0), ("debug@x-1", 1, 9)):
        shown.set(rows.WORKER_UP, up, worker)
        shown.set(rows.WORKER_ACTIVE, active, worker)
    assert {("web", "prod"): 1, ("mail", "prod"): 0} == shown.values(rows.WORKER_UP)
    assert {("web", "prod"): 7, ("mail", "prod"): 0} == shown.values(rows.WORKER_ACTIVE)


def test_counters_never_fall(shown: Shown) -> None:
    """A shown counter grows by what its workers count, whether they come, go or begin again."""
    steps = [
        ({"web-1": 10, "web-2": 5}, 15),
        ({"web-1": 12, "web-2": 5}, 17),
        ({"web-1": 12}, 17),  # web-2 is gone
        ({"web-1": 12, "web-3": 4}, 21),
        ({"web-1": 1, "web-3": 6}, 24),  # web-1 started anew
        ({"web-3": 6}, 24),
    ]
    for counts, expected in steps:
        for series in list(shown.store._scalars[rows.WORKER_PROCESSED].series):
            if series[0] not in counts:
                shown.store.discard(rows.WORKER_PROCESSED, series)
        for worker, count in counts.items():
            shown.set(rows.WORKER_PROCESSED, count, worker)
        assert {("web", "prod"): expected} == shown.values(rows.WORKER_PROCESSED)
        assert {("web", "prod"): expected} == shown.values(rows.WORKER_PROCESSED)  # another scrape adds nothing


def test_other_labels(shown: Shown) -> None:
    """Queues that workers consume follow the rules for queues, and other labels stay apart."""
    for queue in ("mail", "reply.1", "reply.2", "secret"):
        shown.set(rows.WORKER_QUEUE_INFO, 1, "web-1", queue)
    shown.set(rows.WORKER_LOAD, 0.5, "web-1", "1m")
    shown.set(rows.WORKER_LOAD, 0.75, "web-2", "1m")
    shown.set(rows.WORKER_LOAD, 0.25, "web-2", "5m")
    assert {("web", "mail", "prod"): 1, ("web", "reply", "prod"): 1} == shown.values(rows.WORKER_QUEUE_INFO)
    assert {("web", "1m", "prod"): 0.75, ("web", "5m", "prod"): 0.25} == shown.values(rows.WORKER_LOAD)


def test_metrics_without_workers_pass(shown: Shown) -> None:
    """What carries no worker is given as it is."""
    shown.set(task_rows.TASKS, 3, "t", "q", "success")
    family = next(family for family in shown.store.collect() if family.metric.name == task_rows.TASKS.name)
    merged = next(f for f in shown.merging.merge(shown.store.collect()) if f.metric.name == task_rows.TASKS.name)
    assert family.series[0] is merged.series[0]
