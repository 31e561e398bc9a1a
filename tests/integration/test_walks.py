# SPDX-License-Identifier: Apache-2.0
"""The step-by-step pages, followed from the first line to the last on real programs."""

import shutil
import sys
from functools import partial

import pytest

from tests.integration.beats import django_python
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT, source_path
from tests.integration.reader import Reader
from tests.support.pages import blocks
from tests.support.waiting import eventually

DOCS = ROOT / "deploy" / "docs"
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def started(reader: Reader, beginning: str) -> Exporter:
    """Return the exporter that the reader started, once it receives events."""
    (process,) = [process for command, process in reader.processes.items() if command.startswith(beginning)]
    process.wait_for("app.started")
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    return exporter


def values(exporter: Exporter, metric: str) -> list[float]:
    """Return the values of a gauge, whatever its labels."""
    return [value for (name, _), value in exporter.metrics().items() if name == metric]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not on PATH")
def test_your_own_application(programs: Programs) -> None:
    """A reader who follows the quickstart with an application has an alert that fires."""
    celery = {"celery": f"{sys.executable} -m celery"}
    reader = Reader(programs, celery, {"PYTHONPATH": source_path(ROOT), "EXPORTER_LOG__FORMAT": "json"})

    def is_watched() -> None:
        exporter = started(reader, "celery-redis-exporter")
        eventually(lambda: [1] == values(exporter, "celery_worker_up"))

    def has_failed() -> None:
        exporter = started(reader, "celery-redis-exporter")
        eventually(lambda: exporter.value("celery_task_consecutive_failures", task="tasks.divide") == 3)

    *steps, query = blocks(DOCS / "quickstart.md", "Your own application")
    outputs = reader.follow(steps, {"celery --app=tasks call": is_watched, "celery-redis-exporter top": has_failed})
    (screen,) = [output for output in outputs if "tasks.divide" in output]
    assert "CRITICAL" in screen
    (command,) = query.commands
    eventually(lambda: 'alertstate="firing"' in reader.type(command), 60)


def test_a_django_project(programs: Programs) -> None:
    """A reader who follows the page has a Django project whose periodic task, beat and queue are shown."""
    python = str(django_python())
    pythons = {
        "python": python, "celery": f"{python} -m celery", "django-admin": f"{python} -m django",
        "celery-redis-exporter": f"env PYTHONPATH={source_path(ROOT)} {sys.executable} -m celery_redis_exporter",
    }  # fmt: skip
    reader = Reader(programs, pythons, {"PYTHONPATH": "", "EXPORTER_LOG__FORMAT": "json"})
    checked = "celery-redis-exporter check"
    outputs = reader.follow(
        blocks(DOCS / "celery-and-django.md", "A Django project"),
        {checked: partial(started, reader, "celery-redis-exporter --broker-url")},
    )
    assert "FAIL" not in outputs[-1], outputs[-1]
    for subject in ("task events", "task-sent", "control"):
        assert f"OK    {subject}" in outputs[-1], outputs[-1]
    exporter = started(reader, "celery-redis-exporter --broker-url")
    task = "polls.tasks.count_votes"
    counted = partial(exporter.value, "celery_tasks_total", task=task, queue="celery", state="success")
    eventually(lambda: (counted() or 0) >= 1)
    assert exporter.value("celery_task_wait_seconds_count", task=task, queue="celery") is not None
    assert exporter.value("celery_queue_length", queue="celery") is not None
    eventually(lambda: exporter.value("celery_task_expected_interval_seconds", task=task) == 10)
    assert [1] == values(exporter, "celery_beat_up")
