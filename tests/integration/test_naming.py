# SPDX-License-Identifier: Apache-2.0
"""Names on a real worker: filters, rewrites, static labels, the worker label."""

import pytest

from tests.integration.celery_workers import WorkerOptions
from tests.integration.conftest import Programs
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def test_names_and_labels(programs: Programs) -> None:
    """Every metric applies the settings that rename, drop and label, and counts stay exact."""
    server = programs.redis()
    worker = programs.worker(server, "web-7d9f8c6b54-x2x9z", WorkerOptions(queues="tenant-a,tenant-b,private"))
    static = {"env": "prod", "zone": "eu"}
    exporter = programs.exporter(
        "--broker-url", server.url(), "--scrape.freshness", "0",
        "--names.worker.rewrite", '{"(.+)-[0-9a-f]{8,10}-[a-z0-9]{5}@.*": "$1"}',
        "--names.queue.rewrite", '{"tenant-.+": "tenants"}',
        "--names.queue.exclude", "private",
        "--names.task.exclude", "quiet",
        "--names.task.rewrite", '{"(fir|sec).+": "${1}"}',
        "--metrics.labels", "env=prod,zone=eu",
        "--metrics.drop", "celery_task_prefetch_seconds,redis_instance_info",
        "--metrics.worker-label", "--metrics.created",
        "--celery.inspect-interval", "1s",
    )  # fmt: skip
    eventually(lambda: exporter.value("celery_exporter_event_stream_up", **static) == 1)
    app = programs.publisher(server)
    sent = (
        ("first", "tenant-a"),
        ("first", "tenant-b"),
        ("second", "tenant-a"),
        ("quiet", "tenant-a"),
        ("plain", "private"),
    )
    for task, queue in sent:
        app.send_task(task, (1,), queue=queue)
    labels = {"queue": "tenants", "worker": "web", "state": "success", **static}
    eventually(lambda: exporter.value("celery_tasks_total", task="fir", **labels) == 2)
    eventually(lambda: exporter.value("celery_tasks_total", task="sec", **labels) == 1)
    eventually(lambda: exporter.value("celery_worker_tasks_processed_total", worker="web", **static) == 5)
    assert {"fir", "sec"} == {found["task"] for found in exporter.labels("celery_tasks_total")}
    assert 1 == exporter.value("celery_worker_up", worker="web", **static)
    eventually(lambda: exporter.value("celery_queue_consumers", queue="tenants", **static) == 1)
    eventually(lambda: exporter.value("celery_queue_length", queue="tenants", **static) == 0)
    text = exporter.get(headers={"Accept": "application/openmetrics-text"}).text
    gone = (
        "TYPE celery_task_prefetch_seconds ",
        "TYPE redis_instance_info ",
        "private",
        "tenant-a",
        "quiet",
        worker.name,
    )
    for missing in gone:
        assert missing not in text, missing
    assert "celery_tasks_created{" in text
    assert all('env="prod"' in line for line in text.splitlines() if not line.startswith("#"))
    assert 0 == exporter.value("celery_worker_events_missed_total", worker="web", **static)
