# SPDX-License-Identifier: Apache-2.0
"""How much the exporter shows and reads of a Redis server: all metrics of redis_exporter, their core, or none."""

import re

import pytest

from celery_redis_exporter.catalog import redis_core, redis_server
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SCRAPES = 3
QUIET = ("--queues.discovery-interval", "0", "--celery.inspect-interval", "0", "--queues.names", "celery")
SERVER_COMMANDS = {"info", "slowlog|len", "slowlog|get", "latency|latest", "latency|histogram", "config|get", "ping"}
REDIS = {metric.name for metric in redis_server.METRICS}


def shown(exporter: Exporter) -> set[str]:
    """Return the names of the shown Redis metrics of the server itself."""
    return REDIS & set(re.findall(r"^# TYPE (\S+) ", exporter.get().text, re.MULTILINE))


def asked(server: RedisServer, exporter: Exporter) -> dict[str, int]:
    """Return the number of calls that read the server's state during some scrapes."""
    with server.client() as client:
        before = client.info("commandstats")
        for _ in range(SCRAPES):
            exporter.get()
        after = client.info("commandstats")
    names = {name: f"cmdstat_{name}" for name in SERVER_COMMANDS}
    calls = {
        name: after[stat]["calls"] - before.get(stat, {"calls": 0})["calls"]
        for name, stat in names.items()
        if stat in after
    }
    calls["info"] -= 1  # the test's own call
    return {name: count for name, count in calls.items() if count}


def start(programs: Programs, *flags: str) -> tuple[RedisServer, Exporter]:
    """Start a server with a task in a queue, and an exporter that was scraped once."""
    server = programs.redis()
    programs.publisher(server).send_task("kept")
    exporter = programs.listening(server, *QUIET, *flags)
    eventually(lambda: exporter.value("celery_queue_length", queue="celery") == 1)
    return server, exporter


def test_full(programs: Programs) -> None:
    """By default all metrics are shown and read, and settings are read at longer intervals."""
    server, exporter = start(programs)
    assert {"redis_commands_total", "redis_latency_percentiles_usec", "redis_config_io_threads"} <= shown(exporter)
    assert "redis_commands_latencies_usec" not in shown(exporter)
    assert dict.fromkeys(("info", "slowlog|len", "slowlog|get", "latency|latest"), SCRAPES) == asked(server, exporter)


def test_histogram(programs: Programs) -> None:
    """If configured, the histogram of latency is read in the same round trip."""
    server, exporter = start(programs, "--redis.latency-histogram")
    assert "redis_commands_latencies_usec" in shown(exporter)
    every = ("info", "slowlog|len", "slowlog|get", "latency|latest", "latency|histogram")
    assert dict.fromkeys(every, SCRAPES) == asked(server, exporter)


def test_core(programs: Programs) -> None:
    """The core has every core metric of a master and no other metric, and one command reads it."""
    server, exporter = start(programs, "--redis.metrics", "core")
    elsewhere = re.compile("redis_(master_(?!repl)|slave_|connected_slave_|cluster_state|errors_total)")
    expected = {name for name in redis_core.NAMES if not elsewhere.match(name)}
    assert expected <= shown(exporter) <= set(redis_core.NAMES)
    assert {"info": SCRAPES} == asked(server, exporter)


def test_off(programs: Programs) -> None:
    """Without server metrics INFO is not sent, queues are shown, and a killed server is reported as down."""
    server, exporter = start(programs, "--redis.metrics", "off")
    assert set() == shown(exporter)
    assert {"ping": SCRAPES} == asked(server, exporter)
    assert exporter.value("celery_queue_length", queue="celery") == 1
    assert exporter.get("/-/ready").status == 200
    server.stop()
    eventually(lambda: exporter.get("/-/ready").status == 503)
    assert set() == shown(exporter)
