# SPDX-License-Identifier: Apache-2.0
"""How Prometheus and its tools read the exporter's responses."""

import gzip
import json

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from celery_redis_exporter.catalog import CATALOG
from tests.integration.conftest import Programs, Shared
from tests.integration.exporters import parse
from tests.integration.prometheus_server import is_installed
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
TASK = "queried"


@pytest.fixture
def counted(shared: Shared) -> Shared:
    """Return the shared programs after a success and a failure of known tasks."""
    before = shared.exporter.account(TASK).get("success", 0)
    shared.send(TASK)
    shared.send("fail_again")
    eventually(lambda: shared.exporter.account(TASK).get("success") == before + 1)
    eventually(lambda: shared.exporter.account("fail_again").get("failure"))
    return shared


@pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH")
def test_promtool_finds_no_fault_with_our_own_names(counted: Shared, programs: Programs) -> None:
    """Prometheus's linter accepts every celery_* metric, except one whose name contains Celery's own term."""
    lines = [line for line in counted.exporter.get().text.splitlines() if "celery_worker_prefetch_count" not in line]
    ours = [line for line in lines if (line.split()[2] if line.startswith("#") else line).startswith("celery_")]
    file = programs.folder / "metrics.txt"
    file.write_text("\n".join([*ours, ""]), encoding="utf-8")
    process = programs.run("sh", "-c", 'exec promtool check metrics < "$0"', str(file))
    assert (0, "") == (process.ended(), process.output())
    assert len(ours) > 200


def test_the_text_format_is_the_default(counted: Shared) -> None:
    """Without an Accept header the response is uncompressed text 0.0.4, and the catalogue has all of its samples."""
    answer = counted.exporter.get()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in answer.headers
    endings = ("_bucket", "_count", "_sum")
    for name, _ in parse(answer.text):
        # The parser adds _total to the names of counters that lack it.
        stem = next((name.removesuffix(ending) for ending in (*endings, "_total") if name.endswith(ending)), name)
        assert stem in CATALOG or name in CATALOG or name.startswith(("process_", "python_")), name


def test_openmetrics_carries_the_tasks_behind_a_figure(counted: Shared) -> None:
    """OpenMetrics responses are valid, and samples of runtimes and failures have the ids of tasks as exemplars."""
    task_id = counted.send(TASK)
    expected = counted.exporter.account(TASK)["sent"] + 1
    eventually(lambda: (counted.exporter.account(TASK).get("success") or 0) >= expected - 1)
    found: set[str] = set()

    def shown() -> bool:
        answer = counted.exporter.get("/metrics", OPENMETRICS)
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        families = list(text_string_to_metric_families(answer.text))  # type: ignore[no-untyped-call]
        found.update(
            f"{sample.name} {sample.exemplar.labels['task_id'] == task_id}"
            for family in families
            for sample in family.samples
            if sample.exemplar
        )
        return "celery_task_runtime_seconds_bucket True" in found

    eventually(shown)
    assert {"celery_task_wait_seconds_bucket True", "celery_tasks_total False"} <= found


def test_answers_are_compressed_for_who_asks(counted: Shared) -> None:
    """If a request accepts gzip, the response contains the same metrics compressed."""
    answer = counted.exporter.get("/metrics", {"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    plain = gzip.decompress(answer.body)
    assert len(answer.body) < len(plain) / 4
    assert ("celery_workers", frozenset({("state", "online")})) in parse(plain.decode())


@pytest.mark.skipif(not is_installed(), reason="prometheus is not on PATH")
def test_prometheus_scrapes_it(counted: Shared, programs: Programs) -> None:
    """A real Prometheus shows the exporter as up, and its queries return the exporter's values."""
    job = {"job_name": "celery", "static_configs": [{"targets": [f"127.0.0.1:{counted.exporter.port}"]}]}
    limits = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    prometheus = programs.prometheus(json.dumps({"global": limits, "scrape_configs": [job]}))
    assert eventually(lambda: prometheus.value("up")) == 1
    expected = counted.exporter.account(TASK)["success"]
    query = f'celery_tasks_total{{task="{TASK}", queue="celery", state="success"}}'
    eventually(lambda: prometheus.value(query) == expected)
    assert prometheus.query("histogram_quantile(0.9, sum by (le) (celery_task_runtime_seconds_bucket)) >= 0")
    assert prometheus.query('redis_up{redis="broker"} == 1')
