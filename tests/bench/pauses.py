# SPDX-License-Identifier: Apache-2.0
"""The pause of folding while 50,000 series are scraped.

Events arrive steadily, a few each millisecond; inside the exporter ``observed_exporter`` records how long the first
event of every fold waited. The longest wait in a time span with a scrape is the pause; the longest in an equal span
without a scrape is the machine's own delay.
"""

import threading
from dataclasses import dataclass, field

from celery_redis_exporter.clock import SystemClock
from tests.bench.folds import longest_wait, read_folds
from tests.bench.scraper import ACCEPT, TEXT, Scraper
from tests.bench.streams import Shape
from tests.bench.table import Effort, Report, Row, render_table, spread
from tests.bench.workbench import check_counts, open_workbench

RATE = 8_000
"""Events per second while scraping: two tasks each millisecond."""
LINES_PER_NAME = 81
STRETCH_AFTER = 0.05
"""Seconds after the last byte that still count as part of a scrape."""
MOST_MS = 15
FORMATS = (("text", "identity", TEXT), ("OpenMetrics", "identity", ACCEPT), ("OpenMetrics, gzip", "gzip", ACCEPT))
GAP = 0.2
"""Seconds between a scrape and the time span without one."""


@dataclass(slots=True)
class Stretches:
    """Time spans, from and to, in seconds since the epoch: around each scrape, and without one."""

    scraped: list[tuple[float, float]] = field(default_factory=list)
    quiet: list[tuple[float, float]] = field(default_factory=list)


def against_goal(effort: Effort) -> Report:
    """Scrape in each format while events arrive, and compare the time spans."""
    names, rounds = max(effort.times(50_000, 3_500) // LINES_PER_NAME, 1), effort.times(25, 2)
    report, cells = Report(), []
    with open_workbench() as bench:
        subject = bench.exporter(observed=True)
        check_counts(subject, bench.load(Shape(tasks=4 * names, names=names, queues=1, failures=0)).finish())
        endless = Shape(tasks=10**9, names=names, queues=1, failures=0, seed=2)
        load = bench.load(endless, "--rate", str(RATE))
        for title, encoding, accept in FORMATS:
            scraper = bench.scraper(subject, encoding, accept)
            lines = scraper.scrape().lines
            read_folds(bench, subject)
            stretches = _scrape(scraper, rounds)
            folds = read_folds(bench, subject)
            scraped = spread([longest_wait(folds, *stretch) * 1e3 for stretch in stretches.scraped])
            quiet = spread([longest_wait(folds, *stretch) * 1e3 for stretch in stretches.quiet])
            what = f"longest pause of event folding by a scrape of {lines:,} lines, {title}"
            figure = f"{scraped.median:.1f} ms, at most {scraped.high:.1f}"
            without, holds = f"{quiet.median:.1f} ms without", scraped.high <= MOST_MS
            report.rows.append(Row(what, figure, without, figure, f"<= {MOST_MS} ms", holds))
            cells.append((title, f"{lines:,}", scraped.text(".1f"), quiet.text(".1f")))
        assert load.runs, load.process.tail()
    head = ("format", "lines", "longest wait in a stretch with a scrape, ms", "without")
    report.text = render_table(head, cells)
    return report


def _scrape(scraper: Scraper, rounds: int) -> Stretches:
    """Scrape repeatedly, with a rest of the same length in between."""
    clock, pause, stretches = SystemClock(), threading.Event(), Stretches()
    for _ in range(rounds):
        pause.wait(GAP)
        start = clock.now()
        scraper.scrape()
        pause.wait(STRETCH_AFTER)
        end = clock.now()
        stretches.scraped.append((start, end))
        pause.wait(GAP)
        start = clock.now()
        pause.wait(end - stretches.scraped[-1][0])
        stretches.quiet.append((start, clock.now()))
    return stretches
