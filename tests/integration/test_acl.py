# SPDX-License-Identifier: Apache-2.0
"""The permissions in the documentation are enough, and each of them is needed for the feature that is tested here."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.acl import ACL_LINE, COMMANDS, CONTROL_RIGHTS, RIGHTS, START, USER, rights_of_newer
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT
from tests.integration.redis_servers import RedisServer
from tests.integration.suite_programs import SERVERS, server_program
from tests.support.waiting import eventually

PAGE = ROOT / "deploy" / "docs" / "permissions-and-cost.md"
pytestmark = pytest.mark.servers

QUEUE = "orders"
STREAM = "celery_exporter_event_stream_up"

OF_QUEUE = {"redis": "broker", "db": "db0", "key_group": QUEUE}

LOSSES: dict[str, tuple[str, dict[str, str]]] = {
    "+client|list": ("celery_exporter_event_backlog_bytes", {}),
    "+client|id": ("celery_exporter_event_backlog_bytes", {}),
    "+slowlog|len": ("redis_slowlog_length", {"redis": "broker"}),
    "+slowlog|get": ("redis_slowlog_last_id", {"redis": "broker"}),
    "+latency|latest": ("redis_latency_spike_last", {"redis": "broker", "event_name": "command"}),
    "+config|get": ("redis_config_io_threads", {"redis": "broker"}),
    "+llen": ("celery_queue_length", {"queue": QUEUE}),
    "+lindex": ("celery_queue_oldest_message_age_seconds", {"queue": QUEUE}),
    "+hlen": ("celery_unacked_messages", {}),
    "+zrange": ("celery_unacked_oldest_age_seconds", {}),
    "+zcount": ("celery_unacked_overdue_messages", {}),
    "+scan": ("celery_reply_queues", {}),
    "+smembers": ("celery_queue_length", {"queue": "bound"}),
    "+memory|usage": ("redis_key_group_memory_usage_bytes", OF_QUEUE),
    "+pttl": ("celery_exporter_key_group_without_ttl_ratio", OF_QUEUE),
    "%R~*": ("celery_queue_length", {"queue": QUEUE}),
}
"""The metric that is missing without a permission. All other metrics are still there."""

STOPS: dict[str, Callable[[Exporter], bool]] = {
    "+info": lambda exporter: (
        exporter.value("redis_up", redis="broker") == 0
        and exporter.value("redis_exporter_last_scrape_error", redis="broker", err="noperm") == 1
        and exporter.value("redis_memory_used_bytes", redis="broker") is None
        and exporter.value("celery_queue_length", queue=QUEUE) == 1
    ),
    "+psubscribe": lambda exporter: (
        bool(exporter.value("celery_exporter_event_stream_reconnects_total", reason="noperm"))
        and exporter.value(STREAM) == 0
    ),
    "&/0.celeryev/*": lambda exporter: (
        bool(exporter.value("celery_exporter_event_stream_reconnects_total", reason="noperm"))
        and exporter.value(STREAM) == 0
    ),
}
"""The connection that is down without a permission."""

POLITENESS = {"+client|setname", "+ping"}
"""Permissions without which only a name in CLIENT LIST is missing, or the ACL log has entries."""


EACH_SERVER = [pytest.param(name, marks=[] if name == SERVERS[0] else [pytest.mark.slow]) for name in SERVERS]
"""The system's Redis and, in the slow matrix, the other available servers."""


