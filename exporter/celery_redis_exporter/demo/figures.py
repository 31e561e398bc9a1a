# SPDX-License-Identifier: Apache-2.0
"""Render a few of the exporter's numbers as text for a terminal of 80 columns.

Input: numbers by metric and labels. Output: lines. An unknown number is ``-``, never 0.
"""

from collections import Counter
from collections.abc import Iterable
from typing import cast

from celery_redis_exporter.catalog import CATALOG, Metric, queues, tasks, workers
from celery_redis_exporter.records.samples import Distribution
from celery_redis_exporter.status.marks import quantile
from celery_redis_exporter.status.numbers import Numbers

MEMORY_USED, MEMORY_MAX = CATALOG["redis_memory_used_bytes"], CATALOG["redis_memory_max_bytes"]
CLIENTS = CATALOG["redis_connected_clients"]
MEBIBYTE = 2**20
OUTCOMES = ("success", "failure", "retry", "revoked")
COLUMNS = ("waiting", "running", "started", *OUTCOMES)
WIDTH = 79


def render_figures(numbers: Numbers, seconds: float) -> list[str]:
    """Return the lines of the figures ``seconds`` after the start."""
    names = sorted({*numbers.by(queues.QUEUE_LENGTH), *numbers.by(tasks.TASKS_STARTED, 1)})
    rows = [_row(numbers, name, name) for name in names] + [_row(numbers, "all", "")]
    titles = f"{'queue':<9}" + "".join(f"{title:>8}" for title in COLUMNS) + f"{'wait':>7}{'p95':>7}"
    return [line[:WIDTH] for line in (_first_line(numbers, seconds), titles, *rows, *_last_lines(numbers))]


def _first_line(numbers: Numbers, seconds: float) -> str:
    online, lost = (_total(numbers, workers.WORKERS, state) for state in ("online", "lost"))
    memory = f"{_mebibytes(_total(numbers, MEMORY_USED))} of {_mebibytes(_total(numbers, MEMORY_MAX))} MiB"
    minutes, rest = divmod(int(seconds), 60)
    return (
        f"{minutes:>3}:{rest:02}   workers {_count(online)} online, {_count(lost)} lost   "
        f"Redis {memory}, {_count(_total(numbers, CLIENTS))} clients"
    )


def _row(numbers: Numbers, title: str, queue: str) -> str:
    """Return the line of a queue, or of all queues if ``queue`` is empty."""
    chosen = [queue] if queue else []
    counts = [
        *(_total(numbers, metric, *chosen) for metric in (queues.QUEUE_LENGTH, tasks.TASKS_RUNNING)),
        _total(numbers, tasks.TASKS_STARTED, *chosen),
        *(_total(numbers, tasks.TASKS, state, *chosen) for state in OUTCOMES),
    ]
    return (
        f"{title[:8]:<9}"
        + "".join(f"{_count(count):>8}" for count in counts)
        + "".join(f"{'-' if wait is None else f'{wait:.2f}s':>7}" for wait in _waits(numbers, queue))
    )


def _waits(numbers: Numbers, queue: str) -> tuple[float | None, float | None]:
    """Return the mean and the 95th percentile of the waiting times of a queue, or of all if ``queue`` is empty."""
    found = [row for row in numbers.rows(tasks.TASK_WAIT) if queue in {"", row.labels[1]}]
    waits = [cast("Distribution", row.value) for row in found]
    counts = tuple(map(sum, zip(*(wait.counts for wait in waits), strict=True)))
    if not sum(counts):
        return None, None
    return sum(wait.total for wait in waits) / sum(counts), quantile(0.95, found[0].bounds, counts)


def _last_lines(numbers: Numbers) -> Iterable[str]:
    counts = Counter(numbers.by(tasks.TASK_EXCEPTIONS, 1))
    if counts:
        line = "raised   " + ", ".join(f"{count:.0f} {name}" for name, count in counts.most_common())
        yield line if len(line) <= WIDTH else line[: line.rindex(",", 0, WIDTH - 4)] + ", ..."
    unacked = _total(numbers, queues.UNACKED)
    if unacked is not None:
        yield f"unacked  {_count(unacked)} (scheduled, prefetched, or running with acks_late)"


def _total(numbers: Numbers, metric: Metric, *labels: str) -> float | None:
    """Return the sum over the series that have all these label values, or None if there are none."""
    found = [value for given, value in numbers.values(metric) if set(labels) <= set(given)]
    return sum(found) if found else None


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _mebibytes(value: float | None) -> str:
    return "-" if value is None else f"{value / MEBIBYTE:.1f}"
