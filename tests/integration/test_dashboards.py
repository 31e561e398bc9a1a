# SPDX-License-Identifier: Apache-2.0
"""Every query of every panel and variable, on a real Prometheus: after a real run, and on six hours of history.

A panel may be empty only if it is listed here with its reason.
"""

import math
import re
from collections.abc import Iterator, Mapping

import pytest
import yaml

from tests.integration.conftest import Programs
from tests.integration.dashboard_data import Data, real_run, six_hours
from tests.support.dashboards import Target, boards, fill_times, queries_of_variables, substitute, targets
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

POINTS = 60
"""The number of samples in a graph."""
EMPTY_AFTER_A_RUN = {
    "last week": "nobody waits a week for a test",
    "exemplars": "only exemplars are read",
    "celery-task / Outcomes by worker": "only with metrics.worker_label",
    "celery-task / Periodic tasks / D": "no periodic task of the shop's ever fails",
    "exporter / Interruptions": "the event stream never broke",
    "exporter / Forgotten tasks": "nothing was forgotten",
    "exporter / Unexpected errors": "nothing unexpected happened",
    "exporter / Answers that did not come": "every worker answered",
    "exporter / Commands refused": "the user has every right",
    "redis / Refused / B": "known from Redis 7.2 on",
    "redis / Cluster": "no server is in a cluster",
    "redis / Slots not served": "no server is in a cluster",
    "redis / Quorum of the sentinels": "there is no sentinel",
}
EMPTY_IN_HISTORY = {
    "exemplars": "only exemplars are read",
    "celery-task / Outcomes by worker": "only with metrics.worker_label",
    "exporter / Commands refused": "the user has every right",
    "redis / Replication": "there is no replica",
    "redis / Link to the master": "there is no replica",
    "redis / Cluster": "no server is in a cluster",
    "redis / Slots not served": "no server is in a cluster",
    "redis / Quorum of the sentinels": "there is no sentinel",
}
SOMETIMES = {
    "exporter / Forgotten tasks", "exporter / Answers that did not come", "exporter / Interruptions",
    "redis / Refused / B",
}  # fmt: skip
"""Panels that may be empty after a run, because their events are rare or depend on the server's version."""
MAY_EXCEED = {
    "Redis memory", "Redis memory, of its limit", "Memory used", "Of its limit", "Servers", "CPU of the exporter",
    "CPU of servers",
}  # fmt: skip
"""Redis can exceed its limit for a moment and excludes buffers of replicas, and threads can use several CPUs."""
each_board = pytest.mark.parametrize("uid", list(boards()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """Yield the data of a real run."""
    with real_run(tmp_path_factory.mktemp("run")) as data:
        yield data


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """Yield six hours of history."""
    with six_hours(tmp_path_factory.mktemp("history")) as data:
        yield data


def answers(data: Data, target: Target) -> list[tuple[dict[str, str], list[float]]]:
    """Return the result of a panel's query, with the variables and the step that Grafana would insert."""
    shown = int(data.end - data.start)
    step = max(shown // POINTS, data.step)
    expr = fill_times(substitute(target.expr, {}), step, data.step, shown)
    if target.instant:
        return [(labels, [value]) for labels, value in data.prometheus.at(expr, data.end)]
    return data.prometheus.query_range(expr, data.start, data.end, step)


def excuse(target: Target, excuses: Mapping[str, str]) -> str:
    """Return the entry that allows a query to be empty, or an empty string."""
    names = (target.title, f"{target.board} / {target.panel}", target.legend)
    return next((name for name in names if name in excuses), "")


def find_faults(data: Data, target: Target, excuses: Mapping[str, str]) -> Iterator[str]:
    """Yield the faults in the result of a query."""
    series = answers(data, target)
    if not series and not excuse(target, excuses):
        yield f"{target.title}: empty: {target.expr}"
    for labels, values in series:
        if all(math.isnan(value) for value in values):
            yield f"{target.title}: only NaN: {labels}"
        if any(math.isinf(value) for value in values):
            yield f"{target.title}: infinite: {labels}"
        unknown = set(re.findall(r"\{\{(\w+)\}\}", target.legend)) - set(labels) - ({"le"} if data.native else set())
        if unknown:
            yield f"{target.title}: the legend's {unknown} is not in {labels}"
        highest = 1.5 if target.panel in MAY_EXCEED else 1.0
        if target.unit == "percentunit" and not 0 <= min(values) <= max(values) <= highest:
            yield f"{target.title}: no share: {labels} {values}"


def find_all_faults(data: Data, uid: str, excuses: Mapping[str, str]) -> list[str]:
    """Return the faults of a dashboard."""
    return [fault for target in targets(boards()[uid]) for fault in find_faults(data, target, excuses)]


def find_used(data: Data, excuses: Mapping[str, str]) -> set[str]:
    """Return the entries that allow an actually empty query."""
    found = [target for tree in boards().values() for target in targets(tree) if not answers(data, target)]
    return {excuse(target, excuses) for target in found}


@each_board
def test_after_a_real_run(run: Data, uid: str) -> None:
    """After a real run every query has a result with the legend's labels, without NaN-only series."""
    assert [] == find_all_faults(run, uid, EMPTY_AFTER_A_RUN)


@each_board
def test_after_six_hours(history: Data, uid: str) -> None:
    """On six hours of history every query has a result with the legend's labels and without NaN-only series."""
    assert [] == find_all_faults(history, uid, EMPTY_IN_HISTORY)


def test_empty_panels_are_still_empty(run: Data, history: Data) -> None:
    """Every panel in the lists of empty panels is empty."""
    assert set() == set(EMPTY_AFTER_A_RUN) - find_used(run, EMPTY_AFTER_A_RUN) - SOMETIMES
    assert set() == set(EMPTY_IN_HISTORY) - find_used(history, EMPTY_IN_HISTORY)


@each_board
def test_variables_have_values(run: Data, uid: str) -> None:
    """Every variable has values, except cluster, namespace and application, which the run does not have."""
    for name, (series, label) in queries_of_variables(boards()[uid]).items():
        values = run.prometheus.label_values(label, substitute(series, {}), run.start, run.end)
        assert bool(values) == (name not in {"cluster", "namespace", "application"}), name


@each_board
def test_choices_are_obeyed(run: Data, uid: str) -> None:
    """With a job that does not exist, queries return only 0 or the values for no data."""
    step = run.step
    for target in targets(boards()[uid]):
        expr = fill_times(substitute(target.expr, {"job": "another"}), step, step, int(run.end - run.start))
        shown = [value for labels, value in run.prometheus.at(expr, run.end) if labels or value not in {0, 31_536_000}]
        assert [] == shown, target.title


def test_a_pair_of_exporters_counts_once(run: Data) -> None:
    """With two exporters the counts of executions, workers and messages are those of one."""
    window = f"[{int(run.end - run.start)}s]"
    plain = f'sum(increase(celery_tasks_total{{state=~"success|failure"}}{window}))'
    ((_, both),) = run.prometheus.at(plain, run.end)
    runs = {target.name: target for target in targets(boards()["celery-overview"]) if target.panel == "Tasks"}["A"]
    assert 0.4 * both < sum(value for _, (value,) in answers(run, runs)) < 0.6 * both
    (online,) = [target for target in targets(boards()["celery-overview"]) if target.panel == "Workers online"]
    assert [({}, [2.0])] == answers(run, online)


def test_without_workers(programs: Programs) -> None:
    """Before the first worker starts the overview shows 0 workers, and its variables have values."""
    exporter = programs.listening(programs.redis())
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "celery", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]},
        ],
    }
    prometheus = programs.prometheus(yaml.safe_dump(config))
    eventually(lambda: prometheus.query("celery_exporter_event_stream_up"))
    shown = {}
    for target in targets(boards()["celery-overview"]):
        if target.instant:
            found = prometheus.query(fill_times(substitute(target.expr, {}), 1, 1, 60))
            shown[target.panel] = [value for _, value in found]
    assert {"Alerts": [0], "Broker": [1], "Events": [1], "Workers online": [0], "Failing": [], "Slowest queue": []} == {
        name: shown[name] for name in ("Alerts", "Broker", "Events", "Workers online", "Failing", "Slowest queue")
    }
    series, label = queries_of_variables(boards()["celery-overview"])["job"]
    assert ["celery"] == prometheus.label_values(label, substitute(series, {}), 0, 2**33)
