# SPDX-License-Identifier: Apache-2.0
"""Messages that Redis delivers a second time."""

from pathlib import Path

import pytest

from tests.integration.celery_workers import QUICK, WorkerOptions, deliver_again
from tests.integration.conftest import Programs
from tests.integration.exporters import ONE_RUN, times
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

BEATING = WorkerOptions(arguments=(*QUICK, "--heartbeat-interval", "1"))
TWO_RUNS = {**times(2, ONE_RUN), "sent": 1, "wait": 1}


def test_tasks_of_a_lost_worker_run_again(programs: Programs, tmp_path: Path) -> None:
    """A task that is delivered again after its worker was killed counts as two executions, one of which ended."""
    server = programs.redis()
    exporter = programs.listening(server, "--workers.lost-after", "1s")
    first = programs.worker(server, "first", BEATING)
    gate = tmp_path / "gate"
    programs.publisher(server).send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    eventually(lambda: exporter.value("celery_worker_heartbeat_interval_seconds", worker=first.name) == 1)
    first.process.kill()
    eventually(lambda: exporter.value("celery_worker_up", worker=first.name) == 0)
    programs.worker(server, "second", BEATING)
    deliver_again(programs.publisher(server))
    exporter.agrees("hold_late", {**TWO_RUNS, "running": 1})
    gate.touch()
    exporter.agrees("hold_late", {**TWO_RUNS, "success": 1, "runtime success": 1})


def test_tasks_that_run_twice_at_once_count_twice(programs: Programs, tmp_path: Path) -> None:
    """A task that two workers run at the same time counts as two executions that end."""
    server = programs.redis()
    exporter = programs.listening(server)
    gate = tmp_path / "gate"
    one_at_a_time = WorkerOptions(settings={"worker_prefetch_multiplier": 1}, arguments=(*QUICK, "-c", "1"))
    for name in ("first", "second"):
        programs.worker(server, name, one_at_a_time)
    programs.publisher(server).send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    deliver_again(programs.publisher(server))
    exporter.agrees("hold_late", {**TWO_RUNS, "running": 2})
    gate.touch()
    exporter.agrees("hold_late", {**TWO_RUNS, "success": 2, "runtime success": 2})


def test_tasks_that_run_twice_on_one_worker_count_twice(programs: Programs, tmp_path: Path) -> None:
    """A task that one worker runs twice at once, after the visibility timeout, counts as two executions that end."""
    server = programs.redis()
    exporter = programs.listening(server)
    gate = tmp_path / "gate"
    programs.worker(server, "only", BEATING)
    programs.publisher(server).send_task("hold_late", (str(gate),))
    exporter.agrees("hold_late", {**ONE_RUN, "running": 1})
    deliver_again(programs.publisher(server))
    exporter.agrees("hold_late", {**TWO_RUNS, "running": 2})
    gate.touch()
    exporter.agrees("hold_late", {**TWO_RUNS, "success": 2, "runtime success": 2})
