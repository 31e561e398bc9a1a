# SPDX-License-Identifier: Apache-2.0
"""Resident memory after the first and the second million tasks, of 200 names and 50 workers with heartbeats.

The exporter is scraped meanwhile as by Prometheus. The load is slow enough for the exporter to keep up: a backlog
uses the broker's memory, not the exporter's. Counts are checked exactly at both ends.
"""

import sys
import threading

from tests.bench.load import Replayed
from tests.bench.meters import cpu_seconds_when_idle, resident_memory
from tests.bench.streams import Shape
from tests.bench.subjects import Subject
from tests.bench.table import Effort, Report, Row
from tests.bench.workbench import Workbench, check_counts, open_workbench

RATE = 100_000
"""Events per second; about a third of the exporter's highest rate."""
SCRAPE_SECONDS = 2.0
MEGABYTE = 1_000_000
MOST_MEGABYTES = 80
MOST_GROWTH = 1
MOST_BACKLOG = 8_000_000
"""Bytes of output buffer above which a run measures bursts and not the exporter."""


def against_goal(effort: Effort) -> Report:
    """Measure both millions."""
    with open_workbench() as bench:
        subject = bench.exporter(alone=not effort.quick)
        sent: list[Replayed] = []
        memories = []
        for number in (1, 2):
            shape = Shape(tasks=effort.times(1_000_000, 2_000), names=200, workers=50, queues=10, seed=number)
            backlog = _replay(bench, subject, shape, sent)
            check_counts(subject, *sent)
            cpu_seconds_when_idle(subject.pid)  # so that the body of the last scrape is not measured
            memories.append(resident_memory(subject.pid) / MEGABYTE)
            what = f"{number} x {shape.tasks:,} tasks, backlog {backlog:,.0f} bytes"
            sys.stderr.write(f"{memories[-1]:.1f} MB after {what}\n")
    tasks = effort.times(1_000_000, 2_000)
    growth = memories[1] - memories[0]
    flat = f"{growth:+.1f} MB"
    limit, fits = f"<= {MOST_MEGABYTES} MB", memories[0] <= MOST_MEGABYTES
    what = f"resident memory after {tasks:,} tasks, 200 names, 50 workers"
    return Report([
        Row(what, f"{memories[0]:.1f} MB", "", f"{memories[0]:.1f} MB", limit, fits),
        Row("its growth over as many tasks again", f"{memories[1]:.1f} MB", "", flat, "< 1 MB", growth < MOST_GROWTH),
    ])  # fmt: skip


def _replay(bench: Workbench, subject: Subject, shape: Shape, sent: list[Replayed]) -> float:
    """Replay a stream and scrape meanwhile; return the largest backlog, in bytes."""
    # The workers continue their counts after the first million: a smaller count would mean a new process.
    begun = sum(load.started for load in sent) // shape.workers
    load = bench.load(shape, "--rate", str(RATE), "--heartbeats", "2", "--begun", str(begun))
    scraper, pause, backlog = bench.scraper(subject), threading.Event(), 0.0
    while load.runs:
        backlog = max(backlog, scraper.scrape().total("celery_exporter_event_backlog_bytes"))
        pause.wait(SCRAPE_SECONDS if shape.tasks > RATE else 0.1)
    sent.append(load.finish())
    assert backlog < MOST_BACKLOG, f"a backlog of {backlog:,.0f} bytes: the exporter did not keep up"
    return backlog
