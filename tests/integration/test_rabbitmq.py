# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ as broker: the same counts as on Redis, queue lengths of RabbitMQ, and outages."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from celery_redis_exporter.clock import SystemClock
from tests.integration.celery_workers import Worker, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, Exporter, times
from tests.integration.faults import ends_politely
from tests.integration.processes import Process
from tests.integration.prometheus_server import scraping
from tests.integration.rabbitmq_server import RabbitServer, is_installed
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

RIGHTS = (
    r"^celery-redis-exporter\.",
    r"^(celery-redis-exporter\.|celery\.pidbox$)",
    r"^(celery-redis-exporter\.|celeryev$)",
)
UP = {"transport": "amqp"}
LENGTH, CONSUMERS = "celery_queue_length", "celery_queue_consumers"
BACK_SECONDS = 15.0
STALL_SECONDS = 8.0
SETTINGS = {"worker_enable_remote_control": True, "broker_connection_timeout": 4}


@dataclass(frozen=True)
class Rabbit:
    """A node, an exporter that receives its events, a worker on two queues, and a publisher."""

    server: RabbitServer
    exporter: Exporter
    worker: Worker
    app: Celery
    processes: tuple[Process, ...]

    def send(self, task: str, *args: object, **options: Any) -> str:  # noqa: ANN401 -- Celery's options
        """Publish a task, and return its id."""
        return str(self.app.send_task(task, args, **options).id)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """Yield one node for all tests; each test counts only its own tasks."""
    if not is_installed():
        pytest.skip("rabbitmq-server is not installed")
    folder = tmp_path_factory.mktemp("rabbitmq")
    with ExitStack() as ending:
        server = RabbitServer(folder / "node")
        ending.callback(server.stop)
        programs = Programs(folder, ending)
        exporter = programs.listening(server, "--queues.names", "celery,gone")
        worker = programs.worker(server, "rabbit", WorkerOptions("celery,slow", settings=SETTINGS))
        app = programs.publisher(server)
        yield Rabbit(server, exporter, worker, app, (*server.processes, *programs.processes))


def test_successes_are_counted(rabbit: Rabbit) -> None:
    """Tasks that succeed count once in each of their metrics, under their queue, without a gap."""
    for number in range(5):
        rabbit.send("plain", number)
    rabbit.exporter.agrees("plain", times(5, ONE_SUCCESS))
    assert {"celery"} == rabbit.exporter.queues_of("plain")
    assert rabbit.exporter.value("celery_exporter_event_stream_gap_seconds_total") == 0
    assert rabbit.exporter.value("celery_worker_up", worker=rabbit.worker.name) == 1


def test_failures_are_counted(rabbit: Rabbit) -> None:
    """Tasks that raise count as failures of their exception class."""
    for _ in range(3):
        rabbit.send("fail")
    rabbit.exporter.agrees("fail", times(3, {**ONE_RUN, "failure": 1, "ValueError": 1, "runtime failure": 1}))


def test_retries_are_counted(rabbit: Rabbit) -> None:
    """A task that is retried and then succeeds counts as two executions, one of each outcome."""
    for _ in range(4):
        rabbit.send("retry_once")
    ends = {"retry": 1, "KeyError": 1, "runtime retry": 1, "success": 1, "runtime success": 1}
    rabbit.exporter.agrees("retry_once", times(4, {**times(2, ONE_RUN), **ends}))


def test_rejections_are_counted(rabbit: Rabbit) -> None:
    """A rejected task counts as one rejected execution and no failure, a requeued one as a rejection and a success."""
    for _ in range(3):
        rabbit.send("reject")
        rabbit.send("requeue_once")
    rabbit.exporter.agrees("reject", times(3, {**ONE_RUN, "rejected": 1}))
    runs = {"sent": 1, "received": 2, "started": 2, "wait": 1, "prefetch": 2}
    rabbit.exporter.agrees("requeue_once", times(3, {**runs, "rejected": 1, "success": 1, "runtime success": 1}))


def test_revocations_are_counted(rabbit: Rabbit) -> None:
    """Tasks revoked before their arrival, and expired tasks, count as revoked with their reason."""
    ids = [f"revoked-{number}" for number in range(2)]
    rabbit.app.control.revoke(ids, reply=True, destination=[rabbit.worker.name], timeout=10)
    for task_id in ids:
        rabbit.send("revoked", task_id=task_id)
    for _ in range(3):
        rabbit.send("expired", expires=-1)
    rabbit.exporter.agrees("revoked", {"sent": 2, "revoked": 2, "revocation revoked": 2})
    rabbit.exporter.agrees("expired", {"sent": 3, "revoked": 3, "revocation expired": 3})


