# SPDX-License-Identifier: Apache-2.0
"""Events per CPU second, compared with the peers and the bare loop.

Every subject reads the same stream from a dedicated Redis, one after the other. Rounds are repeated in alternating
order, so that a slow phase of the machine affects all subjects. The measure is CPU time of the subject's process, which
excludes the load generator and Redis. The counts are checked after each run.
"""

import sys
from dataclasses import dataclass, replace

from tests.bench.load import Replayed
from tests.bench.meters import cpu_seconds_when_idle, resident_memory
from tests.bench.streams import Shape
from tests.bench.subjects import Subject
from tests.bench.table import Effort, Report, Row, spread
from tests.bench.workbench import Workbench, check_counts, check_ended, open_workbench

OURS = "exporter"
WARM_UP = 10_000
"""Tasks that our exporter receives before the measured ones: it remembers half as many that have ended."""
WARM_UP_OF_PEERS = 100_000
"""The same in a comparison with peers, which Flower remembers; celery-exporter remembers 10,000 (Celery's ``State``).

A monitor runs for weeks, so it is measured with full tables: each further task makes it forget one.
"""
MOST_WARM_UP = 5
"""The warm-up has at most this many times the measured tasks, of which a quick run has few."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run: events per CPU second of the subject, and its resident memory at the end (bytes)."""

    rate: float
    memory: int


def run(name: str, shape: Shape) -> Result:
    """Run one subject over a stream; raise AssertionError if its counts differ from what was sent."""
    with open_workbench() as bench:
        subject = bench.start(name)
        result, sent = replay(bench, subject, shape, WARM_UP_OF_PEERS)
        if name == OURS:
            check_counts(subject, *sent)
        check_ended(subject, sum(load.tasks for load in sent))
        return result


def replay(bench: Workbench, subject: Subject, shape: Shape, warm_up: int = WARM_UP) -> tuple[Result, list[Replayed]]:
    """Send a stream at full speed to an idle subject; return the resources used, and everything that was sent.

    A stream of ``warm_up`` tasks, of every name and worker, is sent before and not measured: creating a series is a
    cost per series, and a new process still allocates its memory.
    """
    tasks = max(shape.names, shape.workers, min(warm_up, MOST_WARM_UP * shape.tasks))
    warm = bench.load(replace(shape, tasks=tasks, payload=Shape().payload, seed=shape.seed + 1)).finish()
    before = cpu_seconds_when_idle(subject.pid)
    sent = bench.load(shape, "--ahead").finish()
    after = cpu_seconds_when_idle(subject.pid)
    return Result(shape.events / (after - before), resident_memory(subject.pid)), [warm, sent]


def compare(name: str, title: str, shape: Shape, rounds: int, goal: float) -> Report:
    """Run ours and another one in turn; the ratio is computed per round."""
    results: dict[str, list[Result]] = {OURS: [], name: []}
    for number in range(rounds):
        for subject in sorted(results, reverse=number % 2 == 1):
            results[subject].append(run(subject, shape))
            sys.stderr.write(f"round {number + 1}: {subject}: {results[subject][-1].rate:,.0f} events per CPU second\n")
    ratios = spread([ours.rate / theirs.rate for ours, theirs in zip(results[OURS], results[name], strict=True)])
    texts = {}
    for subject, found in results.items():
        rate = spread([result.rate for result in found])
        memory = spread([result.memory / 1e6 for result in found])
        texts[subject] = f"{rate.median:,.0f}, {memory.median:.0f} MB"
    what = f"events per CPU second, {shape.events:,} events, against {title}"
    return Report([Row(what, texts[OURS], texts[name], ratios.text(".2f"), f">= {goal:g}", ratios.median >= goal)])


def against_celery_exporter(effort: Effort) -> Report:
    """Compare with danihodovic/celery-exporter as released on PyPI."""
    shape = Shape(tasks=effort.times(20_000, 1_000))
    return compare("celery-exporter", "celery-exporter 0.11.2", shape, effort.times(3, 1), 20)


def against_flower(effort: Effort) -> Report:
    """Compare with Flower."""
    return compare("flower", "Flower 2.2.0", Shape(tasks=effort.times(20_000, 1_000)), effort.times(3, 1), 30)


def against_bare_loop(effort: Effort) -> Report:
    """Compare with the bare loop, on a longer stream: both take only a quarter of a second for the short one."""
    return compare("bare loop", "the bare loop", Shape(tasks=effort.times(80_000, 1_000)), effort.times(5, 1), 0.7)
