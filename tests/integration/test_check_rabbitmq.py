# SPDX-License-Identifier: Apache-2.0
"""``check`` of a real RabbitMQ: distinct codes for its failures, and queues without consumers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.checks import LIVELY, check_quickly, findings_of, start_check
from tests.integration.conftest import Programs
from tests.integration.rabbitmq_server import RabbitServer

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Yield one server for all tests."""
    server = RabbitServer(Path(tmp_path_factory.mktemp("rabbit")) / "rabbit")
    try:
        yield server
    finally:
        server.stop()


def test_a_queue_without_consumers_is_found(rabbit: RabbitServer, programs: Programs) -> None:
    """RabbitMQ's count of consumers shows a queue without consumers, and missing queues are notes."""
    programs.worker(rabbit, options=LIVELY)
    app = programs.publisher(rabbit)
    for _ in range(2):
        app.send_task("plain", queue="forgotten")
    names = ("--queues.names", "celery,forgotten,nowhere")
    found = findings_of(start_check(programs, rabbit.url(), "--json", "--listen=3s", *names))
    assert "2 messages wait in forgotten, and no worker consumes it" == found["queue-unconsumed"]["found"]
    assert found["broker-queue-absent"]["found"].endswith(": nowhere")
    assert {"broker-answers", "workers-seen", "control-answers"} <= found.keys()


def test_ways_to_fail_are_told_apart(rabbit: RabbitServer, programs: Programs) -> None:
    """A wrong password, a user without permissions and a refused connection have different codes."""
    found = check_quickly(programs, rabbit.url("guest", "wrong-PASSWORD"))
    assert ["rabbitmqctl authenticate_user guest"] == found["broker-auth"]["remedy"]
    rabbit.control("add_user", "reader", "PASSWORD")
    rabbit.control("set_permissions", "reader", "^$", "^$", "^$")
    found = check_quickly(programs, rabbit.url("reader", "PASSWORD"))
    (line,) = found["events-denied"]["remedy"]
    assert line.startswith("rabbitmqctl set_permissions reader '^celery-redis-exporter")
    found = check_quickly(programs, "amqp://guest:PASSWORD@127.0.0.1:1//")
    assert ["nc -vz 127.0.0.1 1"] == found["broker-refused"]["remedy"]
