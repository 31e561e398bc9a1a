# SPDX-License-Identifier: Apache-2.0
"""The metrics in a real Prometheus: celery-exporter's names made from ours, first increments, start times."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.integration.exporters import ONE_RUN, Exporter
from tests.integration.pools import CASES, Fleet, assemble
from tests.integration.processes import ROOT, Process
from tests.integration.prometheus_server import PrometheusServer, is_installed
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH"),
]

DEPLOYED = ROOT / "deploy" / "prometheus"
RELABELLING = DEPLOYED / "relabel-celery-exporter.yml"
OLD_JOB = "celery-exporter"
BY_WORKER = "by-worker"
"""A second job with the old names, for an exporter that separates tasks by worker."""
OLD_JOBS = 'job=~".*celery.*"'
"""The selector of the mixin's dashboards and alerts."""
PARKED = {"queue": "parked"}
QUEUE = {"queue": "celery"}


def of(task: str, **labels: str) -> dict[str, str]:
    """Return the labels of a task in the queue that has a consumer."""
    return {"task": task, **QUEUE, **labels}


NAMES = (
    ("celery_task_sent_total", "celery_tasks_sent_total", of("plain")),
    ("celery_task_received_total", "celery_tasks_received_total", of("plain")),
    ("celery_task_started_total", "celery_tasks_started_total", of("retry_once")),
    ("celery_task_succeeded_total", "celery_tasks_total", of("plain", state="success")),
    ("celery_task_failed_total", "celery_tasks_total", of("fail", state="failure")),
    ("celery_task_rejected_total", "celery_tasks_total", of("reject", state="rejected")),
    ("celery_task_revoked_total", "celery_tasks_total", of("expired", state="revoked")),
    ("celery_task_retried_total", "celery_tasks_total", of("retry_once", state="retry")),
    ("celery_task_runtime_bucket", "celery_task_runtime_seconds_bucket", of("plain", state="success", le="+Inf")),
    ("celery_task_runtime_bucket", "celery_task_runtime_seconds_bucket", of("plain", state="success", le="10.0")),
    ("celery_task_runtime_sum", "celery_task_runtime_seconds_sum", of("retry_once", state="success")),
    ("celery_task_runtime_count", "celery_task_runtime_seconds_count", of("retry_once", state="success")),
    ("celery_task_queue_wait_time_bucket", "celery_task_wait_seconds_bucket", of("plain", le="+Inf")),
    # If the publisher's timestamp is later than the worker's start, the age is 0. Tasks with an eta are excluded.
    ("celery_task_queue_wait_time_sum", "celery_task_wait_seconds_sum", of("delayed")),
    ("celery_task_queue_wait_time_count", "celery_task_wait_seconds_count", of("plain")),
    ("celery_queue_length", "celery_queue_length", PARKED),
    ("celery_active_consumer_count", "celery_queue_consumers", QUEUE),
    ("celery_active_worker_count", "celery_queue_consumers", QUEUE),
    ("celery_active_process_count", "celery_queue_concurrency", QUEUE),
)
"""celery-exporter's sample, ours, and our labels."""
OLD_LABELS = {"task": "name", "queue": "queue_name", "worker": "hostname", "le": "le"}


@dataclass(frozen=True)
class Scene:
    """A fleet, two more exporters on its broker, and a Prometheus that scrapes all three every second."""

    fleet: Fleet
    zeroing: Exporter
    sudden: Exporter
    prometheus: PrometheusServer

    @property
    def processes(self) -> list[Process]:
        """Return every program, for the report of a failed test."""
        return self.fleet.processes


