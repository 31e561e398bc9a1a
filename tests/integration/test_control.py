# SPDX-License-Identifier: Apache-2.0
"""Replies of workers to control commands, and the keys that remain on the server."""

import base64
import importlib
import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from celery import signals

from tests.integration.celery_workers import QUICK, Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, times
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

OFTEN = ("--celery.inspect-interval", "1s", "--celery.inspect-timeout", "1s")
NEVER = ("--celery.inspect-interval", "0")
BEATING = (*QUICK, "--heartbeat-interval", "1")
SNIPPET = "deploy.celery_events"
CONCURRENCY = "celery_worker_concurrency"
MISSING = "celery_exporter_control_replies_missing_total"
INVALID = "celery_exporter_control_replies_invalid_total"
CONTROL = {"collector": "control"}
MEGABYTE = 1024 * 1024


@pytest.fixture
def snippet() -> Iterator[ModuleType]:
    """Load the snippet for applications in this process for the duration of a test."""
    module = importlib.import_module(SNIPPET)
    signals.before_task_publish.connect(module.stamp_message)
    yield module
    signals.before_task_publish.disconnect(module.stamp_message)


def reply_keys(server: RedisServer) -> list[bytes]:
    """Return all keys of replies to control commands, the exporter's and Celery's own."""
    found: list[bytes] = server.command("KEYS", "*reply*")
    return found


def freeze_until_missed(exporter: Exporter, worker: Worker) -> None:
    """Stop a worker, and wait until it has missed a reply."""
    missed = exporter.value(MISSING, command="stats") or 0
    worker.process.signal(signal.SIGSTOP)
    eventually(lambda: (exporter.value(MISSING, command="stats") or 0) > missed)


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 2), ("threads", 2), ("solo", 1)])
def test_answers_are_shown(programs: Programs, tmp_path: Path, pool: str, concurrency: int) -> None:
    """The replies of workers of any pool are shown, and no reply key is left on the server."""
    server = programs.redis()
    exporter = programs.listening(server, *OFTEN)
    worker = programs.worker(server, pool, WorkerOptions("celery,mail", arguments=(*BEATING, "-P", pool)))
    app = programs.publisher(server)
    app.send_task("waiting", countdown=600)
    eventually(lambda: exporter.value("celery_worker_tasks_scheduled", worker=worker.name) == 1)
    if pool != "solo":  # a solo worker does not reply while a task runs
        for _ in range(concurrency + 3):
            app.send_task("hold", (str(tmp_path / "gate"),), queue="mail")
        eventually(lambda: exporter.value("celery_worker_tasks_reserved", worker=worker.name) == 3)
    assert exporter.value(CONCURRENCY, worker=worker.name) == concurrency
    assert exporter.value("celery_worker_pool_info", worker=worker.name, pool=pool) == 1
    for queue in ("celery", "mail"):
        assert exporter.value("celery_worker_queue_info", worker=worker.name, queue=queue) == 1
        assert exporter.value("celery_queue_consumers", queue=queue) == 1
        assert exporter.value("celery_queue_concurrency", queue=queue) == concurrency
    # 4 per process, and one for the task that waits for its eta
    assert exporter.value("celery_worker_prefetch_count", worker=worker.name) in {4 * concurrency + 1, 9}
    uptime = exporter.value("celery_worker_uptime_seconds", worker=worker.name)
    resident = exporter.value("celery_worker_memory_max_rss_bytes", worker=worker.name)
    assert uptime is not None
    assert resident is not None
    assert 0 <= uptime < 60
    # The kernel counts the memory before exec, too: here that of the tests at the time of the fork.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert psutil.Process(worker.process.pid).memory_info().rss / 2 < resident < inherited + 1000 * MEGABYTE
    assert exporter.value("celery_exporter_control_enabled") == 1
    assert exporter.value("celery_exporter_collector_success", **CONTROL) == 1
    assert {0.0} == {exporter.value(MISSING, **labels) for labels in exporter.labels(MISSING)}
    assert {0.0} == {exporter.value(INVALID, **labels) for labels in exporter.labels(INVALID)}
    exporter.process.end()
    eventually(lambda: reply_keys(server) == [])  # a query, or a ping to beats, may be in progress


