# SPDX-License-Identifier: Apache-2.0
"""Measure what a refresh of a dashboard costs a Prometheus, in the samples that its queries read.

Input: a running Prometheus with an hour of a large installation. Output: samples by query. A quarter of the
installation is generated: the samples that a query reads grow no faster than the installation.
"""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from celery_redis_exporter.catalog import CATALOG, Kind, Metric
from celery_redis_exporter.clock import SystemClock
from tests.integration.dashboard_data import create_blocks, record
from tests.integration.prometheus_server import PrometheusServer
from tests.support.dashboards import Tree, choose_step, fill_times, substitute

PART = 4
"""The installation is this many times as large as its generated part."""
SIZES = {"task": 200 // PART, "worker": 50 // PART + 1, "queue": 5, "redis": 2, "cmd": 40, "type": 13, "state": 5}
"""The number of values of a label: 200 tasks, 50 workers, 5 queues, 2 servers."""
STATES = ("success", "failure", "retry", "revoked", "rejected")
OTHERS = 3
"""The number of values of every other label."""
OF_CELERY = re.compile(r"\bcelery[_:](?!exporter_)")
"""Metrics that grow with the installation. Those of servers and exporters are generated in full."""
SCRAPE = 15
HOUR, DAY = 3600, 86_400
LEAD = 600
WIDTH = 1000
"""The width of each graph in pixels."""
TARGET = {"job": "celery", "instance": "celery-exporter:9808"}


class Cost(NamedTuple):
    """The number of samples of the whole installation that a query of a panel reads."""

    panel: str
    expr: str
    samples: int


def label_sets(metric: Metric) -> Iterator[dict[str, str]]:
    """Yield the labels of each series of a metric. A task has one queue."""
    names = [label.name for label in metric.labels if not (label.name == "queue" and _has(metric, "task"))]
    others = 1 if metric.name.endswith("_info") else OTHERS
    for numbers in itertools.product(*(range(SIZES.get(name, others)) for name in names)):
        labels = {name: f"{name}-{number}" for name, number in zip(names, numbers, strict=True)}
        if _has(metric, "task") and _has(metric, "queue"):
            labels["queue"] = f"queue-{numbers[names.index('task')] % SIZES['queue']}"
        if _has(metric, "task") and _has(metric, "state"):
            labels["state"] = STATES[numbers[names.index("state")]]
        yield labels


@contextmanager
def large_installation(folder: Path) -> Iterator[tuple[PrometheusServer, float]]:
    """Yield a Prometheus with an hour of a quarter of the installation, and the end of that hour."""
    folder.mkdir(parents=True, exist_ok=True)
    end = SystemClock().now() // HOUR * HOUR
    source = folder / "hour.openmetrics"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(_series(end))
        file.write("# EOF\n")
    create_blocks("openmetrics", str(source), str(folder / "tsdb"))
    config = yaml.safe_dump({"global": {"scrape_interval": f"{SCRAPE}s"}})
    record(folder, config, [(end - HOUR, end)])
    server = PrometheusServer(folder, config)
    try:
        yield server, end
    finally:
        server.stop()


def costs_of_an_hour(server: PrometheusServer, end: float, tree: Tree) -> list[Cost]:
    """Return the number of samples that each query of the open rows reads for a refresh over an hour."""
    return [_cost(server, end, panel, target, HOUR) for panel in tree["panels"] for target in panel.get("targets", [])]


def costs_of_a_day(server: PrometheusServer, end: float, panels: list[Tree]) -> list[Cost]:
    """Return the samples that each query reads over a day: 24 times those of an hour with the steps of a day."""
    return [_cost(server, end, panel, target, DAY) for panel in panels for target in panel["targets"]]


def _cost(server: PrometheusServer, end: float, panel: Tree, target: Tree, shown: int) -> Cost:
    step = choose_step(shown, panel.get("maxDataPoints") or WIDTH, panel.get("interval") or f"{SCRAPE}s")
    expr = fill_times(substitute(target["expr"], {}), step, SCRAPE, HOUR)
    if target["instant"]:
        times = shown // HOUR if "$__range" in target["expr"] else 1
        read = server.samples_read(expr, end, end, 1)
    else:
        times = shown // HOUR
        read = server.samples_read(expr, end - HOUR, end - 1, step)
    part = PART if OF_CELERY.search(expr) else 1
    return Cost(panel["title"], expr, part * times * read)


def _series(end: float) -> Iterator[str]:
    times = range(int(end) - HOUR - LEAD, int(end) + 1, SCRAPE)
    tails = [f" {number} {time}\n" for number, time in enumerate(times)]
    for metric in CATALOG.values():
        for labels in label_sets(metric):
            for name, more in _samples(metric):
                pairs = ",".join(f'{key}="{value}"' for key, value in (TARGET | labels | more).items())
                head = f"{name}{{{pairs}}}"
                yield "".join([head + tail for tail in tails])


def _samples(metric: Metric) -> Iterator[tuple[str, dict[str, str]]]:
    if metric.kind is not Kind.HISTOGRAM:
        yield metric.name, {}
        return
    for suffix in ("_sum", "_count"):
        yield metric.name + suffix, {}
    for bound in (*metric.buckets, float("inf")):
        yield f"{metric.name}_bucket", {"le": "+Inf" if bound == float("inf") else repr(float(bound))}


def _has(metric: Metric, name: str) -> bool:
    return any(label.name == name for label in metric.labels)