def test_bursts_are_counted_under_their_queue(rabbit: Rabbit) -> None:
    """None of 500 quick tasks is lost, counted twice or counted under an unknown queue."""
    for number in range(500):
        rabbit.send("burst", number, queue="slow" if number % 2 else "celery")
    rabbit.exporter.agrees("burst", times(500, ONE_SUCCESS), within=40)
    assert {"celery", "slow"} == rabbit.exporter.queues_of("burst")
    assert rabbit.exporter.value("celery_worker_events_missed_total", worker=rabbit.worker.name) == 0


def test_msgpack_events_are_read_and_pickle_is_not(rabbit: Rabbit, programs: Programs) -> None:
    """Events in msgpack count like those in JSON, and events in pickle count as unread."""
    app = programs.publisher(rabbit.server, event_serializer="msgpack")
    app.send_task("packed", queue="parked")
    eventually(lambda: rabbit.exporter.account("packed") == {"sent": 1})
    app = programs.publisher(rabbit.server, event_serializer="pickle")
    app.send_task("packed", queue="parked")
    eventually(lambda: rabbit.exporter.value("celery_exporter_events_invalid_total", reason="serializer") == 1)
    assert {"sent": 1} == rabbit.exporter.account("packed")


def test_broken_events_cost_nothing_else(rabbit: Rabbit) -> None:
    """A body that is not an event, and one with fields of wrong types, are counted by reason."""
    with rabbit.app.connection_for_write() as connection, connection.Producer(serializer="json") as producer:
        for body in ("neither", [{"type": "task-sent", "uuid": 7, "timestamp": "late", "name": []}]):
            producer.publish(body, exchange="celeryev", routing_key="task.sent")
    invalid = "celery_exporter_events_invalid_total"
    eventually(lambda: rabbit.exporter.value(invalid, reason="body") == 1)
    eventually(lambda: rabbit.exporter.value(invalid, reason="schema") == 1)
    rabbit.send("counted")
    rabbit.exporter.agrees("counted", ONE_SUCCESS)


def test_queues_are_counted_by_the_broker(rabbit: Rabbit) -> None:
    """Lengths and consumers are those that RabbitMQ reports, and a queue with priorities has one length."""
    with rabbit.app.connection_for_write() as connection:
        connection.default_channel.queue_declare(
            "urgent", durable=True, auto_delete=False, arguments={"x-max-priority": 9}
        )
    for priority in (0, 5, 9):
        rabbit.send("kept", queue="parked")
        rabbit.send("kept", routing_key="urgent", exchange="", queue=None, priority=priority)
    eventually(lambda: rabbit.exporter.value(LENGTH, queue="parked") == 5)  # two of them from the test of serializers
    assert rabbit.exporter.value(CONSUMERS, queue="parked") == 0
    assert rabbit.exporter.value(CONSUMERS, queue="celery") == 1
    assert rabbit.exporter.value(LENGTH, queue="celery") == 0
    assert [] == rabbit.exporter.labels("celery_queue_priority_length")
    lengths = dict(line.split() for line in rabbit.server.control("list_queues", "name", "messages").splitlines()[1:])
    assert lengths["parked"] == "5"


def test_missing_queues_do_no_harm(rabbit: Rabbit) -> None:
    """A queue that does not exist is left out at every scrape, and other queues are still read."""
    eventually(lambda: rabbit.exporter.value(LENGTH, queue="celery") == 0)
    for _ in range(3):
        assert rabbit.exporter.value(LENGTH, queue="celery") == 0
        assert rabbit.exporter.value(LENGTH, queue="gone") is None
        assert rabbit.exporter.value("celery_exporter_broker_up", **UP) == 1
    assert rabbit.exporter.get("/-/ready").status == 200
    rabbit.send("kept", queue="gone")
    eventually(lambda: rabbit.exporter.value(LENGTH, queue="gone") == 1)