def test_tasks_that_workers_hold_at_the_start_are_known(programs: Programs, tmp_path: Path) -> None:
    """Tasks that ran, were reserved or scheduled before the exporter's start are counted by name and queue."""
    server = programs.redis()
    options = WorkerOptions("mail", settings={"task_send_sent_event": False}, arguments=BEATING)
    worker = programs.worker(server, "early", options)
    app = programs.publisher(server, task_send_sent_event=False)
    gate = tmp_path / "gate"
    for _ in range(2):
        app.send_task("hold", (str(gate),), queue="mail")
    for _ in range(3):
        app.send_task("plain", queue="mail")
    app.send_task("delayed", queue="mail", countdown=4)
    with server.client() as client:
        eventually(lambda: client.llen("mail") == 0)
    exporter = programs.listening(server, *OFTEN)
    eventually(lambda: exporter.value("celery_tasks_running", task="hold", queue="mail") == 2)
    eventually(lambda: exporter.value("celery_worker_tasks_reserved", worker=worker.name) == 3)
    assert exporter.value("celery_tasks_total", task="fail", queue="mail", state="failure") is None
    gate.touch()
    exporter.agrees("hold", {"success": 2, "runtime success": 2})
    # The first task event shows that task events are enabled.
    eventually(lambda: exporter.value("celery_tasks_total", task="fail", queue="mail", state="failure") == 0)
    exporter.agrees("plain", {"started": 3, "success": 3, "runtime success": 3})
    exporter.agrees("delayed", {"started": 1, "success": 1, "runtime success": 1})
    assert {"mail"} == exporter.queues_of("hold") | exporter.queues_of("plain") | exporter.queues_of("delayed")
    assert [] == exporter.labels("celery_exporter_tasks_unmatched_total")
    assert [] == exporter.labels("celery_exporter_tasks_duplicate_total")


def test_answers_that_come_late_do_not_stay(programs: Programs) -> None:
    """A worker that does not reply has no metrics of replies, and the key of its late replies expires."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s", "--celery.inspect-timeout", "200ms")
    worker = programs.worker(server, "slow", WorkerOptions(arguments=BEATING))
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    freeze_until_missed(exporter, worker)
    names = ("celery_worker_concurrency", "celery_worker_pool_info", "celery_worker_queue_info")
    assert [] == [labels for name in names for labels in exporter.labels(name)]
    assert exporter.value("celery_exporter_collector_success", **CONTROL) == 1
    worker.process.signal(signal.SIGCONT)
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    freeze_until_missed(exporter, worker)
    exporter.process.end()
    worker.process.signal(signal.SIGCONT)
    [key] = reply_keys(server)
    eventually(lambda: server.command("LLEN", key) > 1)
    assert 0 < server.command("TTL", key) <= 3600
    assert [key] == reply_keys(server)


def asked_for(requests: Any, command: str) -> str:  # noqa: ANN401 -- redis-py's PubSub has no typed messages
    """Return the ticket of the last request for a command on a subscribed control channel, or an empty string."""
    ticket = ""
    while (message := requests.get_message(timeout=0.2)) is not None:
        if message["type"] == "message":
            question = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
            ticket = str(question["ticket"]) if question["method"] == command else ticket
    return ticket


def test_rubbish_among_answers_is_counted(programs: Programs) -> None:
    """Invalid replies are skipped and counted, and affect neither other replies nor the exporter's memory."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s", "--celery.inspect-timeout", "15s")
    worker = programs.worker(server, "good", WorkerOptions(arguments=BEATING))
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    before = psutil.Process(exporter.process.pid).memory_info().rss
    with server.client() as client, client.pubsub() as requests:
        requests.subscribe("/0.celery.pidbox")
        worker.process.signal(signal.SIGSTOP)
        token = eventually(lambda: asked_for(requests, "stats")).partition("/")[0]
        [key] = eventually(lambda: [key for key in reply_keys(server) if client.llen(key) == 1])
        body = base64.b64encode(json.dumps({"other@host": []}).encode()).decode()
        unknown, old = ({"body": body, "headers": {"ticket": f"{now}/reserved"}} for now in (token, "0"))
        for reply in (b"\xff", b"{}", b"x" * 10 * MEGABYTE, json.dumps(unknown), json.dumps(old)):
            client.lpush(key, reply)
    expected = {"envelope": 2, "size": 1, "unknown_worker": 1, "late": 1, "serializer": 0, "body": 0, "schema": 0}
    eventually(lambda: expected == {reason: exporter.value(INVALID, reason=reason) for reason in expected}, 5)
    worker.process.signal(signal.SIGCONT)
    eventually(lambda: [] == reply_keys(server) or exporter.value(MISSING, command="stats"))
    assert exporter.value(MISSING, command="stats") == 0
    assert exporter.value(CONCURRENCY, worker=worker.name) == 2
    assert psutil.Process(exporter.process.pid).memory_info().rss - before < 30 * MEGABYTE


