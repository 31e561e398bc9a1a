# SPDX-License-Identifier: Apache-2.0
"""Large events: tracebacks and messages of several megabytes, received in pieces of any size."""

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import partial

import pytest

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.records.events import LONGEST_MESSAGE
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.faulty_network import FaultyNetwork, faulty_network
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

CHANNEL = "/0.celeryev/task.multi"
WORKER = "w@host"
RECONNECTS = "celery_exporter_event_stream_reconnects_total"
INVALID = "celery_exporter_events_invalid_total"
LARGE = 8 * 1024 * 1024
"""Characters of the largest event that the documentation promises to count."""
TOO_LARGE = 25 * 1024 * 1024
"""Characters of an event whose message is longer than 32 MiB: kombu encodes bodies in base64, a third longer."""


class Line:
    """A broker whose exporter is connected over a network that splits data into segments."""

    def __init__(self, programs: Programs, server: RedisServer, network: FaultyNetwork) -> None:
        self.server, self.network = server, network
        url = f"redis://127.0.0.1:{network.port}/0"
        flags = ("--events.idle-timeout", "2s", "--celery.inspect-interval", "0")  # no worker could reply
        self.exporter: Exporter = programs.exporter("--broker-url", url, *flags)
        eventually(self.exporter.hears)
        self.tasks = 0

    def fail(self, *lengths: int) -> None:
        """Publish the events of tasks that failed with tracebacks of these lengths, in one message."""
        events = []
        for characters in lengths:
            self.tasks += 1
            event = {"uuid": str(self.tasks), "hostname": WORKER, "timestamp": SystemClock().now()}
            failed = {"type": "task-failed", "exception": "ValueError('x')", "traceback": "x" * characters}
            events += [
                {**event, "type": "task-received", "name": "large"}, {**event, "type": "task-started"},
                {**event, **failed},
            ]  # fmt: skip
        body = b64encode(json.dumps(events).encode()).decode()
        properties = {"body_encoding": "base64", "delivery_info": {}}
        message = {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "properties": properties,
        }
        assert 1 == self.server.command("PUBLISH", CHANNEL, json.dumps(message).encode())

    def failures(self) -> float | None:
        """Return how many failures are counted."""
        return self.exporter.value("celery_tasks_total", task="large", queue="unknown", state="failure")


@pytest.fixture
def line(programs: Programs) -> Iterator[Line]:
    """Return a line to a server that keeps what a slow subscriber has not read yet."""
    server = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
    with faulty_network(server.port) as network:
        yield Line(programs, server, network)


@pytest.mark.parametrize("segment", [1_448, 8_192, 65_536])
def test_events_of_any_size_in_any_segments(line: Line, segment: int) -> None:
    """Failures from 20 kB to the documented 8 MiB are counted, and a slow network does not end the subscription."""
    line.network.segment = segment
    for characters in (20_000, 40_000, 1_000_000, 3_000_000, LARGE):
        line.fail(characters)
    line.fail(6_000_000, 6_000_000, 6_000_000)  # as a worker sends failures of 3 MB, in exception and traceback
    line.fail(1)
    eventually(lambda: line.failures() == line.tasks)
    assert 9 == line.tasks
    assert [] == line.exporter.labels(RECONNECTS)
    assert [] == line.exporter.labels(INVALID)


@pytest.mark.parametrize("segment", [0, 8_192])
def test_what_is_too_large_is_counted(line: Line, segment: int) -> None:
    """Messages above the limit are counted as too large, and other messages arrive on the same subscription."""
    line.network.segment = segment
    for characters in (100, TOO_LARGE, 20_000, 2 * TOO_LARGE, 100):
        line.fail(characters)
    eventually(lambda: line.failures() == 3)
    assert 2 == line.exporter.value(INVALID, reason="size")
    assert [] == line.exporter.labels(RECONNECTS)
    assert LONGEST_MESSAGE == line.exporter.line("events.message_dropped")["longest"]


def test_failures_with_large_messages_of_a_real_worker(programs: Programs) -> None:
    """Five tasks that fail with messages of 3 MB count as five failures, without a reconnection."""
    server = programs.redis()
    exporter = programs.listening(server)
    programs.worker(server)
    app = programs.publisher(server)
    for number in range(1, 6):  # one by one: five in one message are more than Redis keeps for a subscriber
        app.send_task("fail_at_length", args=[3_000_000])
        eventually(partial(_has_failed, exporter, number))
    assert 5 == exporter.value("celery_task_exceptions_total", task="fail_at_length", exception="ValueError")
    assert [] == exporter.labels(RECONNECTS)


def _has_failed(exporter: Exporter, times: int) -> bool:
    return exporter.account("fail_at_length").get("failure") == times
