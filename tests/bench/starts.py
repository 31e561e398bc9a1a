# SPDX-License-Identifier: Apache-2.0
"""Time from the start of the process to the first successful scrape that shows a Redis that is up."""

import socket
import threading

from celery_redis_exporter.clock import SystemClock
from tests.bench.scrapes import is_up
from tests.bench.subjects import start_exporter
from tests.bench.table import Effort, Report, Row, spread
from tests.bench.workbench import PATIENCE, open_workbench

MOST_SECONDS = 1.0
PAUSE = 0.002
"""Seconds between two attempts to connect."""


def against_goal(effort: Effort) -> Report:
    """Start the exporter repeatedly."""
    seconds = []
    with open_workbench() as bench:
        for _ in range(effort.times(9, 2)):
            clock = SystemClock()
            start = clock.monotonic()
            subject = start_exporter(bench.server.port, bench.folder)
            try:
                while not (_accepts(subject.port) and is_up(subject.port)):
                    threading.Event().wait(PAUSE)
                    assert subject.process.exit_code is None, subject.process.tail()
                    assert clock.monotonic() - start < PATIENCE, subject.process.tail()
                seconds.append(clock.monotonic() - start)
            finally:
                subject.process.end()
    found = spread(seconds)
    figure, holds = f"{found.text('.2f')} s", found.median <= MOST_SECONDS
    return Report([Row("start to first successful scrape", figure, "", figure, f"<= {MOST_SECONDS:g} s", holds)])


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