def configure(jobs: Mapping[str, Exporter]) -> str:
    """Return the shipped configuration with the test's addresses, intervals and additional jobs."""
    config: dict[str, Any] = yaml_text.parse(RELABELLING.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOYED / name) for name in config["rule_files"]]
    shipped = {job["job_name"]: job for job in config["scrape_configs"]}
    for name, exporter in jobs.items():
        job = {**shipped[OLD_JOB], "job_name": name} if name == BY_WORKER else shipped.get(name, {"job_name": name})
        job["static_configs"] = [{"targets": [f"127.0.0.1:{exporter.port}"]}]
        shipped[name] = job
    config["scrape_configs"] = list(shipped.values())
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Yield a scene: tasks of all outcomes, one running task, and two tasks in a queue without a consumer."""
    with ExitStack() as ending:
        folder = tmp_path_factory.mktemp("migration")
        fleet = assemble(folder, ending, "prefork")
        unasked = ("--broker-url", fleet.redis.url(), "--celery.inspect-interval", "0")
        zeroing, sudden = (
            fleet.programs.exporter(*unasked, *more, environment={"EXPORTER_SERIES__ZERO_FIRST": seconds})
            for seconds, *more in (("4", "--metrics.worker-label"), ("0", "--metrics.created"))
        )
        jobs = {OLD_JOB: fleet.exporter, "background-tasks": fleet.exporter, "zeroing": zeroing, "sudden": sudden}
        jobs[BY_WORKER] = zeroing
        prometheus = fleet.programs.prometheus(configure(jobs))
        scene = Scene(fleet, zeroing, sudden, prometheus)
        eventually(lambda: prometheus.value("sum(up)") == len(jobs))
        eventually(lambda: zeroing.hears() and sudden.hears())
        gate = folder / "gate"
        ending.callback(gate.touch)
        for case in CASES:
            fleet.publish(case)
        for _ in range(2):
            fleet.send("kept", queue=PARKED["queue"])
        eventually(fleet.is_idle)
        fleet.send("hold", str(gate))
        fleet.exporter.agrees("hold", {**ONE_RUN, "running": 1})
        yield scene


def test_the_shipped_configuration_is_valid() -> None:
    """Promtool accepts the configuration and its rules."""
    done = subprocess.run(["promtool", "check", "config", RELABELLING], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(("old", "ours", "labels"), NAMES, ids=[f"{old}-{ours}" for old, ours, _ in NAMES])
def test_old_names_have_our_values(watched: Scene, old: str, ours: str, labels: dict[str, str]) -> None:
    """Each sample of celery-exporter exists under its name, with exactly its labels, and with our value."""
    instance = f"127.0.0.1:{watched.fleet.exporter.port}"
    named = {OLD_LABELS[label]: text for label, text in labels.items() if label in OLD_LABELS}
    selector = ",".join(f'{label}="{text}"' for label, text in named.items())
    expected = {"__name__": old, "job": OLD_JOB, "instance": instance, **named}

    def agreed() -> bool:
        value = watched.fleet.exporter.value(ours, **labels)
        assert value
        assert [(expected, value)] == watched.prometheus.query(f"{old}{{{OLD_JOBS},{selector}}}")
        return True

    eventually(agreed)


def test_no_series_becomes_another(watched: Scene) -> None:
    """No two of our series become the same old series, since Prometheus would drop one of them silently."""
    kept = f'count({{job="{OLD_JOB}", __name__=~"celery_.+", __name__!="celery_active_consumer_count"}})'
    scraped = f'scrape_samples_post_metric_relabeling{{job="{OLD_JOB}"}}'
    eventually(lambda: (watched.prometheus.value(scraped) or 0) == watched.prometheus.value(kept))


@pytest.mark.parametrize("name", ["celery_worker_up", "celery_worker_tasks_active"])
def test_workers_have_their_hostname(watched: Scene, name: str) -> None:
    """A query that selects the old job finds each worker by hostname, once."""
    instance, hostname = f"127.0.0.1:{watched.fleet.exporter.port}", watched.fleet.worker.name
    labels = {"__name__": name, "job": OLD_JOB, "instance": instance, "hostname": hostname}
    eventually(lambda: [(labels, 1)] == watched.prometheus.query(f"{name}{{{OLD_JOBS}}}"))


@pytest.mark.parametrize(
    "name", ["celery_task_received_total", "celery_task_succeeded_total", "celery_task_runtime_sum"]
)
def test_tasks_have_their_hostname_on_request(watched: Scene, name: str) -> None:
    """With --metrics.worker-label a task metric has celery-exporter's label hostname beside its other labels."""
    labels = {"name": "plain", "queue_name": "celery", "hostname": watched.fleet.worker.name}
    instance = f"127.0.0.1:{watched.zeroing.port}"
    expected = {"__name__": name, "job": BY_WORKER, "instance": instance, **labels}
    query = f'{name}{{job="{BY_WORKER}", name="plain"}}'
    eventually(lambda: [expected] == [found for found, _ in watched.prometheus.query(query)])


