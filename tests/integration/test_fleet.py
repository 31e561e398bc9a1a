# SPDX-License-Identifier: Apache-2.0
"""Several exporters of an application, and several Prometheus servers: the queries of deploy/docs/scaling.md are right.

A step of deploy/prometheus/fleet.rules.yml is a second here, and so are all intervals.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, free_port
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_servers import RedisServer
from tests.support import yaml_text
from tests.support.waiting import eventually

# Alone: if Prometheus evaluates late, a step is missing, and beside other tests it is often a second late.
pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.timeout(300)]

PROMETHEUS = ROOT / "deploy" / "prometheus"
ENDED = 'celery_tasks_total{task="plain", state="success"}'
DELTA = 'celery:tasks:delta1s{task="plain", state="success"}'
COUNTED = f"sum_over_time({DELTA}[5m])"
"""The counting query that deploy/docs/scaling.md recommends."""
INCREASE = f"round(max without (instance) (increase({ENDED}[5m])))"
"""Exact if one exporter ran all the time. Rounded, because increase() extrapolates at the edges."""


def configuration(file: str, folder: Path, ports: list[int], **changes: Any) -> str:  # noqa: ANN401 -- fields of YAML
    """Return a configuration of deploy/prometheus/ for these targets, with seconds instead of quarters of a minute."""
    rules = folder / "fleet.rules.yml"
    rules.write_text(
        (PROMETHEUS / "fleet.rules.yml").read_text(encoding="utf-8").replace("15s", "1s"), encoding="utf-8"
    )
    tree: dict[str, Any] = yaml_text.parse(
        (PROMETHEUS / file).read_text(encoding="utf-8").replace("delta15s", "delta1s")
    )
    tree["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    if "rule_files" in tree:
        tree |= {"rule_files": [str(rules)], "alerting": {}}
        tree["remote_write"] = changes.pop("remote_write", [])
    tree["global"] |= changes
    (job,) = tree["scrape_configs"]
    job.pop("file_sd_configs", None)
    labels = {"namespace": "shop"} if job["job_name"] == "celery" else {}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports], "labels": labels}]
    return yaml.safe_dump(tree)


@dataclass(frozen=True)
class Shop:
    """An application with a worker, and a Prometheus with two addresses where exporters may run."""

    programs: Programs
    server: RedisServer
    app: Celery
    ports: list[int]
    prometheus: PrometheusServer

    def start(self, place: int) -> Exporter:
        """Start an exporter at an address, and wait until Prometheus shows that it receives events."""
        address = f"127.0.0.1:{self.ports[place]}"
        # As by default: a new counter is 0 for longer than a scrape interval.
        environment = {"EXPORTER_SERIES__ZERO_FIRST": "4s", "EXPORTER_SCRAPE__FRESHNESS": "0"}
        command = (
            sys.executable,
            "-m",
            "celery_redis_exporter",
            "--broker-url",
            self.server.url(),
            "--web.listen-address",
            address,
        )
        process = self.programs.run(*command, environment=environment)
        process.wait_for('"app.started"')
        exporter = Exporter.of(process)
        self.sees(f'sum(celery_exporter_event_stream_up{{instance="{address}"}})', 1)
        return exporter

    def run(self, tasks: int, *exporters: tuple[Exporter, int]) -> None:
        """Run tasks. Wait until each exporter has counted its total of successes, and Prometheus has scraped it."""
        for number in range(tasks):
            self.app.send_task("plain", (number,))
        for exporter, total in exporters:
            eventually(lambda exporter=exporter, total=total: exporter.account("plain").get("success") == total)  # type: ignore[misc]  # a lambda's default has no type
            self.sees(f'{ENDED} and on (instance) up{{instance="127.0.0.1:{exporter.port}"}}', total)

    def sees(self, query: str, value: float) -> None:
        """Wait until a query has a value."""
        self.wait(lambda: self.prometheus.value(query), value, query)

    @staticmethod
    def wait(ask: Callable[[], float | None], value: float, query: str) -> None:
        """Wait until ``ask`` returns a value."""

        def seen() -> bool:
            found = ask()
            assert value == found, query
            return True

        eventually(seen)


def open_shop(programs: Programs, **changes: Any) -> Shop:  # noqa: ANN401 -- fields of YAML
    """Return an application with a worker that sends a heartbeat every second, and without an exporter."""
    server, ports = programs.redis(), [free_port(), free_port()]
    prometheus = programs.prometheus(configuration("fleet.example.yml", programs.folder, ports, **changes))
    programs.worker(server, options=WorkerOptions(arguments=BEATING))
    shop = Shop(programs, server, programs.publisher(server), ports, prometheus)
    shop.sees("count(up)", 2)  # Prometheus begins to scrape some seconds after it is ready
    return shop


@pytest.fixture
def shop(programs: Programs) -> Shop:
    """Return such an application."""
    return open_shop(programs)


def test_two_replicas_count_once(shop: Shop) -> None:
    """If two exporters both count everything, the recommended queries count once, even after a restart of one."""
    first, second = shop.start(0), shop.start(1)
    shop.run(12, (first, 12), (second, 12))
    shop.sees(f"sum without (instance) ({ENDED})", 24)
    shop.sees(f"max without (instance) ({ENDED})", 12)
    shop.sees(COUNTED, 12)
    shop.sees(INCREASE, 12)
    shop.sees("celery:workers:online", 1)
    shop.sees("celery:exporters:subscribed", 2)
    shop.sees("count(celery:exporter_leads)", 1)
    assert 0 == first.process.end()
    again = shop.start(0)
    shop.sees(f'count(celery:exporter_leads{{instance="127.0.0.1:{second.port}"}})', 1)
    shop.run(3, (second, 15), (again, 3))
    shop.sees(COUNTED, 15)
    shop.sees(INCREASE, 15)


def test_a_rolling_update_counts_everything_once(shop: Shop) -> None:
    """If a new exporter starts before the old one stops, no task is lost or counted twice."""
    old = shop.start(0)
    shop.run(5, (old, 5))
    new = shop.start(1)
    shop.run(3, (old, 8), (new, 3))
    shop.sees(COUNTED, 8)
    # The new exporter's counts are shown late (series.zero-first). The old one must lead until after that.
    shop.sees(f'{ENDED} offset 2s and on (instance) up{{instance="127.0.0.1:{new.port}"}}', 3)
    assert 0 == old.process.end()
    shop.sees("count(celery:exporter_leads)", 1)
    shop.sees(f'count(celery:exporter_leads{{instance="127.0.0.1:{new.port}"}})', 1)
    shop.run(4, (new, 7))
    shop.sees(COUNTED, 12)
    shop.sees(f"max without (instance) (max_over_time({ENDED}[5m]))", 8)
    shop.sees(f"sum without (instance) (max_over_time({ENDED}[5m]))", 15)
    shop.sees("celery:exporters:subscribed", 1)


def test_a_restart_in_place_misses_its_gap(shop: Shop) -> None:
    """If the old exporter stops first, its gap is missing in the counters but not in the workers' own counts."""
    processed = "max without (instance) (celery_worker_tasks_processed_total)"
    old = shop.start(0)
    shop.run(5, (old, 5))
    shop.sees(processed, 5)
    assert 0 == old.process.end()
    shop.sees("sum(up)", 0)
    shop.run(2)
    new = shop.start(0)
    shop.sees(processed, 7)
    shop.run(4, (new, 4))
    shop.sees(processed, 11)
    shop.sees(COUNTED, 9)
    shop.sees(INCREASE, 9)


