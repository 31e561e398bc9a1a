# SPDX-License-Identifier: Apache-2.0
"""Tasks that are sent to a dedicated exchange, and the queues that they reach."""

import importlib
from typing import Any

import pytest
from celery import Celery

from tests.integration.conftest import Programs
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

CELERY = {"celery": {"exchange": "celery", "exchange_type": "direct", "routing_key": "celery"}}
VIDS = {"vids": {"exchange": "media", "exchange_type": "direct", "routing_key": "media.video"}}
SOUNDS = {"sounds": {"exchange": "audio", "exchange_type": "topic", "routing_key": "audio.#"}}
kombu: Any = importlib.import_module("kombu")  # untyped package
common: Any = importlib.import_module("kombu.common")
SENT = "celery_tasks_sent_total"


def declare(app: Celery, queues: dict[str, dict[str, str]]) -> None:
    """Bind queues as a worker would."""
    with app.connection_for_write() as connection:
        for name, bound in queues.items():
            exchange = kombu.Exchange(bound["exchange"], bound["exchange_type"])
            kombu.Queue(name, exchange, bound["routing_key"])(connection.default_channel).declare()


def test_tasks_count_under_the_queue_that_they_reach(programs: Programs) -> None:
    """A task that names exchange and routing key counts under the queue bound to them, not the default one."""
    server = programs.redis()
    app = programs.publisher(server)
    declare(app, CELERY | VIDS | SOUNDS)
    exporter = programs.listening(server)
    eventually(lambda: exporter.value("celery_queue_length", queue="sounds") == 0)
    app.send_task("kept", exchange="media", routing_key="media.video")
    app.send_task("kept", exchange="audio", exchange_type="topic", routing_key="audio.long.live")
    app.send_task("kept", exchange="nowhere", routing_key="x")
    app.send_task("kept", queue="plain")
    eventually(lambda: exporter.value(SENT, task="kept", queue="plain") == 1)
    assert {"vids", "sounds", "unknown", "plain"} == exporter.queues_of("kept")
    assert [1, 1] == [exporter.value(SENT, task="kept", queue=queue) for queue in ("vids", "sounds")]
    eventually(lambda: exporter.value("celery_queue_length", queue="vids") == 1)


def test_broadcast_queues_have_the_name_of_their_exchange(programs: Programs) -> None:
    """The Broadcast queues of all publishers and workers count under one name, which displaces no real queue."""
    server = programs.redis()
    app = programs.publisher(server)
    exporter = programs.listening(server, "--queues.max", "3")
    for _ in range(6):
        queue = common.Broadcast("news")
        with app.connection_for_write() as connection:
            queue(connection.default_channel).declare()
        app.send_task("kept", queue=queue)
    app.send_task("kept", queue="mail")
    eventually(lambda: exporter.value(SENT, task="kept", queue="news") == 6)
    assert {"news", "mail"} == exporter.queues_of("kept")
    eventually(lambda: exporter.value("celery_queue_length", queue="mail") == 1)
    assert {"news", "mail"} == {labels["queue"] for labels in exporter.labels("celery_queue_length")}
