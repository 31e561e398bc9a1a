"""Kustomize itself builds every overlay, and what the pages have people write."""

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

pytestmark = pytest.mark.servers
OVERLAYS = [folder.relative_to(DEPLOY).as_posix() for folder in manifests.FOLDERS]


def built(folder: Path) -> list[Manifest]:
    """Return what kustomize makes of a folder; fail where it fails."""
    done = subprocess.run(
        [suite_program("kustomize-5.8"), "build", folder], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return yaml_text.parse_all(done.stdout)


def unordered(tree: Any) -> Any:  # noqa: ANN401 -- YAML is anything
    """Return a tree in which the order of lists and manifests is none: kustomize has its own."""
    if isinstance(tree, dict):
        return {key: unordered(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return sorted(map(unordered, tree), key=lambda row: json.dumps(row, sort_keys=True))
    return tree


def way_to_manifests(folder: Path) -> Path:
    """Return the relative path from a folder to the manifests: kustomize takes no absolute one."""
    up = Path(*[".."] * (len(folder.resolve().parts) - 1))
    return up / (DEPLOY / "kubernetes").relative_to("/")


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_every_overlay(name: str) -> None:
    """Kustomize makes of each folder what the other tests look at."""
    assert unordered(kustomize.resolve(DEPLOY / name)) == unordered(built(DEPLOY / name))


def test_the_documented_combination_is_built(tmp_path: Path) -> None:
    """The page's kustomization of several components is built, and fits the schemas."""
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
    """Another list of applications makes a ConfigMap with another name, which the pod mounts."""
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
