# SPDX-License-Identifier: Apache-2.0
"""Advice: reported if its facts are known, and not otherwise."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from celery_redis_exporter.analysis.advice import SEVERITIES, advise
from celery_redis_exporter.analysis.facts import BigKey, DatabaseFacts, GroupFacts, ServerFacts
from celery_redis_exporter.analysis.redis_cli import RedisCli

GB, MB = 2**30, 2**20
WELL = {
    "maxmemory": f"{GB}", "used_memory": f"{200 * MB}", "used_memory_rss": f"{210 * MB}",
    "maxmemory_policy": "noeviction", "mem_fragmentation_ratio": "1.05", "mem_allocator": "jemalloc-5.3.0",
    "evicted_keys": "0", "aof_enabled": "1", "rdb_last_bgsave_status": "ok",
    "client_output_buffer_limit_disconnections": "0",
}  # fmt: skip
CONFIG = {"save": "", "client-output-buffer-limit": "normal 0 0 0 slave 0 0 0 pubsub 33554432 8388608 60"}


def server(
    info: Mapping[str, str] | None = None, config: Mapping[str, str] | None = CONFIG, *groups: GroupFacts
) -> ServerFacts:
    """Return a healthy broker with these changes."""
    database = DatabaseFacts(0, 10, 10, groups)
    return ServerFacts("redis://h", {**WELL, **(info or {})}, config, (database,), {"celery": 3})


def group(name: str, keys: int = 10, size: int = 1000, without_ttl: float | None = 0, biggest: int = 0) -> GroupFacts:
    """Return a group of keys."""
    largest = (BigKey("k", biggest),) if biggest else ()
    return GroupFacts(name, "string", keys, 0, size, 0, without_ttl, largest)


def test_a_server_that_is_well_needs_no_advice() -> None:
    """A healthy server gets no advice, however many keys it has."""
    groups = (
        group("celery-task-meta"),
        group("_kombu.binding"),
        group("celery", 1, 50_000, 1),
        group("user:*", 9, 0, 1),
    )
    assert [] == advise(server(None, CONFIG, *groups))


@pytest.mark.parametrize(
    ("facts", "severity", "subject", "cure"),
    [
        (server({"maxmemory_policy": "allkeys-lru"}), "critical", "eviction", "CONFIG SET maxmemory-policy noeviction"),
        (server({"evicted_keys": "7"}), "critical", "eviction", "raise maxmemory"),
        (server({"maxmemory": "0", "total_system_memory": f"{8 * GB}"}), "warning", "maxmemory", "maxmemory 6144mb"),
        (server({"used_memory": f"{int(0.8 * GB)}"}), "warning", "maxmemory", "CONFIG SET maxmemory 1536mb"),
        (server({"used_memory": f"{int(0.95 * GB)}"}), "critical", "maxmemory", "CONFIG SET maxmemory 1536mb"),
        (server({"used_memory": f"{2 * GB}"}), "critical", "maxmemory", "CONFIG SET maxmemory 3072mb"),
        (server({"maxmemory": f"{MB}", "used_memory": f"{MB + 10}"}), "critical", "maxmemory", "SET maxmemory 2mb"),
        (server({"aof_enabled": "0"}), "warning", "persistence", "CONFIG SET appendonly yes"),
        (server({"rdb_last_bgsave_status": "err"}), "critical", "persistence", "look into Redis's log"),
        (server({"aof_last_write_status": "err"}), "critical", "persistence", "look into Redis's log"),
        (server({"aof_last_bgrewrite_status": "err"}), "critical", "persistence", "Then run BGREWRITEAOF"),
        (server({"mem_fragmentation_ratio": "1.8"}), "warning", "fragmentation", "activedefrag yes"),
        (server({"mem_fragmentation_ratio": "1.8", "mem_allocator": "libc"}), "warning", "fragmentation", "PURGE now"),
        (server({"client_output_buffer_limit_disconnections": "2"}), "warning", "client-output-buffer-limit",
         '"pubsub 134217728 33554432 60"'),
        (server(None, {"client-output-buffer-limit": "pubsub 1048576 0 0"}), "note", "client-output-buffer-limit",
         '"pubsub 33554432 8388608 60"'),
        (server(None, {"client-output-buffer-limit": "pubsub 0 0 0"}), "note", "client-output-buffer-limit", "CONFIG"),
        (server(None, CONFIG, group("celery-task-meta", 100, 1000, 0.5)), "warning", "db0 celery-task-meta",
         "result_expires = 86400"),
        (server(None, CONFIG, group("celery-task-meta", 10, 200_000)), "warning", "db0 celery-task-meta",
         "ignore_result"),
        (server(None, CONFIG, group("celery-task-meta", 10, 1000, 0, 2 * MB)), "warning", "db0 celery-task-meta",
         "ignore_result"),
        (server(None, CONFIG, group("celery", 1, MB, 1)), "warning", "db0 celery", "pass references"),
        (server(None, CONFIG, group("*.reply.celery.pidbox", 5, 1000, 1)), "warning", "db0 *.reply.celery.pidbox",
         "longer timeout"),
        (server(None, CONFIG, group("unacked", 1, 20 * MB, 1)), "note", "db0 unacked", "worker_prefetch_multiplier"),
        (replace(server(), databases=(DatabaseFacts(2, 1, 1, (), 51, "p:bound"),)), "warning", "db2 p:bound",
         "when no inspect"),
    ],
)  # fmt: skip
def test_advice(facts: ServerFacts, severity: str, subject: str, cure: str) -> None:
    """Each problem is found separately, with what to do about it."""
    (advice,) = advise(facts)
    assert (severity, subject) == advice[:2]
    assert cure in advice.cure
    assert all(advice[:-1])
    assert not advice.command, "it is not known how to reach the server"


def test_policies_are_a_brokers_concern() -> None:
    """A cache may evict and need not be saved; evictions are worth a note."""
    cache = replace(server({"maxmemory_policy": "allkeys-lru", "aof_enabled": "0", "evicted_keys": "1"}), queues={})
    assert ["note"] == [advice.severity for advice in advise(cache)]


def test_a_cache_is_meant_to_be_full() -> None:
    """A full server that may evict is no problem, unless it is the broker or stores results."""
    full = server({"maxmemory_policy": "allkeys-lru", "used_memory": f"{GB}"})
    assert [] == [advice.subject for advice in advise(replace(full, queues={}))]
    for facts in (full, replace(full, queues={}, keeps_results=True)):
        assert "maxmemory" in [advice.subject for advice in advise(facts)]


@pytest.mark.parametrize(
    ("changes", "refuses"),
    [
        ({"used_memory": f"{GB + 1}"}, True),
        ({"used_memory": f"{GB + 1}", "mem_not_counted_for_evict": "2"}, False),
        ({"used_memory": f"{GB + 1}", "maxmemory_policy": "allkeys-lru"}, False),
        ({"used_memory": f"{GB + 1}", "role": "slave"}, False),
        ({"maxmemory": "0"}, False),
        ({}, False),
    ],
)
def test_writes_are_refused_as_redis_refuses_them(changes: dict[str, str], *, refuses: bool) -> None:
    """Writes are refused over the limit with noeviction, without counting buffers, and never by a replica."""
    found = advise(server(changes))
    assert refuses == any("publishing is refused now" in advice.finding for advice in found)


@pytest.mark.parametrize(
    ("config", "effect"),
    [
        ({"save": "3600 1", "stop-writes-on-bgsave-error": "yes"}, ", and writes are refused"),
        ({"save": "3600 1", "stop-writes-on-bgsave-error": "no"}, ""),
        ({"save": "", "stop-writes-on-bgsave-error": "yes"}, ""),
        ({"save": "3600 1"}, ", and writes may be refused"),
        (None, ", and writes may be refused"),
    ],
)
def test_a_failed_dump_stops_writes_as_redis_is_set(config: dict[str, str] | None, effect: str) -> None:
    """A failed dump is reported without CONFIG, too, and writes are refused only if Redis has times to save at."""
    for queues in ({"celery": 0}, {}):
        (advice,) = advise(replace(server({"rdb_last_bgsave_status": "err"}, config), queues=queues))
        assert f"the last dump failed{effect}" == advice.finding


def test_an_append_only_file_that_is_off_is_not_written() -> None:
    """A write that failed before the append-only file was switched off refuses nothing."""
    assert [] == advise(server({"aof_last_write_status": "err", "aof_enabled": "0"}, {"save": "1 1"}))


def test_what_is_not_known_is_not_advised() -> None:
    """Without permission for CONFIG there is no advice about its settings, and without sizes none about sizes."""
    facts = server({"aof_enabled": "0"}, None, GroupFacts("celery-task-meta", None, 9, 0, None, None, None, ()))
    assert [] == advise(facts)


def test_the_most_severe_comes_first() -> None:
    """The most severe advice comes first."""
    facts = server(
        {"maxmemory": "0", "maxmemory_policy": "volatile-ttl"}, {"client-output-buffer-limit": "pubsub 0 0 0"}
    )
    assert list(SEVERITIES) == [advice.severity for advice in advise(facts)]


CLI = RedisCli(("redis-cli", "-h", "h", "-p", "7000"), has_password=True)


@pytest.mark.parametrize(("version", "expire"), [("7.0.15", "86400 NX"), ("10.2.0", "86400 NX"), ("6.2.14", "86400")])
def test_results_expire_by_one_process(version: str, expire: str) -> None:
    """One redis-cli reads the commands for any number of results; only results without a time to live get one."""
    facts = server({"redis_version": version}, CONFIG, group("celery-task-meta", 10, 1000, 1))
    (advice,) = advise(replace(facts, cli=CLI))
    reach = "redis-cli -h h -p 7000 -n 0"
    quoted = f"""LC_ALL=C sed 's/[\\\\"]/\\\\&/g; s/.*/EXPIRE "&" {expire}/'"""
    assert f"{reach} --scan --pattern '*celery-task-meta-*' | {quoted} | {reach} | sort | uniq -c" == advice.command
    assert "REDISCLI_AUTH" in advice.cure


def test_replies_are_removed_many_at_once() -> None:
    """The command has the address and the database of the facts, and the names are appended to it."""
    facts = server({"redis_version": "6.2.14"}, CONFIG, group("*.reply.celery.pidbox", 10, 1000, 1))
    (advice,) = advise(replace(facts, cli=CLI))
    reach = "redis-cli -h h -p 7000 -n 0"
    sent = f"tr '\\n' '\\0' | xargs -0 -r {reach} UNLINK"
    assert f"{reach} --scan --pattern '*.reply.celery.pidbox' | {sent}" == advice.command
    assert "REDISCLI_AUTH" in advice.cure


@pytest.mark.parametrize(
    ("days", "keys", "expected"), [(30, 10, True), (1, 10, False), (30, 1, False), (40_000, 10, False)]
)
def test_results_that_are_kept_long(days: int, keys: int, *, expected: bool) -> None:
    """Results that live for weeks are worth a note, if the database's mean time to live is that of results."""
    facts = server(
        {"db0": f"keys=12,expires=12,avg_ttl={days * 86_400_000}"}, CONFIG, group("celery-task-meta", keys, 9, 0)
    )
    facts = replace(facts, databases=(replace(facts.databases[0], total=12),))
    found = [advice.finding for advice in advise(facts)]
    assert expected == any("results live for 30 days more" in finding for finding in found)


def test_bindings_are_removed_where_they_are() -> None:
    """The command has the database and the key with its prefix; a password is only mentioned if one is needed."""
    cli = RedisCli(("redis-cli", "-s", "/redis.sock"), has_password=False)
    database = DatabaseFacts(2, 1, 1, (), 51, "p:bound")
    (advice,) = advise(replace(server(), databases=(database,), cli=cli))
    assert "redis-cli -s /redis.sock -n 2 UNLINK p:bound" == advice.command
    assert "REDISCLI_AUTH" not in advice.cure
