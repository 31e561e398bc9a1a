"""The live figures: a few numbers of a /metrics page, as text for a terminal of 80 columns.

Takes the exporter's text format, gives lines. What the page does not show is shown as ``-``, never as 0.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import inf

from celery_redis_exporter.catalog import CATALOG, Metric, queues, tasks, workers

MEMORY_USED, MEMORY_MAX = CATALOG["redis_memory_used_bytes"], CATALOG["redis_memory_max_bytes"]
CLIENTS = CATALOG["redis_connected_clients"]
MEBIBYTE = 2**20
COLUMNS = ("waiting", "running", "started", "success", "failure", "retry", "revoked")
WIDTH = 79

LINE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Page:
    """A /metrics page; every look-up sums the series that match, None when there is none."""

    def __init__(self, text: str) -> None:
        self._series: dict[str, list[tuple[dict[str, str], float]]] = {}
        for match in filter(None, map(LINE.fullmatch, text.splitlines())):
            labels = dict(LABEL.findall(match["labels"] or ""))
            self._series.setdefault(match["name"], []).append((labels, float(match["value"])))

    def total(self, metric: Metric, suffix: str = "", **labels: str) -> float | None:
        """Sum the series of a metric that carry these labels."""
        found = [
            value for given, value in self._series.get(metric.name + suffix, ()) if labels.items() <= given.items()
        ]
        return sum(found) if found else None

    def by(self, metric: Metric, label: str) -> Counter[str]:
        """Sum the series of a metric by the values of a label."""
        sums: Counter[str] = Counter()
        for given, value in self._series.get(metric.name, ()):
            sums[given[label]] += int(value)
        return sums

    def quantile(self, metric: Metric, share: float, **labels: str) -> float | None:
        """Estimate a quantile of a histogram, as PromQL's histogram_quantile does."""
        counts: Counter[float] = Counter()
        for given, value in self._series.get(f"{metric.name}_bucket", ()):
            if labels.items() <= given.items():
                counts[float(given["le"])] += int(value)
        bounds = sorted(counts)
        if not bounds or not counts[inf]:
            return None
        rank = share * counts[inf]
        upper = bounds[bisect_left([counts[bound] for bound in bounds], rank)]
        edges = {high: low for low, high in pairwise([0.0, *bounds])}
        lower = edges[upper]
        if upper == inf:
            return lower
        below = counts[lower] if lower else 0
        return lower + (upper - lower) * (rank - below) / (counts[upper] - below)


def render_figures(text: str, seconds: float) -> list[str]:
    """Render the figures of a /metrics page, ``seconds`` after the start."""
    page = Page(text)
    names = sorted({*page.by(queues.QUEUE_LENGTH, "queue"), *page.by(tasks.TASKS_STARTED, "queue")})
    rows = [_row(page, name, queue=name) for name in names] + [_row(page, "all")]
    titles = f"{'queue':<9}" + "".join(f"{title:>8}" for title in COLUMNS) + f"{'wait':>7}{'p95':>7}"
    return [line[:WIDTH] for line in (_first_line(page, seconds), titles, *rows, *_exceptions(page))]


def _first_line(page: Page, seconds: float) -> str:
    online, lost = (page.total(workers.WORKERS, state=state) for state in ("online", "lost"))
    memory = f"{_mebibytes(page.total(MEMORY_USED))} of {_mebibytes(page.total(MEMORY_MAX))} MiB"
    minutes, rest = divmod(int(seconds), 60)
    return (
        f"{minutes:>3}:{rest:02}   workers {_count(online)} online, {_count(lost)} lost   "
        f"Redis {memory}, {_count(page.total(CLIENTS))} clients"
    )


def _row(page: Page, title: str, **queue: str) -> str:
    counts = [
        page.total(queues.QUEUE_LENGTH, **queue),
        page.total(tasks.TASKS_RUNNING, **queue),
        page.total(tasks.TASKS_STARTED, **queue),
        *(page.total(tasks.TASKS, state=state, **queue) for state in COLUMNS[3:]),
    ]
    spent, started = (page.total(tasks.TASK_WAIT, suffix, **queue) for suffix in ("_sum", "_count"))
    mean = spent / started if spent is not None and started else None
    waits = [mean, page.quantile(tasks.TASK_WAIT, 0.95, **queue)]
    return (
        f"{title[:8]:<9}"
        + "".join(f"{_count(count):>8}" for count in counts)
        + "".join(f"{'-' if wait is None else f'{wait:.2f}s':>7}" for wait in waits)
    )


def _exceptions(page: Page) -> Iterable[str]:
    counts = page.by(tasks.TASK_EXCEPTIONS, "exception")
    if counts:
        line = "raised   " + ", ".join(f"{count} {name}" for name, count in counts.most_common())
        yield line if len(line) <= WIDTH else line[: line.rindex(",", 0, WIDTH - 4)] + ", ..."
    unacked = page.total(queues.UNACKED)
    if unacked is not None:
        yield f"unacked  {_count(unacked)} (scheduled, prefetched, or running with acks_late)"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _mebibytes(value: float | None) -> str:
    return "-" if value is None else f"{value / MEBIBYTE:.1f}"
