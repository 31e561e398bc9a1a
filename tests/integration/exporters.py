# SPDX-License-Identifier: Apache-2.0
"""Run the exporter as a process and read its output: samples, verdicts and log lines.

Input: flags. Output: responses. The exporter's memory is never read: a user could see all of it.
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
"""The counts in a task's account when one execution has started."""
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
"""The samples of a task's account, under short names."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
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
        # New counters are shown at once, unless a test sets another value.
        environment = {"EXPORTER_SERIES__ZERO_FIRST": "0"} | dict(environment or {})
        self.process = Process([sys.executable, "-m", "celery_redis_exporter", *arguments], log, environment)
        with self.process.starting():
            self.process.wait_for('"app.started"')
            self.port = int(self.line("app.started")["listen"].rpartition(":")[2])

    @classmethod
    def of(cls, process: Process) -> "Exporter":
        """Return an exporter for a process that was started elsewhere and has logged its port."""
        exporter = cls.__new__(cls)
        exporter.process = process
        exporter.port = int(exporter.line("app.started")["listen"].rpartition(":")[2])
        return exporter

    @classmethod
    def at(cls, port: int) -> "Exporter":
        """Return an exporter for any server on a port, without a process or a log."""
        exporter = cls.__new__(cls)
        exporter.port = port
        return exporter

    @classmethod
    def attached(cls, process: Process, port: int) -> "Exporter":
        """Return an exporter for a process that was started elsewhere and listens on ``port``."""
        exporter = cls.__new__(cls)
        exporter.process, exporter.port = process, port
        return exporter

    def get(self, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request on a new connection."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path, headers=dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def metrics(self, containing: str = "") -> Samples:
        """Scrape. Only the lines that contain ``containing`` are parsed."""
        answer = self.get()
        assert answer.status == 200, answer.text
        lines = [line for line in answer.text.split("\n") if containing in line and not line.startswith("#")]
        return parse("\n".join([*lines, ""]))

    def value(self, name: str, **labels: str) -> float | None:
        """Scrape one sample. Return None if it does not exist."""
        return self.metrics(name).get((name, frozenset(labels.items())))

    def labels(self, name: str) -> list[dict[str, str]]:
        """Scrape the label sets of one metric."""
        return [dict(labels) for found, labels in self.metrics(name) if found == name]

    def account(self, task: str) -> dict[str, float]:
        """Return all counts of a task over all queues by short names, without zeros."""
        account: Counter[str] = Counter()
        for (name, pairs), value in self.metrics(f'task="{task}"').items():
            labels = dict(pairs)
            if labels.get("task") == task and (title := _title(name, labels)):
                account[title] += value  # type: ignore[assignment]  # typeshed declares Counters of int only
        return {title: value for title, value in account.items() if value}

    def queues_of(self, task: str) -> set[str]:
        """Return the queues under which a task is counted."""
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
        """Return whether the event stream is connected."""
        return self.value("celery_exporter_event_stream_up") == 1

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Return all log lines, or those of one event. Raise if a line is not JSON."""
        lines = [json.loads(line) for line in self.process.output().splitlines()]
        return [line for line in lines if not event or line["event"] == event]

    def line(self, event: str) -> dict[str, Any]:
        """Return the first log line of an event."""
        return self.lines(event)[0]


def _title(name: str, labels: Mapping[str, str]) -> str:
    """Return the short name of a sample in an account, or "" if the sample is not part of it."""
    return TITLES[name].format(**labels) if name in TITLES else ""
