# SPDX-License-Identifier: Apache-2.0
"""A cluster of a hundred nodes: the exporter uses few threads, and hanging nodes affect only their own metrics."""

import json
from pathlib import Path

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, Samples
from tests.integration.server_crowd import server_crowd
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

COUNT, HANGING, DEADLINE, THREADS = 100, 10, 2.0, 8
TASKS_MAX = 64
"""Limit of threads (TasksMax) of a systemd unit."""
CLOCK = SystemClock()


def threads_of(exporter: Exporter) -> int:
    """Return the number of threads of the process."""
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def timed(exporter: Exporter) -> tuple[Samples, float]:
    """Scrape; return the samples and how long it took."""
    started = CLOCK.monotonic()
    samples = exporter.metrics("redis_up") | exporter.metrics("redis_exporter_last_scrape_error")
    return samples, (CLOCK.monotonic() - started) / 2


def nodes_up(samples: Samples) -> dict[str, float]:
    """Return which nodes are up, by port."""
    found = {dict(labels)["redis"]: value for (name, labels), value in samples.items() if name == "redis_up"}
    return {name.rpartition(":")[2]: value for name, value in found.items() if name.startswith("cache/")}


def test_nodes_that_hang_cost_themselves(programs: Programs) -> None:
    """If ten of a hundred nodes hang, the others are up, every scrape is in time, and eight threads read."""
    with server_crowd(COUNT) as crowd:
        crowd.hanging = set(range(5, 5 + 9 * HANGING, 9))
        hanging = {str(crowd.ports[number]) for number in crowd.hanging}
        servers = json.dumps({"cache": {"url": f"redis://127.0.0.1:{crowd.ports[0]}"}})
        flags = ("--redis.servers", servers, "--scrape.deadline", f"{DEADLINE:g}s", "--redis.discovery-interval", "1s",
                 "--redis.key-space.interval", "0")  # fmt: skip
        exporter = programs.listening(programs.redis(), *flags)
        before = threads_of(exporter)
        eventually(lambda: (exporter.value("celery_exporter_redis_nodes", redis="cache") or 0) == COUNT)
        expected = {str(port): float(str(port) not in hanging) for port in crowd.ports}
        samples: Samples = {}
        for _ in range(4):
            samples, seconds = timed(exporter)
            assert seconds < DEADLINE + 1
            assert expected == nodes_up(samples)
        assert threads_of(exporter) - before <= THREADS
        assert threads_of(exporter) < TASKS_MAX
        reasons = {dict(labels)["err"] for (name, labels), value in samples.items()
                   if name == "redis_exporter_last_scrape_error" and value == 1}  # fmt: skip
        assert {"timeout"} == reasons
        crowd.hanging = set()
        eventually(lambda: set(nodes_up(timed(exporter)[0]).values()) == {1})
