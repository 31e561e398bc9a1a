# SPDX-License-Identifier: Apache-2.0
"""Manifests judged by the schemas in ``tests/fixtures/schemas``.

Takes a manifest, gives what is wrong with it, a line each. Knows the kinds that stand there and no others.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

FOLDER = Path(__file__).parents[1] / "fixtures" / "schemas"
OF_KINDS = ("kubernetes.json", "prometheus-operator.json", "keda.json")


@functools.cache
def read(name: str) -> dict[str, Any]:
    """Read a schema."""
    tree: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return tree


@functools.cache
def _of_kind(kind: str) -> dict[str, Any]:
    for name in OF_KINDS:
        tree = read(name)
        if kind in tree["kinds"]:
            shared = {key: tree[key] for key in ("$defs", "definitions") if key in tree}
            return {**tree["kinds"][kind], **shared}
    raise KeyError(kind)


def faults(document: object, schema: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a document, and where."""
    found = jsonschema.Draft7Validator(dict(schema)).iter_errors(document)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]


def faults_of_manifest(manifest: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a manifest; raises KeyError for a kind without a schema."""
    return faults(manifest, _of_kind(manifest["kind"]))
