# SPDX-License-Identifier: Apache-2.0
"""Events and inspect replies with ids and names that Celery allows but that are no short texts."""

from uuid import uuid4

import pytest

from celery_redis_exporter.decode.tolerance import cut_name
from tests.integration.celery_workers import WorkerOptions
from tests.integration.conftest import Programs, Shared
from tests.integration.exporters import Exporter
from tests.integration.long_name_tasks import LONG_NAME
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def invalid(exporter: Exporter) -> float:
    """Return how many messages, events and replies were skipped."""
    names = ("celery_exporter_events_invalid_total{", "celery_exporter_control_replies_invalid_total{")
    return sum(value for name in names for value in exporter.metrics(name).values())


def test_ids_that_are_uuid_objects(shared: Shared) -> None:
    """Tasks whose ids are UUID objects are counted like others, and none of their events is invalid."""
    exporter = shared.exporter
    before = invalid(exporter)
    for _ in range(3):
        shared.send("identified", 1, task_id=uuid4())
    eventually(lambda: exporter.value("celery_tasks_total", task="identified", queue="celery", state="success") == 3)
    assert exporter.value("celery_tasks_sent_total", task="identified", queue="celery") == 3
    assert exporter.value("celery_tasks_started_total", task="identified", queue="celery") == 3
    assert exporter.value("celery_task_wait_seconds_count", task="identified", queue="celery") == 3
    assert before == invalid(exporter)


def test_a_long_registered_name_costs_its_end(programs: Programs) -> None:
    """A registered name of 600 characters is cut, and the other registered tasks are known before they run."""
    server = programs.redis()
    exporter = programs.listening(server)
    options = WorkerOptions(settings={"imports": ["tests.integration.long_name_tasks"]})
    programs.worker(server, "long", options)
    name = cut_name(LONG_NAME)
    programs.publisher(server).send_task("plain", (1,))  # its events show that task events are enabled
    eventually(lambda: exporter.value("celery_tasks_total", task="fail", queue="celery", state="success") == 0)
    assert exporter.value("celery_tasks_total", task=name, queue="celery", state="success") == 0
    assert (exporter.value("celery_exporter_names_cut_total") or 0) >= 1
    programs.publisher(server).send_task(LONG_NAME)
    eventually(lambda: exporter.value("celery_tasks_total", task=name, queue="celery", state="success") == 1)
    assert invalid(exporter) == 0
