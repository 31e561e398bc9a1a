# SPDX-License-Identifier: Apache-2.0
"""The findings that check derives from what a Redis server reports."""

from dataclasses import replace

import pytest

from celery_redis_exporter.cli.check.finding import Finding
from celery_redis_exporter.cli.check.place import Place
from celery_redis_exporter.cli.check.server_state import state_findings

PLACE = Place("redis", "redis://h:6379/0", "h", 6379)
SOUND = {"redis_version": "7.2.4", "role": "master", "maxmemory": "1000", "used_memory": "100"}


def findings(changes: dict[str, str], config: dict[str, str] | None = None, name: str = "broker") -> list[Finding]:
    """Return the findings of a healthy server with these changes, without the finding that it answers."""
    found = state_findings(name, PLACE, SOUND | changes, config or {})
    return [finding for finding in found if finding.code != "redis-answers"]


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        ({"redis_version": "6.0.16"}, "redis-version-old", "INFO server"),
        ({"redis_version": "next"}, "redis-version-unknown", "INFO server"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis-eviction", "CONFIG SET maxmemory-policy noeviction"),
        (
            {"maxmemory": "0", "total_system_memory": "4000000000"},
            "redis-memory-unlimited",
            "CONFIG SET maxmemory 2861mb",
        ),
        ({"used_memory": "800"}, "redis-memory-full", "CONFIG SET maxmemory 1mb"),
        ({"used_memory": "10700000", "maxmemory": "5242880"}, "redis-memory-refusing", "CONFIG SET maxmemory 16mb"),
    ],
)
def test_a_field_that_matters(changes: dict[str, str], code: str, line: str) -> None:
    """Each problem has its code and a command line for this server."""
    (found,) = findings(changes)
    assert code == found.code
    assert f"redis-cli -h h -p 6379 {line}" in found.lines[0]
    assert found.cause


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "8.1.0", "10.0.1"])
def test_nothing_is_said_against_a_sound_server(version: str) -> None:
    """A healthy server has one finding: that it answers."""
    assert [] == findings({"redis_version": version})


def test_a_valkey_is_called_so() -> None:
    """Valkey is shown under its own name and version."""
    (answer,) = state_findings("broker", PLACE, SOUND | {"valkey_version": "8.1.0"}, {})
    assert answer.text.endswith("answers: Valkey 8.1.0, master")


@pytest.mark.parametrize(
    ("name", "changes", "code", "level"),
    [
        ("broker", {}, "redis-read-only", "fail"),
        ("results", {"slave_read_only": "1"}, "redis-read-only", "fail"),
        ("broker", {"slave_read_only": "0"}, "redis-replica", "warn"),
    ],
)
def test_celery_needs_a_master(name: str, changes: dict[str, str], code: str, level: str) -> None:
    """A read-only replica can't be a broker or a result backend; a writable replica loses its writes."""
    (found,) = findings({"role": "slave", "master_host": "m", "master_port": "1"} | changes, name=name)
    assert (code, level) == (found.code, found.level)
    assert "redis://m:1/0" in found.lines[0]


@pytest.mark.parametrize(
    ("shown", "host", "line"),
    [
        ("redis://h:6379/3", "m", "--broker-url=redis://m:1/3"),
        ("rediss://***@h:6379/2?ssl_cert_reqs=none", "m", "--broker-url=rediss://***@m:1/2?ssl_cert_reqs=none"),
        ("redis://[::1]:6379/1", "fd00::2", "--broker-url=redis://[fd00::2]:1/1"),
        ("unix:///run/redis.sock?db=4", "m", "--broker-url=redis://m:1/4"),
        ("unix://***@/run/redis.sock?db=4", "m", "--broker-url=redis://***@m:1/4"),
        ("sentinel://a:1;sentinel://b:2/0", "m", "redis-cli -h h -p 6379 INFO replication"),
    ],
)
def test_the_url_of_the_master_is_that_of_the_replica(shown: str, host: str, line: str) -> None:
    """Only the address in the URL changes; sentinels stay, because they name the next master."""
    info = SOUND | {"role": "slave", "master_host": host, "master_port": "1"}
    _, found = state_findings("broker", replace(PLACE, shown=shown), info, {})
    assert (line,) == found.lines


@pytest.mark.parametrize(("names", "shown"), [(["orders"], "orders"), (["orders", "mails"], "NAME"), ([], "NAME")])
@pytest.mark.parametrize(
    ("server", "flags"),
    [
        ("broker", ["--broker-url", "--broker-transport-options.master-name"]),
        ("results", ["--result-backend-url", "--result-backend-transport-options.master-name"]),
    ],
)
def test_a_sentinel_is_no_server_for_celery(names: list[str], shown: str, server: str, flags: list[str]) -> None:
    """A URL of Redis that names a sentinel fails, with the flags that query this sentinel for its master."""
    masters = {f"master{place}": f"name={name},status=ok,address=a:1" for place, name in enumerate(names)}
    info = {"redis_version": "7.2.4", "redis_mode": "sentinel", "sentinel_masters": "1", **masters}
    (found,) = state_findings(server, PLACE, info, {})
    assert ("redis-sentinel", "fail") == (found.code, found.level)
    assert (f"{flags[0]}=sentinel://h:6379/0", f"{flags[1]}={shown}") == found.lines[:2]
    assert ("SENTINEL MASTERS" in found.lines[-1]) == (len(names) > 1)


def test_other_servers_may_be_replicas() -> None:
    """A replica that is only monitored is no problem."""
    assert [] == findings({"role": "slave"}, name="cache")


def test_results_may_be_evicted() -> None:
    """Eviction is reported as a problem for brokers only."""
    assert [] == findings({"maxmemory_policy": "allkeys-lru"}, name="results")


@pytest.mark.parametrize("field", ["rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"])
@pytest.mark.parametrize("name", ["broker", "results"])
def test_a_failed_save_fails(field: str, name: str) -> None:
    """A server that can't save fails the check, whether CONFIG is allowed or not."""
    (found,) = findings({field: "err", "aof_enabled": "1"}, name=name)
    assert ("redis-persistence-failed", "fail") == (found.code, found.level)
    assert "look into Redis's log" in found.lines[0]


def test_a_buffer_line_is_quoted_for_the_shell() -> None:
    """A value of several words is quoted as one argument."""
    (found,) = findings({}, {"client-output-buffer-limit": "normal 0 0 0 pubsub 1048576 524288 60"})
    assert "redis-buffers" == found.code
    assert "CONFIG SET client-output-buffer-limit 'pubsub 33554432 8388608 60'" in found.lines[0]
