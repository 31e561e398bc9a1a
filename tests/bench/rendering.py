# SPDX-License-Identifier: Apache-2.0
"""Rendering of 50,000 lines, compared with prometheus_client's generate_latest, in turn, in one process.

Both render the same values. Between two of our renderings a share of the tasks changes, as between two scrapes of
a busy application: unchanged lines are kept and not formatted again.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from celery_redis_exporter.catalog import internals, tasks
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.exposition.collector import RegistryCollector
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.state.names import Names
from celery_redis_exporter.state.series import NewSeries, Store
from tests.bench.table import Effort, Report, Row, Spread, render_table, spread
from tests.support.options import task_limits
from tests.support.rendering import render_families

METRICS = (*tasks.METRICS, *internals.METRICS)
LINES_PER_PAIR = 78
"""Lines of one (task, queue) here: numbers, and three histograms of 20 buckets, a sum and a count."""
SHARES = (0.0, 0.1, 1.0)
JUDGED_SHARE = 0.1
LEAST = 20


def against_prometheus_client(effort: Effort) -> Report:
    """Render with each share of changed tasks; the goal applies to JUDGED_SHARE."""
    store, names = make_store(effort.times(50_000, 500) // LINES_PER_PAIR)
    lines = len(render_families(store.collect(), openmetrics=False).splitlines())
    report, cells = Report(), []
    for share in SHARES:
        for openmetrics in (False, True):
            title = "OpenMetrics" if openmetrics else "text"
            theirs, ours, ratio = _race(store, names, share, openmetrics=openmetrics, rounds=effort.times(9, 2))
            cells.append((f"{share:.0%}", title, _ms(theirs), _ms(ours), ratio.text(".0f")))
            if share == JUDGED_SHARE:
                what = f"rendering {lines:,} lines, {title}, {share:.0%} of the tasks changed, against generate_latest"
                holds = ratio.median >= LEAST
                report.rows.append(Row(what, _ms(ours), _ms(theirs), ratio.text(".0f"), f">= {LEAST} times", holds))
    head = ("tasks changed since the last scrape", "format", "prometheus_client", "ours", "times faster")
    report.text = f"{lines:,} lines:\n\n{render_table(head, cells)}"
    return report


def make_store(pairs: int) -> tuple[Store, Names]:
    """Return a store with ``pairs`` (task, queue), as a large application has them."""
    store = Store(METRICS, 1_000_000, {}, NewSeries(exemplars=True))
    names = Names(store, task_limits(pairs=1_000_000))
    for number in range(pairs):
        touch(names, number, number)
    return store, names


def touch(names: Names, number: int, value: int) -> None:
    """Change the counters and histograms of a task."""
    series = names.series(f"proj.module{number % 50}.task_{number}", f"queue{number % 7}")
    for counter in (series.sent or series.make_sent(), series.received, series.started, series.success):
        counter.value += 1 + value % 97
    for histogram in (series.wait or series.make_wait(), series.prefetch, series.runtime["success"]):
        histogram.observe_task(value % 1000 / 50, f"id-{number}", 1_800_000_000.5 + value)


def _race(store: Store, names: Names, share: float, *, openmetrics: bool, rounds: int) -> tuple[Spread, Spread, Spread]:
    """Return the seconds of theirs and ours, and the ratio of each pair."""
    theirs, ours = [], []
    for number in range(rounds):
        for pair in range(int(share * len(names.by_name))):
            touch(names, pair, number + pair)
        families = store.collect()
        theirs.append(_seconds(_their_renderer(families, openmetrics=openmetrics)))
        ours.append(_seconds(lambda: render_families(families, openmetrics=openmetrics)))  # noqa: B023 -- called immediately
    return spread(theirs), spread(ours), spread([slow / fast for slow, fast in zip(theirs, ours, strict=True)])


def _their_renderer(families: Iterable[Family], *, openmetrics: bool) -> Callable[[], bytes]:
    """Return prometheus_client's rendering of the same values."""
    kept = list(families)
    registry = CollectorRegistry()
    registry.register(RegistryCollector(lambda: kept, METRICS))
    # prometheus_client has no types for these two.
    generate: Any = generate_openmetrics if openmetrics else generate_latest
    return lambda: generate(registry)


def _seconds(call: Callable[[], object]) -> float:
    clock = SystemClock()
    start = clock.monotonic()
    call()
    return clock.monotonic() - start


def _ms(found: Spread) -> str:
    return f"{found.median * 1e3:.1f} ms"
