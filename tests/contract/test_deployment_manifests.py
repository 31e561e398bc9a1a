# SPDX-License-Identifier: Apache-2.0
"""The manifests for Kubernetes: valid, and consistent with each other and with the exporter."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from celery_redis_exporter.alerts import GROUPS
from celery_redis_exporter.alerts.files import RenderOptions, render_prometheus_rule
from celery_redis_exporter.settings import load
from celery_redis_exporter.web.routes import Handlers, MetricsReply, build_app
from tests.deployment import manifests, schemas
from tests.deployment.manifests import Manifest, of_kind

SETS = manifests.everything()
RUNNING = {name: found for name, found in SETS.items() if of_kind(found, "Deployment")}
REFERENCES = re.compile(r'_file: "?([^\s"]+)')
"""The files that a settings file names."""
RULES = manifests.DEPLOY / "kubernetes" / "rules" / "prometheusrule.yaml"


def pod(found: list[Manifest]) -> Manifest:
    """Return the pod of a set of manifests."""
    (deployment,) = of_kind(found, "Deployment")
    template: Manifest = deployment["spec"]["template"]
    return template


def container(found: list[Manifest]) -> dict[str, Any]:
    """Return the only container of the pod."""
    (only,) = pod(found)["spec"]["containers"]
    return dict(only)


def environment(found: list[Manifest]) -> dict[str, str]:
    """Return the container's variables."""
    rows = container(found)["env"]
    assert len(rows) == len({row["name"] for row in rows}), "a variable stands there twice"
    return {row["name"]: row["value"] for row in rows}


def endpoints(found: list[Manifest]) -> list[dict[str, Any]]:
    """Return the endpoints that the monitors scrape."""
    specs = [row["spec"] for row in of_kind(found, "ServiceMonitor") + of_kind(found, "PodMonitor")]
    return [dict(entry) for spec in specs for entry in spec.get("endpoints") or spec["podMetricsEndpoints"]]


def answered(path: str) -> int:
    """Request a path from the exporter's web application, with handlers that report no problem."""
    handlers = Handlers(
        metrics=lambda *_: MetricsReply(b"", "text/plain", None),
        healthy=lambda: (True, "well"),
        ready=lambda _: (True, "well"),
        home=lambda _: "",
        status=lambda _: b"{}",
    )

    async def ask() -> int:
        transport = httpx.ASGITransport(build_app(handlers, "/metrics", 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            return (await client.get(path)).status_code

    return asyncio.run(ask())


@pytest.mark.parametrize("name", SETS)
def test_manifests_fit_their_schemas(name: str) -> None:
    """Every field exists in the schemas of Kubernetes and the operators, and has a valid value."""
    faults = [f"{row['kind']}: {fault}" for row in SETS[name] for fault in schemas.faults_of_manifest(row)]
    assert [] == faults


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("Deployment", "replica", 1),
        ("Service", "ports", [{"port": "many"}]),
        ("NetworkPolicy", "ingress", {"from": []}),
        ("ServiceMonitor", "endpoint", []),
        ("PrometheusRule", "groups", [{"rules": []}]),
    ],
)
def test_a_mistake_is_found(kind: str, field: str, value: object) -> None:
    """A field that does not exist, or a value of another type, is found."""
    (manifest,) = of_kind(SETS["kubernetes/overlays/prometheus-operator"], kind)
    assert schemas.faults_of_manifest({**manifest, "spec": {**manifest["spec"], field: value}})


