# SPDX-License-Identifier: Apache-2.0
"""Above the highest rate: backlog, lag, and losses when Redis closes the subscription.

The highest rate is measured, then events are sent for some seconds below it and above it, to a Redis with its default
limit for subscribers. Lag and gaps come from the exporter's metrics, losses from the sender's count.
"""

import re
import sys
import threading
from dataclasses import dataclass

from tests.bench.busy_scrapes import measure_highest_rate
from tests.bench.load import Replayed
from tests.bench.meters import cpu_seconds_when_idle
from tests.bench.scraper import TEXT, Answer
from tests.bench.streams import Shape
from tests.bench.table import Effort, Report, render_table
from tests.bench.workbench import check_counts, open_workbench, wait_for

USUAL = ("--client-output-buffer-limit", "pubsub 32mb 8mb 60")
"""Redis's default, made explicit."""
FACTORS = (0.5, 0.8, 1)
MOST_FACTOR = 1.5
"""The rate of a load at full speed, which this machine's other core may not reach."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Overload:
    """One run: what was sent, the largest backlog (bytes), and the last scrape."""

    sent: Replayed
    backlog: float
    answer: Answer


def measure_limit(effort: Effort) -> Report:
    """Measure the highest rate, then run below and above it."""
    shape = Shape(tasks=effort.times(100_000, 2_000), queues=10)
    with open_workbench() as bench:
        subject = bench.exporter(observed=True)
        highest, sent = measure_highest_rate(bench, subject, shape)
        check_counts(subject, sent)
    sys.stderr.write(f"highest rate: {highest:,.0f} events per second\n")
    seconds = effort.times(12, 1)
    runs = [_overload(highest * factor * seconds, str(highest * factor)) for factor in effort.first(*FACTORS)]
    runs.append(_overload(highest * MOST_FACTOR * seconds, "max"))
    head = (
        "sent, events/s", "of the highest rate", "largest backlog seen", "lag, half and 99 %", "reconnects",
        "gap", "missed, as told", "task-started lost in truth",
    )  # fmt: skip
    text = f"Highest rate that one process keeps up with: {highest:,.0f} events per second.\n\n"
    return Report(text=text + render_table(head, [_describe(run, highest) for run in runs]))


def _overload(events: float, rate: str) -> Overload:
    with open_workbench(*USUAL) as bench:
        subject = bench.exporter("--scrape.freshness", "0")
        load = bench.load(Shape(tasks=int(events / 4), queues=10), "--rate", rate, "--heartbeats", "1")
        wait_for(lambda: load.has_begun)
        scraper, backlog, pause = bench.scraper(subject, accept=TEXT), 0.0, threading.Event()
        while load.runs:
            backlog = max(backlog, scraper.scrape().total("celery_exporter_event_backlog_bytes"))
            pause.wait(LOOK_SECONDS)
        sent = load.finish()
        cpu_seconds_when_idle(subject.pid)
        answer = scraper.scrape()
        assert not answer.total("celery_exporter_events_invalid_total")
        assert answer.total(r"celery_tasks_sent_total\{") <= sent.tasks
        return Overload(sent, backlog, answer)


def _describe(run: Overload, highest: float) -> tuple[str, ...]:
    answer = run.answer
    name = b"celery_exporter_event_stream_reconnects_total"
    reasons = re.findall(rb'^%b\{reason="(\w+)"\} (\d+)' % name, answer.body, re.MULTILINE)
    reconnects = ", ".join(f"{count.decode()} {reason.decode()}" for reason, count in reasons if int(count))
    lost = run.sent.started - answer.total(r'celery_exporter_events_total\{type="task-started"')
    return (
        f"{run.sent.rate:,.0f}",
        f"{run.sent.rate / highest:.2f}",
        f"{run.backlog / 1e6:.1f} MB",
        f"{read_quantile(answer, 0.5)}, {read_quantile(answer, 0.99)}",
        reconnects or "0",
        f"{answer.total('celery_exporter_event_stream_gap_seconds_total'):.1f} s",
        f"{answer.total('celery_worker_events_missed_total'):,.0f}",
        f"{lost:,.0f}",
    )


def read_quantile(answer: Answer, quantile: float) -> str:
    """Return the bucket of the event lag that contains a quantile, as ``<= 0.5 s``."""
    name = "celery_exporter_event_lag_seconds"
    count = answer.total(f"{name}_count")
    for line in answer.body.decode().splitlines():
        if line.startswith(f"{name}_bucket") and float(line.rpartition(" ")[2]) >= quantile * count:
            bound = line.split('le="')[1].partition('"')[0]
            return "> 60 s" if bound == "+Inf" else f"<= {float(bound):g} s"
    return ""
