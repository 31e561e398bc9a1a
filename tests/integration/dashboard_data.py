# SPDX-License-Identifier: Apache-2.0
"""Make data for dashboards: a real run of everything, and six hours of history, each in a running Prometheus.

Input: a folder. Output: a Prometheus and the range of its data. Tests and pictures use them alike:

    with real_run(Path("/somewhere/empty")) as data:
        print(data.prometheus.url, data.start, data.end)

All processes end with the block.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from celery_redis_exporter.alerts import RuleGroup, task_rates
from celery_redis_exporter.alerts.files import RenderOptions, render_rules
from celery_redis_exporter.clock import SystemClock
from tests.integration.alert_stack import shorten_rules
from tests.integration.dashboard_history import History
from tests.integration.dashboard_story import write_executions, write_queues, write_tasks, write_workers
from tests.integration.dashboard_story_servers import write_exporter, write_servers
from tests.integration.exporters import Exporter
from tests.integration.processes import Process
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

SECONDS_OF_TRAFFIC = 20
"""Long enough for the shop's first campaign to fill the queues, and for its late newsletters to expire."""
KEYS_PER_SECOND = 40
VALUE = "x" * 4096
HISTORY_STEP = 60
HISTORY_SECONDS = 6 * 3600
WEEK = 7 * 24 * 3600
UNEVENTFUL = 40.0
"""One hour, long after all events of the story."""
EXPECTED = {
    "shop.sync_stock": {"expected_interval": "5s"},
    "shop.nightly_report": {"expected_interval": "20s"},
    "shop.export_orders": {"runtime_threshold": "5s"},
}
NATIVE_ONLY = ("--metrics.native-histograms", "--no-metrics.classic-histograms")
PACE = (
    "--queues.discovery-interval=1s", "--celery.inspect-interval=2s", "--celery.inspect-timeout=1s",
    "--redis.key-space.interval=2s", "--workers.lost-after=5s", "--log.format=json",
    "--queues.length-threshold", "payments=500", "--queues.wait-threshold", "payments=2m",
    "--tasks", json.dumps(EXPECTED),
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """A Prometheus and the range of its data, ``start`` to ``end`` in epoch seconds, a sample every ``step`` seconds.

    ``native`` states whether histograms of tasks are native ones only.
    """

    prometheus: PrometheusServer
    start: float
    end: float
    step: int
    native: bool = False


class Shop:
    """The sample shop and its monitoring: two Redis servers, a replica, workers, beat, customers, two exporters."""

    def __init__(self, folder: Path, ending: ExitStack, *flags: str) -> None:
        self._folder, self._ending, self._flags = folder, ending, flags
        with ThreadPoolExecutor() as pool:
            broker = pool.submit(self._redis, "broker", "--maxmemory", "64mb", "--slowlog-log-slower-than", "500")
            results = pool.submit(self._redis, "results", "--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
            self.broker, self.results = broker.result(), results.result()
        self.replica = self._redis("replica", "--replicaof", f"127.0.0.1 {self.results.port}")
        self._urls = {"CELERY_BROKER_URL": self.broker.url(), "CELERY_RESULT_BACKEND": self.results.url()}
        with ThreadPoolExecutor() as pool:
            self.exporters = list(pool.map(self._exporter, ("exporter-1", "exporter-2")))
        self._celery("beat", "beat", "-s", str(folder / "schedule"), "--pidfile=")
        self._worker("payments", "payments")
        self._worker("shop", "default,reports")
        self.victim = self._worker("spare", "default", "--pool=solo")
        self._start("customers", [sys.executable, "-m", "celery_redis_exporter.demo.traffic"])

    def send(self, task: str, queue: str = "default", **options: object) -> None:
        """Publish a task of the shop."""
        command = [sys.executable, "-m", "celery", "-A", "tests.integration.dashboard_shop", "call", task]
        command += ["--args=[1]", f"--queue={queue}", *(f"--{name}={value}" for name, value in options.items())]
        self._start(f"call-{task}-{queue}", command)

    def fill(self, second: int) -> None:
        """Write keys into the result server, half of them without a time to live, and read some that do not exist."""
        with self.results.client() as client, client.pipeline(transaction=False) as pipeline:
            for number in range(KEYS_PER_SECOND):
                name = f"market:{number % 7}:{second}-{number}"
                pipeline.set(name, VALUE, ex=3600 if number % 2 else None)
                pipeline.get(name if number % 4 else "candles:none")
            pipeline.execute()
        self.broker.command("INCRBY", "wrong-type", 1)
        self.broker.command("EVAL", "for i = 1, 3e5 do end return 1", 0)

    def _redis(self, name: str, *options: str) -> RedisServer:
        server = RedisServer(self._folder / name, options=options)
        self._ending.callback(server.stop)
        return server

    def _exporter(self, name: str) -> Exporter:
        flags = ["--broker-url", self.broker.url(), "--result-backend-url", self.results.url(), *PACE]
        flags += ["--redis.servers", json.dumps({"replica": {"url": self.replica.url()}})]
        flags += ["--web.listen-address", "127.0.0.1:0", *self._flags]
        exporter = Exporter(self._folder / f"{name}.log", *flags, environment={"EXPORTER_SERIES__ZERO_FIRST": "2s"})
        self._ending.callback(exporter.process.end)
        eventually(exporter.hears)
        return exporter

    def _worker(self, name: str, queues: str, *flags: str) -> Process:
        quick = ("--without-gossip", "--without-mingle", "--heartbeat-interval=1", "--concurrency=2")
        return self._celery(name, "worker", f"--hostname={name}@%h", f"--queues={queues}", *quick, *flags)

    def _celery(self, name: str, *words: str) -> Process:
        command = [sys.executable, "-m", "celery", "-A", "tests.integration.dashboard_shop", *words]
        return self._start(name, [*command, "--loglevel=WARNING"])

    def _start(self, name: str, command: list[str]) -> Process:
        process = Process(command, self._folder / f"{name}.log", self._urls)
        self._ending.callback(process.end, 0.05)
        return process


@contextmanager
def real_run(folder: Path, seconds: int = SECONDS_OF_TRAFFIC, native_program: str = "") -> Iterator[Data]:
    """Yield the data of a real run: failures, retries, expired tasks, a lost worker, a server that fills up.

    ``native_program`` is a Prometheus that stores native histograms only.
    """
    with ExitStack() as ending:
        shop = Shop(folder, ending, *(NATIVE_ONLY if native_program else ()))
        ports = [exporter.port for exporter in shop.exporters]
        prometheus = _watch(folder, ending, ports, native_program)
        for task in ("shop.sync_stock", "shop.charge_card"):
            eventually(partial(prometheus.query, f'celery_tasks_total{{task="{task}"}} > 0'), within=40)
        shop.send("shop.import_order")
        shop.send("shop.refund_card", "nobody")
        shop.send("shop.send_reminder", countdown=3600)
        shop.send("shop.send_newsletter", countdown=2, expires=1)
        shop.victim.signal(signal.SIGKILL)
        start = SystemClock().now() - 5
        for second in range(seconds):
            shop.fill(second)
            _wait_for_scrape(prometheus)
        yield Data(prometheus, start, SystemClock().now(), 1, bool(native_program))


@contextmanager
def six_hours(folder: Path) -> Iterator[Data]:
    """Yield six generated hours until now, and the same hours a week ago for the metrics that are compared to them."""
    folder.mkdir(parents=True, exist_ok=True)
    end = SystemClock().now() // HISTORY_STEP * HISTORY_STEP
    start = end - HISTORY_SECONDS
    now = History(start, end, HISTORY_STEP)
    for tell in (write_executions, write_tasks, write_workers, write_queues, write_servers, write_exporter):
        tell(now)
    before = History(start - WEEK, end - WEEK, HISTORY_STEP, since=UNEVENTFUL)
    for tell in (write_executions, write_queues):
        tell(before)
    _backfill(folder, "now", now)
    _backfill(folder, "before", before)
    config = yaml.safe_dump({"global": {"scrape_interval": f"{HISTORY_STEP}s"}})
    record(folder, config, [(start - WEEK, end - WEEK), (start, end)])
    prometheus = PrometheusServer(folder, config)
    try:
        yield Data(prometheus, start, end, HISTORY_STEP)
    finally:
        prometheus.stop()


def _backfill(folder: Path, name: str, history: History) -> None:
    source = folder / f"{name}.openmetrics"
    source.write_text(history.render(), encoding="utf-8")
    create_blocks("openmetrics", str(source), str(folder / "tsdb"))


def record(folder: Path, config: str, spans: list[tuple[float, float]]) -> None:
    """Evaluate the dashboards' recording rules once a minute over spans of the data in a Prometheus folder."""
    rules = folder / "rules.yml"
    rules.write_text(render_rules([RuleGroup("rates", task_rates.RECORDINGS)], RenderOptions()), encoding="utf-8")
    server = PrometheusServer(folder, config)
    try:
        for start, end in spans:
            span = [f"--start={start:.0f}", f"--end={end:.0f}", "--eval-interval=1m", f"--url={server.url}"]
            create_blocks("rules", *span, f"--output-dir={folder / 'recorded'}", str(rules))
    finally:
        server.stop()
    for block in (folder / "recorded").iterdir():
        block.rename(folder / "tsdb" / block.name)


def create_blocks(*words: str) -> None:
    """Make blocks of past samples with promtool."""
    command = ["promtool", "tsdb", "create-blocks-from", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]


def _watch(folder: Path, ending: ExitStack, ports: list[int], native_program: str) -> PrometheusServer:
    rules = folder / "rules.yml"
    rules.write_text(shorten_rules(), encoding="utf-8")
    targets = [f"127.0.0.1:{port}" for port in ports]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "celery", "static_configs": [{"targets": targets}]}],
    }
    feature = f"--enable-feature=exemplar-storage{',native-histograms' if native_program else ''}"
    program = native_program or "prometheus"
    server = PrometheusServer(folder / "prometheus", yaml.safe_dump(config), feature, program=program)
    ending.callback(server.stop)
    return server


def _wait_for_scrape(prometheus: PrometheusServer) -> None:
    scrapes = "sum(count_over_time(up[1h]))"
    before = prometheus.value(scrapes) or 0
    eventually(lambda: (prometheus.value(scrapes) or 0) >= before + 2, 10)
