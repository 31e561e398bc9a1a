# SPDX-License-Identifier: Apache-2.0
"""The Helm chart, rendered: by the engine of the tests or, where Go is installed, by Go's own.

Takes values that differ from values.yaml, gives manifests. Checks the values by the chart's schema first, as helm does.
"""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from tests.deployment.go_templates import Engine, Files
from tests.support import yaml_text

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "celery-redis-exporter"
GO_SOURCES = Path("/usr/share/gocode")
"""Where Debian keeps the sources of Go libraries."""
Values = Mapping[str, Any]


def schema() -> dict[str, Any]:
    """Read the schema of the values."""
    tree: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return tree


def default_values() -> dict[str, Any]:
    """Read values.yaml."""
    tree: dict[str, Any] = yaml_text.parse((CHART / "values.yaml").read_text(encoding="utf-8"))
    return tree


def merge(values: dict[str, Any], changes: Values) -> dict[str, Any]:
    """Put changes over values as helm does: mappings are merged, everything else is replaced."""
    merged = copy.deepcopy(values)
    for key, change in changes.items():
        both = isinstance(change, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], change) if both else copy.deepcopy(change)
    return merged


def check_values(values: Values) -> None:
    """Raise jsonschema.ValidationError for values that helm would refuse."""
    jsonschema.Draft7Validator(schema()).validate(values)


def context(changes: Values, release: str = "shop") -> dict[str, Any]:
    """Give what the templates find behind the dot."""
    values = merge(default_values(), changes)
    check_values(values)
    meta = yaml_text.parse((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return {
        "Values": values,
        "Chart": {"Name": meta["name"], "Version": str(meta["version"]), "AppVersion": str(meta["appVersion"])},
        "Release": {"Name": release, "Namespace": "shop", "Service": "Helm"},
    }


def read_templates() -> dict[str, str]:
    """Read every template by its name."""
    folder = CHART / "templates"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def read_files() -> dict[str, str]:
    """Read the chart's other files by their paths."""
    paths = [path for path in sorted((CHART / "files").rglob("*")) if path.is_file()]
    return {path.relative_to(CHART).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def render(changes: Values, release: str = "shop") -> dict[str, str]:
    """Render every template by the engine of the tests."""
    templates = read_templates()
    engine = Engine(templates)
    dot = context(changes, release) | {"Files": Files(read_files())}
    return {name: engine.render(name, dot) for name in templates if not name.startswith("_")}


def render_by_go(changes: Values, folder: Path, release: str = "shop") -> dict[str, str]:
    """Render every template by Go's text/template and Sprig, through ``render.go``; ``folder`` is for Go's cache."""
    asked = {"context": context(changes, release), "templates": read_templates(), "files": read_files()}
    environment = {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOCACHE": str(folder), "HOME": str(folder)}
    done = subprocess.run(
        ["go", "run", str(Path(__file__).with_name("render.go"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]} | environment,
    )
    assert done.returncode == 0, done.stderr
    rendered: dict[str, str] = json.loads(done.stdout)
    return rendered


def go_is_installed() -> bool:
    """Whether Go and the sources of Sprig are there (Debian: golang-go, golang-github-masterminds-sprig-dev)."""
    return shutil.which("go") is not None and (GO_SOURCES / "src/github.com/Masterminds/sprig").exists()


def manifests(rendered: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read the manifests of what was rendered; notes are none."""
    texts = [text for name, text in rendered.items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml_text.parse_all(text) if document]
