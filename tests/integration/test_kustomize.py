# SPDX-License-Identifier: Apache-2.0
"""Kustomize itself builds every overlay and the documented combinations."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deployment import kustomize, manifests, schemas
from tests.deployment.manifests import DEPLOY, Manifest, of_kind
from tests.integration.suite_programs import suite_program
from tests.support import yaml_text

pytestmark = [pytest.mark.servers, pytest.mark.newest("kustomize-5.8")]
MARKS = {
    "rabbitmq": ["EXPORTER_BROKER_URL_FILE"],
    "sentinel": ["EXPORTER_BROKER_TRANSPORT_OPTIONS__MASTER_NAME"],
    "state-file": ["EXPORTER_STATE__FILE"],
    "web-config": ["EXPORTER_WEB__CONFIG__FILE"],
    "without-password": [],
}
"""A variable that each component adds. The last component removes all files."""
SCRAPED = ("prometheus-operator", "pod-monitor", "plain-annotations")
BROKERS = ("applications", "rabbitmq-tls", "sentinel", "without-password")
"""Overlays for the ways in which Prometheus finds the exporter, and overlays for kinds of brokers."""
COMBINATIONS = [
    *((overlay, component) for overlay in SCRAPED for component in MARKS),
    *((overlay, "state-file") for overlay in BROKERS),
    *((overlay, "web-config") for overlay in (*BROKERS, "state-file") if overlay != "rabbitmq-tls"),
]
OVERLAYS = [folder.relative_to(DEPLOY).as_posix() for folder in manifests.FOLDERS]


def built(folder: Path) -> list[Manifest]:
    """Return the manifests that kustomize builds from a folder. Fail if it fails."""
    done = subprocess.run(
        [suite_program("kustomize-5.8"), "build", folder], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return yaml_text.parse_all(done.stdout)


def unordered(tree: Any) -> Any:  # noqa: ANN401 -- YAML is anything
    """Return a tree with sorted lists and manifests, because kustomize uses its own order."""
    if isinstance(tree, dict):
        return {key: unordered(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return sorted(map(unordered, tree), key=lambda row: json.dumps(row, sort_keys=True))
    return tree


def way_to_manifests(folder: Path) -> Path:
    """Return the relative path from a folder to the manifests, because kustomize accepts no absolute one."""
    up = Path(*[".."] * (len(folder.resolve().parts) - 1))
    return up / (DEPLOY / "kubernetes").relative_to("/")


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_every_overlay(name: str) -> None:
    """Kustomize builds the same manifests from each folder as the resolver that the other tests use."""
    assert unordered(kustomize.resolve(DEPLOY / name)) == unordered(built(DEPLOY / name))


def test_the_documented_combination_is_built(tmp_path: Path) -> None:
    """The documented kustomization of several components can be built, and its manifests are valid."""
    text = (DEPLOY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", text, re.DOTALL)
    written = block.replace("../kubernetes", str(way_to_manifests(tmp_path)))
    (tmp_path / "kustomization.yaml").write_text(written, encoding="utf-8")
    found = built(tmp_path)
    assert [] == [fault for row in found for fault in schemas.faults_of_manifest(row)]
    (pod,) = of_kind(found, "Deployment")
    mounts = pod["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"secrets", "state", "web"} == {mount["name"] for mount in mounts}


def test_a_changed_list_of_applications_changes_the_pod(tmp_path: Path) -> None:
    """A changed list of applications results in a ConfigMap with another name, which the pod mounts."""
    folder = tmp_path / "applications"
    folder.mkdir()
    for path in (DEPLOY / "kubernetes/overlays/applications").iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace(
            "../prometheus-operator", str(way_to_manifests(folder) / "overlays" / "prometheus-operator")
        )
        (folder / path.name).write_text(text.replace("redis.shop", "redis.other"), encoding="utf-8")
    names = []
    for found in (built(folder), built(DEPLOY / "kubernetes/overlays/applications")):
        (pod,), (made,) = of_kind(found, "Deployment"), of_kind(found, "ConfigMap")
        volumes = pod["spec"]["template"]["spec"]["volumes"]
        (mounted,) = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
        assert made["metadata"]["name"] == mounted
        names.append(mounted)
    assert 2 == len(set(names))


@pytest.mark.parametrize(("overlay", "component"), COMBINATIONS)
def test_components_can_be_combined(overlay: str, component: str, tmp_path: Path) -> None:
    """Each component can be combined with each overlay that does not contain it, and the manifests are valid."""
    way = way_to_manifests(tmp_path)
    tree = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(way / "overlays" / overlay)],
        "components": [str(way / "components" / component)],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(tree), encoding="utf-8")
    found = built(tmp_path)
    assert [] == [fault for row in found for fault in schemas.faults_of_manifest(row)]
    (deployment,) = of_kind(found, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    names = [row["name"] for row in container["env"]]
    assert len(names) == len(set(names))
    assert {row["name"] for row in container["volumeMounts"]} == {row["name"] for row in pod.get("volumes", ())}
    files = [row["value"] for row in container["env"] if row["name"].endswith("_FILE")]
    mounts = [row["mountPath"] for row in container["volumeMounts"]]
    assert [] == [path for path in files if not any(path.startswith(f"{mount}/") for mount in mounts)]
    changed = {row["name"]: row.get("value") for row in container["env"]} | dict.fromkeys(mounts)
    assert set(MARKS[component]) <= changed.keys() if MARKS[component] else not files
