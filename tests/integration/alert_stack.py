# SPDX-License-Identifier: Apache-2.0
"""Run everything between a worker and a page: Redis, two workers, the exporter, Prometheus, Alertmanager, an inbox.

Input: a folder. Output: the notifications in order. A minute of a rule's window becomes a second here, and a minute of
its ``for`` less than a second. Inhibitions and grouping are those of the example. Nothing is faked.
"""

import dataclasses
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from celery import Celery

from celery_redis_exporter.alerts import GROUPS, Alert, RuleGroup
from celery_redis_exporter.alerts.files import Change, RenderOptions, render_rules
from tests.integration.alertmanager_server import AlertmanagerServer, Inbox, listening_inbox
from tests.integration.application import build
from tests.integration.celery_workers import QUICK, Worker, WorkerOptions
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, free_port
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_servers import RedisServer
from tests.support import yaml_text
from tests.support.waiting import NEVER, eventually

BEATING = WorkerOptions(arguments=(*QUICK, "--heartbeat-interval", "1"))
LOST_AFTER = "3s"
SECONDS = {"m": 1, "h": 60, "d": 1440}
"""Seconds here that replace a minute, an hour and a day of the rules."""
CHANGES = {
    # A worker that lost Redis retries within at most 6 s, which are not shortened here.
    "CeleryNoWorkersOnline": Change(wait="5s"),
    "CeleryWorkerDown": Change(wait="5s"),
    "CeleryExporterCollectorFailing": Change(wait="2m"),  # a failed collector's retry interval is not shortened
    "RedisMemoryWillFill": Change(wait="1h"),  # growth within seconds can't predict hours
    "RedisHitRateLow": Change(parameters={"least_rate": 600}),  # ten per second, because a second replaces a minute
}
WATCHDOG = "CeleryWatchdog"


class Page(NamedTuple):
    """A notification: its status (firing or resolved), its alert name, and the labels of each alert in that status."""

    status: str
    name: str
    labels: list[dict[str, str]]


def shorten_windows(expr: str) -> str:
    """Write each minute of a range as a second, also in the factors of recorded rates."""
    windows = re.sub(r"(?<=[\[:])(\d+)([mhd])(?=[\]:])", lambda found: f"{int(found[1]) * SECONDS[found[2]]}s", expr)
    for window, seconds in (("10m", 600), ("15m", 900), ("30m", 1800), ("6h", 21_600)):
        windows = windows.replace(f"rate{window} * {seconds}", f"rate{window} * {seconds // 60}")
    return windows


def shorten_wait(text: str) -> str:
    """Write each minute of ``for`` and ``keep_firing_for`` as 400 ms."""
    return re.sub(r"(\d+)([mhd])", lambda found: f"{int(found[1]) * SECONDS[found[2]] * 400}ms", text)


def shorten_rules() -> str:
    """Render the rules with all windows, ``for`` and ``keep_firing_for`` shortened."""

    def alert(row: Alert) -> Alert:
        row = dataclasses.replace(row, expr=shorten_windows(row.expr))
        return dataclasses.replace(row, wait=shorten_wait(row.wait), keep=shorten_wait(row.keep))

    groups = [
        RuleGroup(
            group.name,
            tuple(dataclasses.replace(row, expr=shorten_windows(row.expr)) for row in group.recordings),
            tuple(alert(row) for row in group.alerts),
        )
        for group in GROUPS
    ]
    return render_rules(groups, RenderOptions(changes=CHANGES))


def alertmanager_config(inbox: Inbox) -> dict[str, Any]:
    """Return the example's grouping and inhibitions with one receiver for everything."""
    example: dict[str, Any] = yaml_text.parse(
        (ROOT / "alerts" / "alertmanager" / "alertmanager.example.yml").read_text(encoding="utf-8")
    )
    return {
        "route": {
            "receiver": "inbox",
            "group_by": example["route"]["group_by"],
            "group_wait": "1s",
            "group_interval": "1s",
        },
        "receivers": [{"name": "inbox", "webhook_configs": [{"url": f"{inbox.url}/page", "send_resolved": True}]}],
        "inhibit_rules": example["inhibit_rules"],
    }


