# SPDX-License-Identifier: Apache-2.0
"""The key groups of a real server: estimates compared with the true numbers, and their cost for the server."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from celery_redis_exporter.catalog import key_space as rows
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.collectors.key_space import KeySamplingOptions, KeySpace
from celery_redis_exporter.collectors.key_sweep import KeyNames
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.key_space import KeySpaceReader
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint
from tests.integration.acl import KEY_SPACE_COMMANDS, KEY_SPACE_RIGHTS, START, USER
from tests.integration.celery_workers import WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.key_loads import Truth, load, mixture, truths
from tests.integration.redis_servers import RedisServer
from tests.support.lab import Lab
from tests.support.options import celery_names, key_budget
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

KEYS = 1_000_000
MESSAGES = 50_000
SHARE = 0.01
CLOSE = 0.05
NAMES_UNTIL_CLOSE = 600_000
"""Thirty cycles. For five loads estimates stayed close after 3 to 11 of them."""
SLOW_US = 2000
GROUP_COUNT = "redis_key_group_count"
OUR_REPLIES = "celery-redis-exporter.*"
"""The keys in which workers reply to the exporter's control commands."""
NAMES = KeyNames(
    celery_names(queues={"orders": "orders"}), {"market": ("market:*",)}, ("orders", "orders\x06\x163", "unacked")
)
Truths = dict[str, Truth]


