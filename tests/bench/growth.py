# SPDX-License-Identifier: Apache-2.0
"""Growth of the cost: with names, workers, batches and payloads; with series; with tasks in flight.

Each curve is a few points of one quantity, all else equal. No step may grow faster than linearly: the exponent of
the cost is fitted for the largest quantities, and may exceed 1 only by the measurement's noise.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.bench.events import replay
from tests.bench.load import publish
from tests.bench.meters import resident_memory
from tests.bench.plots import Plot, Point, fit_exponent, render_plot
from tests.bench.streams import Shape
from tests.bench.table import Effort, Report, render_table, spread
from tests.bench.workbench import check_counts, open_workbench

WIDE = ("--series.max-per-metric", "100000", "--series.max-bytes", "1000000000")
"""Space for 10,000 names: above the limits a name would be counted under __overflow__, which costs nothing."""
LINEAR = 1.1
"""The largest exponent that counts as linear, noise included."""
BYTES = 1000


@dataclass(frozen=True, slots=True)
class Curve:
    """A plot, the points whose exponent shows how the cost grows, and the file of the plot."""

    file: str
    plot: Plot
    cost: Sequence[Point]


def measure_growth(effort: Effort) -> Report:
    """Measure every curve; raise AssertionError if a count is wrong."""
    tasks = effort.times(40_000, 200)
    curves = [
        _event_curve("names", "task names", [
            (names, Shape(tasks, names=names, queues=1)) for names in effort.first(10, 100, 1_000, 10_000)
        ]),
        _event_curve("workers", "workers", [
            (workers, Shape(tasks, workers=workers)) for workers in effort.first(1, 10, 100, 1_000)
        ]),
        _event_curve("batches", "events per batch", [
            (3 * size, Shape(tasks, tasks_per_batch=size)) for size in effort.first(1, 2, 4, 8)
        ]),
        _event_curve("payloads", "kB of arguments per task", [
            (size, Shape(max(min(tasks, int(40_000 / size)), 50), payload=int(size * BYTES)))
            for size in effort.first(1, 10, 100)
        ]),
        _scrape_curve(effort),
        _memory_curve(effort),
    ]  # fmt: skip
    cells = []
    for curve in curves:
        exponent = fit_exponent(curve.cost)
        verdict = "yes" if exponent <= LINEAR else "**no**"
        cells.append((curve.plot.title, _tell(curve.plot), f"{exponent:.2f}", verdict))
    head = ("", "from the least to the most", "exponent of the cost", "at most linear")
    return Report(text=render_table(head, cells), plots={curve.file: render_plot(curve.plot) for curve in curves})


def _event_curve(name: str, quantity: str, shapes: Sequence[tuple[int, Shape]]) -> Curve:
    """Return the curve of events per CPU second, all else equal."""
    points = []
    for value, shape in shapes:
        with open_workbench() as bench:
            subject = bench.exporter(*WIDE)
            result, sent = replay(bench, subject, shape)
            check_counts(subject, *sent)
        sys.stderr.write(f"{value:,} {quantity}: {result.rate:,.0f} events per CPU second\n")
        points.append((float(value), result.rate))
    plot = Plot(f"Events per CPU second over {quantity}", quantity, "events per CPU second", points)
    return Curve(f"{name}.svg", plot, [(x, 1 / rate) for x, rate in points])


def _scrape_curve(effort: Effort) -> Curve:
    """Return the curve of the time of a scrape by Prometheus, with a tenth of the names changed since the last one."""
    points = []
    with open_workbench() as bench:
        subject = bench.exporter(*WIDE)
        scraper = bench.scraper(subject)
        for names in effort.first(0, 10, 30, 100, 300, 1_000, 2_600):
            whole = Shape(names, names=max(names, 1), queues=1, failures=0)
            publish(bench.server.port, whole)
            answers = [scraper.scrape()]
            for number in range(effort.times(11, 2)):
                publish(bench.server.port, replace(whole, tasks=names // 10, seed=number + 2))
                answers.append(scraper.scrape())
            lines, seconds = answers[-1].lines, spread([answer.seconds for answer in answers[2:]]).median
            points.append((float(lines), seconds * 1e3))
            sys.stderr.write(f"{lines:,} lines: {seconds * 1e3:.1f} ms\n")
    plot = Plot("Time of a scrape over lines of /metrics", "lines (gzip, OpenMetrics)", "milliseconds", points)
    return Curve("scrapes.svg", plot, points)


def _memory_curve(effort: Effort) -> Curve:
    """Return the curve of the memory above that of an empty exporter, over started tasks that have not ended."""
    points, sent = [], []
    with open_workbench() as bench:
        subject = bench.exporter()
        # Few, since tasks in flight would reuse the memory of ended tasks.
        sent.append(bench.load(Shape(100)).finish())
        check_counts(subject, *sent)
        empty, flying = resident_memory(subject.pid), 0
        for number in effort.first(5_000, 10_000, 20_000, 50_000, 100_000):
            shape = Shape(number - flying, until="started", seed=number)
            sent.append(bench.load(shape).finish())
            flying = number
            answer = check_counts(subject, *sent)
            assert answer.total("celery_tasks_running") == flying
            points.append((float(flying), max(resident_memory(subject.pid) - empty, 4096) / 1e6))
            sys.stderr.write(f"{flying:,} tasks in flight: {points[-1][1]:.1f} MB more\n")
    title = f"Memory over tasks in flight, above {empty / 1e6:.0f} MB without any"
    return Curve("memory.svg", Plot(title, "tasks in flight", "MB more", points), points)


def _tell(plot: Plot) -> str:
    (first_x, first), (last_x, last) = plot.points[0], plot.points[-1]
    return f"{first:,.4g} {plot.y_label} at {first_x:,.0f}, {last:,.4g} at {last_x:,.0f}"