def test_a_pair_of_prometheus_servers(programs: Programs) -> None:
    """With two Prometheus servers, remote write and federation have one label that separates them, and count once."""
    above = programs.prometheus("global: {scrape_interval: 1s}", "--web.enable-remote-write-receiver")
    example = yaml_text.parse((PROMETHEUS / "fleet.example.yml").read_text(encoding="utf-8"))
    writing = [{**row, "url": f"{above.url}/api/v1/write"} for row in example["remote_write"]]
    labels: dict[str, str] = example["global"]["external_labels"]
    shop = open_shop(programs, remote_write=writing, external_labels=labels)
    changes = {"remote_write": writing, "external_labels": {**labels, "__replica__": "b"}}
    other = programs.prometheus(configuration("fleet.example.yml", programs.folder, shop.ports, **changes))
    pair = (shop.prometheus, other)
    asked = [server.port for server in pair]
    asking = programs.prometheus(configuration("federation.example.yml", programs.folder, asked))
    shop.wait(lambda: other.value("count(up)"), 2, "it scrapes")
    shop.run(6, (shop.start(0), 6))
    for query in (COUNTED, INCREASE, f"max without (instance) ({ENDED})"):
        for server in pair:
            shop.wait(lambda server=server, query=query: server.value(query), 6, query)  # type: ignore[misc]  # as above
    shop.wait(lambda: above.value(f"count({COUNTED} == 6)"), 2, "both arrive")
    shop.wait(lambda: above.value(f"max without (__replica__) ({COUNTED})"), 6, "one counts")
    assert [] == above.query('{__name__=~"celery_.+|redis_.+"}')
    shop.wait(lambda: asking.value("max without (__replica__) (celery:workers:online)"), 1, "federated")
    assert [] == asking.query("celery:tasks:delta1s")
