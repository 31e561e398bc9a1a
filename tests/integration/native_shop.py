# SPDX-License-Identifier: Apache-2.0
"""Run an exporter with native histograms, whose tasks have known runtimes, and Prometheus servers that scrape it.

Input: runtimes by task. Output: query results of a server. The exporter's memory is never read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import yaml

from celery_redis_exporter.clock import SystemClock
from tests.attacks.names import CHANNEL, messages
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.suite_programs import suite_program
from tests.support.prometheus_messages import read_labels, read_messages
from tests.support.waiting import eventually

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
NATIVE = "--metrics.native-histograms"
NATIVE_ONLY = (NATIVE, "--no-metrics.classic-histograms")
FEATURE = "--enable-feature=native-histograms,exemplar-storage"
SERVERS = ("2.42", "3.5")
RUNTIME = "celery_task_runtime_seconds"
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


def runtimes(count: int = 3_000) -> dict[str, list[float]]:
    """Return realistic runtimes, and some that are spread over more buckets than a histogram may have."""
    dice = Random(7)  # noqa: S311 -- a load, no secret
    return {
        "proj.usual": [dice.lognormvariate(-1, 1.5) for _ in range(count)],
        "proj.wide": [2.0 ** dice.uniform(-24, 14) for _ in range(count)],
        "proj.instant": [0.0] * 10 + [1e-12] * 10 + [0.25] * 30,
    }


def events(wanted: Mapping[str, Sequence[float]]) -> Iterator[dict[str, Any]]:
    """Yield the events of tasks with these runtimes, which start one after another within the last seconds."""
    now = SystemClock().now() - 10
    for name, found in wanted.items():
        for number, runtime in enumerate(found):
            now += 0.001
            event = {"uuid": f"{name}-{number}-{now}", "hostname": "w@host", "timestamp": now}
            yield {**event, "type": "task-sent", "name": name, "queue": "q", "hostname": "c@h", "timestamp": now - 0.5}
            yield {**event, "type": "task-received", "name": name, "timestamp": now - 0.25}
            yield {**event, "type": "task-started"}
            yield {**event, "type": "task-succeeded", "runtime": runtime}


class NativeShop:
    """A broker, and an exporter that has counted tasks with ``runtimes``."""

    def __init__(self, programs: Programs, *flags: str, expected: Mapping[str, Sequence[float]] | None = None) -> None:
        self.programs = programs
        self.runtimes = runtimes() if expected is None else expected
        self._server = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
        self.exporter: Exporter = programs.listening(self._server, "--celery.inspect-interval=0", *flags)
        self.run()

    def run(self) -> None:
        """Run all tasks, and wait until they are counted."""
        wanted = self._succeeded() + sum(map(len, self.runtimes.values()))
        for message, _ in messages(events(self.runtimes)):
            self._server.command("PUBLISH", CHANNEL, message)
        eventually(lambda: wanted == self._succeeded())

    def scraped(self, version: str, *flags: str, rules: str = "", **jobs: Mapping[str, object]) -> PrometheusServer:
        """Start a Prometheus of a version that scrapes the exporter, and wait for two scrapes of each job.

        ``rules`` is the text of a file of rules that it evaluates.
        """
        file = self.programs.folder / "native-rules.yml"
        file.write_text(rules or "groups: []", encoding="utf-8")
        program = "prometheus" if version == "2.42" else suite_program("prometheus-3")
        targets = {"static_configs": [{"targets": [f"127.0.0.1:{self.exporter.port}"]}]}
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(file)],
            "scrape_configs": [{"job_name": job, **targets, **extra} for job, extra in jobs.items()],
        }
        server = self.programs.prometheus(yaml.safe_dump(config), *flags, program=program)
        for job in jobs:
            eventually(lambda: (server.value(f'count_over_time(up{{job="{job}"}}[1m])') or 0) >= 2)  # noqa: B023 -- called at once
        return server

    def schemas(self) -> dict[str, int]:
        """Return the schema of each task's runtime, as the exporter sends it."""
        body = self.exporter.get(headers={"Accept": PROTOBUF}).body
        (family,) = [family for family in read_messages(body) if family.name == RUNTIME]
        return {dict(read_labels(one))["task"]: one.histogram.schema for one in family.metric}

    def truth(self, task: str, share: float) -> float:
        """Return the smallest runtime that is at least as long as this share of the task's runtimes."""
        found = sorted(self.runtimes[task])
        return found[max(math.ceil(share * len(found)) - 1, 0)]

    def _succeeded(self) -> float:
        found = self.exporter.metrics("celery_tasks_total").items()
        return sum(value for (_, labels), value in found if ("state", "success") in labels)


def series(server: PrometheusServer, job: str, moment: float) -> set[tuple[tuple[str, str], ...]]:
    """Return the labels of all series of a job at a moment, except those that Prometheus adds to a target."""
    found = server.at(f'{{job="{job}", __name__!~"up|scrape_.+"}}', moment)
    return {tuple(sorted((name, value) for name, value in labels.items() if name != "job")) for labels, _ in found}
