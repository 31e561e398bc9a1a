# SPDX-License-Identifier: Apache-2.0
"""Scrapes while events arrive at half of the highest rate, compared with the same scrapes at rest.

The highest rate is measured first, in the same process: the events of a stream that Redis delivers as fast as it can,
divided by the time from the first fold to the last. The load then runs at half of it, and every event is counted.
"""

import threading

from tests.bench.folds import read_folds
from tests.bench.load import Replayed
from tests.bench.meters import cpu_seconds_when_idle
from tests.bench.scraper import Scraper
from tests.bench.scrapes import FRESH
from tests.bench.streams import Shape
from tests.bench.subjects import Subject
from tests.bench.table import Effort, Report, Row, percentile, render_table, spread
from tests.bench.workbench import Workbench, check_counts, open_workbench, wait_for

QUEUES = 10
PAUSE = 0.03
"""Seconds between two scrapes."""
MOST = 6


def measure_highest_rate(bench: Workbench, subject: Subject, shape: Shape) -> tuple[float, Replayed]:
    """Return the events per second that an observed exporter keeps up with, and what was sent to measure it."""
    read_folds(bench, subject)
    sent = bench.load(shape, "--ahead").finish()
    cpu_seconds_when_idle(subject.pid)
    folds = read_folds(bench, subject)
    return shape.events / (folds[-1].end - folds[0].end), sent


def against_goal(effort: Effort) -> Report:
    """Measure the highest rate, then scrape at rest, then at half of that rate."""
    with open_workbench() as bench:
        subject = bench.exporter(*FRESH, observed=True)
        rate, first = measure_highest_rate(bench, subject, Shape(tasks=effort.times(60_000, 2_000), queues=QUEUES))
        check_counts(subject, first)
        scraper = bench.scraper(subject)
        idle = [_scrape(scraper) for _ in range(effort.times(300, 10))]
        seconds = effort.times(15, 1)
        shape = Shape(tasks=int(rate / 2 / 4 * seconds), queues=QUEUES, seed=2)
        load = bench.load(shape, "--rate", str(rate / 2))
        wait_for(lambda: load.has_begun)
        busy = []
        while load.runs:
            busy.append(_scrape(scraper))
        check_counts(subject, first, load.finish())
    median, p99 = spread(idle).median, percentile(busy, 99)
    cells = [
        ("at rest", f"{median * 1e3:.2f} ms", f"{percentile(idle, 99) * 1e3:.2f} ms"),
        (f"{rate / 2:,.0f} events/s", f"{spread(busy).median * 1e3:.2f} ms", f"{p99 * 1e3:.2f} ms"),
    ]
    what = f"scrape p99 at {rate / 2:,.0f} events/s, half of the highest rate, against the idle median"
    figure, ratio = f"{p99 / median:.1f}", p99 / median
    row = Row(what, f"{p99 * 1e3:.2f} ms", f"{median * 1e3:.2f} ms idle", figure, f"<= {MOST}", ratio <= MOST)
    return Report([row], render_table(("load", "median", "p99"), cells))


def _scrape(scraper: Scraper) -> float:
    threading.Event().wait(PAUSE)
    return scraper.scrape().seconds
