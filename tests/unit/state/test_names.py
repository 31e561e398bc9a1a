# SPDX-License-Identifier: Apache-2.0
"""Names of tasks and queues: filters, rewrites, the label of the worker, and bounds under a flood of names."""

import re
import tracemalloc

import pytest

from celery_redis_exporter.catalog import OVERFLOW, internals
from celery_redis_exporter.catalog import queues as queue_rows
from celery_redis_exporter.catalog import tasks as rows
from celery_redis_exporter.catalog import workers as worker_rows
from celery_redis_exporter.exposition import ProcessMetrics, Renderer, Syntax, negotiate
from celery_redis_exporter.records.replies import QueueReading
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.rules import NameRules, Naming, Rewrite
from celery_redis_exporter.state.series import NewSeries
from tests.support.lab import W1, W2, Lab
from tests.support.options import task_limits, worker_limits
from tests.support.sizes import scaled

RULES = Naming(
    task=NameRules([], [re.compile(r"celery\..*")], [Rewrite(re.compile(r"proj\.(.+)_v[0-9]+"), r"\g<1>")]),
    queue=NameRules([], [re.compile("private")], [Rewrite(re.compile(r"tenant-.+"), "tenants")]),
)
BY_WORKER = Naming(worker_label=True)


def run(lab: Lab, uuid: str, name: str, queue: str, worker: str = W1) -> None:
    """Execute a task that succeeds."""
    lab.sent(uuid, 0, name, queue)
    lab.received(uuid, 1, name, worker)
    lab.started(uuid, 2, worker)
    lab.succeeded(uuid, 3, worker=worker)


def counts(lab: Lab) -> dict[tuple[str, ...], float]:
    """Return the successes by their labels."""
    series = lab.store._scalars[rows.TASKS].series
    return {labels: found.value for labels, found in series.items() if found.value and labels[2] == "success"}


@pytest.mark.parametrize("received", range(5))
@pytest.mark.parametrize("started", range(3))
def test_every_event_counts_as_activity(received: int, started: int) -> None:
    """Whatever happened before, each further event of a task on a queue changes its activity."""
    lab = Lab()
    lab.received("r", 0)
    (series,) = (found for task in lab.tasks.names for found in task.queues.values())
    series.received.value, series.started.value = received, started
    for counter in (series.success, series.failure, series.retry, series.revoked, series.rejected, series.started):
        before = series.count_activity()
        counter.value += 1
        assert before + 1 == series.count_activity()


def test_rewritten_names_are_counted_together() -> None:
    """Tasks and queues with one shown name share their series, and hidden ones have no series at all."""
    lab = Lab(task_limits(naming=RULES))
    for number, (name, queue) in enumerate(
        [
            ("proj.add_v1", "mail"), ("proj.add_v2", "mail"), ("proj.add_v1", "tenant-a"), ("proj.add_v3", "tenant-b"),
            ("celery.backend_cleanup", "mail"), ("proj.add_v1", "private"), ("plain", "mail"),
        ]
    ):  # fmt: skip
        run(lab, f"id{number}", name, queue)
    assert {
        ("add", "mail", "success"): 2, ("add", "tenants", "success"): 2, ("plain", "mail", "success"): 1,
    } == counts(lab)  # fmt: skip
    shown = {labels[0] for metric in rows.METRICS for labels in _labels(lab, metric)}
    assert {"add", "plain"} == shown
    assert 0 == sum(series.value for series in lab.store._scalars[internals.TASKS_UNMATCHED].series.values())


def _labels(lab: Lab, metric: object) -> list[tuple[str, ...]]:
    return [s.labels for family in lab.store.collect() if family.metric is metric for s in family.series]


def test_failures_of_what_is_left_out() -> None:
    """A hidden task shows no exceptions, revocations and last times either."""
    lab = Lab(task_limits(naming=RULES))
    lab.sent("a", 0, "celery.chord_unlock", "mail")
    lab.received("a", 1, "celery.chord_unlock")
    lab.started("a", 2)
    lab.failed("a", 3)
    for metric in (rows.TASK_EXCEPTIONS, rows.TASK_LAST_FAILURE, rows.TASK_LAST_SENT, rows.TASKS):
        assert [] == _labels(lab, metric)
    assert [] == list(lab.tasks.names)


def test_queues_are_read_by_their_own_names_and_shown_together() -> None:
    """Each queue that is not hidden is read, and the lengths of queues with one shown name are summed."""
    lab = Lab(task_limits(naming=RULES))
    for number, queue in enumerate(("tenant-a", "tenant-b", "mail", "private")):
        run(lab, f"id{number}", "plain", queue)
    queues = Queues(lab.tasks, ["private", "configured"], 10)
    assert ("configured", "mail", "tenant-a", "tenant-b") == tuple(sorted(queues.names()))
    readings = [QueueReading(name, {0: length}, {}) for name, length in (("tenant-a", 2), ("tenant-b", 3), ("mail", 1))]
    lengths = {s.labels: s.value for s in queues.fold_all(readings, 10.0) if s.metric is queue_rows.QUEUE_LENGTH}
    assert {("tenants",): 5, ("mail",): 1} == lengths


def by_worker_lab(pairs: int = 100) -> Lab:
    """Return a lab whose task series have the worker label."""
    new = NewSeries(by_worker=rows.BY_WORKER)
    return Lab(task_limits(naming=BY_WORKER, pairs=pairs), worker_limits(retention=60), new=new)