@pytest.mark.parametrize(("db", "options"), [
    (3, {"global_keyprefix": "proj:"}),
    (0, {"fanout_prefix": False, "priority_steps": [2, 5]}),
])  # fmt: skip
def test_workers_are_reached_where_they_are(programs: Programs, db: int, options: dict[str, object]) -> None:
    """Workers with another database, prefix, priority steps or control exchange reply, too."""
    server = programs.redis()
    settings = {
        "broker_transport_options": options, "broker_url": server.url(db), "control_exchange": "orders",
        "task_serializer": "msgpack", "accept_content": ["json", "msgpack"],
    }  # fmt: skip
    worker = programs.worker(server, "far", WorkerOptions(settings=settings, arguments=BEATING))
    exporter = programs.exporter(
        "--broker-url", server.url(db), *OFTEN, "--control-exchange", "orders",
        "--broker-transport-options", json.dumps(options),
    )  # fmt: skip
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    assert exporter.value(INVALID, reason="serializer") == 0
    exporter.process.end()
    assert [] == server.command("KEYS", "*reply*", db=db)


def test_a_broker_that_goes_takes_answers_with_it(programs: Programs) -> None:
    """While the broker is down no replies are shown, and they return with the broker."""
    server = programs.redis()
    exporter = programs.listening(server, *OFTEN)
    worker = programs.worker(server, "lasting", WorkerOptions(arguments=BEATING))
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    server.stop()
    eventually(lambda: exporter.value("celery_exporter_collector_success", **CONTROL) == 0)
    assert exporter.value(CONCURRENCY, worker=worker.name) is None
    server.start()
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    assert exporter.value("celery_exporter_collector_success", **CONTROL) == 1
    assert exporter.value("celery_exporter_unexpected_errors_total", collector="control") is None


def test_workers_are_told_to_send_task_events(programs: Programs) -> None:
    """A worker that processes tasks without task events gets the command to send them, even without queries."""
    server = programs.redis()
    exporter = programs.listening(server, *NEVER, "--celery.enable-events")
    options = WorkerOptions(events=False, arguments=(*BEATING, "-l", "INFO"))
    worker = programs.worker(server, "mute", options)
    app = programs.publisher(server)
    enabled = "celery_worker_task_events_enabled"
    app.send_task("unheard")
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker=worker.name) == 0)
    app.send_task("unheard")
    eventually(lambda: exporter.value("celery_exporter_enable_events_sent_total") == 1)
    assert [worker.name] == exporter.line("control.events_enabled")["workers"]
    worker.process.wait_for("enabled by remote")
    app.send_task("plain")
    eventually(lambda: exporter.value(enabled, worker=worker.name) == 1)
    exporter.agrees("plain", {"sent": 1, "received": 1, "started": 1, "success": 1, "wait": 1, "prefetch": 1,
                              "runtime success": 1})  # fmt: skip
    assert exporter.value("celery_exporter_enable_events_sent_total") == 1
    assert exporter.value("celery_exporter_control_enabled") == 0


