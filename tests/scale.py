# SPDX-License-Identifier: Apache-2.0
"""The cost of a fleet on one Prometheus, and of a thousand workers on one exporter.

``python -m tests.scale [--applications 100] [--real 10] [--workers 1000] [--seconds 120] [--interval 15]`` starts
everything on loopback ports, lets it run for that long, and prints the measurements as markdown. ``--real`` of the
applications are exporters, each a separate process, which receive the events of one load; the others are copies of
the first one's response, served by one HTTP server that increases the counters (``recorded_fleet``). Start times are
not measured.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from celery_redis_exporter.clock import SystemClock
from tests.bench.load import STARTED
from tests.bench.meters import cpu_seconds, resident_memory
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, parse
from tests.integration.processes import ROOT, Process
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_servers import RedisServer
from tests.support.recorded_fleet import Recording, serving
from tests.support.waiting import eventually

BEAT_SECONDS = 2.0
NAMES, QUEUES, FLEET_WORKERS = 50, 10, 10
"""Task names, queues and workers of one application of the fleet."""
EVENTS_PER_SECOND = 400.0
FAILURES = 0.02
"""The share of tasks that fail; alerts fire from 0.05 on."""
SCRAPES = 20
RULES = [
    *(str(ROOT / "alerts" / name) for name in ("celery-*.yml", "redis.yml")),
    str(ROOT / "deploy" / "prometheus" / "fleet.rules.yml"),
]
REAL, RECORDED = "celery", "recorded"
"""Names of jobs."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a simulation: applications, real exporters among them, workers of the large one; seconds."""

    applications: int
    real: int
    workers: int
    seconds: float
    interval: float


@dataclass(frozen=True, slots=True)
class Use:
    """Resources that a process used: CPU as a share of a core, resident bytes at the end."""

    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of a Prometheus; durations in seconds, ``rules`` of each group's last evaluation."""

    up: int
    series: int
    scrapes: dict[str, float]
    slowest: float
    rules: dict[str, float]
    prometheus: Use
    exporter: Use
    firing: list[str]


@contextmanager
def loaded(programs: Programs, server: RedisServer, workers: int, seconds: float) -> Iterator[Process]:
    """Publish events and heartbeats of ``workers`` workers during a with block."""
    load = programs.run(
        sys.executable, "-m", "tests.bench.load", "--url", server.url(), "--rate", f"{EVENTS_PER_SECOND}",
        "--seconds", f"{seconds}", "--heartbeats", f"{BEAT_SECONDS}", "--workers", f"{workers}",
        "--names", f"{NAMES}", "--queues", f"{QUEUES}", "--tasks", f"{int(EVENTS_PER_SECOND * seconds)}",
        "--failures", f"{FAILURES}",
    )  # fmt: skip
    eventually(lambda: STARTED in load.output(), 30)
    try:
        yield load
    finally:
        load.end()


def configuration(size: Size, exporters: list[Exporter], recorded: int) -> str:
    """Return the configuration of a Prometheus with all rules; ``recorded`` is the port of the recorded ones, or 0."""
    interval = f"{size.interval:g}s"
    real = [
        {"targets": [f"127.0.0.1:{exporter.port}"], "labels": {"namespace": f"app-{number}"}}
        for number, exporter in enumerate(exporters)
    ]
    jobs: list[dict[str, object]] = [{"job_name": REAL, "static_configs": real}]
    # Their pages differ by path, which is not a label of a target.
    jobs += [
        {
            "job_name": f"{RECORDED}-{number}",
            "metrics_path": f"/app-{number}/metrics",
            "static_configs": [{"targets": [f"127.0.0.1:{recorded}"], "labels": {"namespace": f"app-{number}"}}],
        }
        for number in range(len(exporters), size.applications)
        if recorded
    ]
    times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return yaml.safe_dump({"global": times, "rule_files": RULES, "scrape_configs": jobs})


def observe(prometheus: PrometheusServer, exporter: Exporter, targets: int, size: Size) -> Seen:
    """Let a Prometheus run; return its state and the resources that it and one exporter used."""
    eventually(lambda: prometheus.value("sum(up)") == targets, 30 + 2 * size.interval)
    uses = used((prometheus.process.pid, exporter.process.pid), size.seconds)
    own = parse(prometheus.own_metrics())
    named = {(name, dict(labels).get("rule_group", "")): value for (name, labels), value in own.items()}
    rules = {
        group.rpartition(";")[2]: value
        for (name, group), value in named.items()
        if name == "prometheus_rule_group_last_duration_seconds"
    }
    durations = {job: f'quantile(0.5, scrape_duration_seconds{{job=~"{job}.*"}})' for job in (REAL, RECORDED)}
    alerts = prometheus.query('count by (alertname) (ALERTS{alertstate="firing", alertname!="CeleryWatchdog"})')
    return Seen(
        up=int(prometheus.value("sum(up)") or 0),
        series=int(named["prometheus_tsdb_head_series", ""]),
        scrapes={job: seconds for job, query in durations.items() if (seconds := prometheus.value(query)) is not None},
        slowest=prometheus.value(f"max(max_over_time(scrape_duration_seconds[{int(size.seconds)}s]))") or 0.0,
        rules=rules,
        prometheus=uses[0],
        exporter=uses[1],
        firing=sorted(f"{labels['alertname']} ({count:.0f})" for labels, count in alerts),
    )


