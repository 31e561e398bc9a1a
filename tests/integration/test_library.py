# SPDX-License-Identifier: Apache-2.0
"""The exporter inside another program, with a real Redis and a real worker, and the example of README."""

import re
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from celery_redis_exporter import Collector
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

README = Path(__file__).parents[2] / "exporter" / "README.md"


def read(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of a registry's text."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def test_a_registry_holds_exact_counts(programs: Programs) -> None:
    """The registry of another program counts all seven tasks, and closing leaves no thread and no connection."""
    server = programs.redis()
    threads = set(threading.enumerate())
    registry = CollectorRegistry()
    with Collector(broker_url=server.url(), scrape={"freshness": 0}, series={"zero_first": 0}) as collector:
        registry.register(collector)
        eventually(lambda: read(registry)["celery_exporter_event_stream_up", ()])
        programs.worker(server, options=WorkerOptions(arguments=BEATING))
        app = programs.publisher(server)
        for _ in range(7):
            app.send_task("counted")
        done = ("celery_tasks_total", (("queue", "celery"), ("state", "success"), ("task", "counted")))
        eventually(lambda: read(registry).get(done) == 7)
        found = read(registry)
        assert 1 == found["redis_up", (("redis", "broker"),)]
        assert 0 == found["celery_queue_length", (("queue", "celery"),)]
        assert not [name for name, _ in found if name.startswith(("process_", "python_"))]
    assert {} == read(registry)
    assert set() == set(threading.enumerate()) - threads
    assert "celery-redis-exporter" not in server.command("CLIENT", "LIST").decode()


def test_a_server_that_hangs_does_not_hold_the_registry_up(programs: Programs) -> None:
    """A frozen Redis is reported as down within the deadline, and closing does not wait for it."""
    server = programs.redis()
    with Collector(broker_url=server.url(), scrape={"freshness": 0, "deadline": "300ms"}) as collector:
        registry = CollectorRegistry()
        registry.register(collector)
        up = ("redis_up", (("redis", "broker"),))
        eventually(lambda: read(registry)[up])
        server.freeze()
        assert 0 == read(registry)[up]
    server.thaw()


def test_the_block_of_the_readme_runs(programs: Programs) -> None:
    """The example of the section "As a library" runs as printed and prints the metrics."""
    section = README.read_text(encoding="utf-8").partition("## As a library")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    server = programs.redis()
    block = found[1].replace("redis://localhost:6379/0", server.url())
    program = programs.folder / "program.py"
    program.write_text(block, encoding="utf-8")
    process = programs.run(sys.executable, str(program))
    assert process.ended(20) == 0, process.output()
    assert 'redis_up{redis="broker"} 1.0' in process.output()
