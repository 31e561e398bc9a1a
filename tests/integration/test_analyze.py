# SPDX-License-Identifier: Apache-2.0
"""``analyze`` on a real server: its report, compared with the written keys, and the commands that it sends."""

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.conftest import Programs
from tests.integration.processes import Process, free_port
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

SENT = {
    "client|setname", "info", "config|get", "scan", "smembers", "llen", "scard", "memory|usage", "pttl", "type",
    "select",
}  # fmt: skip
"""Every command that ``analyze`` may send."""
KEYS = 3000


@pytest.fixture
def filled(programs: Programs) -> RedisServer:
    """Return a broker with results, half of them without a time to live, messages, and a big key in database 3."""
    server = programs.redis(options=("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"))
    programs.publisher(server).send_task("kept", queue="orders")
    with server.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(KEYS):
            pipe.set(
                f"celery-task-meta-{number:08x}-0000-4000-8000-000000000000", "x" * 300, ex=None if number % 2 else 900
            )
            pipe.hset(f"user:{number}:profile", "a", number)
        pipe.execute()
    server.command("SET", "big", "x" * 2_000_000, db=3)
    return server


def analyze(programs: Programs, *arguments: str) -> Process:
    """Run ``analyze`` until it ends."""
    process = programs.run(sys.executable, "-m", "celery_redis_exporter", "analyze", *arguments)
    process.ended(60)
    return process


def report(process: Process) -> dict[str, Any]:
    """Return the JSON document that it wrote."""
    (found,) = json.loads(process.output())
    return dict(found)


def test_every_key_is_counted(programs: Programs, filled: RedisServer) -> None:
    """A complete pass reports exact counts, the server's own sizes, types, and shares without a time to live."""
    found = report(analyze(programs, filled.url(), "--json", "--duty=1"))
    first, second = found["databases"]
    assert [first["db"], second["db"]] == [0, 3]
    assert first["keys"] == first["keys_looked_at"] == filled.command("DBSIZE")
    groups = {group["group"]: group for group in first["groups"]}
    with filled.client() as client, client.pipeline(transaction=False) as sizes:
        for key in client.keys("celery-task-meta-*"):  # on Valkey 9 keys with a time to live take more
            sizes.memory_usage(key, samples=5)
        size = sum(sizes.execute())
    results = groups["celery-task-meta"]
    assert (KEYS, size, "string", 0.5) == tuple(results[name] for name in ("keys", "bytes", "type", "without_ttl"))
    assert (KEYS, "hash", 1) == tuple(groups["user:*:profile"][name] for name in ("keys", "type", "without_ttl"))
    assert {"orders": 1} == found["queues"]
    assert ("list", 1) == (groups["orders"]["type"], groups["orders"]["keys"])
    (big,) = second["groups"]
    assert [{"name": "big", "bytes": filled.command("MEMORY", "USAGE", "big", db=3)}] == big["largest"]
    advice = {(item["severity"], item["subject"]) for item in found["advice"]}
    assert {("critical", "eviction"), ("warning", "db0 celery-task-meta"), ("warning", "persistence")} == advice


def test_part_of_the_keys_is_enough_for_an_estimate(programs: Programs, filled: RedisServer) -> None:
    """With a key budget the counts are estimates with a stated error, and they are within it."""
    found = report(analyze(programs, filled.url(), "--json", "--duty=1", "--db=0", "--max-keys=1500"))
    (database,) = found["databases"]
    assert 1500 <= database["keys_looked_at"] < 2500
    for group in database["groups"]:
        if group["group"] in {"celery-task-meta", "user:*:profile"}:
            assert 0 < group["keys_error"] < 0.2
            assert abs(group["keys"] - KEYS) <= 1.6 * group["keys_error"] * KEYS, "beyond 99.8 of 100 cases"


def test_it_only_reads(programs: Programs, filled: RedisServer) -> None:
    """Only documented commands are sent, and none of them writes."""
    filled.command("CONFIG", "RESETSTAT")
    process = analyze(programs, filled.url(), "--duty=1")
    assert "celery-task-meta" in process.output()
    stats = filled.command("INFO", "commandstats")
    own = {"config|resetstat", "client|setinfo", "ping", "command|docs"}
    assert {name.removeprefix("cmdstat_") for name in stats} - own <= SENT