@pytest.fixture(scope="module", params=EACH_SERVER)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield a server with data for every permission."""
    with ExitStack() as ending:
        programs = Programs(tmp_path_factory.mktemp("acl"), ending)
        options = ("--enable-debug-command", "yes", "--slowlog-log-slower-than", "0")
        server = programs.redis(options=options, program=server_program(request.param))
        server.command("CONFIG", "SET", "latency-monitor-threshold", "1")
        server.command("DEBUG", "SLEEP", "0.01")
        app = programs.publisher(server, task_send_sent_event=False)
        for queue in (QUEUE, "bound"):
            app.send_task("kept", queue=queue)
        yield server


def kept_rights(server: RedisServer, right: str) -> tuple[str, ...]:
    """Return all permissions except one."""
    return (*(kept for kept in RIGHTS if kept != right), *rights_of_newer(server))


def start(programs: Programs, server: RedisServer, rights: tuple[str, ...]) -> Exporter:
    """Start an exporter whose user has these permissions."""
    server.command("ACL", "SETUSER", USER, "reset", *START, *rights, *rights_of_newer(server))
    url = server.url(user=USER, password="PASSWORD")
    return programs.exporter("--broker-url", url, "--queues.names", QUEUE, "--scrape.freshness", "0")


def test_the_documented_rights_are_enough(programs: Programs, server: RedisServer) -> None:
    """With exactly the documented permissions every metric is shown, and the server denies no command."""
    words = ACL_LINE.split()
    server.command(*words[:3], "reset", *words[3:], *rights_of_newer(server))
    server.command("ACL", "LOG", "RESET")
    exporter = start(programs, server, RIGHTS)
    eventually(exporter.hears)
    for name, labels in LOSSES.values():
        eventually(lambda name=name, labels=labels: exporter.value(name, **labels) is not None)  # type: ignore[misc]
    assert exporter.value("redis_up", redis="broker") == 1
    assert exporter.value("celery_exporter_collector_success", collector="queue_discovery") == 1
    assert [] == server.command("ACL", "LOG")


@pytest.mark.parametrize("right", sorted(LOSSES))
def test_each_right_of_a_read_costs_its_metric(programs: Programs, server: RedisServer, right: str) -> None:
    """Without a permission that a scrape needs only its metric is missing."""
    exporter = start(programs, server, tuple(kept for kept in RIGHTS if kept != right))
    eventually(exporter.hears)
    collector = {"collector": "queue_discovery"}
    for name in (collector["collector"], "key_space_broker"):
        eventually(lambda name=name: exporter.value("celery_exporter_collector_success", collector=name) is not None)  # type: ignore[misc]
    name, labels = LOSSES[right]
    samples = exporter.metrics()
    assert (name, frozenset(labels.items())) not in samples
    assert samples["redis_up", frozenset({("redis", "broker")})] == 1
    assert ("redis_memory_used_bytes", frozenset({("redis", "broker")})) in samples
    works = right not in {"+scan", "+smembers", "%R~*"}
    assert samples["celery_exporter_collector_success", frozenset(collector.items())] == works


@pytest.mark.parametrize("right", sorted(STOPS))
def test_each_right_of_a_connection_stops_it(programs: Programs, server: RedisServer, right: str) -> None:
    """Without the permission for its only command a connection is down, and the reason is noperm."""
    exporter = start(programs, server, tuple(kept for kept in RIGHTS if kept != right))
    eventually(lambda: STOPS[right](exporter))


@pytest.mark.parametrize("right", sorted(POLITENESS))
def test_rights_of_politeness_cost_nothing_else(programs: Programs, server: RedisServer, right: str) -> None:
    """Without one of these permissions every metric is still shown, and the server logs one denial."""
    server.command("ACL", "SETUSER", USER, "reset", *START, *kept_rights(server, right))
    server.command("ACL", "LOG", "RESET")
    url = server.url(user=USER, password="PASSWORD")
    exporter = programs.exporter("--broker-url", url, "--queues.names", QUEUE, "--events.idle-timeout", "1s")
    eventually(exporter.hears)
    for name, labels in LOSSES.values():
        eventually(lambda name=name, labels=labels: exporter.value(name, **labels) is not None)  # type: ignore[misc]
    eventually(lambda: server.command("ACL", "LOG"))
    assert exporter.hears()
    assert 1 == len(server.command("ACL", "LOG"))


def test_the_page_has_these_permissions() -> None:
    """The line in the documentation is the tested one."""
    page = PAGE.read_text(encoding="utf-8").splitlines()
    assert [ACL_LINE] == [line for line in page if line.startswith("ACL SETUSER")]


def test_another_database_needs_one_right_more(programs: Programs, server: RedisServer) -> None:
    """On a database other than 0 reads need SELECT and report noperm without it, but events do not need it."""
    channel = ("resetchannels", "&/2.celeryev/*")
    for right, up in (("-select", 0), ("+select", 1)):
        server.command("ACL", "SETUSER", USER, "reset", *START, *RIGHTS, *rights_of_newer(server), *channel, right)
        exporter = programs.exporter("--broker-url", server.url(db=2, user=USER, password="PASSWORD"))
        eventually(exporter.hears)
        assert exporter.value("redis_up", redis="broker") == up
        refused = exporter.value("redis_exporter_last_scrape_error", redis="broker", err="noperm")
        assert refused == (None if up else 1)


def test_every_right_is_accounted_for() -> None:
    """Every permission of the documented line has a test that shows what needs it."""
    assert set(RIGHTS) == LOSSES.keys() | STOPS.keys() | POLITENESS


def commands_seen(server: RedisServer) -> set[str]:
    """Return the commands that were executed or denied since the statistics were reset."""
    return {name.removeprefix("cmdstat_") for name in server.command("INFO", "commandstats")}


def test_nothing_but_documented_commands_is_sent(programs: Programs) -> None:
    """From its start to its stop the exporter sends only documented commands, none of which writes."""
    server = programs.redis(password="word")
    programs.publisher(server).send_task("kept", priority=3)
    with server.client(2) as client, client.monitor() as monitor:
        client.config_resetstat()
        before = commands_seen(server)
        url = server.url(db=2)
        exporter = programs.exporter("--broker-url", url, "--scrape.freshness", "0", "--events.idle-timeout", "1s")
        eventually(exporter.hears)
        found = ("celery_exporter_collector_success", {"collector": "queue_discovery"})
        eventually(lambda: exporter.value(found[0], **found[1]) == 1)
        eventually(lambda: "ping" in commands_seen(server))
        exporter.process.end()
        client.echo("the end")
        seen = set()
        while (line := monitor.next_command()["command"]) != "ECHO the end":
            seen.add(line.split()[0].lower())
    documented = COMMANDS | {right.removeprefix("+") for right in rights_of_newer(server)}
    ours = {"config", "monitor", "echo", "client", "auth", "select", "hello", "info"}
    assert seen - ours <= {command.partition("|")[0] for command in documented}
    assert {"zrange", "zcount", "scan", "psubscribe", "ping"} <= seen
    ours = {"config|resetstat", "monitor", "echo", "client|setinfo", "client", "hello"}
    assert commands_seen(server) - before - ours <= documented


def test_workers_are_not_asked_without_the_right_to_write(programs: Programs) -> None:
    """With only the documented permissions querying workers is disabled, logged once, and affects no other metric."""
    server = programs.redis()
    worker = programs.worker(server)
    exporter = start(programs, server, RIGHTS)
    eventually(lambda: exporter.lines("control.switched_off"))
    line = exporter.line("control.switched_off")
    assert " ".join(CONTROL_RIGHTS) in line["grant"]
    assert "--celery.inspect-interval" in line["instead"]
    assert exporter.value("celery_exporter_control_enabled") == 0
    assert exporter.value("celery_exporter_collector_success", collector="control") == 0
    assert exporter.value("celery_worker_concurrency", worker=worker.name) is None
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 0)
    eventually(lambda: exporter.get("/-/ready").status == 200)
    # Redis counts repeated denials within a minute in one entry.
    assert [b"del", b"expire", b"rpush"] == sorted(entry[7] for entry in server.command("ACL", "LOG"))
    assert [] == server.command("KEYS", "celery-redis-exporter*")
    assert 1 == len(exporter.lines("control.switched_off"))
    assert [] == exporter.lines("supervisor.source_failed")


def test_the_rights_to_ask_workers_are_enough(programs: Programs) -> None:
    """The documented permissions to query workers are enough, and they only write the exporter's own keys."""
    server = programs.redis()
    exporter = start(programs, server, (*RIGHTS, *CONTROL_RIGHTS))
    worker = programs.worker(server)
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) == 2)
    assert exporter.value("celery_exporter_control_enabled") == 1
    assert [] == server.command("ACL", "LOG")