@pytest.mark.parametrize("name", RUNNING)
def test_probes_ask_for_paths_that_are_answered(name: str) -> None:
    """Startup and liveness depend on the process only, readiness on its sources unless that needs a password."""
    row = container(RUNNING[name])
    probes = {probe: row[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
    ready = "/-/healthy" if any("basicAuth" in endpoint for endpoint in endpoints(RUNNING[name])) else "/-/ready"
    paths = {probe: asked["path"] for probe, asked in probes.items()}
    assert {"startup": "/-/healthy", "liveness": "/-/healthy", "readiness": ready} == paths
    assert [200] * 3 == [answered(path) for path in paths.values()]
    assert 404 == answered("/-/health")


@pytest.mark.parametrize("name", RUNNING)
def test_everyone_speaks_tls_or_no_one(name: str) -> None:
    """Probes and monitors use HTTPS together, and with a web configuration the health check needs no password."""
    row, variables = container(RUNNING[name]), environment(RUNNING[name])
    schemes = {row[f"{probe}Probe"]["httpGet"].get("scheme", "HTTP") for probe in ("startup", "liveness", "readiness")}
    annotations = pod(RUNNING[name])["metadata"].get("annotations", {})
    if "prometheus.io/scheme" in annotations:
        schemes.add(annotations["prometheus.io/scheme"].upper())
    for endpoint in endpoints(RUNNING[name]):
        schemes.add(endpoint.get("scheme", "http").upper())
        assert ("tlsConfig" in endpoint) == (endpoint.get("scheme") == "https")
    opened = "true" if "EXPORTER_WEB__CONFIG__FILE" in variables else None
    assert opened == variables.get("EXPORTER_WEB__OPEN_HEALTH")
    assert 1 == len(schemes)


@pytest.mark.parametrize("name", RUNNING)
def test_ports_fit(name: str) -> None:
    """The exporter listens on its container's port, and probes, Service, monitors and policy name that port."""
    found = RUNNING[name]
    row = container(found)
    (port,) = row["ports"]
    assert f":{port['containerPort']}" == environment(found)["EXPORTER_WEB__LISTEN_ADDRESS"]
    named = [row[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")]
    for service in of_kind(found, "Service"):
        named += [entry["targetPort"] for entry in service["spec"]["ports"]]
        assert ["metrics"] == [entry["name"] for entry in service["spec"]["ports"]]
    for monitor in of_kind(found, "ServiceMonitor"):
        named += [entry["port"] for entry in monitor["spec"]["endpoints"]]
    for monitor in of_kind(found, "PodMonitor"):
        named += [entry["port"] for entry in monitor["spec"]["podMetricsEndpoints"]]
    for policy in of_kind(found, "NetworkPolicy"):
        named += [entry["port"] for rule in policy["spec"]["ingress"] for entry in rule["ports"]]
    assert {port["name"]} == set(named)


@pytest.mark.parametrize("name", RUNNING)
def test_selectors_find_the_pod(name: str) -> None:
    """Deployment, Service, policy and monitors select labels of the pod or of the Service."""
    found = RUNNING[name]
    labels = pod(found)["metadata"]["labels"]
    wanted = [row["spec"]["selector"]["matchLabels"] for row in of_kind(found, "Deployment")]
    wanted += [row["spec"]["selector"] for row in of_kind(found, "Service")]
    wanted += [row["spec"]["selector"]["matchLabels"] for row in of_kind(found, "PodMonitor")]
    wanted += [row["spec"]["podSelector"]["matchLabels"] for row in of_kind(found, "NetworkPolicy")]
    assert all(selector and selector.items() <= labels.items() for selector in wanted)
    for monitor in of_kind(found, "ServiceMonitor"):
        (service,) = of_kind(found, "Service")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def settings_files(found: list[Manifest]) -> dict[str, str]:
    """Return the texts of the ConfigMaps that the pod mounts, by path in the container."""
    volumes = {row["name"]: row for row in pod(found)["spec"].get("volumes", ())}
    texts = {row["metadata"]["name"]: row["data"] for row in of_kind(found, "ConfigMap")}
    return {
        f"{mount['mountPath']}/{name}": text
        for mount in container(found).get("volumeMounts", ())
        if "configMap" in volumes[mount["name"]]
        for name, text in texts[volumes[mount["name"]]["configMap"]["name"]].items()
    }


def is_in(volume: dict[str, Any], path: str) -> bool:
    """Return whether a path is in a volume; a Secret without a list of keys contains every path."""
    if "projected" not in volume:
        return True
    secrets = [source["secret"] for source in volume["projected"]["sources"]]
    return any("items" not in one or path in [item["path"] for item in one["items"]] for one in secrets)


def content(path: str) -> str:
    """Return a possible content for the file of a Secret."""
    if path.endswith("url"):
        return f"amqp://user:word@{path.count('/')}.rabbit:5672//{path.replace('/', '.')}\n"
    return "{}" if path.endswith(".yml") else "word\n"


@pytest.mark.parametrize("name", RUNNING)
def test_the_exporter_takes_its_settings(name: str, tmp_path: Path) -> None:
    """With the container's variables and files the exporter starts, and uses every mounted file."""
    found, variables = RUNNING[name], environment(RUNNING[name])
    texts = settings_files(found)
    volumes = {row["name"]: row for row in pod(found)["spec"].get("volumes", ())}
    mounts = {row["mountPath"]: volumes[row["name"]] for row in container(found).get("volumeMounts", ())}
    named = {value for variable, value in variables.items() if variable.endswith("_FILE")}
    named |= {path for text in texts.values() for path in REFERENCES.findall(text)}
    used = set()
    for path in named:
        (mount,) = [mount for mount in mounts if path.startswith(f"{mount}/")]
        used.add(mount)
        assert is_in(mounts[mount], path.removeprefix(f"{mount}/")), path
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        inside = re.sub(r'(_file: "?)/', rf"\1{tmp_path}/", texts[path]) if path in texts else content(path)
        if "persistentVolumeClaim" not in mounts[mount]:
            place.write_text(inside, encoding="utf-8")
    assert set(mounts) == used
    here = {key: f"{tmp_path}{value}" if key.endswith("_FILE") else value for key, value in variables.items()}
    load([], here)


@pytest.mark.parametrize("name", RUNNING)
def test_what_is_connected_to_may_be(name: str) -> None:
    """The policy allows DNS, and the port of each server that a URL names."""
    variables = environment(RUNNING[name])
    for policy in of_kind(RUNNING[name], "NetworkPolicy"):
        entries = [entry for rule in policy["spec"]["egress"] for entry in rule["ports"]]
        open_ports = {(entry["protocol"], entry["port"]) for entry in entries}
        assert {("UDP", 53), ("TCP", 53)} <= open_ports
        url = variables.get("EXPORTER_BROKER_URL", "")
        if url.startswith("redis://"):
            assert ("TCP", 6379) in open_ports
        if url.startswith("sentinel://"):
            assert ("TCP", 26379) in open_ports
        if url.startswith("amqp") or "EXPORTER_BROKER_URL_FILE" in variables:
            assert {("TCP", 5671), ("TCP", 5672)} & open_ports


def test_the_prometheus_rule_is_what_the_generator_writes() -> None:
    """The alerts for the operator are those of exporter/celery_redis_exporter/alerts."""
    written = render_prometheus_rule(GROUPS, RenderOptions(), "celery-redis-exporter")
    command = "celery-redis-exporter render alerts --format=prometheusrule"
    assert written == RULES.read_text(encoding="utf-8"), f"run: {command} >{RULES.relative_to(manifests.ROOT)}"


def test_one_place_names_the_image() -> None:
    """Another registry is one changed line for kustomize and one for the chart."""
    texts = {path: path.read_text(encoding="utf-8") for path in manifests.DEPLOY.rglob("*.yaml")}
    named = sorted(path.relative_to(manifests.DEPLOY).as_posix() for path, text in texts.items() if "registry." in text)
    assert ["helm/celery-redis-exporter/values.yaml", "kubernetes/base/kustomization.yaml"] == named
    images = {container(found)["image"].rpartition(":")[0] for found in RUNNING.values()}
    assert {"registry.example/celery-redis-exporter"} == images


def test_monitors_are_never_two() -> None:
    """In no set of manifests does Prometheus scrape the exporter twice."""
    counts = {
        name: len(of_kind(found, "ServiceMonitor") + of_kind(found, "PodMonitor")) for name, found in SETS.items()
    }
    assert {0, 1} == set(counts.values())
