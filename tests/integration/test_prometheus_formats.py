# SPDX-License-Identifier: Apache-2.0
"""Formats that Prometheus 2 and 3 request in each configuration, the responses, and the stored samples."""

import json
import re
from collections.abc import Mapping

import pytest

from celery_redis_exporter.clock import SystemClock
from tests.integration.conftest import Programs, Shared
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.relay import relay_to
from tests.integration.suite_programs import either_program
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

QUICK = {"scrape_interval": "1s", "scrape_timeout": "1s"}
NEWEST = pytest.mark.newest("prometheus-3")
BOTH = pytest.mark.parametrize("name", ["prometheus", "prometheus-3"])
TASK = "formatted"
DONE = f'celery_tasks_total{{task="{TASK}", state="success"}}'
RUNTIME = f'celery_task_runtime_seconds_bucket{{task="{TASK}", state="success"}}'
TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ESCAPED = {"allow-utf-8": "allow-utf-8", "underscores": "underscores", "dots": "underscores", "values": "underscores"}
"""Escapings that Prometheus 3 can be configured to request, and the responses: the names need none."""
OURS = "celery_task.*|redis_commands.*"


@pytest.fixture
def done(shared: Shared) -> Shared:
    """Return the shared programs after an execution of a known task."""
    before = shared.exporter.account(TASK).get("success", 0)
    shared.send(TASK)
    eventually(lambda: shared.exporter.account(TASK).get("success") == before + 1)
    return shared


def target(exporter: Exporter) -> dict[str, object]:
    """Return a job that scrapes an exporter."""
    return {"job_name": "celery", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}


def configured(*jobs: Mapping[str, object]) -> str:
    """Return a configuration of jobs."""
    return json.dumps({"global": QUICK, "scrape_configs": jobs})


def stored(prometheus: PrometheusServer) -> dict[str, float]:
    """Return the number of executions that each job has scraped."""
    return {labels["job"]: value for labels, value in prometheus.query(DONE)}


def assert_same_samples(prometheus: PrometheusServer, expected: float, jobs: set[str]) -> None:
    """Wait until each job has the same number of executions, and compare how many samples they have scraped."""
    eventually(lambda: stored(prometheus) == dict.fromkeys(jobs, expected))
    assert {1} == {value for _, value in prometheus.query("up")}
    found = [value for _, value in prometheus.query(f'count by (job) ({{job!="", __name__=~"{OURS}"}})')]
    assert len(jobs) == len(found)
    assert 1 == len(set(found))


@NEWEST
def test_each_protocol_is_answered_in_kind(done: Shared, programs: Programs) -> None:
    """Prometheus 3.5 receives each text protocol that it is configured to request, with the same samples."""
    expected = {
        "OpenMetricsText1.0.0": f"{OPENMETRICS}; escaping=allow-utf-8",
        "OpenMetricsText0.0.1": TEXT,  # this version is unsupported, so the text format is used
        "PrometheusText1.0.0": f"{TEXT_1}; escaping=allow-utf-8",
        "PrometheusText0.0.4": TEXT,
    }
    with relay_to(done.exporter) as relay:
        jobs = [relay.job(name, scrape_protocols=[name]) for name in expected]
        jobs += [
            relay.job(name, metric_name_escaping_scheme=name, metric_name_validation_scheme=scheme)
            for name, scheme in zip(ESCAPED, ("utf8", "legacy", "utf8", "utf8"), strict=True)
        ]
        prometheus = programs.prometheus(configured(*jobs), program=either_program("prometheus-3"))
        account = done.exporter.account(TASK)["success"]
        assert_same_samples(prometheus, account, {*expected, *ESCAPED})
        found = {name: exchange.content_type for name, exchange in relay.exchanges.items()}
    escaped = {name: f"{OPENMETRICS}; escaping={answered}" for name, answered in ESCAPED.items()}
    assert expected | escaped == found


