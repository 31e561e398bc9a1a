# SPDX-License-Identifier: Apache-2.0
"""Rules and dashboards on classic histograms, on native ones, and on both."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import RenderOptions, render_rules
from celery_redis_exporter.alerts.slo import Objective, build_group
from celery_redis_exporter.catalog.tasks import DURATION_BUCKETS
from tests.integration.conftest import Programs
from tests.integration.dashboard_data import Data, real_run
from tests.integration.native_shop import FEATURE, NATIVE, NATIVE_ONLY, SERVERS, NativeShop
from tests.integration.prometheus_server import PrometheusServer, is_installed
from tests.integration.suite_programs import suite_program
from tests.integration.test_dashboards import EMPTY_AFTER_A_RUN, each_board, find_all_faults
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH"),
]

WITHIN = 1.0
RULES = render_rules([*GROUPS, build_group((Objective("proj.usual", 0.95, WITHIN),))], RenderOptions())
BOTH = {"always_scrape_classic_histograms": True}


USUAL = 'celery_tasks_total{task="proj.usual"}'
RATE_MEAN = "celery:task_runtime_seconds_sum:rate5m / celery:task_runtime_seconds_count:rate5m"


def value_of(server: PrometheusServer, record: str) -> float:
    """Wait for a recorded value of the usual task, and return it."""
    found = eventually(lambda: server.query(f"({record}) and on (task) {USUAL}"))
    ((_, value),) = found
    return value


def assert_buckets(server: PrometheusServer, lower: float, upper: float, *, is_native: bool) -> None:
    """Compare the dashboards' result for the recorded histogram with the truth, between ``lower`` and ``upper``."""
    buckets = 'celery:task_runtime_seconds_bucket:rate5m{task="proj.usual"}'
    assert is_native == (len(server.query(buckets)) == 1)
    recorded = server.value(f"histogram_quantile(0.95, sum by (le) ({buckets}))")
    assert recorded is not None
    assert lower <= recorded <= upper


def classic_bucket(truth: float) -> tuple[float, float]:
    """Return the bounds of the classic bucket that a time is in."""
    bounds = (0.0, *DURATION_BUCKETS, float("inf"))
    return next(pair for pair in pairwise(bounds) if pair[0] < truth <= pair[1])


@pytest.mark.parametrize(
    ("version", "exporter", "feature", "job"),
    [
        ("2.42", (), (), {}), ("2.42", NATIVE_ONLY, (), {}), ("2.42", (NATIVE,), (FEATURE,), {}),
        ("3.5", (), (FEATURE,), {}), ("3.5", NATIVE_ONLY, (FEATURE,), {}), ("3.5", (NATIVE,), (FEATURE,), BOTH),
    ],
    ids=["2.42 classic", "2.42 text", "2.42 native", "3.5 classic", "3.5 native", "3.5 both"],
)  # fmt: skip
def test_recorded_values_are_right(
    programs: Programs, version: str, exporter: tuple[str, ...], feature: tuple[str, ...], job: dict[str, object]
) -> None:
    """Means, quantiles, counts and shares are recorded from classic or native histograms, preferably native ones."""
    shop = NativeShop(programs, *exporter)
    server = shop.scraped(version, *feature, rules=RULES, celery=job)
    shop.run()
    is_native = bool(exporter and feature)
    expected = shop.runtimes["proj.usual"]
    mean = sum(expected) / len(expected)

    def is_complete() -> bool:
        for record in ("celery:task_runtime_seconds:mean10m", RATE_MEAN):
            assert value_of(server, record) == pytest.approx(mean, rel=1e-6)
        return True

    eventually(is_complete)
    truth = shop.truth("proj.usual", 0.95)
    lower, upper = (truth / 1.0906, truth * 1.0906) if is_native else classic_bucket(truth)
    assert lower <= value_of(server, "celery:task_runtime_seconds:p95_15m") <= upper
    if not (is_native and version == "2.42"):  # 2.42 discards recorded native histograms because of rounding errors
        assert_buckets(server, lower, upper, is_native=is_native)
    assert value_of(server, "celery:task_wait_seconds_count:increase10m") == pytest.approx(
        value_of(server, "celery:task_runtime_seconds_count:increase15m")
    )
    assert value_of(server, "celery:slo_start_proj_usual:error_ratio5m") == pytest.approx(0, abs=1e-9)
    assert [] == server.query("ALERTS{alertname=~'CeleryTaskWait.+'}")


@pytest.fixture(scope="module")
def native_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """Yield the data of a real run in a Prometheus 3.5 that has native histograms only."""
    program = suite_program("prometheus-3")
    with real_run(tmp_path_factory.mktemp("native"), native_program=program) as data:
        yield data


@each_board
def test_dashboards_after_a_real_run(native_run: Data, uid: str) -> None:
    """Every dashboard query has results with native histograms only, as it does with classic ones."""
    assert [] == find_all_faults(native_run, uid, EMPTY_AFTER_A_RUN)


def test_only_native_histograms_are_there(native_run: Data) -> None:
    """The run has no classic series of the native histograms, which the test above requires."""
    names = native_run.prometheus.label_values(
        "__name__", '{__name__=~"celery_.+_bucket"}', native_run.start, native_run.end
    )
    assert {"celery_exporter_scrape_duration_seconds_bucket"} == set(names)


@pytest.mark.parametrize("version", SERVERS)
def test_rules_load(programs: Programs, version: str) -> None:
    """A Prometheus without the feature and without native histograms evaluates every rule without an error."""
    shop = NativeShop(programs, expected={"proj.usual": [0.5]})
    server = shop.scraped(version, rules=RULES, celery={})
    eventually(lambda: (server.value("sum(prometheus_rule_evaluations_total)") or 0) >= 0)
    failures = [line for line in server.own_metrics().splitlines() if "rule_evaluation_failures_total{" in line]
    assert failures
    assert all(line.endswith(" 0") for line in failures)
