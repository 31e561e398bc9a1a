# SPDX-License-Identifier: Apache-2.0
"""From a killed worker to the notification, with real programs only."""

import signal
from collections.abc import Iterator

import pytest

from celery_redis_exporter.alerts import GROUPS
from tests.integration import alertmanager_server
from tests.integration.alert_stack import Stack, start_stack
from tests.integration.suite_programs import either_program
from tests.support.waiting import NEVER, eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

MEGABYTE = 1024 * 1024
LIMIT = 32 * MEGABYTE
VALUE = b"x" * (MEGABYTE // 4)
PROGRAMS = [("prometheus", alertmanager_server.program()), ("prometheus-3", "alertmanager-0.33")]
"""Prometheus and Alertmanager: the system's versions, and the newest versions of both."""


@pytest.fixture(scope="module", params=PROGRAMS, ids=["the system's", "the newest"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield one stack for all tests of this file."""
    yield from start_stack(tmp_path_factory.mktemp("alerts"), *map(either_program, request.param))


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """Yield the healthy stack, and check that the test leaves it healthy."""
    running.begin()
    yield running
    running.settle()


def executed(stack: Stack, task: str, state: str = "success") -> float:
    """Return the number of executions in Prometheus."""
    return stack.prometheus.value(f'sum(celery_tasks_total{{task="{task}", state="{state}"}})') or 0


def fill(stack: Stack, share: float) -> None:
    """Write or delete real keys until Redis uses this share of its limit."""
    with stack.redis.client(db=1) as client:
        while client.info("memory")["used_memory"] < share * LIMIT:
            client.set(f"key-{client.dbsize()}", VALUE)
        while client.info("memory")["used_memory"] > (share + 0.02) * LIMIT:
            client.delete(f"key-{client.dbsize() - 1}")


def test_healthy_traffic_is_quiet(stack: Stack) -> None:
    """Several hundred executions that succeed on two workers cause no notification."""
    for number in range(300):
        stack.app.send_task("plain", (number,))
    eventually(lambda: executed(stack, "plain") == 300, 2 * NEVER)
    stack.let_pass(5)
    assert [] == stack.pages()


def test_a_killed_worker_pages_until_it_is_back(stack: Stack) -> None:
    """SIGKILL of a worker is notified once, with the worker's name, and its return is notified as resolved."""
    victim = stack.workers[0]
    victim.process.kill()
    page = stack.page("CeleryWorkerDown")
    assert [victim.name] == [labels["worker"] for labels in page.labels]
    stack.workers[0] = stack.start_worker("w1")
    assert [victim.name] == [labels["worker"] for labels in stack.page("CeleryWorkerDown", "resolved").labels]
    assert ["CeleryWorkerDown"] == stack.names()


def test_a_stopped_worker_does_not_page(stack: Stack) -> None:
    """SIGTERM of a worker, as in a deployment, causes no notification."""
    leaving = stack.workers[0]
    leaving.process.signal(signal.SIGTERM)
    eventually(lambda: stack.prometheus.value('celery_workers{state="offline"}') == 1)
    assert stack.prometheus.value(f'celery_worker_up{{worker="{leaving.name}"}}') is None
    stack.let_pass(10)
    assert [] == stack.pages()
    leaving.process.end()
    stack.workers[0] = stack.start_worker("w1")


def test_all_workers_gone_is_one_page(stack: Stack) -> None:
    """When all workers are killed and queues fill up, one alert is sent, and dependent alerts are inhibited."""
    for worker in stack.workers:
        worker.process.kill()
    stack.page("CeleryNoWorkersOnline")
    for number in range(150):
        stack.app.send_task("plain", (number,))
    eventually(lambda: "CeleryQueueLong" in stack.alerts("firing"))
    eventually(lambda: stack.alertmanager.states().get("CeleryQueueLong") == {"suppressed"})
    stack.let_pass(2)
    assert ["CeleryNoWorkersOnline"] == stack.names()
    stack.redis.command("DEL", "celery")
    eventually(lambda: stack.alerts() == {"CeleryNoWorkersOnline"}, 2 * NEVER)
    stack.workers[:] = stack.start_workers()
    stack.page("CeleryNoWorkersOnline", "resolved")
    assert ["CeleryNoWorkersOnline"] == stack.names()


def test_failures_page_and_a_single_one_does_not(stack: Stack) -> None:
    """When 30 % of a task's executions fail, one alert is sent, and a single failure of another task sends none."""
    stack.app.send_task("counted", ("not a number",))
    for number in range(100):
        stack.app.send_task("measured", ("not a number" if number % 10 < 3 else number,))
    page = stack.page("CeleryTaskFailureRateCritical")
    assert (30, 70) == (executed(stack, "measured", "failure"), executed(stack, "measured"))
    assert ["measured"] == [labels["task"] for labels in page.labels]
    assert 1 == executed(stack, "counted", "failure")
    stack.page("CeleryTaskFailureRateCritical", "resolved", within=90)  # 30 s after the last failure, and 4 s
    stack.let_pass(2)
    # That of all tasks is inhibited until this one is resolved, which waits until the other one has ended.
    assert ["CeleryTaskFailureRateCritical"] == stack.names()


def test_redis_filling_up_warns_and_then_pages(stack: Stack) -> None:
    """A warning is sent above 75 % of maxmemory, a page above 90 % inhibits it, and each resolves by itself."""
    stack.redis.command("CONFIG", "SET", "maxmemory", LIMIT)
    fill(stack, 0.78)
    stack.page("RedisMemoryHigh")
    assert ["RedisMemoryHigh"] == stack.names()
    fill(stack, 0.92)
    stack.page("RedisMemoryCritical")
    eventually(lambda: stack.alertmanager.states().get("RedisMemoryHigh") == {"suppressed"})
    stack.let_pass(2)
    assert ["RedisMemoryHigh", "RedisMemoryCritical"] == stack.names()
    fill(stack, 0.8)
    stack.page("RedisMemoryCritical", "resolved")
    stack.redis.command("FLUSHDB", db=1)
    stack.redis.command("CONFIG", "SET", "maxmemory", 0)
    stack.page("RedisMemoryHigh", "resolved")
    assert ["RedisMemoryHigh", "RedisMemoryCritical"] == stack.names()


def test_redis_stopped_is_one_page(stack: Stack) -> None:
    """When Redis stops, one alert is sent, and none follows when it returns."""
    stack.redis.stop()
    stack.page("RedisDown")
    stack.let_pass(3)
    stack.redis.start()
    stack.page("RedisDown", "resolved")
    stack.settle()
    assert ["RedisDown"] == stack.names()


def test_every_rule_is_healthy(stack: Stack) -> None:
    """Prometheus evaluates every bundled rule without an error, on series of real programs."""
    rules = stack.prometheus.rules()
    assert [] == [rule["name"] for rule in rules if rule["health"] != "ok" or "lastError" in rule]
    assert sum(len(group.recordings) + len(group.alerts) for group in GROUPS) == len(rules)


def test_the_exporter_stopped_is_one_page(stack: Stack) -> None:
    """When the exporter stops, one alert is sent, and no other while the exporter stays down."""
    stack.exporter.process.end()
    stack.page("CeleryExporterDown")
    stack.let_pass(8)
    stack.exporter = stack.start_exporter()
    stack.page("CeleryExporterDown", "resolved")
    assert ["CeleryExporterDown"] == stack.names()
