# SPDX-License-Identifier: Apache-2.0
"""The shipped rules record Flower's metrics from ours; a real Prometheus scrapes both for comparison."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.bench.subjects import install, start_flower
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.processes import ROOT, Process
from tests.integration.prometheus_server import PrometheusServer, is_installed, scraping
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,  # Flower is installed by pip, into .peers/
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH"),
]

RULES = ROOT / "deploy" / "prometheus" / "flower-compat.rules.yml"
SENT = {"plain": 3, "fail": 2, "retry_once": 2, "late": 2, "reject": 2, "expired": 2, "quiet": 2}
HELD, WAITING = 2, 3
"""Tasks that occupy the worker's two processes, and the tasks that it prefetched."""
AGREED = [
    'flower_events_total{JOB, type!="task-sent", task!~"reject|expired|"}',
    'sum by (worker) (flower_events_total{JOB, type="task-revoked"})',
    'sum by (task, type) (flower_events_total{JOB, type="task-sent"})',
    "flower_task_runtime_seconds_count{JOB}",
    'flower_task_runtime_seconds_bucket{JOB, le="0.5"}',
    "flower_task_runtime_seconds_sum{JOB}",
    "flower_worker_online{JOB}",
    "flower_worker_number_of_currently_executing_tasks{JOB}",
    "sum by (worker) (flower_worker_prefetched_tasks{JOB})",
]
"""Metrics that are equal in both. The publisher of a task and the name of a prefetched task are labels of Flower only.

If task-revoked arrives before task-sent, Flower counts the task without a name.
"""
Values = dict[frozenset[tuple[str, str]], float]


@dataclass(frozen=True)
class Scene:
    """A worker with tasks of several outcomes, Flower, an exporter, and a Prometheus that scrapes both."""

    prometheus: PrometheusServer
    worker: str
    processes: list[Process]

    def values(self, query: str, job: str) -> Values:
        """Return the values of a query for one job by Flower's labels, rounded, without those that are 0."""
        found = self.prometheus.query(query.replace("JOB", f'job="{job}"'))
        return {
            frozenset((label, text) for label, text in labels.items() if label not in {"job", "instance"}): round(n, 6)
            for labels, n in found
            if n
        }

    def total(self, query: str, job: str) -> float:
        """Return the sum of a query's values for one job."""
        return sum(self.values(query, job).values())


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Yield a scene in which all tasks ended except the blocked ones and those queued behind them."""
    with ExitStack() as ending:
        folder = tmp_path_factory.mktemp("flower")
        programs = Programs(folder, ending)
        server = programs.redis()
        # Counters start at 0 by default; without that the very first increase would be lost.
        more = ("--celery.inspect-interval", "1s", "--metrics.worker-label", "--series.zero-first", "3s")
        exporter = programs.listening(server, *more)
        flower = start_flower(server.port, folder)
        ending.callback(flower.process.end)
        worker = programs.worker(server, "w", WorkerOptions(arguments=BEATING))
        prometheus = programs.prometheus(scraping(RULES, flower=flower.port, ours=exporter.port))
        scene = Scene(prometheus, worker.name, [*programs.processes, flower.process])
        for job in ("flower", "ours"):
            eventually(lambda job=job: scene.total("flower_worker_online{JOB}", job) == 1, 40)  # type: ignore[misc]
        app, gate = programs.publisher(server), folder / "gate"
        ending.callback(gate.touch)
        for task, number in SENT.items():
            for _ in range(number):
                app.send_task(task, expires=-1 if task == "expired" else None)
        ended = 'flower_events_total{JOB, type=~"task-(succeeded|failed|revoked)", task!="reject"}'
        # Of the two retried tasks only the success; Flower counts every event of the rejected tasks.
        eventually(lambda: scene.total(ended, "flower") == sum(SENT.values()) - SENT["reject"])
        for _ in range(HELD):
            app.send_task("hold", (str(gate),))
        eventually(lambda: exporter.value("celery_worker_tasks_active", worker=worker.name) == HELD)
        for _ in range(WAITING):
            app.send_task("waiting")
        yield scene


@pytest.mark.parametrize("query", AGREED)
def test_the_rules_give_flower_s_values(watched: Scene, query: str) -> None:
    """The rules record each series of Flower with its labels and value, and no other series."""

    def agreed() -> bool:
        theirs = watched.values(query, "flower")
        assert theirs
        assert theirs == watched.values(query, "ours")
        return True

    eventually(agreed)


def test_what_was_sent_is_what_is_counted(watched: Scene) -> None:
    """The compared values are those of the tasks sent, so that two empty exporters would not pass."""
    succeeded = 'sum by (task) (flower_events_total{JOB, type="task-succeeded"})'
    tasks = {"plain": 3, "retry_once": 2, "late": 2, "quiet": 2}
    expected = {frozenset({("task", task)}): number for task, number in tasks.items()}
    eventually(lambda: watched.values(succeeded, "ours") == expected)
    prefetched = "sum by (worker) (flower_worker_prefetched_tasks{JOB})"
    eventually(lambda: watched.total(prefetched, "ours") == WAITING)


def test_an_execution_told_twice_counts_once(watched: Scene) -> None:
    """Celery 5.7 sends two final events for a rejected execution: Flower counts both, the rules count one."""
    ends = 'flower_events_total{JOB, task="reject", type=~"task-(failed|rejected)"}'
    eventually(lambda: watched.total(ends, "flower") == 2 * SENT["reject"])
    eventually(lambda: watched.total(ends, "ours") == SENT["reject"])


def test_the_mean_time_in_the_worker_is_recorded(watched: Scene) -> None:
    """The rules record the mean prefetch time by worker and task; Flower shows the last one, and 0 after the task."""
    query = 'flower_task_prefetch_time_seconds{JOB, task="plain"}'
    (labels,) = eventually(lambda: watched.values(query, "ours"))
    assert {"worker": watched.worker, "task": "plain", "__name__": "flower_task_prefetch_time_seconds"} == dict(labels)
    assert {} == watched.values(query, "flower")


def test_its_options_are_those_of_the_page() -> None:
    """Every option that the migration page replaces or lists as missing exists in Flower."""
    page = (ROOT / "deploy" / "docs" / "migration.md").read_text(encoding="utf-8")
    table = page.partition("| its option (variable: FLOWER_")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()[2:] if not line.startswith(("| broker (", "| /"))]
    named = {name for cell in cells for name in re.findall(r"[a-z][a-z0-9_]+", re.sub(r"\(.*\)", "", cell))}
    (options,) = (install("flower").parents[1] / "lib").glob("python*/site-packages/flower/options.py")
    known = set(re.findall(r'^define\("(\w+)"', options.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(named) > 15
    assert set() == named - known
