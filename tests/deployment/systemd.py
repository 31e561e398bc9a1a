# SPDX-License-Identifier: Apache-2.0
"""The environment that systemd gives the exporter: of the unit, its drop-ins and its environment file.

Takes texts, gives variables and credentials. Knows the directives that ours use, and no others.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "celery-redis-exporter.service"
DROP_IN = FOLDER / "celery-redis-exporter.service.d" / "applications.conf"
CREDENTIALS = f"/run/credentials/{UNIT.name}"


class Service(NamedTuple):
    """What the process gets: ``variables``, and ``credentials``, the paths of root's files by name. Limits, too."""

    variables: Mapping[str, str]
    credentials: Mapping[str, str]
    limits: Mapping[str, str]


def read(*texts: str, environment_file: str, state: str) -> Service:
    """Read a unit and its drop-ins in their order; ``state`` is where state directories are."""
    variables: dict[str, str] = {}
    credentials: dict[str, str] = {}
    limits: dict[str, str] = {}
    unset: set[str] = set()
    specifiers = {"%d": CREDENTIALS, "%S": state, "%N": UNIT.stem}
    for name, value in re.findall(r"^(\w+)=(.*)$", "\n".join(texts), re.MULTILINE):
        if name == "Environment":
            variable, _, text = value.partition("=")
            variables[variable] = re.sub("%.", lambda found: specifiers[found[0]], text)
        elif name == "UnsetEnvironment":
            unset |= set(value.split())
        elif name == "LoadCredential" and not value:
            credentials.clear()
        elif name == "LoadCredential":
            credentials[value.partition(":")[0]] = value.partition(":")[2]
        elif name in {"TasksMax", "MemoryMax"}:
            limits[name] = value
    variables |= dict(re.findall(r"^(EXPORTER_\w+)=(.*)$", environment_file, re.MULTILINE))
    return Service({name: text for name, text in variables.items() if name not in unset}, credentials, limits)