class Sampler:
    """The sampler of a server's database 0 as the exporter builds it. Its cycles run one after another."""

    def __init__(self, url: str, **budget: Any) -> None:  # noqa: ANN401 -- the fields of KeyBudget
        clock = SystemClock()
        reader = KeySpaceReader(Session(Endpoint(url, timeout=5), clock), clock, 5, select=False)
        options = KeySamplingOptions({0: lambda: NAMES}, 60, key_budget(**({"duty": 1.0} | budget)), 50)
        self.key_space = KeySpace("broker", reader, options, Lab().store, clock)
        self._stop = threading.Event()

    def cycle(self) -> str:
        """Run a cycle. Return the reason of its end."""
        return self.key_space.cycle(self._stop)

    def sweep(self) -> None:
        """Run cycles until the sweep ends. Each may end early because the server was slow for a moment."""
        while self.cycle() != "complete":
            pass

    def values(self, metric: object) -> dict[str, Any]:
        """Return the samples of a metric by their last label."""
        return {sample.labels[-1]: sample.value for sample in self.key_space.samples() if sample.metric is metric}

    def is_close(self, truth: Truths) -> bool:
        """Return whether the estimates of each group with a share of 1 % are within 5 % of the true numbers."""
        return not self.far_off(truth)

    def far_off(self, truth: Truths) -> dict[str, tuple[float, float]]:
        """Return the groups above 1 % that are not within 5 %, with the ratios of count and memory to the truth."""
        keys, memory = (sum(getattr(each, field) for each in truth.values()) for field in ("keys", "memory"))
        counts, sizes = self.values(rows.GROUP_COUNT), self.values(rows.GROUP_MEMORY)
        far = {}
        for group, each in truth.items():
            count = counts.get(group, 0) / each.keys if each.keys > SHARE * keys else 1.0
            size = sizes.get(group, 0) / each.memory if each.memory > SHARE * memory else 1.0
            if abs(count - 1) > CLOSE or abs(size - 1) > CLOSE:
                far[group] = (count, size)
        return far


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, Truths]]:
    """Yield a server with a million keys and a long queue, and the true numbers of each group."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("full"), ending)
        server = programs.redis(options=("--slowlog-log-slower-than", str(SLOW_US)))
        truth = truths(server, load(server, mixture(KEYS)))
        with server.client() as client:
            for _ in range(10):
                client.lpush("orders", *[f"{number:0500}" for number in range(MESSAGES // 10)])
            truth["orders"] = Truth(1, client.memory_usage("orders", samples=0), 1.0)
        yield server, truth


def test_estimates_are_close_long_before_a_full_sweep(full: tuple[RedisServer, Truths]) -> None:
    """Before a full sweep each group above 1 % of keys or memory is within 5 % of its true numbers, and stays so."""
    server, truth = full
    sampler = Sampler(server.url(), busy=60, wall=60)  # other programs may take CPU time: only names count
    eventually(lambda: sampler.cycle() == "keys")
    assert 1 == sampler.values(rows.GROUP_COUNT)["orders"]
    assert truth["orders"].memory == pytest.approx(sampler.values(rows.GROUP_MEMORY)["orders"], rel=0.01)
    while not sampler.is_close(truth):
        (scanned,) = sampler.values(rows.KEYS_SCANNED).values()
        assert scanned < NAMES_UNTIL_CLOSE, sampler.far_off(truth)
        sampler.cycle()
    assert sampler.values(rows.COVERAGE)["db0"] < 0.7
    sampler.sweep()
    assert {group: each.keys for group, each in truth.items()} == sampler.values(rows.GROUP_COUNT)
    assert {} == sampler.far_off(truth)
    shares = sampler.values(rows.GROUP_WITHOUT_TTL)
    assert {group: pytest.approx(each.without_ttl, abs=0.12) for group, each in truth.items()} == shares
    for _ in range(5):
        sampler.cycle()
        assert {} == sampler.far_off(truth)


def test_no_command_takes_the_server_long(full: tuple[RedisServer, Truths]) -> None:
    """In a whole sweep no command takes the server 2 ms, and the stated busy time is at least that of the commands."""
    server, _ = full

    def averages() -> list[float]:
        """Sweep once. Return the average time of each kind of command."""
        server.command("CONFIG", "RESETSTAT")
        server.command("SLOWLOG", "RESET")
        sampler = Sampler(server.url())
        sampler.sweep()
        slow = [entry[3] for entry in server.command("SLOWLOG", "GET", 128)]
        used = server.command("INFO", "commandstats")
        ours = [used[f"cmdstat_{name}"] for name in ("scan", "memory|usage", "pttl")]
        (busy,) = sampler.values(rows.BUSY).values()
        assert sum(each["usec"] for each in ours) / 1e6 < busy
        assert [] == [words for words in slow if is_slow(server, words)]
        return [each["usec_per_call"] for each in ours]

    # A command that waits for a CPU takes longer by the server's clock, but not in every sweep.
    assert any(max(averages()) < SLOW_US / 2 for _ in range(5))


def is_slow(server: RedisServer, words: list[bytes]) -> bool:
    """Return whether a command is slow each time. Another program may have used the CPU the first time."""
    server.command("SLOWLOG", "RESET")
    for _ in range(5):
        server.command(*words)
    return len([entry for entry in server.command("SLOWLOG", "GET", 128) if entry[3] == words]) == 5


def test_a_cycle_keeps_to_its_duty(full: tuple[RedisServer, Truths]) -> None:
    """With the default duty the server is busy for at most a fiftieth of a cycle."""
    server, _ = full

    def is_kept() -> bool:
        sampler = Sampler(server.url(), duty=0.02, names=5000)
        outcome = sampler.cycle()
        (busy,), (spent,) = sampler.values(rows.BUSY).values(), sampler.values(rows.SCRAPE_DURATION).values()
        return outcome == "keys" and busy < 0.04 * spent / 1000

    # Not in every cycle: no pause follows the last batch, which may have waited for a CPU.
    assert any(is_kept() for _ in range(20))


def test_nothing_but_the_documented_commands_is_sent(programs: Programs) -> None:
    """In two sweeps only documented commands are sent."""
    server = programs.redis()
    load(server, mixture(2000))
    server.command("CONFIG", "RESETSTAT")
    sampler = Sampler(server.url())
    for _ in range(2):
        sampler.sweep()
    sent = {name.removeprefix("cmdstat_") for name in server.command("INFO", "commandstats")}
    assert KEY_SPACE_COMMANDS == sent - {"config|resetstat", "client|setinfo"} | {"info"}


def test_the_rights_are_enough_and_sizes_need_one(programs: Programs) -> None:
    """The documented permissions are enough, and without MEMORY only sizes are missing and one denial is logged."""
    server = programs.redis()
    load(server, mixture(1000))
    url = server.url(user=USER, password="PASSWORD")
    server.command("ACL", "SETUSER", USER, *START, *KEY_SPACE_RIGHTS)
    sampler = Sampler(url)
    sampler.sweep()
    assert [] == server.command("ACL", "LOG")
    memory = sampler.values(rows.GROUP_MEMORY)
    assert memory.keys() == sampler.values(rows.GROUP_COUNT).keys()
    server.command("ACL", "SETUSER", USER, "-memory|usage")
    sampler = Sampler(url)
    sampler.sweep()
    assert 500 == sampler.values(rows.GROUP_COUNT)["celery-task-meta"]
    assert {} == sampler.values(rows.GROUP_MEMORY)
    assert sampler.values(rows.GROUP_WITHOUT_TTL)["market"] == 1
    sampler.cycle()
    sampler.cycle()
    assert [(b"memory|usage", 1)] == [(entry[7], entry[1]) for entry in server.command("ACL", "LOG")]


def test_without_scan_the_collector_fails_for_a_reason(programs: Programs) -> None:
    """Without SCAN no key groups are shown, the collector logs it once, and everything else works."""
    server = programs.redis()
    server.command("ACL", "SETUSER", USER, *START, "%R~*", "allchannels", "+@all", "-scan")
    url = server.url(user=USER, password="PASSWORD")
    with pytest.raises(SourceError) as raised:
        Sampler(url).cycle()
    assert "noperm" == raised.value.reason
    exporter = programs.exporter("--broker-url", url, "--redis.key-space.interval", "1s")
    eventually(exporter.hears)
    failed = {"collector": "key_space_broker"}
    eventually(lambda: exporter.value("celery_exporter_collector_success", **failed) == 0)
    cycles = "celery_exporter_key_space_cycles_total"
    eventually(lambda: (exporter.value(cycles, redis="broker", outcome="error") or 0) >= 2)
    assert 1 == len(
        [line for line in exporter.lines("supervisor.source_failed") if line["source"] == "key_space_broker"]
    )
    assert exporter.value("redis_up", redis="broker") == 1
    assert [] == exporter.labels(GROUP_COUNT)


def test_a_server_that_forks_is_left_alone(programs: Programs) -> None:
    """While a child process saves the data no keys are read, and afterwards sampling continues."""
    server = programs.redis(options=("--rdb-key-save-delay", "20000", "--save", ""))
    load(server, mixture(2000))
    sampler = Sampler(server.url())
    server.command("BGSAVE")
    assert "forking" == sampler.cycle()
    assert {} == sampler.values(rows.GROUP_COUNT)
    assert 1 == sampler.values(rows.CYCLES)["forking"]
    server.command("FLUSHALL")  # this also stops the child
    eventually(lambda: server.command("INFO", "persistence")["rdb_bgsave_in_progress"] == 0)
    eventually(lambda: sampler.cycle() == "complete")


def test_keys_of_a_real_application_land_in_their_groups(programs: Programs) -> None:
    """Queues with priorities, bindings, results, chords, replies and unacknowledged messages have separate groups."""
    server = programs.redis()
    exporter = programs.exporter(
        "--broker-url", server.url(), "--result-backend-url", server.url(db=1), "--redis.key-space.interval", "1s",
        "--redis.key-space.groups", "shop:*",
    )  # fmt: skip
    eventually(exporter.hears)
    settings = {"result_backend": server.url(db=1), "task_acks_late": True}
    programs.worker(server, options=WorkerOptions(settings=settings))
    app = programs.publisher(server, result_backend=server.url(db=1))
    for number in range(7):
        app.send_task("plain")
        server.command("SET", f"shop:{number}", "x")
    app.send_task("waiting", countdown=600)
    for priority in (0, 3, 3, 9):
        app.send_task("kept", queue="orders", priority=priority)
    server.command("RPUSH", "5c9b7d2e-8f11-4f0c-a2f3-0d6f0b0e7a11.reply.celery.pidbox", "late")

    def found() -> dict[tuple[str, str], float]:
        samples = exporter.metrics(GROUP_COUNT)
        return {(dict(labels)["db"], dict(labels)["key_group"]): value for (_, labels), value in samples.items()}

    expected = {
        ("db0", "orders"): 3, ("db0", "shop:*"): 7, ("db0", "unacked"): 1, ("db0", "unacked_index"): 1,
        ("db0", "*.reply.celery.pidbox"): 1, ("db1", "celery-task-meta"): 7,
    }  # fmt: skip
    eventually(lambda: expected.items() <= found().items())
    groups = {group for db, group in found() if db == "db0"}
    assert groups <= {group for _, group in expected} | {"_kombu.binding", "celery", "unacked_mutex", OUR_REPLIES}
    labels = {"redis": "broker", "db": "db1", "key_group": "celery-task-meta"}
    assert exporter.value("celery_exporter_key_group_without_ttl_ratio", **labels) == 0
    assert (exporter.value("redis_key_group_memory_usage_bytes", **labels) or 0) > 7 * 100


def test_one_heavy_key_is_no_group_of_heavy_keys(programs: Programs) -> None:
    """If only a part of 60,000 small keys and one of 10 MB is read, no estimate exceeds the server's used memory."""
    server = programs.redis()
    server.command("EVAL", "for i = 1, 60000 do redis.call('SET', 'user:' .. i, 'x') end", 0)
    server.command("EVAL", "redis.call('SET', 'bigz', string.rep('x', 10000000))", 0)
    flags = ("--redis.key-space.interval", "1s", "--redis.key-space.max-keys", "8000")
    exporter = programs.listening(server, *flags)
    heavy = {"redis": "broker", "db": "db0", "key_group": "bigz"}

    def is_seen() -> bool:
        samples = exporter.metrics()
        sizes = [value for (name, _), value in samples.items() if name == "redis_key_group_memory_usage_bytes"]
        used = samples["redis_memory_used_bytes", frozenset({("redis", "broker")})]
        assert sum(sizes) <= used * 1.05  # the limit is the used memory of the cycle, a moment earlier
        assert exporter.value("redis_key_group_count", **heavy) in {None, 1}
        return exporter.value("redis_key_group_memory_usage_bytes", **heavy) is not None

    eventually(is_seen)
    (status,) = json.loads(exporter.get("/api/v1/status").text)["redis"]
    errors = {group["name"]: (group["keys_error"], group["memory_error"]) for group in status["key_groups"]}
    assert (0, 0) == errors["bigz"]
    assert all(error is not None for pair in errors.values() for error in pair)
