# SPDX-License-Identifier: Apache-2.0
"""Peak memory of the exporter under hostile names and clients, against the limit of the shipped deployment files.

The limit is 256 MiB in compose, kustomize and the chart. What the kernel reports as the peak resident memory
(``VmHWM``) must stay below 80 % of it.
"""

import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.attacks.names import CHANNEL, failures, messages
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SHIPPED_MIB = 256
MOST_MIB = SHIPPED_MIB * 8 // 10
DROPPED = "celery_exporter_series_dropped_total"
QUIET = ("--celery.inspect-interval", "0")  # no worker could reply


class Site:
    """A broker and an exporter that subscribes to it, with default bounds."""

    def __init__(self, programs: Programs) -> None:
        self.server: RedisServer = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
        self.exporter: Exporter = programs.listening(self.server, *QUIET)
        self.published = 0

    def publish(self, events: Iterator[dict[str, Any]]) -> None:
        """Publish events in batches, and wait until all are processed."""
        for message, count in messages(events):
            self.server.command("PUBLISH", CHANNEL, message)
            self.published += count
        eventually(lambda: self.published == sum(self.values("celery_exporter_events_total").values()), 60)

    def values(self, name: str) -> dict[str, float]:
        """Return the values of a metric by its labels as text: parsing a body of 12 MiB takes longer than making it."""
        found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", self.exporter.get("/metrics").text, re.MULTILINE)
        return {labels: float(value) for labels, value in found}

    @property
    def peak(self) -> int:
        """Return the peak of the resident memory in MiB."""
        status = Path(f"/proc/{self.exporter.process.pid}/status").read_text(encoding="utf-8")
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return int(kilobytes) // 1024

    def report(self, row: str) -> None:
        """Print the peak, and check it."""
        sys.stdout.write(f"{row}: peak of {self.peak} MiB\n")
        assert self.peak <= MOST_MIB, row


@pytest.fixture
def site(programs: Programs) -> Site:
    """Return a site."""
    return Site(programs)


def scrape_at_once(exporter: Exporter, count: int) -> list[int]:
    """Return the sizes of the bodies that ``count`` concurrent scrapes receive."""
    with ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(exporter.get, "/metrics") for _ in range(count)]
        return [len(answer.result(60).body) for answer in answers]


@pytest.mark.parametrize("length", [10, 400])
def test_names_and_scrapers(site: Site, length: int) -> None:
    """Memory stays below the limit with 20,000 names, 10,000 workers, eight scrapes at once, and slow readers."""
    site.publish(failures(20_000, 10_000, length))
    assert site.values(DROPPED)['metric="celery_tasks_total"']
    sizes = scrape_at_once(site.exporter, 8)
    assert min(sizes) > 6 * 2**20
    site.report(f"names of {length} characters, eight scrapes")
    with ExitStack() as slow:
        for _ in range(300):
            client = slow.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.bind(("127.0.0.2", 0))
            client.connect(("127.0.0.1", site.exporter.port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert 200 == site.exporter.get("/-/healthy").status
        assert scrape_at_once(site.exporter, 1)[0] > 6 * 2**20
        site.report(f"names of {length} characters, 300 slow readers")


def test_tasks_in_flight(site: Site) -> None:
    """If more tasks run at once than the limit, memory stays bounded and every forgotten task is counted."""
    now = SystemClock().now()

    def running(count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            event = {"uuid": str(uuid4()), "hostname": f"w{number % 50}@h", "timestamp": now}
            yield {**event, "type": "task-sent", "name": "proj.tasks.of_some_length", "queue": "q"}
            yield {**event, "type": "task-received", "name": "proj.tasks.of_some_length"}
            yield {**event, "type": "task-started"}

    site.publish(running(160_000))
    assert 150_000 >= site.values("celery_exporter_tasks_tracked")[""] > 100_000
    assert site.values("celery_exporter_tasks_evicted_total")['reason="count"'] >= 10_000
    site.report("tasks in flight")
