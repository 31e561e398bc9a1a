# SPDX-License-Identifier: Apache-2.0
"""The examples for KEDA, Datadog and New Relic name metrics and fields that exist, and have a valid form."""

import json
import re
from typing import Any

import promql_parser as promql
import pytest

from celery_redis_exporter.catalog import CATALOG, Kind
from tests.deployment import schemas
from tests.deployment.manifests import DEPLOY, of_folder, of_kind
from tests.support import promql as labels
from tests.support import yaml_text

PART = re.compile(r"_(total|bucket|sum|count)$")


def read(path: str) -> dict[str, Any]:
    """Read a file of deploy/."""
    tree: dict[str, Any] = yaml_text.parse((DEPLOY / path).read_text(encoding="utf-8"))
    return tree


def test_keda_asks_for_metrics_that_exist() -> None:
    """The scaler's query uses metrics and labels of the catalogue."""
    (trigger,) = read("keda/scaledobject.yaml")["spec"]["triggers"]
    expression = promql.parse(trigger["metadata"]["query"])
    known = labels.catalogued()
    for selector in labels.selectors(expression):
        assert {matcher.name for matcher in labels.matchers(selector)} <= {*known[str(selector.name)], "namespace"}
    named = [row.name for row in labels.selectors(expression)]
    queue = ["celery_queue_length", "celery_tasks_running", "celery_queue_concurrency", "celery_queue_consumers"]
    assert queue == named


def test_keda_reads_fields_of_the_report_that_exist() -> None:
    """Each trigger names a numeric field of a queue in the report, and the formula uses exactly the triggers."""
    spec = read("keda/scaledobject-json.yaml")["spec"]
    report = json.loads((DEPLOY / "status.schema.json").read_text(encoding="utf-8"))["$defs"]["QueueStatus"]
    for trigger in spec["triggers"]:
        (field,) = re.findall(r'^queues\.#\(name=="payments"\)\.(\w+)$', trigger["metadata"]["valueLocation"])
        found = report["properties"][field]
        assert "number" in {found.get("type"), *(one["type"] for one in found.get("anyOf", ()))}
    modifiers = spec["advanced"]["scalingModifiers"]
    assert {row["name"] for row in spec["triggers"]} == set(re.findall(r"[a-z]+", modifiers["formula"]))
    # KEDA ignores the fallback unless the formula's target is a whole number.
    assert int(modifiers["target"]) > 0


def test_both_scalers_differ_only_in_what_they_read() -> None:
    """With and without Prometheus the same workers are scaled, within the same limits, by the same target."""
    one, other = read("keda/scaledobject.yaml")["spec"], read("keda/scaledobject-json.yaml")["spec"]
    modifiers = other["advanced"].pop("scalingModifiers")
    (trigger,) = one.pop("triggers")
    assert (trigger["metadata"]["threshold"], trigger["metricType"]) == (modifiers["target"], modifiers["metricType"])
    del other["triggers"]
    assert one == other


@pytest.mark.parametrize(
    ("path", "schema"), [("datadog/conf.yaml", "datadog.json"), ("newrelic/values.yaml", "newrelic.json")]
)
def test_an_example_fits_its_schema(path: str, schema: str) -> None:
    """Each key, also a commented one, is in the other program's schema; an unknown key is found."""
    text = (DEPLOY / path).read_text(encoding="utf-8")
    everything = re.sub(r"^( +)# (\w+: \S.*)$", r"\1\2", text, flags=re.MULTILINE)
    trees = [yaml_text.parse(text), yaml_text.parse(everything)]
    assert trees[0] != trees[1]
    for tree in trees:
        assert [] == schemas.faults(tree, schemas.read(schema))
    assert schemas.faults({**trees[0], "instance": []}, schemas.read(schema))


def test_datadog_collects_metrics_that_exist() -> None:
    """Each name is a metric without the _total of counters, as the check expects it, and names are unique."""
    (instance,) = read("datadog/conf.yaml")["instances"]
    pairs = [pair for row in instance["metrics"] for pair in row.items()]
    known = {name.removesuffix("_total") if metric.kind is Kind.COUNTER else name for name, metric in CATALOG.items()}
    assert [] == [name for name, _ in pairs if name not in known]
    assert len(pairs) == len(dict(pairs)) == len({renamed for _, renamed in pairs})


def test_new_relic_drops_metrics_that_exist() -> None:
    """Each dropped name is that of a metric that no alert needs."""
    (job,) = read("newrelic/values.yaml")["config"]["kubernetes"]["jobs"]
    (drop,) = job["extra_metric_relabel_config"]
    for pattern in drop["regex"].split("|"):
        assert [name for name in CATALOG if re.fullmatch(PART.sub("", pattern), name)], pattern
    alerts = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY.parent / "alerts").glob("*.yml"))
    assert [] == re.findall(rf"\b(?:{drop['regex']})\b", alerts)


def test_new_relic_finds_the_service() -> None:
    """The labels by which New Relic's agent finds endpoints are those of the Service."""
    (job,) = read("newrelic/values.yaml")["config"]["kubernetes"]["jobs"]
    (service,) = of_kind(of_folder(DEPLOY / "kubernetes" / "base"), "Service")
    assert job["target_discovery"]["endpoints"]
    assert job["target_discovery"]["filter"]["labels"].items() <= service["metadata"]["labels"].items()
