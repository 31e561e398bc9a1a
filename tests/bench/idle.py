# SPDX-License-Identifier: Apache-2.0
"""CPU at rest: heartbeats of 50 workers every 2 s, and a scrape every 15 s as Prometheus sends it."""

import threading

from celery_redis_exporter.clock import SystemClock
from tests.bench.meters import cpu_seconds
from tests.bench.streams import Shape
from tests.bench.table import Effort, Report, Row
from tests.bench.workbench import check_counts, open_workbench, wait_for

WORKERS = 50
BEAT_SECONDS = 2
SCRAPE_SECONDS = 15
MOST_SHARE = 0.005


def against_goal(effort: Effort) -> Report:
    """Measure an idle minute, after the load of a small application."""
    scrapes, every = effort.times(4, 1), effort.times(SCRAPE_SECONDS, 1)
    seconds = scrapes * every
    with open_workbench() as bench:
        subject = bench.exporter()
        first = bench.load(Shape(tasks=1_000, workers=WORKERS)).finish()
        scraper = bench.scraper(subject)
        scraper.scrape()
        idle = Shape(tasks=0, workers=WORKERS)
        load = bench.load(idle, "--heartbeats", str(BEAT_SECONDS), "--rate", "1", "--seconds", str(seconds + 1))
        wait_for(lambda: load.has_begun)
        clock = SystemClock()
        start, used = clock.monotonic(), cpu_seconds(subject.pid)
        for _ in range(scrapes):
            threading.Event().wait(every)
            scraper.scrape()
        share = (cpu_seconds(subject.pid) - used) / (clock.monotonic() - start)
        check_counts(subject, first, load.finish())
    figure = f"{share:.2%} of a core"
    what = f"idle CPU: heartbeats of {WORKERS} workers, a scrape every {every} s"
    return Report([Row(what, figure, "", figure, f"<= {MOST_SHARE:.1%}", share <= MOST_SHARE)])
