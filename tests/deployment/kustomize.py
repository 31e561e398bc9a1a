# SPDX-License-Identifier: Apache-2.0
"""What kustomize makes of a folder, as far as ours use it.

Knows resources, components, ConfigMaps of files, strategic merges, JSON patches and images. Takes a folder with a
kustomization.yaml, gives manifests. Raises ValueError for a field that it does not know, for a file outside of the
folder (kustomize refuses it as well), and for a patch that finds nothing to change. ``test_kustomize.py`` of
``tests/integration`` compares it with kustomize itself.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import yaml_text

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "configMapGenerator", "patches", "images"}
KINDS = {
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
    ("kustomize.config.k8s.io/v1alpha1", "Component"),
}
DIGITS = str.maketrans("013ae", "ghkmt")
"""What kustomize writes in a suffix instead of some digits, so that it makes no word."""
MERGE_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "name"}
"""Lists that a strategic merge joins by a key; others are replaced. ``ports`` are ours, which have names."""


def resolve(folder: Path) -> list[Manifest]:
    """Give what ``kubectl kustomize`` would print."""
    return _resolve(folder, [])


def _resolve(folder: Path, manifests: list[Manifest]) -> list[Manifest]:
    """Add a folder to manifests; a component changes them, too."""
    tree = yaml_text.parse((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(tree) - KNOWN:
        raise ValueError(f"{folder.name}: {', '.join(sorted(unknown))}")
    if (tree["apiVersion"], tree["kind"]) not in KINDS:
        raise ValueError(f"{folder.name}: {tree['apiVersion']} {tree['kind']}")
    for entry in tree.get("resources", ()):
        added = resolve((folder / entry).resolve()) if (folder / entry).is_dir() else _read(folder, entry)
        manifests = manifests + added
    if len(manifests) != len({_identity(manifest) for manifest in manifests}):
        raise ValueError(f"{folder.name}: a resource twice")
    for component in tree.get("components", ()):
        manifests = _resolve((folder / component).resolve(), manifests)
    named = {}
    for row in tree.get("configMapGenerator", ()):
        made = _config_map(folder, row)
        manifests = [*manifests, made]
        named[row["name"]] = made["metadata"]["name"]
    for patch in tree.get("patches", ()):
        manifests = _patch(folder, patch, manifests)
    for image in tree.get("images", ()):
        _set_image(manifests, image)
    return [_rename(manifest, named) for manifest in manifests]


def _config_map(folder: Path, row: Mapping[str, Any]) -> Manifest:
    """Make a ConfigMap of files, whose name ends with a hash of them."""
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in row["files"]}
    if any(set(text) & set("<>&") for text in texts.values()):
        raise ValueError(f"{row['name']}: has a letter that Go's JSON escapes")
    hashed = json.dumps({"data": texts, "kind": "ConfigMap", "name": ""}, separators=(",", ":"))
    suffix = hashlib.sha256(hashed.encode()).hexdigest()[:10].translate(DIGITS)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{row['name']}-{suffix}"},
        "data": texts,
    }


def _rename(manifest: Manifest, named: Mapping[str, str]) -> Manifest:
    """Put the names of generated ConfigMaps where a pod mounts them."""
    for volume in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", ()):
        if "configMap" in volume:
            volume["configMap"]["name"] = named.get(volume["configMap"]["name"], volume["configMap"]["name"])
    return manifest


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
        hits = [manifest for manifest in manifests if _is_target(manifest, target)]
        if not hits and "name" not in target:
            return manifests  # a component for several overlays
    else:
        hits = [manifest for manifest in manifests if _identity(manifest) == _identity(document)]
    if len(hits) != 1:
        raise ValueError(f"{patch['path']}: changes {len(hits)} resources")
    if operations is None and document.get("$patch") == "delete":
        return [manifest for manifest in manifests if manifest is not hits[0]]
    changed = _apply(operations, hits[0]) if operations is not None else _merge(hits[0], document)
    return [changed if manifest is hits[0] else manifest for manifest in manifests]


def _is_target(manifest: Manifest, target: Mapping[str, str]) -> bool:
    name = manifest["metadata"]["name"]
    return (manifest["kind"], name) == (target["kind"], target.get("name", name))


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
        elif operation["op"] == "add" and isinstance(place, dict):
            place[last] = operation["value"]
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
            if row.get("$patch") == "delete":
                del rows[row[key]]
            else:
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