def used(pids: Sequence[int], seconds: float) -> list[Use]:
    """Observe processes for ``seconds``; return the resources that each used."""
    clock, started = SystemClock(), [cpu_seconds(pid) for pid in pids]
    begun = clock.monotonic()
    threading.Event().wait(seconds)
    shares = [(cpu_seconds(pid) - at) / (clock.monotonic() - begun) for pid, at in zip(pids, started, strict=True)]
    return [Use(share, resident_memory(pid)) for pid, share in zip(pids, shares, strict=True)]


def simulate_fleet(programs: Programs, size: Size) -> tuple[Seen, int]:
    """Run the fleet; return the state of Prometheus, and the lines of one exporter's scrape."""
    server = programs.redis()
    exporters = [programs.exporter("--broker-url", server.url()) for _ in range(size.real)]
    for exporter in exporters:
        eventually(exporter.hears, 20)
    whole = size.seconds + 60 + 3 * size.interval
    with loaded(programs, server, FLEET_WORKERS, whole):
        text = eventually(lambda: _filled(exporters[0]), 60)
        with serving(Recording(text)) as port:
            prometheus = programs.prometheus(configuration(size, exporters, port))
            seen = observe(prometheus, exporters[0], size.applications, size)
            prometheus.stop()
    for exporter in exporters:
        exporter.process.end()
    return seen, sum(not line.startswith("#") for line in text.splitlines())


def simulate_workers(programs: Programs, size: Size) -> tuple[Seen, list[float], int]:
    """Run the large application; return the state of Prometheus, the seconds of scrapes, and the bytes of one."""
    server = programs.redis()
    flags = ("--celery.inspect-interval", "0", "--scrape.freshness", "0s")
    exporter = programs.exporter("--broker-url", server.url(), *flags)
    eventually(exporter.hears)
    with loaded(programs, server, size.workers, size.seconds + 60 + 3 * size.interval):
        eventually(lambda: exporter.value("celery_workers", state="online") == size.workers, 60)
        prometheus = programs.prometheus(configuration(size, [exporter], 0))
        seen = observe(prometheus, exporter, 1, size)
        prometheus.stop()
        scrapes = [_timed(exporter) for _ in range(SCRAPES)]
        length = len(exporter.get().body)
    exporter.process.end()
    return seen, scrapes, length


def _timed(exporter: Exporter) -> float:
    """Return the seconds that a scrape took."""
    clock = SystemClock()
    started = clock.monotonic()
    exporter.get()
    return clock.monotonic() - started


def _filled(exporter: Exporter) -> str:
    """Return a scrape that contains every task and worker."""
    counted = {labels["task"] for labels in exporter.labels("celery_task_runtime_seconds_count")}
    beating = len(exporter.labels("celery_worker_up"))
    return exporter.get().text if (len(counted), beating) == (NAMES, FLEET_WORKERS) else ""


def rows_of(seen: Seen) -> list[tuple[str, str]]:
    """Return the state of a Prometheus as rows of a table."""
    slow = sorted(seen.rules.items(), key=lambda pair: -pair[1])[:3]
    return [
        ("targets that answer", f"{seen.up}"),
        ("series", f"{seen.series:,}"),
        *((f"scrape, {job}, median", f"{seconds * 1e3:.1f} ms") for job, seconds in seen.scrapes.items()),
        ("slowest scrape of all", f"{seen.slowest * 1e3:.1f} ms"),
        ("all rules, last evaluation", f"{sum(seen.rules.values()) * 1e3:.0f} ms"),
        ("longest groups", ", ".join(f"{group} {seconds * 1e3:.0f} ms" for group, seconds in slow)),
        ("one exporter", f"{seen.exporter.memory / 1e6:.1f} MB, {seen.exporter.cpu:.1%} of a core"),
        ("Prometheus", f"{seen.prometheus.memory / 1e6:.0f} MB, {seen.prometheus.cpu:.1%} of a core"),
        ("alerts that fire", ", ".join(seen.firing) or "none"),
    ]


def table(title: str, rows: list[tuple[str, str]]) -> str:
    """Return rows as markdown."""
    return "\n".join([f"| {title} | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), "", ""])


def main(argv: list[str]) -> int:
    """Run both simulations, or the one whose size is not 0, and print the results; return 1 if a target is down."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale")
    for name, number in (("applications", 100), ("real", 10), ("workers", 1000)):
        parser.add_argument(f"--{name}", type=int, default=number)
    for name, time in (("seconds", 120.0), ("interval", 15.0)):
        parser.add_argument(f"--{name}", type=float, default=time)
    size = Size(**vars(parser.parse_args(argv)))
    answered = True
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        programs = Programs(Path(folder), ending)
        if size.applications:
            fleet, lines = simulate_fleet(programs, size)
            title = f"{size.applications} applications, {size.real} of them real, every {size.interval:g} s"
            sys.stdout.write(table(title, [("samples of one", f"{lines:,}"), *rows_of(fleet)]))
            answered = fleet.up == size.applications
        if size.workers:
            large, scrapes, length = simulate_workers(programs, size)
            took = f"{length / 1e6:.2f} MB in {statistics.median(scrapes) * 1e3:.1f} ms (median)"
            title = f"{size.workers:,} workers, a heartbeat every {BEAT_SECONDS:g} s"
            sys.stdout.write(table(title, [("a scrape, uncompressed", took), *rows_of(large)]))
            answered = answered and large.up == 1
    return int(not answered)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