def test_heartbeats_tell_the_same_with_the_snippet(programs: Programs) -> None:
    """With deploy/celery_events.py queues and concurrency are known from heartbeats, without queries."""
    server = programs.redis()
    exporter = programs.listening(server, *NEVER, "--workers.lost-after", "1s")
    arguments = (*BEATING, "-I", SNIPPET)
    worker = programs.worker(server, "telling", WorkerOptions("celery,mail", arguments=arguments))
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 2)
    assert {"celery", "mail"} == {labels["queue"] for labels in exporter.labels("celery_worker_queue_info")}
    assert exporter.value("celery_queue_consumers", queue="mail") == 1
    assert exporter.value("celery_queue_concurrency", queue="mail") == 2
    app = programs.publisher(server)
    app.control.cancel_consumer("mail")
    app.control.pool_grow(3)
    eventually(lambda: exporter.value(CONCURRENCY, worker=worker.name) == 5)
    eventually(lambda: exporter.value("celery_queue_consumers", queue="mail") == 0)
    assert exporter.value("celery_queue_concurrency", queue="celery") == 5
    assert [] == exporter.labels("celery_worker_pool_info")
    worker.process.end()
    eventually(lambda: exporter.value("celery_queue_consumers", queue="celery") == 0)
    assert [] == exporter.labels(CONCURRENCY)


def test_messages_tell_when_they_were_published_with_the_snippet(programs: Programs, snippet: ModuleType) -> None:
    """With deploy/celery_events.py a queue's age is exact, even if the message was sent before the exporter started."""
    server = programs.redis()
    app = programs.publisher(server, task_send_sent_event=False)
    app.send_task("aged", queue="old")
    message = json.loads(server.command("LINDEX", "old", -1))
    published = message["headers"]["published_at"]
    message["headers"]["published_at"] = published - 500
    server.command("LSET", "old", -1, json.dumps(message))
    exporter = programs.listening(server, "--queues.names", "old")
    age = exporter.value("celery_queue_oldest_message_age_seconds", queue="old")
    assert age is not None
    assert 500 <= age < 560


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_tasks_of_a_new_worker_count_under_its_queue(programs: Programs, pool: str) -> None:
    """Without task-sent events every task of a worker that starts after the exporter is counted under its queue."""
    server = programs.redis()
    exporter = programs.listening(server)
    app = programs.publisher(server, task_send_sent_event=False)
    options = WorkerOptions(queues="mail", arguments=("--heartbeat-interval", "1", "-P", pool))
    for start in (1, 2):
        for number in range(30):
            app.send_task("plain", (number,), queue="mail")
        worker = programs.worker(server, "fresh", options)
        account = times(30 * start, {"received": 1, "started": 1, "success": 1, "runtime success": 1, "prefetch": 1})
        exporter.agrees("plain", account, within=30)
        assert exporter.value("celery_worker_pool_info", worker=worker.name, pool=pool) == 1
        assert {"mail"} == {labels["queue"] for labels in exporter.labels("celery_tasks_started_total")}
        worker.process.signal(signal.SIGTERM)
        worker.process.ended()


def test_workers_without_heartbeats_stay_up(programs: Programs, tmp_path: Path) -> None:
    """A worker without heartbeats is up while it replies, even during a long task, and lost after it was killed."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "1s", *OFTEN)
    worker = programs.worker(server, "still", WorkerOptions(arguments=(*QUICK, "--without-heartbeat")))
    app = programs.publisher(server)
    gate = tmp_path / "gate"
    app.send_task("hold", (str(gate),))
    eventually(lambda: exporter.value("celery_worker_heartbeats_enabled", worker=worker.name) == 0)
    eventually(lambda: (exporter.value("celery_worker_uptime_seconds", worker=worker.name) or 0) > 10)
    assert exporter.value("celery_worker_up", worker=worker.name) == 1
    assert exporter.value("celery_tasks_running", task="hold", queue="celery") == 1
    assert exporter.value("celery_queue_consumers", queue="celery") == 1
    worker.process.kill()
    eventually(lambda: exporter.value("celery_worker_up", worker=worker.name) == 0)
    eventually(lambda: exporter.value("celery_tasks_running", task="hold", queue="celery") == 0)
