# SPDX-License-Identifier: Apache-2.0
"""The exporter as a process, and what it says: samples, verdicts and log lines.

Takes flags, gives answers. Never reads the exporter's memory: everything here is what a user could see.
"""

import http.client
import json
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.processes import Process
from tests.support.waiting import NEVER, eventually

LISTEN = ("--web.listen-address", "127.0.0.1:0")
ONE_RUN: Mapping[str, float] = MappingProxyType({"sent": 1, "received": 1, "started": 1, "wait": 1, "prefetch": 1})
"""What the beginning of one execution adds to a task's account."""
ONE_SUCCESS: Mapping[str, float] = MappingProxyType({**ONE_RUN, "success": 1, "runtime success": 1})
TITLES: Mapping[str, str] = MappingProxyType({
    "celery_tasks_sent_total": "sent",
    "celery_tasks_received_total": "received",
    "celery_tasks_started_total": "started",
    "celery_tasks_total": "{state}",
    "celery_tasks_running": "running",
    "celery_task_exceptions_total": "{exception}",
    "celery_task_revocations_total": "revocation {reason}",
    "celery_task_runtime_seconds_count": "runtime {state}",
    "celery_task_wait_seconds_count": "wait",
    "celery_task_prefetch_seconds_count": "prefetch",
})  # fmt: skip
"""The samples that make up a task's account, under short names."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def times(factor: int, account: Mapping[str, float]) -> dict[str, float]:
    """Multiply an account."""
    return {title: value * factor for title, value in account.items()}


def parse(text: str) -> Samples:
    """Parse the text format into values by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Exporter:
    """One exporter, started and listening."""

    def __init__(self, log: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        # What is counted shows at once, unless a test wants it otherwise.
        environment = {"EXPORTER_SERIES__ZERO_FIRST": "0"} | dict(environment or {})
        self.process = Process([sys.executable, "-m", "celery_redis_exporter", *arguments], log, environment)
        with self.process.starting():
            self.process.wait_for('"app.started"')
            self.port = int(self.line("app.started")["listen"].rpartition(":")[2])

    @classmethod
    def of(cls, process: Process) -> "Exporter":
        """Take over a process that was started otherwise, and listens."""
        exporter = cls.__new__(cls)
        exporter.process = process
        exporter.port = int(exporter.line("app.started")["listen"].rpartition(":")[2])
        return exporter

    @classmethod
    def at(cls, port: int) -> "Exporter":
        """Ask whatever listens on a port; there is no process and no log then."""
        exporter = cls.__new__(cls)
        exporter.port = port
        return exporter

    @classmethod
    def attached(cls, process: Process, port: int) -> "Exporter":
        """Take an exporter that was started otherwise, and listens on ``port``."""
        exporter = cls.__new__(cls)
        exporter.process, exporter.port = process, port
        return exporter

    def get(self, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path, headers=dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def metrics(self, containing: str = "") -> Samples:
        """Scrape; ``containing`` picks the lines that are parsed."""
        answer = self.get()
        assert answer.status == 200, answer.text
        lines = [line for line in answer.text.split("\n") if containing in line and not line.startswith("#")]
        return parse("\n".join([*lines, ""]))

    def value(self, name: str, **labels: str) -> float | None:
        """Scrape one sample; None where there is none."""
        return self.metrics(name).get((name, frozenset(labels.items())))

    def labels(self, name: str) -> list[dict[str, str]]:
        """Scrape the label sets of one metric."""
        return [dict(labels) for found, labels in self.metrics(name) if found == name]

    def account(self, task: str) -> dict[str, float]:
        """Give everything that is counted for a task, by short names; zeros are left out, all queues together."""
        account: Counter[str] = Counter()
        for (name, pairs), value in self.metrics(f'task="{task}"').items():
            labels = dict(pairs)
            if labels.get("task") == task and (title := _title(name, labels)):
                account[title] += value  # type: ignore[assignment]  # typeshed knows Counters of int only
        return {title: value for title, value in account.items() if value}

    def queues_of(self, task: str) -> set[str]:
        """Give the queues under which a task is counted at all."""
        found = self.metrics(f'task="{task}"').items()
        counted = [dict(labels) for (name, labels), value in found if value and name.endswith("_total")]
        return {labels["queue"] for labels in counted if "queue" in labels}

    def agrees(self, task: str, expected: Mapping[str, float], within: float = NEVER) -> None:
        """Wait until the account of a task is exactly ``expected``."""

        def agreed() -> bool:
            account = self.account(task)
            assert expected == account, f"{task}: expected {dict(expected)}, found {account}"
            return True

        eventually(agreed, within)

    def hears(self) -> bool:
        """Whether the event stream stands."""
        return self.value("celery_exporter_event_stream_up") == 1

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Give the log lines, those of one event or all; fail on a line that is no JSON."""
        lines = [json.loads(line) for line in self.process.output().splitlines()]
        return [line for line in lines if not event or line["event"] == event]

    def line(self, event: str) -> dict[str, Any]:
        """Give the first log line of an event."""
        return self.lines(event)[0]


def _title(name: str, labels: Mapping[str, str]) -> str:
    """The short name under which a sample goes into an account; empty for what is no count."""
    return TITLES[name].format(**labels) if name in TITLES else ""
