# SPDX-License-Identifier: Apache-2.0
"""The scrape configurations of deploy/, checked by promtool."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from celery_redis_exporter.alerts import GROUPS
from tests.integration.processes import ROOT
from tests.support import yaml_text

pytestmark = pytest.mark.servers
DEPLOY = ROOT / "deploy"


def read(path: str) -> dict[str, Any]:
    """Read a file of deploy/."""
    tree: dict[str, Any] = yaml_text.parse((DEPLOY / path).read_text(encoding="utf-8"))
    return tree


def check(path: Path) -> None:
    """Check a configuration with promtool, including its rules and its files of targets."""
    done = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def written(folder: Path, tree: dict[str, Any]) -> Path:
    """Write a configuration."""
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def test_prometheus_takes_the_example() -> None:
    """Prometheus loads the example from its folder, with its rules and its file of targets."""
    check(DEPLOY / "prometheus" / "prometheus.example.yml")
    (files,) = [job for job in read("prometheus/prometheus.example.yml")["scrape_configs"] if "file_sd_configs" in job]
    (found,) = (DEPLOY / "prometheus").glob(files["file_sd_configs"][0]["files"][0])
    assert "shop.example.yml" == found.name


@pytest.mark.parametrize("name", ["fleet", "federation", "applications"])
def test_prometheus_takes_the_other_examples(name: str) -> None:
    """Prometheus loads the examples of a fleet and of several applications from their folders, with the rules."""
    check(DEPLOY / "prometheus" / f"{name}.example.yml")


def test_a_step_of_the_fleet_s_rules_is_a_step_back() -> None:
    """A rule with an offset goes back by one evaluation interval, and its name contains that interval."""
    (group,) = read("prometheus/fleet.rules.yml")["groups"]
    (rule,) = [rule for rule in group["rules"] if "offset" in rule["expr"]]
    assert f"offset {group['interval']}" in rule["expr"]
    assert f"celery:tasks:delta{group['interval']}" == rule["record"]


def test_the_series_of_the_fleet_are_sent_and_are_not_those_of_the_alerts() -> None:
    """The rules of a fleet record no name that alerts/ records too, and exactly these names are sent and federated."""
    recorded = {rule["record"] for group in read("prometheus/fleet.rules.yml")["groups"] for rule in group["rules"]}
    ours = {rule.record for group in GROUPS for rule in group.recordings}
    assert set() == recorded & ours
    (sent,) = read("prometheus/fleet.example.yml")["remote_write"][0]["write_relabel_configs"]
    shown = recorded - {"celery:exporter_leads"}
    assert shown == {name for name in recorded | ours if re.fullmatch(sent["regex"], name)}
    (federated, _) = read("prometheus/federation.example.yml")["scrape_configs"][0]["params"]["match[]"]
    names = {name for name in recorded | ours if re.fullmatch(federated.split('"')[1], name)}
    assert shown - {"celery:tasks:delta15s"} == names


def test_prometheus_takes_the_job_for_kubernetes(tmp_path: Path) -> None:
    """The relabelling is valid; an address replaces discovery, which Debian builds Prometheus without."""
    tree = read("prometheus/kubernetes.example.yml")
    (job,) = tree["scrape_configs"]
    assert [{"role": "pod"}] == job.pop("kubernetes_sd_configs")
    job["static_configs"] = [{"targets": ["localhost:9808"]}]
    check(written(tmp_path, tree))


def test_prometheus_takes_that_of_compose(tmp_path: Path) -> None:
    """The compose file's Prometheus finds its rules at the mounted path."""
    shutil.copytree(ROOT / "alerts", tmp_path / "alerts")
    check(written(tmp_path, read("compose/prometheus.yml")))


def test_prometheus_takes_the_collector_s_jobs(tmp_path: Path) -> None:
    """The configuration of the OpenTelemetry Collector's receiver is a valid configuration of Prometheus."""
    check(written(tmp_path, read("otel-collector/config.yml")["receivers"]["prometheus"]["config"]))


def test_promtool_finds_a_mistake(tmp_path: Path) -> None:
    """The check can fail: promtool refuses a field that does not exist."""
    with pytest.raises(AssertionError, match="scrape_intervall"):
        check(written(tmp_path, {"scrape_configs": [{"job_name": "celery", "scrape_intervall": "15s"}]}))