@BOTH
@pytest.mark.parametrize("features", ["exemplar-storage", "native-histograms"])
def test_each_default_is_answered(done: Shared, programs: Programs, name: str, features: str) -> None:
    """The default requests of Prometheus, with native histograms and without, receive an offered format."""
    with relay_to(done.exporter) as relay:
        flag = f"--enable-feature={features}"
        prometheus = programs.prometheus(configured(relay.job("plain")), flag, program=either_program(name))
        assert_same_samples(prometheus, done.exporter.account(TASK)["success"], {"plain"})
        accept, content_type = relay.exchanges["plain"]
    kind, _, parameters = content_type.partition(";")
    assert kind in {offer.partition(";")[0] for offer in accept.split(",")}
    assert ("native" in features) == ("application/vnd.google.protobuf" in accept)
    if kind == "application/openmetrics-text":
        assert "version=1.0.0" in parameters
        assert parameters.endswith(
            "escaping=allow-utf-8" if "escaping=allow-utf-8" in accept else "escaping=underscores"
        )


@BOTH
def test_exemplars_are_stored(done: Shared, programs: Programs, name: str) -> None:
    """Prometheus stores the id of a task as an exemplar of its runtime."""
    flag = "--enable-feature=exemplar-storage"
    prometheus = programs.prometheus(configured(target(done.exporter)), flag, program=either_program(name))
    eventually(lambda: stored(prometheus))
    sent, clock = done.send(TASK), SystemClock()

    def ids() -> set[str]:
        found = prometheus.exemplars(RUNTIME, clock.now() - 60, clock.now() + 60)
        return {labels["task_id"] for _, labels in found}

    eventually(lambda: sent in ids())


@NEWEST
@pytest.mark.parametrize("features", ["", "created-timestamp-zero-ingestion"])
def test_starts_of_counters_are_stored(programs: Programs, features: str) -> None:
    """With `metrics.created` and its feature Prometheus 3.5 stores a 0 at a counter's start, and no `_created`."""
    server = programs.redis()
    exporter = programs.listening(server, "--metrics.created", "--series.zero-first", "0s")
    programs.worker(server)
    programs.publisher(server).send_task(TASK)
    eventually(lambda: exporter.account(TASK).get("success") == 1)
    config = configured(target(exporter) | {"scrape_protocols": ["OpenMetricsText1.0.0"]})
    flags = (f"--enable-feature={features}",) if features else ()
    prometheus = programs.prometheus(config, *flags, program=either_program("prometheus-3"))
    eventually(lambda: stored(prometheus) == {"celery": 1})
    ((_, values),) = prometheus.samples(DONE)
    created = f'celery_tasks_created{{task="{TASK}", state="success"}}'
    assert (0, None) == (values[0], prometheus.value(created)) if features else (1, 1) == (
        values[0], len(prometheus.query(created)))  # fmt: skip


@NEWEST
@pytest.mark.parametrize("classic", [False, True])
def test_classic_histograms_become_native_ones(done: Shared, programs: Programs, classic: bool) -> None:  # noqa: FBT001
    """As documented, Prometheus 3.5 stores native histograms, and series of buckets only if configured."""
    page = (ROOT / "deploy" / "docs" / "scaling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(scrape_configs:.*?always_scrape_classic.*?)```", page, re.DOTALL)
    (documented,) = yaml_text.parse(block)["scrape_configs"]
    assert (True, True) == (
        documented["convert_classic_histograms_to_nhcb"],
        documented["always_scrape_classic_histograms"],
    )
    job = documented | target(done.exporter) | {"always_scrape_classic_histograms": classic}
    flag = "--enable-feature=native-histograms"
    assert flag in page
    prometheus = programs.prometheus(configured(job), flag, program=either_program("prometheus-3"))
    eventually(lambda: stored(prometheus))
    series = f'celery_task_runtime_seconds{{task="{TASK}", state="success"}}'
    expected = done.exporter.account(TASK)["success"]
    eventually(lambda: prometheus.value(f"histogram_count({series})") == expected)
    assert (prometheus.value(f"histogram_quantile(0.9, {series})") or -1) >= 0
    assert classic == bool(prometheus.query(RUNTIME))