def test_an_exchange_of_ones_own(rabbit: Rabbit, programs: Programs) -> None:
    """A task that names its exchange counts under the queue that a worker consumes from that exchange."""
    bound = {"exchange": "media", "exchange_type": "topic", "routing_key": "media.#"}
    rabbit.app.control.add_consumer("vids", **bound, destination=[rabbit.worker.name], reply=True)
    exporter = programs.listening(rabbit.server)
    eventually(lambda: exporter.value("celery_worker_queue_info", worker=rabbit.worker.name, queue="vids") == 1)
    rabbit.send("kept", exchange="media", exchange_type="topic", routing_key="media.short.video", queue=None)
    eventually(lambda: exporter.value("celery_tasks_total", task="kept", queue="vids", state="success") == 1)
    assert {"vids"} == exporter.queues_of("kept")
    rabbit.app.control.cancel_consumer("vids", destination=[rabbit.worker.name], reply=True)


def test_delayed_tasks_of_quorum_queues(rabbit: Rabbit, programs: Programs) -> None:
    """Tasks with a countdown count under their final quorum queue, and are scheduled messages until then."""
    settings = SETTINGS | {
        "task_default_queue": "jobs", "task_default_queue_type": "quorum", "worker_detect_quorum_queues": True,
        "broker_transport_options": {"confirm_publish": True}, "task_default_exchange_type": "topic",
    }  # fmt: skip
    programs.worker(rabbit.server, "quorum", WorkerOptions("jobs", settings=settings))
    app = programs.publisher(rabbit.server, **settings)
    for countdown in (600, 600, 600, 1):
        app.send_task("delayed", countdown=countdown)
    exporter = rabbit.exporter
    eventually(lambda: exporter.value("celery_tasks_total", task="delayed", queue="jobs", state="success") == 1)
    assert {"jobs"} == exporter.queues_of("delayed")
    assert exporter.value("celery_tasks_sent_total", task="delayed", queue="jobs") == 4
    eventually(lambda: sum(exporter.metrics("celery_queue_scheduled_messages{").values()) == 3)
    assert exporter.value(LENGTH, queue="celery_delayed_9") is None
    assert exporter.value(LENGTH, queue="jobs") == 0


def test_workers_are_asked(rabbit: Rabbit) -> None:
    """Workers reply on RabbitMQ as on Redis, and the exporter leaves only its two queues."""
    name = rabbit.worker.name
    eventually(lambda: rabbit.exporter.value("celery_worker_concurrency", worker=name) == 2)
    assert rabbit.exporter.value("celery_worker_pool_info", worker=name, pool="prefork") == 1
    assert rabbit.exporter.value("celery_worker_queue_info", worker=name, queue="slow") == 1
    assert rabbit.exporter.value("celery_queue_concurrency", queue="slow") == 2
    assert rabbit.exporter.value("celery_exporter_collector_success", collector="control") == 1
    queues = rabbit.server.control("list_queues", "name", "exclusive", "auto_delete", "arguments").splitlines()
    own = sorted(line for line in queues if line.startswith("celery-redis-exporter."))
    assert ["events", "reply"] == [line.split(".")[1] for line in own]
    assert all("\ttrue\ttrue\t" in line for line in own)
    for argument in ('"x-message-ttl",60000', '"x-max-length",100000', '"x-expires",60000'):
        assert argument in own[0]


def test_a_stall_loses_nothing(rabbit: Rabbit, programs: Programs) -> None:
    """The exporter counts all events of an eight-second pause of itself, and reports no gap."""
    exporter = programs.listening(rabbit.server)
    clock = SystemClock()
    sent = 0

    def send_until(end: float) -> bool:
        nonlocal sent
        rabbit.send("again", *range(200))
        sent += 1
        return clock.monotonic() >= end

    exporter.process.signal(signal.SIGSTOP)
    try:
        end = clock.monotonic() + STALL_SECONDS
        eventually(lambda: send_until(end), STALL_SECONDS + 5)
        rabbit.exporter.agrees("again", times(sent, ONE_SUCCESS))
    finally:
        exporter.process.signal(signal.SIGCONT)
    exporter.agrees("again", times(sent, ONE_SUCCESS))
    assert exporter.value("celery_exporter_event_stream_gap_seconds_total") == 0
    assert [] == exporter.labels("celery_exporter_event_stream_reconnects_total")
    eventually(lambda: exporter.value("celery_exporter_event_backlog_messages") == 0)


