# SPDX-License-Identifier: Apache-2.0
"""MEMORY PURGE on a real server, and trends of it."""

import json

import pytest

from tests.integration.conftest import Programs
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

PURGES = "celery_exporter_memory_purges_total"
GUARD = ("--redis.memory-guard.enabled", "--redis.memory-guard.check-interval", "100ms")


def fill(server: RedisServer) -> None:
    """Fill 92 % of 20 MB by the server's own count, piece by piece, since what a client sends is in memory too."""
    number = 0
    while server.command("INFO", "memory")["used_memory"] < 0.92 * 20 * 2**20:
        server.command("SET", f"big-{number}", "x" * 250_000)
        number += 1


def calls(server: RedisServer, command: str) -> int:
    """How often the server got a command, by its own count."""
    stats = server.command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_full_server_is_purged_once(programs: Programs) -> None:
    """Above its threshold a server is told to purge once in a while, which is counted and logged."""
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
    """Without the setting a full server gets no command that is not a read."""
    server = programs.redis(options=("--maxmemory", "20mb"))
    exporter = programs.listening(server)
    fill(server)
    eventually(lambda: (exporter.value("redis_memory_used_bytes", redis="broker") or 0) > 17_000_000)
    assert exporter.value(PURGES, redis="broker", result="done") is None
    assert 0 == calls(server, "memory|purge")


def test_the_status_tells_memory_and_trend(programs: Programs) -> None:
    """The status has every server with its memory against its limit, a verdict on that, and its last readings."""
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
