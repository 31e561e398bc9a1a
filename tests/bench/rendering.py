"""Rendering against prometheus_client, side by side: ``python -m tests.bench.rendering [--series N] [--runs N]``.

The same families are rendered by this exporter and, through its Collector, by prometheus_client's generate_latest, in
turn, in text and OpenMetrics. Between two of our renderings a share of the values changes, as between two scrapes of a
busy application: what did not change is not formatted again, which is the point of keeping lines.
"""

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.catalog import internals, tasks
from exporter.clock import SystemClock
from exporter.exposition.collector import Collector
from exporter.exposition.text import render_families
from exporter.records import Family
from exporter.state.names import Names
from exporter.state.series import Store

METRICS = (*tasks.METRICS, *internals.METRICS)
SERIES_PER_PAIR = 69
"""Lines of one (task, queue): 9 numbers, and three histograms of 20 buckets, a sum and a count (and a bit)."""


def make_store(series: int) -> tuple[Store, Names]:
    """A store with about so many lines, as a large application has them."""
    store = Store(METRICS, 1_000_000, {})
    names = Names(store, pairs=1_000_000, exceptions=50)
    for number in range(max(1, series // SERIES_PER_PAIR)):
        touch(names, number, number)
    return store, names


def touch(names: Names, number: int, value: int) -> None:
    """Let something happen to a task."""
    series = names.series(f"proj.module{number % 50}.task_{number}", f"queue{number % 7}")
    for counter in (series.sent, series.received, series.started, series.success):
        counter.value += 1 + value % 97
    for histogram in (series.wait, series.prefetch, series.runtime["success"]):
        histogram.observe_task(value % 1000 / 50, f"id-{number}", 1_800_000_000.5 + value)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    clock = SystemClock()
    start = clock.monotonic()
    call()
    return clock.monotonic() - start


def generate_both(families: Iterable[Family]) -> tuple[Callable[[], bytes], Callable[[], bytes]]:
    """prometheus_client's two renderings of the same values."""
    kept = list(families)
    registry = CollectorRegistry()
    registry.register(Collector(lambda: kept, METRICS))
    text: Any = generate_latest  # prometheus_client ships no types for these two
    openmetrics: Any = generate_openmetrics
    return (lambda: text(registry)), (lambda: openmetrics(registry))


def main(argv: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rendering", description=__doc__)
    parser.add_argument("--series", type=int, default=50_000, help="lines of the exposition")
    parser.add_argument("--runs", type=int, default=7, help="rounds")
    options = parser.parse_args(argv)
    store, names = make_store(options.series)
    pairs = len(names.by_name)
    lines = len(render_families(store.collect(), openmetrics=False).splitlines())
    sys.stdout.write(f"{lines:,} lines, medians of {options.runs} rounds, Python {platform.python_version()}\n\n")
    sys.stdout.write("| values changed since the last scrape | format | prometheus_client | this | times faster |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    for share in (0.0, 0.1, 1.0):
        times: dict[str, tuple[list[float], list[float]]] = {"text": ([], []), "OpenMetrics": ([], [])}
        for number in range(options.runs):
            for name, (theirs, ours) in times.items():
                for pair in range(int(share * pairs)):
                    touch(names, pair, number + pair)
                families = store.collect()
                text, openmetrics = generate_both(families)
                theirs.append(seconds(text if name == "text" else openmetrics))
                is_openmetrics = name == "OpenMetrics"
                ours.append(seconds(lambda f=families, o=is_openmetrics: render_families(f, openmetrics=o)))  # type: ignore[misc]  # a lambda's default has no type
        for name, (theirs, ours) in times.items():
            slow, fast = statistics.median(theirs), statistics.median(ours)
            sys.stdout.write(
                f"| {share:.0%} | {name} | {slow * 1e3:.0f} ms | {fast * 1e3:.1f} ms | {slow / fast:.0f} |\n"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