def test_a_wrong_password_is_told_and_never_shown(rabbit: Rabbit, programs: Programs) -> None:
    """A refused password has a dedicated reason, is logged once per part, and the password appears in no output."""
    url = rabbit.server.url(password="wrong-PASSWORD")
    exporter = programs.exporter("--broker-url", url)
    assert exporter.value("celery_exporter_broker_up", **UP) == 0
    assert exporter.value("celery_exporter_broker_last_scrape_error", **UP, err="auth") == 1
    assert exporter.value(LENGTH, queue="celery") is None
    refused = "celery_exporter_event_stream_reconnects_total"
    eventually(lambda: (exporter.value(refused, reason="auth") or 0) >= 3)
    failures = exporter.lines("supervisor.source_failed")
    assert {"auth"} == {line["reason"] for line in failures}
    sources = [line["source"] for line in failures]
    assert "event_stream" in sources
    assert len(sources) == len(set(sources))
    assert exporter.get("/-/ready").status == 503
    check = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", "--broker-url", url)
    assert check.ended() == 1
    shown = [exporter.get(path).text for path in ("/", "/metrics", "/-/ready")]
    for text in (*shown, exporter.process.output(), check.output()):
        assert "PASSWORD" not in text
    assert "auth" in check.output()


def test_the_rights_of_the_readme_are_enough(rabbit: Rabbit, programs: Programs) -> None:
    """The documented permissions suffice; without the one for control commands a log line names it, events arrive."""
    configure, write, read = RIGHTS
    rabbit.server.control("add_user", "exporter", "PASSWORD")
    rabbit.server.control("set_permissions", "exporter", configure, write, read)
    url = rabbit.server.url("exporter", "PASSWORD")
    exporter = programs.exporter("--broker-url", url, "--queues.names", "celery")
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=rabbit.worker.name) == 2)
    refused = exporter.lines("denials.command_refused")
    if (
        refused
    ):  # RabbitMQ 4.3.1 and later refuse the length of a queue. The log has the documented line that grants it.
        with_queue = read.replace("celeryev$", "celeryev$|celery$")
        assert [f"rabbitmqctl set_permissions <user> '{configure}' '{write}' '{with_queue}'"] == [
            line["cure"] for line in refused
        ]
        rabbit.server.control("set_permissions", "exporter", configure, write, with_queue)
        exporter = programs.exporter("--broker-url", url, "--queues.names", "celery")
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 0)
    assert exporter.hears()
    rabbit.server.control("set_permissions", "exporter", configure, configure, read)
    second = programs.exporter("--broker-url", url, "--queues.names", "celery")
    line = eventually(lambda: second.lines("control.switched_off"))[0]
    assert f"rabbitmqctl set_permissions <user> '{configure}' '{write}' '{read}'" == line["grant"]
    assert second.value("celery_exporter_control_enabled") == 0
    assert second.hears()


def test_the_guide_asks_for_these_rights() -> None:
    """The guide names exactly the permissions that these tests use."""
    guide = (Path(__file__).parents[2] / "deploy" / "docs" / "brokers.md").read_text(encoding="utf-8")
    assert f"rabbitmqctl set_permissions exporter '{RIGHTS[0]}' '{RIGHTS[1]}' '{RIGHTS[2]}'" in guide


def test_tls_is_verified(rabbit: Rabbit, programs: Programs) -> None:
    """amqps:// works with its certificate authority, and without verification only if the URL sets that."""
    url, authority = rabbit.server.url(scheme="amqps"), rabbit.server.authority.certificate
    for options in (f"?ssl_ca_certs={authority}", "?ssl_cert_reqs=CERT_NONE"):
        exporter = programs.exporter("--broker-url", url + options)
        eventually(exporter.hears)
        assert exporter.value("celery_exporter_broker_up", **UP) == 1
    exporter = programs.exporter("--broker-url", url)
    assert exporter.value("celery_exporter_broker_last_scrape_error", **UP, err="tls") == 1


def test_check_finds_nothing_wrong(rabbit: Rabbit, programs: Programs) -> None:
    """``check`` of a healthy RabbitMQ succeeds and counts the configured queues that exist."""
    arguments = ("--broker-url", rabbit.server.url(), "--queues.names", "celery,nowhere")
    check = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", *arguments)
    check.wait_for("listening for")
    rabbit.send("first")
    assert check.ended(20) == 0
    assert "1 of 2 queues of the settings are there" in check.output()
    assert "OK    task events" in check.output(), check.output()