def test_the_old_job_has_old_names_only(watched: Scene) -> None:
    """Metrics that celery-exporter does not have are stored once, in the other job."""
    samples = {old for old, _, _ in NAMES} | {"celery_worker_up", "celery_worker_tasks_active"}
    found = watched.prometheus.query(f'count by (__name__) ({{{OLD_JOBS}, __name__=~"celery_.+|redis_.+"}})')
    assert samples == {labels["__name__"] for labels, _ in found}
    assert watched.prometheus.value('celery_tasks_total{job="background-tasks", task="plain", state="success"}') == 3
    assert watched.prometheus.value('redis_up{job="background-tasks"}') == 1


FAILED = f'sum by (queue_name, name) (celery_task_failed_total{{{OLD_JOBS}, queue_name!~"None", name=~"fail|late"}})'
SUCCEEDED = FAILED.replace("failed", "succeeded")
QUANTILE = f"histogram_quantile(0.5, sum by (job, le) (celery_task_runtime_bucket{{{OLD_JOBS}}}))"


@pytest.mark.parametrize(("expression", "expected"), [
    (f"sum by (queue_name) (celery_queue_length{{{OLD_JOBS}}})", {"celery": 0, "parked": 2}),
    (f"count by (job) (celery_worker_up{{{OLD_JOBS}}} == 1)", {OLD_JOB: 1}),
    (f"sum by (job) (celery_worker_tasks_active{{{OLD_JOBS}}})", {OLD_JOB: 1}),
    (f"sum by (name) ({FAILED})", {"fail": 3, "late": 0}),
    (f"{FAILED} / ({FAILED} + {SUCCEEDED}) * 100 > 5", {"celery": 100}),
    (f"{QUANTILE} < bool 10", {OLD_JOB: 1}),
], ids=["lengths", "workers", "active", "failures", "fail-ratio", "quantile"])  # fmt: skip
def test_old_queries_answer(watched: Scene, expression: str, expected: dict[str, float]) -> None:
    """Queries as in celery-exporter's dashboards and alerts return our values, once."""

    def answers() -> bool:
        found = watched.prometheus.query(expression)
        first = ("queue_name", "name", "job")
        by_label = {next(labels[label] for label in first if label in labels): value for labels, value in found}
        assert expected == by_label
        return len(found) == len(by_label)

    eventually(answers)


def test_the_first_failure_is_an_increase(watched: Scene) -> None:
    """The first failure of a new task is an increase if counters start at 0, and no increase otherwise."""
    prometheus, failures = watched.prometheus, 'celery_tasks_total{job="%s", task="fail_again", state="failure"}'
    zeroing, sudden = failures % "zeroing", failures % "sudden"
    assert [] == prometheus.query(zeroing)
    watched.fleet.send("fail_again")
    eventually(lambda: prometheus.value(zeroing) == 1)
    eventually(lambda: (prometheus.value(f"count_over_time({sudden}[1m])") or 0) > 4)
    assert prometheus.value(f"min_over_time({zeroing}[1m])") == 0
    assert 0.5 < (prometheus.value(f"increase({zeroing}[1m])") or 0) < 3  # it extrapolates from a few seconds
    assert prometheus.value(sudden) == 1
    assert prometheus.value(f"increase({sudden}[1m])") == 0


def test_start_times_are_understood(watched: Scene) -> None:
    """Prometheus reads OpenMetrics with _created lines without an error."""
    created = 'celery_tasks_created{job="sudden", task="plain", state="success"}'
    assert watched.prometheus.value(f"time() - {created} < 300")
    assert watched.prometheus.value('min_over_time(up{job="sudden"}[5m])') == 1
    assert [] == watched.prometheus.query('celery_tasks_created{job!="sudden"}')