class Stack:
    """All programs, started and healthy. ``pages`` returns the notifications since the last ``begin``.

    ``prometheus`` and ``alertmanager`` are the programs of these servers.
    """

    def __init__(self, folder: Path, ending: ExitStack, prometheus: str, alertmanager: str) -> None:
        self._folder = folder
        self._ending = ending
        self._seen = 0
        self._logs = 0
        self.redis = RedisServer(folder / "redis")
        ending.callback(self.redis.stop)
        self.inbox = ending.enter_context(listening_inbox())
        self._port = free_port()
        self.exporter = self.start_exporter()
        self.alertmanager = self._start_alertmanager(alertmanager)
        self.prometheus = self._start_prometheus(prometheus)
        self.workers = self.start_workers()
        self.app: Celery = build(self.redis.url(), {})
        ending.callback(self.app.close)

    def start_exporter(self) -> Exporter:
        """Start the exporter, always on the same port."""
        flags = ["--broker-url", self.redis.url(), "--web.listen-address", f"127.0.0.1:{self._port}"]
        flags += ["--workers.lost-after", LOST_AFTER, "--queues.discovery-interval", "1s"]
        exporter = Exporter(self._log("exporter"), *flags, environment={"EXPORTER_SERIES__ZERO_FIRST": "2s"})
        self._ending.callback(exporter.process.end)
        eventually(exporter.hears)
        return exporter

    def start_worker(self, name: str) -> Worker:
        """Start a worker, prefork with two children."""
        worker = Worker(name, self.redis.url(), self._log(f"worker-{name}"), BEATING)
        self._ending.callback(worker.process.end, 0.05)
        return worker

    def start_workers(self) -> list[Worker]:
        """Start both workers at once."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self.start_worker, ("w1", "w2")))

    def begin(self) -> None:
        """Wait until no alert fires or is pending. Later notifications belong to a new story."""
        self.settle()
        self._seen = len(self.inbox.messages("/page"))

    def settle(self) -> None:
        """Wait until only the watchdog is firing or pending, all workers are online, and all pages are resolved."""
        eventually(lambda: self.prometheus.value('celery_workers{state="online"}') == 2)
        eventually(lambda: self.alerts() == set())
        eventually(lambda: set(self.alertmanager.states()) <= {WATCHDOG})
        eventually(lambda: not self.open_pages())

    def alerts(self, state: str = "firing|pending") -> set[str]:
        """Return the alerts in Prometheus, except the watchdog."""
        found = self.prometheus.query(f'ALERTS{{alertstate=~"{state}", alertname!="{WATCHDOG}"}}')
        return {labels["alertname"] for labels, _ in found}

    def pages(self, status: str = "firing") -> list[Page]:
        """Return the notifications since the story began, except the watchdog."""
        return [page for page in self._all_pages()[self._seen :] if page.name != WATCHDOG and page.status == status]

    def names(self, status: str = "firing") -> list[str]:
        """Return the alert's name of each notification since the story began."""
        return [page.name for page in self.pages(status)]

    def open_pages(self) -> set[str]:
        """Return the alerts whose last notification is firing."""
        last = {page.name: page.status for page in self._all_pages() if page.name != WATCHDOG}
        return {name for name, status in last.items() if status == "firing"}

    def page(self, name: str, status: str = "firing", within: float = NEVER) -> Page:
        """Wait for a notification of this story. Return the first."""
        eventually(lambda: name in self.names(status), within)
        return next(page for page in self.pages(status) if page.name == name)

    def let_pass(self, seconds: int) -> None:
        """Wait for this many scrapes by Prometheus, one per second, so that any late notification has arrived."""
        scrapes = 'count_over_time(up{job="celery"}[1h])'
        before = self.prometheus.value(scrapes) or 0
        eventually(lambda: (self.prometheus.value(scrapes) or 0) >= before + seconds, NEVER + 5 * seconds)

    def _all_pages(self) -> list[Page]:
        """Return every notification since the start."""
        return [
            Page(message.body["status"], message.body["groupLabels"]["alertname"], [
                alert["labels"] for alert in message.body["alerts"] if alert["status"] == message.body["status"]
            ])
            for message in self.inbox.messages("/page")
        ]  # fmt: skip

    def _start_alertmanager(self, program: str) -> AlertmanagerServer:
        config = self._folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(alertmanager_config(self.inbox)), encoding="utf-8")
        server = AlertmanagerServer(self._folder / "alertmanager", config, program)
        self._ending.callback(server.stop)
        return server

    def _start_prometheus(self, program: str) -> PrometheusServer:
        rules = self._folder / "rules.yml"
        rules.write_text(shorten_rules(), encoding="utf-8")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self.alertmanager.port}"]}]}]},
            "scrape_configs": [
                {"job_name": "celery", "static_configs": [{"targets": [f"127.0.0.1:{self._port}"]}]},
            ],
        }
        server = PrometheusServer(self._folder / "prometheus", yaml.safe_dump(config), program=program)
        self._ending.callback(server.stop)
        return server

    def _log(self, name: str) -> Path:
        self._logs += 1
        return self._folder / f"{name}-{self._logs}.log"


def start_stack(folder: Path, prometheus: str, alertmanager: str) -> Iterator[Stack]:
    """Yield a healthy stack with these programs of Prometheus and Alertmanager. Stop all of it at the end."""
    with ExitStack() as ending:
        stack = Stack(folder, ending, prometheus, alertmanager)
        stack.begin()
        yield stack
