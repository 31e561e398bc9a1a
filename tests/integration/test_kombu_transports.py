# SPDX-License-Identifier: Apache-2.0
"""A broker that is neither Redis nor RabbitMQ: kombu's filesystem transport represents all other transports."""

import json
from pathlib import Path

import pytest

from tests.integration.celery_workers import WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.test_transport_options import Address
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def test_tasks_count_over_any_transport_with_fanout(programs: Programs, tmp_path: Path) -> None:
    """With another kombu transport tasks are counted completely, and lengths of queues are shown."""
    folders = {"data_folder_in": "data", "data_folder_out": "data", "control_folder": "control"}
    options = {name: str(tmp_path / folder) for name, folder in folders.items()}
    for folder in options.values():
        Path(folder).mkdir(exist_ok=True)
    broker, settings = Address("filesystem://"), {"broker_transport_options": options}
    given = ("--broker-transport-options", json.dumps(options), "--queues.names", "celery")
    exporter = programs.listening(broker, *given)
    assert [] == exporter.lines("app.configuration_noted")
    worker = programs.worker(broker, options=WorkerOptions(settings=settings))
    app = programs.publisher(broker, **settings)
    for number in range(3):
        app.send_task("plain", (number,))
    counts = {"sent": 3, "received": 3, "started": 3, "success": 3}
    # Files are read in no order, and waiting times need one, so some of those are missing.
    eventually(lambda: counts.items() <= exporter.account("plain").items())
    app.send_task("kept", queue="parked")
    eventually(lambda: exporter.value("celery_queue_length", queue="parked") == 1)
    assert exporter.value("celery_exporter_broker_up", transport="filesystem") == 1
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) == 2)
