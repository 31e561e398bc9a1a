# SPDX-License-Identifier: Apache-2.0
"""The compose file as data: variables filled in as compose does.

Takes variables as .env would give them, gives the tree. Starts nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import yaml_text

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yml"
APPLICATIONS = FOLDER / "applications" / "compose.yml"
"""One exporter for several applications."""
VARIABLE = re.compile(r"\$\$|\$\{(\w+):-([^}]*)\}|\$\{?(\w+)")


def read(variables: Mapping[str, str] | None = None, file: Path = FILE) -> dict[str, Any]:
    """Read a file with these variables; raise ValueError for one without a default."""
    filled = _fill(yaml_text.parse(file.read_text(encoding="utf-8")), variables or {})
    tree: dict[str, Any] = filled
    return tree


def _fill(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 -- YAML is anything
    if isinstance(value, dict):
        return {key: _fill(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        if found[3]:
            raise ValueError(f"{found[0]} has no default")
        return variables.get(found[1]) or found[2]

    return VARIABLE.sub(fill, value)


def variables_with_defaults() -> dict[str, str]:
    """Give every variable that the file asks for, with its default."""
    found = re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", FILE.read_text(encoding="utf-8"))
    return dict(found)


def mounts(service: Mapping[str, Any], secrets: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Path | None]:
    """Give the paths in a service's container and what is there: a file or folder of ours, or None for an empty one."""
    found: dict[str, Path | None] = dict.fromkeys(service.get("tmpfs", ()))
    for volume in service.get("volumes", ()):
        source, target = volume.removesuffix(":ro").split(":")
        found[target] = (folder / source).resolve() if source.startswith(".") else None
    for secret in service.get("secrets", ()):
        found[f"/run/secrets/{secret}"] = (folder / secrets[secret]["file"]).resolve()
    return found