def test_text_fits_a_pipe(programs: Programs, filled: RedisServer) -> None:
    """Without a terminal the output starts with the expected duration, and has no colour and no progress bar."""
    text = analyze(programs, filled.url(), "--duty=1").output()
    first = re.fullmatch(r"db0: ([\d,]+) keys to look at, about \d+ s with --duty=1", text.splitlines()[0])
    assert first is not None, text
    assert filled.command("DBSIZE") == int(first[1].replace(",", ""))
    assert "group" in text
    assert "CRITICAL  eviction: maxmemory-policy is allkeys-lru on a broker" in text
    assert "do:  CONFIG SET maxmemory-policy noeviction" in text
    assert "\033" not in text
    assert "\r" not in text


ODD = b'celery-task-meta-it\'s "a\\b" & \xff'
"""A name that a shell, sed and redis-cli must all leave unchanged."""


def leftovers(server: RedisServer, db: int) -> None:
    """Write results and replies that no client reads, and reply queues of clients that have gone."""
    with server.client(db) as client:
        for number in range(60):
            client.set(f"celery-task-meta-{number}", "x")
            client.lpush(f"{number}.reply.celery.pidbox", "x")
            client.sadd("_kombu.binding.reply.celery.pidbox", f"{number}")
        client.set(ODD, "x")
        client.lpush("celery", "waits")
        client.lpush("celery it's.reply.celery.pidbox", "x")


def contents(server: RedisServer, db: int) -> dict[bytes, bool]:
    """Return the keys of a database, and for each whether it has a time to live."""
    with server.client(db) as client:
        return {name: client.ttl(name) > 0 for name in client.scan_iter()}


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_printed_commands_change_the_analyzed_database_alone(programs: Programs, way: str) -> None:
    """Each printed command, run unchanged by a shell, changes only the database for which it was printed."""
    analyzed, other = programs.redis(password="analyzed-PASSWORD", unix=way == "unix"), programs.redis()
    for server, db in ((analyzed, 1), (analyzed, 0), (other, 1), (other, 0)):
        leftovers(server, db)
    before = contents(other, 0)
    text = analyze(programs, analyzed.url(1), "--duty=1", "--db=1").output()
    assert "PASSWORD" not in text
    assert 3 == text.count("REDISCLI_AUTH")
    commands = re.findall(r"^ +run: (.*)$", text, re.MULTILINE)
    assert 3 == len(commands)
    for command in commands:
        subprocess.run(
            ["sh", "-ec", command], env=os.environ | {"REDISCLI_AUTH": "analyzed-PASSWORD"}, check=True, timeout=30
        )
    assert {b"celery": False, ODD: True} | {b"celery-task-meta-%d" % number: True for number in range(60)} == contents(
        analyzed, 1
    )
    assert [before] * 3 == [contents(other, 0), contents(other, 1), contents(analyzed, 0)]


def test_all_servers_of_the_settings(programs: Programs, filled: RedisServer) -> None:
    """Without a URL every server of the settings is analyzed, and one that is down only changes the exit code."""
    servers = json.dumps({"away": {"url": f"redis://:away-PASSWORD@127.0.0.1:{free_port()}"}})
    process = analyze(programs, "--broker-url", filled.url(), "--redis.servers", servers, "--duty=1")
    assert process.ended() == 1
    assert "celery-task-meta" in process.output()
    assert "refused" in process.output()
    assert "PASSWORD" not in process.output()


def test_an_interrupt_reports_what_was_seen(programs: Programs, filled: RedisServer) -> None:
    """Ctrl-C ends the pass, and the keys so far are reported."""
    process = programs.run(
        sys.executable,
        "-m",
        "celery_redis_exporter",
        "analyze",
        filled.url(),
        "--duty=0.001",
        "--db=0",
        "--no-progress",
    )
    stats = "cmdstat_memory|usage"
    eventually(lambda: filled.command("INFO", "commandstats").get(stats, {"calls": 0})["calls"] > 100)
    process.signal(signal.SIGINT)
    assert process.ended(20) == 0
    assert "interrupted" in process.output()
    assert "looked at" in process.output()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duty=2",), "must be above 0 and at most 1, not '2'"),
        (("--max-keys=some",), "must be a whole number above 0, not 'some'"),
        (("--db=a",), "must be numbers with commas between"),
        (("redis:/x",), "must be a URL such as"),
        (("amqp://rabbit",), "there is no Redis server to look at"),
        (("redis://h", "--depth=3"), "unknown flag --depth"),
    ],
)
def test_what_can_not_be_used(programs: Programs, arguments: tuple[str, ...], message: str) -> None:
    """Invalid arguments end with one line that states what is wrong."""
    process = analyze(programs, *arguments)
    assert process.ended() == 2
    assert message in process.output()
    assert 1 == len(process.output().splitlines())
