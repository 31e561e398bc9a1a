# SPDX-License-Identifier: Apache-2.0
"""Two workers with one node name, shown as one worker that does the work of both."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, ONE_SUCCESS, times
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

PROCESSED, ACTIVE = "celery_worker_tasks_processed_total", "celery_worker_tasks_active"
BEAT = "celery_worker_last_heartbeat_timestamp_seconds"


def test_two_workers_of_one_name(programs: Programs, tmp_path: Path) -> None:
    """Every execution of both counts once, running tasks keep running, none is missed, and the log names the worker."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s")
    options = WorkerOptions(arguments=(*BEATING, "-c", "4"))  # either can take all that is held
    workers = [programs.worker(server, "twin", options) for _ in range(2)]
    name = workers[0].name
    eventually(lambda: exporter.lines("workers.name_shared"))
    assert name == exporter.line("workers.name_shared")["worker"]
    app, gate = programs.publisher(server), tmp_path / "gate"
    for _ in range(4):
        app.send_task("hold", (str(gate),))
    held = {**times(4, ONE_RUN), "running": 4}
    exporter.agrees("hold", held)
    eventually(lambda: exporter.value(ACTIVE, worker=name) == 4)
    seen = exporter.value(BEAT, worker=name) or 0
    eventually(lambda: (exporter.value(BEAT, worker=name) or 0) > seen + 4)
    exporter.agrees("hold", held)
    gate.touch()
    for _ in range(40):
        app.send_task("plain")
    exporter.agrees("hold", times(4, ONE_SUCCESS))
    exporter.agrees("plain", times(40, ONE_SUCCESS))
    eventually(lambda: exporter.value(PROCESSED, worker=name) == 44)
    assert exporter.value("celery_worker_starts_total", worker=name) == 2
    workers[0].process.end()
    for _ in range(5):
        app.send_task("plain")
    exporter.agrees("plain", times(45, ONE_SUCCESS))
    eventually(lambda: exporter.value(PROCESSED, worker=name) == 49)
    assert exporter.value("celery_worker_events_missed_total", worker=name) == 0
    assert exporter.value("celery_workers", state="online") == 1
    assert len(exporter.lines("workers.name_shared")) == 1


def test_two_workers_of_one_name_and_process_id(programs: Programs, tmp_path: Path) -> None:
    """With two workers of one name and process id every execution counts, and the workers' own counts are not shown."""
    python = namespaced(tmp_path)
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "1s")
    options = WorkerOptions(arguments=BEATING, python=str(python))
    workers = [programs.worker(server, "twin", options) for _ in range(2)]
    name, app, gate = workers[0].name, programs.publisher(server), tmp_path / "gate"
    app.send_task("hold", (str(gate),))
    for _ in range(20):
        app.send_task("plain")
    exporter.agrees("plain", times(20, ONE_SUCCESS))
    eventually(lambda: exporter.lines("workers.name_shared"))  # 21 executions: their counts differ
    eventually(lambda: exporter.value(PROCESSED, worker=name) is None)
    held = {**ONE_RUN, "running": 1}
    app.send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", held)
    seen = exporter.value(BEAT, worker=name) or 0
    eventually(lambda: (exporter.value(BEAT, worker=name) or 0) > seen + 4)
    exporter.agrees("hold_late", held)
    gate.touch()
    for task in ("hold", "hold_late"):
        exporter.agrees(task, ONE_SUCCESS)
    assert exporter.value("celery_worker_starts_total", worker=name) == 2
    assert exporter.value("celery_worker_events_missed_total", worker=name) == 0
    assert len(exporter.lines("workers.name_shared")) == 1


def namespaced(folder: Path) -> Path:
    """Write a Python whose process has the id 1, as in a container; skip the test if the system refuses."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nexec unshare --pid --fork --kill-child {sys.executable} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    try:
        subprocess.run([script, "-c", ""], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("unshare --pid is not allowed")
    return script
