# SPDX-License-Identifier: Apache-2.0
"""MEMORY PURGE and memory trends on a real server."""

import json

import pytest

from tests.integration.conftest import Programs
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

PURGES = "celery_exporter_memory_purges_total"
GUARD = ("--redis.memory-guard.enabled", "--redis.memory-guard.check-interval", "100ms")


def fill(server: RedisServer) -> None:
    """Fill 92 % of 20 MB as the server counts it, in small pieces, since data in a client's buffer counts as well."""
    number = 0
    while server.command("INFO", "memory")["used_memory"] < 0.92 * 20 * 2**20:
        server.command("SET", f"big-{number}", "x" * 250_000)
        number += 1


def calls(server: RedisServer, command: str) -> int:
    """Return the server's count of calls of a command."""
    stats = server.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_full_server_is_purged_once(programs: Programs) -> None:
    """A server above its threshold receives MEMORY PURGE at most once per interval, which is counted and logged."""
    server = programs.redis(options=("--maxmemory", "20mb"))
    exporter = programs.listening(server, *GUARD)
    assert exporter.value(PURGES, redis="broker", result="done") == 0
    assert 0 == calls(server, "memory|purge")
    fill(server)
    eventually(lambda: exporter.value(PURGES, redis="broker", result="done") == 1)
    line = exporter.line("memory_guard.purged")
    assert line["limit_bytes"] == 20 * 2**20
    assert line["used_memory_before"] > 17_000_000
    assert line["used_memory_rss_after"] > 0
    looks = calls(server, "info")
    eventually(lambda: calls(server, "info") >= looks + 5)
    assert 1 == calls(server, "memory|purge")


def test_nothing_is_purged_by_default(programs: Programs) -> None:
    """Without the setting a full server receives only commands that read."""
    server = programs.redis(options=("--maxmemory", "20mb"))
    exporter = programs.listening(server)
    fill(server)
    eventually(lambda: (exporter.value("redis_memory_used_bytes", redis="broker") or 0) > 17_000_000)
    assert exporter.value(PURGES, redis="broker", result="done") is None
    assert 0 == calls(server, "memory|purge")


def test_the_status_tells_memory_and_trend(programs: Programs) -> None:
    """The status reports each server's memory, its limit, a verdict and the last readings."""
    server, cache = programs.redis(options=("--maxmemory", "20mb")), programs.redis()
    flags = ("--redis.servers", json.dumps({"cache": {"url": cache.url()}}), "--redis.assumed-maxmemory", "1GB")
    exporter = programs.listening(server, *flags)
    fill(server)
    server.command("GET", "big-1")
    answer = exporter.get("/api/v1/status")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    status = json.loads(answer.body)
    broker, other = status["redis"]
    assert ("broker", True, None, "master", "standalone") == tuple(
        broker[key] for key in ("name", "up", "error", "role", "mode")
    )
    memory = broker["memory"]
    assert ("critical", 20 * 2**20, "maxmemory") == (memory["state"], memory["limit_bytes"], memory["limit_source"])
    assert memory["used_bytes"] / memory["limit_bytes"] == pytest.approx(memory["used_ratio"])
    assert ("ok", 2**30, "assumed") == tuple(other["memory"][key] for key in ("state", "limit_bytes", "limit_source"))
    assert exporter.value("celery_exporter_redis_memory_limit_bytes", redis="cache") == 2**30
    assert [["at", "used_bytes", "hit_ratio", "operations"]] == [list(reading) for reading in other["trend"]]
    assert {"Event stream", "Redis broker", "Redis cache"} <= {check["check"] for check in status["checks"]}
    cache.stop()
    eventually(lambda: exporter.value("redis_exporter_last_scrape_error", redis="cache", err="refused") == 1)
    (_, away) = json.loads(exporter.get("/api/v1/status").body)["redis"]
    assert (False, "refused", None) == (away["up"], away["error"], away["memory"]["used_bytes"])
    assert len(away["trend"]) == 1
