# SPDX-License-Identifier: Apache-2.0
"""All benchmarks in one run: ``python -m tests.bench [--quick] [--only NAME ...] [--write]``.

Prints a table of the goals with the measured values and those of the peers, the machine, and a section per benchmark.
Only with ``--write`` are README's marked sections and the plots replaced.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from types import MappingProxyType

import redis

from tests.bench import (
    analysis,
    bounds,
    busy_scrapes,
    events,
    growth,
    idle,
    limit,
    memory,
    native,
    pauses,
    rendering,
    round_trips,
    scrapes,
    starts,
)
from tests.bench.table import README, Effort, Report, describe_machine, render_goals, replace_sections
from tests.bench.workbench import open_workbench

PLOTS = README.with_name("plots")
BENCHMARKS: MappingProxyType[str, Callable[[Effort], Report]] = MappingProxyType({
    "celery-exporter": events.against_celery_exporter,
    "flower": events.against_flower,
    "bare-loop": events.against_bare_loop,
    "memory": memory.against_goal,
    "scrapes": scrapes.against_redis_exporter,
    "rendering": rendering.against_prometheus_client,
    "pauses": pauses.against_goal,
    "busy-scrapes": busy_scrapes.against_goal,
    "round-trips": round_trips.against_goal,
    "starts": starts.against_goal,
    "analysis": analysis.against_memkeys,
    "idle": idle.against_goal,
    "growth": growth.measure_growth,
    "limit": limit.measure_limit,
    "bounds": bounds.against_unbounded,
    "native-histograms": native.against_classic,
    "fleet": native.measure_fleet,
})  # fmt: skip
"""Every benchmark, in the order of the table."""


def main(argv: Sequence[str]) -> None:
    """Measure, print, and write if requested."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a glance at each, to see that it works")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}")
    parser.add_argument("--write", action="store_true", help="put the results into README, and save the plots")
    options = parser.parse_args(argv)
    if options.quick and options.write:
        parser.error("--quick measures nothing worth writing")
    reports = {}
    for name in options.only or BENCHMARKS:
        sys.stderr.write(f"== {name}\n")
        report = reports[name] = BENCHMARKS[name](Effort(quick=options.quick))
        sys.stderr.write("".join(f"{row.what}: {row.ours}; {row.figure}\n" for row in report.rows))
    sections = render_sections(reports, _redis_version())
    sys.stdout.write("\n".join(f"## {name}\n\n{text}" for name, text in sections.items()))
    if options.write:
        write(sections, reports)


def render_sections(reports: dict[str, Report], redis_version: str) -> dict[str, str]:
    """Return the text of each section by its mark; ``goals`` comes first."""
    rows = [row for report in reports.values() for row in report.rows]
    goals = {"goals": f"{describe_machine(redis_version)}\n{render_goals(rows)}"} if rows else {}
    return goals | {name: report.text for name, report in reports.items() if report.text}


def write(sections: dict[str, str], reports: dict[str, Report]) -> None:
    """Replace README's sections and the plots; the table of the goals only if all of it was measured in this run."""
    whole = reports.keys() == BENCHMARKS.keys()
    kept = {name: text for name, text in sections.items() if name != "goals" or whole}
    README.write_text(replace_sections(README.read_text(encoding="utf-8"), kept), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for report in reports.values():
        for file, plot in report.plots.items():
            (PLOTS / file).write_text(plot, encoding="utf-8")


def _redis_version() -> str:
    with open_workbench() as bench, redis.Redis(port=bench.server.port, protocol=2) as client:
        return str(client.info("server")["redis_version"])


if __name__ == "__main__":
    main(sys.argv[1:])
