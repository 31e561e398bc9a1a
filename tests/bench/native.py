# SPDX-License-Identifier: Apache-2.0
"""Costs and savings of native histograms: CPU time of an event, the size of a body, and a large fleet with each kind.

Every subject reads the same stream. CPU time is compared in pairs, in alternating order, and bodies as Prometheus
requests them, with gzip.
"""

import http.client
import sys
from contextlib import closing
from dataclasses import dataclass

from tests.bench.events import replay
from tests.bench.meters import cpu_seconds_when_idle, resident_memory
from tests.bench.scraper import ACCEPT, Answer
from tests.bench.streams import Shape
from tests.bench.subjects import Subject
from tests.bench.table import Effort, Report, Row, render_table, spread
from tests.bench.workbench import Workbench, check_counts, open_workbench
from tests.support.prometheus_messages import read_messages

PROTOBUF = b"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," + ACCEPT
NATIVE = ("--metrics.native-histograms",)
NATIVE_ONLY = (*NATIVE, "--no-metrics.classic-histograms")
ROOM = ("--series.max-per-metric", "100000", "--series.max-bytes", "1000000000", "--series.zero-first", "0")
MOST_CPU = 1.10
MOST_BODY = 0.25


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting for comparison: its name, the flags of the exporter, and the formats that the request accepts."""

    name: str
    flags: tuple[str, ...]
    accept: bytes


CLASSIC = Setting("classic, OpenMetrics", (), ACCEPT)
BOTH = Setting("both, protobuf", NATIVE, PROTOBUF)
ALONE = Setting("native, protobuf", NATIVE_ONLY, PROTOBUF)


def against_classic(effort: Effort) -> Report:
    """Compare CPU time with the histograms off and on, and bodies of 201 tasks on 5 queues."""
    ratios = []
    shape = Shape(tasks=effort.times(40_000, 1_000))
    for number in range(effort.times(7, 1)):
        rates = {}
        for flags in ((), NATIVE)[:: 1 if number % 2 else -1]:
            with open_workbench() as bench:
                subject = bench.exporter(*flags)
                result, sent = replay(bench, subject, shape)
                check_counts(subject, *sent)
                rates[flags] = result.rate
        ratios.append(rates[()] / rates[NATIVE])
        sys.stderr.write(f"pair {number + 1}: {ratios[-1]:.3f} times the CPU time of an event\n")
    cost = spread(ratios)
    sizes = {setting.name: _body(setting, effort) for setting in (CLASSIC, ALONE)}
    share = sizes[ALONE.name] / sizes[CLASSIC.name]
    texts = [f"{sizes[setting.name] / 1e3:,.0f} kB" for setting in (ALONE, CLASSIC)]
    return Report([
        Row("CPU time of an event with native histograms", "", "classic ones only", cost.text(".3f"),
            f"<= {MOST_CPU:g}", cost.median <= MOST_CPU),
        Row("body of 201 tasks on 5 queues, native ones only, gzip", texts[0], texts[1], f"{share:.3f}",
            f"<= {MOST_BODY:g}", share <= MOST_BODY),
    ])  # fmt: skip


def measure_fleet(effort: Effort) -> Report:
    """Measure 1,000 workers that execute 2,000 tasks on 200 queues, with classic histograms, both, and native ones."""
    shape = Shape(
        tasks=effort.times(60_000, 400), names=effort.times(2_000, 20), queues=effort.times(200, 2),
        workers=effort.times(1_000, 10),
    )  # fmt: skip
    rows = []
    for setting in (CLASSIC, BOTH, ALONE):
        with open_workbench() as bench:
            rows.append(_fleet_row(bench, setting, shape, effort))
        sys.stderr.write(f"{' | '.join(rows[-1])}\n")
    head = ("histograms, format", "series", "bytes", "bytes, gzip", "scrape, gzip", "resident memory")
    title = f"{shape.workers:,} workers, {shape.names:,} tasks, {shape.queues:,} queues, {shape.tasks:,} executions:"
    return Report(text=f"{title}\n\n{render_table(head, rows)}")


def _fleet_row(bench: Workbench, setting: Setting, shape: Shape, effort: Effort) -> tuple[str, ...]:
    subject = bench.exporter(*ROOM, *setting.flags)
    sent = bench.load(shape, "--heartbeats", "2").finish()
    check_counts(subject, sent)
    scraper = bench.scraper(subject, accept=setting.accept)
    answers = [scraper.scrape() for _ in range(effort.times(12, 2))]
    seconds = spread([answer.seconds for answer in answers[1:]])
    cpu_seconds_when_idle(subject.pid)  # until the memory of the last body is freed
    body = answers[-1].body
    sent_bytes = _sent_bytes(subject, setting)
    return (
        setting.name, f"{_count_series(answers[-1], setting):,}", f"{len(body):,}", f"{sent_bytes:,}",
        f"{seconds.median * 1e3:.0f} ms", f"{resident_memory(subject.pid) / 1e6:.0f} MB",
    )  # fmt: skip


def _body(setting: Setting, effort: Effort) -> int:
    """Return the size of a body. No task number is a multiple of 5, so that every task is on all queues."""
    shape = Shape(tasks=effort.times(20_000, 1_005), names=201, queues=5, workers=20)
    with open_workbench() as bench:
        subject = bench.exporter(*ROOM, *setting.flags)
        check_counts(subject, bench.load(shape).finish())
        return _sent_bytes(subject, setting)


def _sent_bytes(subject: Subject, setting: Setting) -> int:
    """Return the length of a body as it is sent, with gzip."""
    with closing(http.client.HTTPConnection("127.0.0.1", subject.port, timeout=60)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": setting.accept.decode(), "Accept-Encoding": "gzip"})
        return len(connection.getresponse().read())


def _count_series(answer: Answer, setting: Setting) -> int:
    """Return the number of series that Prometheus stores from a response."""
    if setting.accept == ACCEPT:
        return sum(not line.startswith(b"#") for line in answer.body.splitlines())
    count = 0
    for family in read_messages(answer.body):
        for metric in family.metric:
            buckets = len(metric.histogram.bucket)
            native = bool(metric.histogram.zero_threshold)
            count += (buckets + 2 if buckets else 0) + native if metric.HasField("histogram") else 1
    return count