def test_worker_label() -> None:
    """With the worker label each execution counts once, under its worker; counters of sent tasks have no worker."""
    lab = by_worker_lab()
    run(lab, "a", "t", "q", W1)
    run(lab, "b", "t", "q", W2)
    run(lab, "c", "t", "q", W2)
    lab.sent("d", 0, "t", "q")
    lab.received("d", 1, "t", W1)
    lab.revoked("d", 2)  # never started, by W1
    assert {("t", "q", "success", W1): 1, ("t", "q", "success", W2): 2} == counts(lab)
    assert 1 == lab.store.scalar(rows.TASKS, "t", "q", "revoked", W1).value
    assert [("t", "q")] == _labels(lab, rows.TASKS_SENT)
    families = {family.metric.name: family for family in lab.store.collect()}
    assert ("task", "queue", "state", "worker") == families[rows.TASKS.name].metric.label_names
    assert {("t", "q", W1), ("t", "q", W2)} == {series.labels for series in families[rows.TASK_WAIT.name].series}


def test_series_of_a_worker_go_with_it() -> None:
    """When a worker is forgotten, its task series are removed and no longer count towards the limit."""
    lab = by_worker_lab(pairs=1)
    run(lab, "a", "t", "q", W1)
    run(lab, "b", "t", "q", W2)
    assert {("t", "q", "success", W1): 1, ("t", "q", "success", OVERFLOW): 1} == counts(lab)
    lab.advance(31)
    lab.advance(61)  # both are lost, then forgotten
    assert {("t", "q", "success", OVERFLOW): 1} == counts(lab)
    lab.tasks.now = lab.clock.monotonic()
    run(lab, "c", "t", "q", W2)
    assert 1 == counts(lab)["t", "q", "success", W2]


@pytest.mark.parametrize("naming", [Naming(), BY_WORKER], ids=["by task", "by task and worker"])
def test_a_flood_of_names_stays_inside_the_bounds(naming: Naming) -> None:
    """Thousands of workers and tasks stay within the limits and bounded memory, and every execution counts once."""
    executions = scaled(1_500, 10_000)
    limits = task_limits(pairs=executions // 10, naming=naming, exceptions=10)
    new = NewSeries(by_worker=rows.BY_WORKER if naming.worker_label else frozenset())
    lab = Lab(limits, worker_limits(count=executions // 5), series=executions // 2, new=new)
    tracemalloc.start()
    try:
        for number in range(executions):
            run(lab, f"id{number}", f"proj.task_{number % (executions // 2)}", f"q{number % 7}", f"w{number}@host")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert executions == sum(counts(lab).values())
    assert all(len(family.series) <= executions // 2 + 5 for family in lab.store.collect())
    assert executions // 5 == len(lab.workers.by_name)
    assert executions // 5 + 1 >= len(_labels(lab, worker_rows.WORKER_UP))
    assert lab.store.scalar(internals.SERIES_DROPPED, rows.TASKS.name).value > 0
    assert held < 6_000 * executions
    body = b"".join([_body(lab)])
    assert OVERFLOW.encode() in body


def _body(lab: Lab) -> bytes:
    renderer = Renderer(ProcessMetrics())
    texts = renderer.render(lab.store.collect(), Syntax.TEXT)
    return renderer.finish(texts, b"", negotiate("", ""))


def test_a_hidden_queue_hides_its_tasks_whole() -> None:
    """Executions on a hidden queue leave no series, even if the task is shown on other queues."""
    lab = Lab(task_limits(naming=RULES))
    run(lab, "a", "plain", "private")
    assert {} == counts(lab)
    run(lab, "b", "plain", "mail")
    run(lab, "c", "plain", "private")
    assert {("plain", "mail", "success"): 1} == counts(lab)
    assert [("plain", "mail")] == _labels(lab, rows.TASKS_RECEIVED)


def test_a_task_called_like_the_overflow_breaks_nothing() -> None:
    """A task that has the name of the overflow label counts on its queue and does not change the overflow series."""
    lab = Lab(task_limits(pairs=2))
    for number, (name, queue) in enumerate([(OVERFLOW, "q"), ("a", "q"), ("b", "q"), ("c", "q")]):
        run(lab, f"id{number}", name, queue)
    assert {
        (OVERFLOW, "q", "success"): 1, ("a", "q", "success"): 1, (OVERFLOW, OVERFLOW, "success"): 2,
    } == counts(lab)  # fmt: skip


def test_what_expires_gives_its_place_back() -> None:
    """For each pair of task and queue that expires, one other can be shown."""
    lab = Lab(task_limits(pairs=1, idle=100))
    run(lab, "a", "first", "q")
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())  # finds what has changed
    lab.advance(101)
    lab.tasks.sweep(lab.clock.monotonic())
    run(lab, "b", "second", "q")
    run(lab, "c", "third", "q")
    assert {("second", "q", "success"): 1, (OVERFLOW, OVERFLOW, "success"): 1} == counts(lab)


def test_the_overflow_of_workers_gives_no_place_back() -> None:
    """Expired names release the places of their workers, and no place for the overflow, which takes none."""
    lab = by_worker_lab(pairs=1)
    run(lab, "a", "t", "q", W1)
    run(lab, "b", "t", "q", W2)
    assert 0 == lab.tasks.names._triples_left
    lab.tasks.names.expire(0.0, 60.0)
    lab.tasks.names.expire(100.0, 60.0)
    assert {} == counts(lab)
    assert 1 == lab.tasks.names._triples_left
