"""What kustomize makes of a folder, as far as ours use it: resources, strategic merges, JSON patches, images, labels.

Takes a folder with a kustomization.yaml, gives manifests. Raises ValueError for a field that it does not know, for a
file outside of the folder (kustomize refuses it as well), and for a patch that finds nothing to change.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import yaml_text

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "patches", "images"}
MERGE_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "name"}
"""Lists that a strategic merge joins by a key; others are replaced. ``ports`` are ours, which have names."""


def resolve(folder: Path) -> list[Manifest]:
    """Give what ``kubectl kustomize`` would print."""
    tree = yaml_text.parse((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(tree) - KNOWN:
        raise ValueError(f"{folder.name}: {', '.join(sorted(unknown))}")
    if ("kustomize.config.k8s.io/v1beta1", "Kustomization") != (tree["apiVersion"], tree["kind"]):
        raise ValueError(f"{folder.name}: {tree['apiVersion']} {tree['kind']}")
    manifests: list[Manifest] = []
    for entry in tree["resources"]:
        manifests += resolve((folder / entry).resolve()) if (folder / entry).is_dir() else _read(folder, entry)
    if len(manifests) != len({_identity(manifest) for manifest in manifests}):
        raise ValueError(f"{folder.name}: a resource twice")
    for patch in tree.get("patches", ()):
        manifests = _patch(folder, patch, manifests)
    for image in tree.get("images", ()):
        _set_image(manifests, image)
    return manifests


def _read(folder: Path, name: str) -> list[Any]:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} is not in {folder.name}")
    return [document for document in yaml_text.parse_all(path.read_text(encoding="utf-8")) if document]


def _identity(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def _patch(folder: Path, patch: Mapping[str, Any], manifests: list[Manifest]) -> list[Manifest]:
    (document,) = _read(folder, patch["path"])
    operations = document if isinstance(document, list) else None
    if operations is not None:
        target = patch["target"]
        wanted = (target["kind"], target["name"])
        hits = [manifest for manifest in manifests if wanted == (manifest["kind"], manifest["metadata"]["name"])]
    else:
        hits = [manifest for manifest in manifests if _identity(manifest) == _identity(document)]
    if len(hits) != 1:
        raise ValueError(f"{patch['path']}: changes {len(hits)} resources")
    if operations is None and document.get("$patch") == "delete":
        return [manifest for manifest in manifests if manifest is not hits[0]]
    changed = _apply(operations, hits[0]) if operations is not None else _merge(hits[0], document)
    return [changed if manifest is hits[0] else manifest for manifest in manifests]


def _apply(operations: list[Any], manifest: Manifest) -> Manifest:
    changed = copy.deepcopy(manifest)
    for operation in operations:
        *parents, last = operation["path"].strip("/").split("/")
        place: Any = changed
        for name in parents:
            place = place[int(name) if isinstance(place, list) else name]
        if operation["op"] == "replace" and last in place:
            place[last] = operation["value"]
        elif operation["op"] == "add" and last == "-":
            place.append(operation["value"])
        else:
            raise ValueError(f"{operation['op']} {operation['path']}")
    return changed


def _merge(tree: Any, patch: Any, name: str = "") -> Any:  # noqa: ANN401 -- YAML is anything
    if isinstance(tree, dict) and isinstance(patch, dict):
        merged = copy.deepcopy(tree)
        for key, value in patch.items():
            merged[key] = _merge(tree[key], value, key) if key in tree else copy.deepcopy(value)
        return merged
    key = MERGE_KEYS.get(name)
    if isinstance(tree, list) and isinstance(patch, list) and key:
        rows = {row[key]: row for row in copy.deepcopy(tree)}
        for row in patch:
            rows[row[key]] = _merge(rows[row[key]], row) if row[key] in rows else copy.deepcopy(row)
        return list(rows.values())
    return copy.deepcopy(patch)


def _set_image(manifests: list[Manifest], image: Mapping[str, str]) -> None:
    used = False
    for manifest in manifests:
        containers = manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        for container in containers:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
                used = True
    if not used:
        raise ValueError(f"no container has the image {image['name']}")