def test_a_redis_result_backend_is_read_beside_it(rabbit: Rabbit, programs: Programs) -> None:
    """With RabbitMQ as broker the exporter reads a Redis of results, and no Redis is called broker."""
    results = programs.redis()
    exporter = programs.listening(rabbit.server, "--result-backend-url", results.url())
    assert [{"redis": "results"}] == exporter.labels("redis_up")
    assert exporter.value("celery_exporter_broker_up", **UP) == 1
    assert exporter.value("celery_unacked_messages") is None
    eventually(lambda: exporter.get("/-/ready").status == 200)


def test_outages_end(rabbit: Rabbit, programs: Programs) -> None:
    """While a broker hangs only its metrics are missing; after a restart counters continue and the gap is counted."""
    arguments = ("--queues.names", "celery", "--scrape.deadline", "500ms", "--celery.inspect-interval", "0")
    exporter = programs.listening(rabbit.server, *arguments)
    rabbit.send("measured")
    exporter.agrees("measured", ONE_SUCCESS)
    clock = SystemClock()
    rabbit.server.freeze()
    eventually(lambda: exporter.value("celery_exporter_broker_up", **UP) == 0)
    started = clock.monotonic()
    samples = exporter.metrics()
    assert clock.monotonic() - started < 2
    assert samples["celery_exporter_broker_last_scrape_error", frozenset({*UP.items(), ("err", "timeout")})] == 1
    assert not [name for name, _ in samples if name.startswith("celery_queue_length")]
    rabbit.server.thaw()
    eventually(lambda: exporter.value("celery_exporter_broker_up", **UP) == 1, BACK_SECONDS)
    rabbit.server.kill()
    eventually(lambda: not exporter.hears())
    eventually(lambda: exporter.value("celery_exporter_broker_up", **UP) == 0)
    assert ONE_SUCCESS == exporter.account("measured")
    rabbit.server.start()
    eventually(exporter.hears, BACK_SECONDS)
    eventually(lambda: exporter.value(LENGTH, queue="celery") == 0, BACK_SECONDS)
    assert exporter.value("celery_exporter_event_stream_gap_seconds_total")
    app = programs.publisher(rabbit.server)
    app.send_task("measured")
    eventually(lambda: exporter.account("measured")["sent"] == 2, BACK_SECONDS)
    eventually(lambda: exporter.value("celery_worker_up", worker=rabbit.worker.name) == 1, BACK_SECONDS)
    lines = exporter.lines("supervisor.source_failed")
    assert len(lines) <= 3, json.dumps(lines)


def test_an_alert_says_that_the_broker_is_down(rabbit: Rabbit, programs: Programs, tmp_path: Path) -> None:
    """While RabbitMQ hangs CeleryBrokerDown fires in a real Prometheus, and it resolves afterwards."""
    exporter = programs.listening(rabbit.server, "--scrape.deadline", "500ms", "--celery.inspect-interval", "0")
    rendered = programs.run(
        sys.executable, "-m", "celery_redis_exporter", "render", "alerts", "--for=CeleryBrokerDown=0s"
    )
    assert rendered.ended(20) == 0
    rules = tmp_path / "rules.yml"
    rules.write_text(rendered.output(), encoding="utf-8")
    prometheus = programs.prometheus(scraping(rules, celery=exporter.port))
    fires = 'ALERTS{alertname="CeleryBrokerDown", alertstate="firing", transport="amqp", severity="critical"}'
    eventually(lambda: prometheus.value("celery_exporter_broker_up") == 1, BACK_SECONDS)
    assert prometheus.value(fires) is None
    rabbit.server.freeze()
    eventually(lambda: prometheus.value(fires) == 1, BACK_SECONDS)
    rabbit.server.thaw()
    eventually(lambda: prometheus.value(fires) is None, BACK_SECONDS)


def test_signals_end_it_during_an_outage(rabbit: Rabbit, programs: Programs) -> None:
    """While a broker hangs or is unreachable SIGTERM stops an exporter in time."""
    hanging, left_alone = (programs.listening(rabbit.server, "--celery.inspect-interval", "1s") for _ in range(2))
    rabbit.server.freeze()
    try:
        ends_politely(hanging)
    finally:
        rabbit.server.thaw()
    rabbit.server.kill()
    eventually(lambda: not left_alone.hears())
    ends_politely(left_alone)
    rabbit.server.start()
