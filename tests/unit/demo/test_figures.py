# SPDX-License-Identifier: Apache-2.0
"""The live block, made from the exporter's values."""

from celery_redis_exporter.catalog import CATALOG, queues, tasks, workers
from celery_redis_exporter.demo.figures import WIDTH, render_figures
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.status.numbers import Numbers
from tests.support.lab import EVENT_METRICS

CHARGE, REFUND = ("shop.charge_card", "payments"), ("shop.refund_card", "payments")
COUNTS = [
    (workers.WORKERS, ("online",), 2), (workers.WORKERS, ("lost",), 1),
    (tasks.TASKS_RUNNING, CHARGE, 2), (tasks.TASKS_STARTED, CHARGE, 40), (tasks.TASKS_STARTED, REFUND, 5),
    (tasks.TASKS, (*CHARGE, "success"), 30), (tasks.TASKS, (*REFUND, "success"), 5),
    (tasks.TASKS, (*CHARGE, "failure"), 3), (tasks.TASKS, (*CHARGE, "retry"), 4),
    (tasks.TASKS, (*CHARGE, "revoked"), 1),
    (tasks.TASK_EXCEPTIONS, (CHARGE[0], "GatewayTimeoutError"), 4),
    (tasks.TASK_EXCEPTIONS, (CHARGE[0], "CardDeclinedError"), 3),
]  # fmt: skip
SAMPLES = [
    Sample(queues.QUEUE_LENGTH, ("payments",), 12), Sample(queues.QUEUE_LENGTH, ("reports",), 0),
    Sample(queues.UNACKED, (), 6), Sample(CATALOG["redis_memory_used_bytes"], ("broker",), 2 * 2**20),
    Sample(CATALOG["redis_memory_max_bytes"], ("broker",), 64 * 2**20),
    Sample(CATALOG["redis_connected_clients"], ("broker",), 21),
]  # fmt: skip


def store() -> Store:
    """Return a store with series of two tasks of one queue."""
    found = Store(EVENT_METRICS, 100, {tasks.TASK_WAIT.name: (0.1, 0.5, 1.0)})
    for metric, labels, value in COUNTS:
        found.scalar(metric, *labels).value = value
    waits = found.histogram(tasks.TASK_WAIT, *CHARGE)
    for seconds, times in ((0.05, 10), (0.3, 20), (0.75, 10)):
        for _ in range(times):
            waits.observe(seconds)
    return found


def numbers(events: Store, samples: list[Sample] = SAMPLES) -> Numbers:
    """Return the figures of these series and samples."""
    return Numbers(events.collect(), samples)


def test_block_shows_the_figures() -> None:
    """Each figure is the sum of the series of its queue."""
    first, _, payments, reports, total, raised, unacked = render_figures(numbers(store()), 65.9)
    assert "  1:05   workers 2 online, 1 lost   Redis 2.0 of 64.0 MiB, 21 clients" == first
    assert ["payments", "12", "2", "45", "35", "3", "4", "1", "0.35s", "0.90s"] == payments.split()
    assert ["reports", "0", *["-"] * 8] == reports.split()
    assert ["all", "12", "2", "45", "35", "3", "4", "1", "0.35s", "0.90s"] == total.split()
    assert "raised   4 GatewayTimeoutError, 3 CardDeclinedError" == raised
    assert unacked.startswith("unacked  6 ")


def test_titles_stand_over_their_columns() -> None:
    """Right-aligned figures end in the column in which their titles end."""
    _, titles, payments, *_ = render_figures(numbers(store()), 0)
    assert len(titles) == len(payments) == WIDTH


def test_what_is_not_known_is_no_zero() -> None:
    """Without series the block shows dashes instead of numbers."""
    first, _, total = render_figures(Numbers(), 0)
    assert "workers - online, - lost   Redis - of - MiB, - clients" in first
    assert ["all", *["-"] * 9] == total.split()


def test_lines_fit_an_80_column_terminal() -> None:
    """Long names of queues and exceptions are cut, never wrapped."""
    events = store()
    for number in range(9):
        events.scalar(tasks.TASK_EXCEPTIONS, "t", f"{'Very' * 4}LongNamedError{number}").value = 1
    lines = render_figures(numbers(events, [*SAMPLES, Sample(queues.QUEUE_LENGTH, ("q" * 99,), 7)]), 0)
    assert max(len(line) for line in lines) <= WIDTH
    assert "raised   4 GatewayTimeoutError, 3 CardDeclinedError, ..." in lines
