# SPDX-License-Identifier: Apache-2.0
"""Forty applications behind one exporter, three of them with faults.

``python -m tests.many_applications [--applications 40] [--real 4] [--minutes 60]`` starts everything on loopback ports,
lets it run, and prints whether each application's counts equal what was published, and the effects on the others. Of
the applications ``--real`` have workers, the others replayed events. The broker of ``hung`` hangs for 15 s in each
minute, ``flood`` publishes 100,000 events at once every half minute, and ``hostile`` 2,000 new names every minute.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event

from celery import Celery

from celery_redis_exporter.clock import SystemClock
from tests.bench.meters import cpu_seconds, resident_memory
from tests.bench.streams import Shape
from tests.integration.applications import OPTIONS, Applications, Sender
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer

FAULTY = ("flood", "hung", "hostile")
QUIET_LOAD = Shape(tasks=5, names=3, workers=2, queues=1)
FLOOD = Shape(tasks=25_000, tasks_per_batch=20)
HOSTILE = Shape(tasks=2_000, names=2_000, queues=100, workers=100)
HANGS_AT, HANGS_FOR = 20, 15
MISSED = "celery_worker_events_missed_total"
SETTLED_WITHIN = 120.0


class Run:
    """The applications, and the events that they publish each second."""

    def __init__(self, programs: Programs, applications: int, real: int) -> None:
        steady = [f"app-{number}" for number in range(applications - real - len(FAULTY))]
        self.real = [f"real-{number}" for number in range(real)]
        self.steady = steady
        self.site = Applications(programs, (*self.real, *steady, "flood", "hostile"))
        self.hanging: RedisServer = programs.redis(options=OPTIONS)
        self.site.add("hung", self.hanging)
        self.site.write()
        self.exporter: Exporter = self.site.exporter()
        self.publishers: dict[str, Celery] = {}
        for name in self.real:
            broker = Sender(self.site.trees[name]["broker_url"])
            programs.worker(broker, name, WorkerOptions(arguments=BEATING))
            self.publishers[name] = programs.publisher(broker)
        self._seed = 0

    def second(self, number: int) -> None:
        """Publish the events of this second of the run."""
        for name, publisher in self.publishers.items():
            publisher.send_task("counted")
            self.site.published[name] += 1
            self.site.ended[name, "success"] += 1
        for name in self.steady:
            self._publish(name, QUIET_LOAD)
        self._disturb(number % 60)

    def _disturb(self, second: int) -> None:
        if second == HANGS_AT:
            self.hanging.freeze()
        if second == HANGS_AT + HANGS_FOR:
            self.hanging.thaw()
        if not HANGS_AT <= second < HANGS_AT + HANGS_FOR:
            self._publish("hung", QUIET_LOAD)
        if second % 30 == 5:
            self._publish("flood", FLOOD)
        if second == 40:
            self._publish("hostile", HOSTILE)

    def _publish(self, name: str, shape: Shape) -> None:
        self._seed += 1
        self.site.publish(name, replace(shape, seed=self._seed))


def quantile_of_lag(exporter: Exporter, names: Sequence[str], share: float) -> float:
    """Return the upper bound of the bucket of the lag that contains a share of the events of these applications."""
    buckets: dict[float, float] = {}
    for (metric, pairs), value in exporter.metrics("celery_exporter_event_lag_seconds_bucket").items():
        labels = dict(pairs)
        if metric.endswith("_bucket") and labels.get("application") in names:
            bound = float(labels["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0.0) + value
    total = buckets[float("inf")]
    return min(bound for bound, count in buckets.items() if count >= share * total)


def simulate(programs: Programs, applications: int, real: int, seconds: int) -> dict[str, str]:
    """Run the simulation, and return the measured values by name. Raises AssertionError if a count is wrong."""
    run, clock, never = Run(programs, applications, real), SystemClock(), Event()
    dice = random.Random(1)  # noqa: S311 -- the next application to scrape
    good, took, whole = [*run.real, *run.steady], list[float](), list[float]()
    pid = run.exporter.process.pid
    begun, cpu = clock.monotonic(), cpu_seconds(pid)
    for number in range(seconds):
        run.second(number)
        at = clock.monotonic()
        run.exporter.get(f"/metrics?application={dice.choice(good)}")
        took.append(clock.monotonic() - at)
        if number % 15 == 0:
            at = clock.monotonic()
            run.exporter.get()
            whole.append(clock.monotonic() - at)
        never.wait(max(begun + number + 1 - clock.monotonic(), 0.0))
    run.hanging.thaw()
    used = (cpu_seconds(pid) - cpu) / (clock.monotonic() - begun)
    run.site.agree(run.exporter, within=SETTLED_WITHIN)
    missed = dict.fromkeys(run.site.published, 0.0)
    for (metric, pairs), value in run.exporter.metrics(MISSED).items():
        if metric == MISSED:
            missed[dict(pairs)["application"]] += value
    return {
        "tasks published and counted, per application": _show_counts(run.site.published),
        "executions missed": ", ".join(f"{name} {count:.0f}" for name, count in missed.items() if count) or "none",
        "lag of events of the others, p99": f"at most {quantile_of_lag(run.exporter, good, 0.99):g} s",
        "scrape of one of the others, p50, p99, max": _show_seconds(took),
        "scrape of everything, p50, p99, max": _show_seconds(whole),
        "series": str(sum(not line.startswith("#") for line in run.exporter.get().text.splitlines())),
        "CPU of the exporter": f"{used:.0%} of a core",
        "resident memory of the exporter": f"{resident_memory(pid) / 2**20:.0f} MiB",
    }


def _show_counts(published: Mapping[str, int]) -> str:
    faulty = ", ".join(f"{name} {published[name]:,}" for name in FAULTY)
    others = [count for name, count in published.items() if name not in FAULTY]
    return f"{sum(others):,} in {len(others)} others; {faulty}"


def _show_seconds(values: Sequence[float]) -> str:
    ordered = sorted(values)
    middle, high = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    return ", ".join(f"{value * 1000:.0f} ms" for value in (middle, high, ordered[-1]))


def main() -> int:
    """Run the simulation, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.many_applications")
    parser.add_argument("--applications", type=int, default=40)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        programs = Programs(Path(folder), ending)
        found = simulate(programs, given.applications, given.real, int(given.minutes * 60))
    sys.stdout.write("| what | measured |\n|---|---|\n")
    sys.stdout.write("".join(f"| {name} | {value} |\n" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
