# SPDX-License-Identifier: Apache-2.0
"""redis_exporter's own dashboards and alerts on our metrics, evaluated by a real Prometheus beside the real exporter.

Every expression that has results with redis_exporter has the same series with ours, except job, instance and redis.
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import pytest

from tests.integration import prometheus_server, redis_exporters
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, free_port
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.redis_exporters import RedisExporter
from tests.integration.redis_servers import RedisServer
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not redis_exporters.is_installed(), reason="prometheus-redis-exporter is not on PATH"),
    pytest.mark.skipif(not prometheus_server.is_installed(), reason="prometheus is not on PATH"),
]

TAKEN = yaml_text.parse((ROOT / "tests/fixtures/redis_exporter/expressions.yml").read_text(encoding="utf-8"))
RULES: dict[str, str] = TAKEN["rules"]
EXPRESSIONS = [*TAKEN["dashboard"], *TAKEN["mixin_dashboard"], *TAKEN["alerts"], *RULES.values()]
SILENT = {
    "redis_memory_used_bytes{%(redisExporterSelector)s} / redis_total_system_memory_bytes{%(redisExporterSelector)s}"
    " * 100 > 90": "redis_exporter does not show the machine's memory by itself",
    "redis_cluster_slots_fail{%(redisExporterSelector)s} > 0": "no node has failed",
    "redis_cluster_slots_pfail{%(redisExporterSelector)s} > 0": "as above",
}
"""Expressions that have no result with redis_exporter here, and why."""
ENOUGH_SCRAPES = 4
MANY = 101
"""Clients, one more than the alert allows."""
QUIET = (
    "--redis.latency-histogram",
    "--queues.discovery-interval",
    "0",
    "--celery.inspect-interval",
    "0",
    "--redis.discovery-interval",
    "0",
)


class Setting(NamedTuple):
    """A Prometheus that scrapes both, and one of our exporters."""

    prometheus: PrometheusServer
    exporter: Exporter

    def series(self, expression: str, job: str) -> set[frozenset[tuple[str, str]]]:
        """Evaluate an expression on one job; return the labels of its series."""
        for name, rule in RULES.items():
            expression = re.sub(name + r"\{[^}]*\}", f"({rule})", expression)
        for variable, value in {
            'instance=~"$instance"': f'job="{job}"', 'instance =~ "$instance"': f'job="{job}"',
            "%(redisExporterSelector)s": f'job="{job}"', "$__rate_interval": "1m", "$__interval": "1m",
        }.items():  # fmt: skip
            expression = expression.replace(variable, value)
        assert "$" not in expression
        found = self.prometheus.query(expression)
        return {
            frozenset((k, v) for k, v in labels.items() if k not in {"job", "instance", "redis"}) for labels, _ in found
        }


def configure(ours: list[Exporter], theirs: list[RedisExporter]) -> str:
    """Write Prometheus's configuration."""
    jobs: list[dict[str, Any]] = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{one.port}" for one in exporters]}]}
        for name, exporters in (("ours", ours), ("theirs", theirs))
    ]
    return json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs})


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """Yield a master with many clients, its replica, a node of an incomplete cluster and a dead server, all scraped."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("dashboards"), ending)
        master = programs.redis(options=("--maxmemory", "100mb"))
        replica = programs.redis(options=("--replicaof", "127.0.0.1", f"{master.port}"))
        node = programs.redis(options=("--cluster-enabled", "yes"))
        eventually(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")
        dead = free_port()
        for _ in range(MANY):
            ending.enter_context(closing(socket.create_connection(("127.0.0.1", master.port))))
        first = programs.listening(master, "--result-backend-url", replica.url(), *QUIET)
        second = programs.listening(master, "--result-backend-url", node.url(), *QUIET)
        third = programs.exporter("--broker-url", f"redis://127.0.0.1:{dead}/0", *QUIET)
        theirs = [RedisExporter(programs, server.port) for server in (master, replica, node)]
        theirs.append(RedisExporter(programs, dead, up=0))
        prometheus = programs.prometheus(configure([first, second, third], theirs))
        scrapes = 'min(count_over_time(up{job=~"ours|theirs"}[1m]))'
        eventually(lambda: _keep_busy(master) and (prometheus.value(scrapes) or 0) >= ENOUGH_SCRAPES)
        assert prometheus.value("min(up)") == 1
        yield Setting(prometheus, first)


def _keep_busy(server: RedisServer) -> bool:
    """Read a key, so that rates of lookups are not 0 / 0."""
    server.command("SET", "a", "b", "EX", 1000)
    return bool(server.command("GET", "a"))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_shows_with_redis_exporter_shows_with_ours(setting: Setting, expression: str) -> None:
    """An expression of redis_exporter's dashboards and alerts returns the same series on ours."""

    def check() -> bool:
        theirs = setting.series(expression, "theirs")
        assert bool(theirs) != (expression in SILENT)
        return set() == theirs - setting.series(expression, "ours")

    # A change between the scrapes of the two exporters is in the rate of one before it is in that of the other.
    eventually(check)


def test_names_are_stored_as_the_text_format_has_them(setting: Setting) -> None:
    """From OpenMetrics, which Prometheus prefers, it stores the sample names of the text format."""
    text = setting.exporter.get().text
    written = set(re.findall(r"^(redis_\w+)(?:\{| )", text, re.MULTILINE))
    stored = setting.prometheus.query('count by (__name__) ({job="ours", __name__=~"redis_.+"})')
    assert {"redis_total_error_replies", "redis_migrate_cached_sockets_total", "redis_commands_latencies_usec_bucket",
            "redis_latency_percentiles_usec", "redis_latency_percentiles_usec_sum"} <= written  # fmt: skip
    assert set() == written - {labels["__name__"] for labels, _ in stored}
    quantiles = setting.prometheus.query('count by (quantile) (redis_latency_percentiles_usec{job="ours"})')
    assert {"50", "99", "99.9"} == {labels["quantile"] for labels, _ in quantiles}
    # Prometheus 3 writes them as floating-point numbers.
    bounds = setting.prometheus.query('count by (le) (redis_commands_latencies_usec_bucket{job="ours"})')
    assert [] == [labels["le"] for labels, _ in bounds if not re.fullmatch(r"\d+(\.0)?|\+Inf", labels["le"])]