@pytest.mark.parametrize("right", CONTROL_RIGHTS)
def test_each_right_to_ask_workers_is_needed(programs: Programs, right: str) -> None:
    """Without any one of these permissions no worker is queried, and no key is left without a time to live."""
    server = programs.redis()
    exporter = start(programs, server, (*RIGHTS, *(kept for kept in CONTROL_RIGHTS if kept != right)))
    with server.client() as client:
        eventually(exporter.hears)
        envelope = {"body": beat("w@host"), "content-type": "application/json"}
        client.publish("/0.celeryev/worker.heartbeat", json.dumps(envelope))
        eventually(lambda: exporter.lines("control.switched_off"))
        assert -1 not in [client.ttl(key) for key in client.keys("celery-redis-exporter*")]


def test_the_page_names_the_permissions_to_query_workers() -> None:
    """The documentation contains exactly the tested permissions to query workers."""
    assert f"`{' '.join(CONTROL_RIGHTS)}`" in PAGE.read_text(encoding="utf-8")


def beat(worker: str) -> str:
    """Return the body of a heartbeat."""
    event = {"type": "worker-heartbeat", "hostname": worker, "timestamp": 1.8e9, "pid": 1, "freq": 2.0}
    return base64.b64encode(json.dumps(event).encode()).decode()
