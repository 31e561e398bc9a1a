# SPDX-License-Identifier: Apache-2.0
"""The values that KEDA's scalers of ``deploy/keda`` read from a real Prometheus and from a real exporter's report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT
from tests.integration.prometheus_server import PrometheusServer
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
OFTEN = ("--celery.inspect-interval", "1s", "--queues.names", "payments")
LABELS = {"namespace": "shop"}
IDLE, ALONE = 0.0, 2.0
"""The results for a queue without tasks, and for eight messages without a worker, which assume 4 processes."""


def read(name: str) -> dict[str, Any]:
    """Return the spec of a scaler of deploy/keda."""
    tree = yaml_text.parse((ROOT / "deploy" / "keda" / name).read_text(encoding="utf-8"))
    spec: dict[str, Any] = tree["spec"]
    return spec


def from_report(exporter: Exporter) -> float | None:
    """Calculate the formula as KEDA does, with the triggers' numbers in the report. Return None if one is missing."""
    spec = read("scaledobject-json.yaml")
    report = json.loads(exporter.get("/api/v1/status").body)
    queues = {queue["name"]: queue for queue in report["queues"]}
    fields = {row["name"]: row["metadata"]["valueLocation"].rpartition(".")[2] for row in spec["triggers"]}
    numbers = {name: queues["payments"].get(field) for name, field in fields.items()}
    if None in numbers.values():
        return None
    assert "(waiting + running) * consumers / concurrency" == spec["advanced"]["scalingModifiers"]["formula"]
    return float((numbers["waiting"] + numbers["running"]) * numbers["consumers"] / numbers["concurrency"])


def scraping(programs: Programs, exporter: Exporter) -> PrometheusServer:
    """Start a Prometheus whose target has the label that the query requires."""
    target = {"targets": [f"127.0.0.1:{exporter.port}"], "labels": LABELS}
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    job = {"job_name": "celery", "static_configs": [target]}
    return programs.prometheus(yaml.safe_dump({"global": quick, "scrape_configs": [job]}))


def test_both_scalers_read_the_same(programs: Programs, tmp_path: Path) -> None:
    """Both scalers compute the same workers from waiting and running tasks, in Prometheus and in the report."""
    server = programs.redis()
    exporter = programs.listening(server, *OFTEN)
    prometheus = scraping(programs, exporter)
    (trigger,) = read("scaledobject.yaml")["triggers"]
    query = re.sub(r"\s+", " ", trigger["metadata"]["query"])
    app = programs.publisher(server)
    eventually(lambda: prometheus.value(query) == IDLE)
    for _ in range(8):
        app.send_task("hold", (str(tmp_path / "gate"),), queue="payments")
    eventually(lambda: prometheus.value(query) == ALONE)
    assert from_report(exporter) is None, "KEDA's fallback holds while no worker consumes"
    options = WorkerOptions("payments", settings={"worker_prefetch_multiplier": 1}, arguments=BEATING)
    programs.worker(server, "payments", options)
    # Two tasks run, two are prefetched, four wait. A worker has two processes.
    eventually(lambda: from_report(exporter) == 3)
    eventually(lambda: prometheus.value(query) == 3)
    (tmp_path / "gate").touch()
    eventually(lambda: from_report(exporter) == IDLE)
    eventually(lambda: prometheus.value(query) == IDLE)
