# SPDX-License-Identifier: Apache-2.0
"""Redis commands and round trips of one scrape at rest, counted on the wire between the exporter and Redis."""

import threading
from collections import Counter

from tests.bench.scrapes import fill_small, is_up
from tests.bench.subjects import start_exporter
from tests.bench.table import Effort, Report, Row, render_table
from tests.bench.tap import Tap, Traffic
from tests.bench.workbench import open_workbench
from tests.support.waiting import eventually

QUEUES = ",".join(f"queue{number}" for number in range(10))
SETTLED = 0.1
"""Seconds between two scrapes, so that they never share cached results."""


def against_goal(effort: Effort) -> Report:
    """Scrape several times through a tap; every scrape must be one round trip."""
    scrapes = effort.times(20, 3)
    with open_workbench() as bench:
        tap = Tap(bench.server.port)
        try:
            # At rest: no search for queues and no control commands run meanwhile.
            quiet = ("--queues.discovery-interval", "0", "--celery.inspect-interval", "0")
            flags = ("--scrape.freshness", "0", *quiet, "--queues.names", QUEUES)
            subject = start_exporter(tap.port, bench.folder, *flags)
            bench.keep(subject.process)
            eventually(lambda: is_up(subject.port))
            fill_small(bench.server)
            scraper = bench.scraper(subject)
            scraper.scrape()
            seen = []
            for _ in range(scrapes):
                threading.Event().wait(SETTLED)
                tap.take()
                scraper.scrape()
                seen.append(tap.take())
        finally:
            tap.close()
    return _report(seen)


def _report(seen: list[Traffic]) -> Report:
    turns = max(traffic.turns for traffic in seen)
    usual: Counter[str] = seen[-1].commands
    row = Row(
        "Redis round trips per scrape at rest, 10 queues", f"{turns} ({usual.total()} commands)", "",
        str(turns), "1", all(traffic.turns == 1 for traffic in seen),
    )  # fmt: skip
    cells = [(name, str(times)) for name, times in sorted(usual.items())]
    return Report([row], render_table(("command", "times per scrape"), cells))
