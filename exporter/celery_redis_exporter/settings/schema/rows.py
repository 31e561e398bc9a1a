# SPDX-License-Identifier: Apache-2.0
"""List every setting as a row: its flag, environment name, file key, default and meaning, taken from the models.

Output: rows. Reads no value that a user set.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from celery_redis_exporter.settings.schema.foreign import BROKER_GROUP, RESULTS_GROUP
from celery_redis_exporter.settings.schema.model import Declared
from celery_redis_exporter.settings.schema.values import parse_seconds, show_seconds

ENVIRONMENT_PREFIX = "EXPORTER_"
JSON_GROUPS = (BROKER_GROUP, RESULTS_GROUP)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    ``path`` is its place in the tree; ``kind`` one of boolean, URL, secret, duration, number, list, mapping, text or
    JSON (a whole group at once); ``default`` is as people write it, and empty where nothing is set. ``choices`` are
    all values that there are, where they are few.
    """

    path: tuple[str, ...]
    kind: str
    default: str
    help: str
    secret: bool = False
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Return the flag, as in ``--web.listen-address``."""
        return "--" + self.key.replace("_", "-")

    @property
    def environment(self) -> str:
        """Return the environment variable, as in ``EXPORTER_WEB__LISTEN_ADDRESS``."""
        return ENVIRONMENT_PREFIX + "__".join(self.path).upper()

    @property
    def key(self) -> str:
        """Return the path in the file with dots, as in ``web.listen_address``."""
        return ".".join(self.path)


@cache
def describe() -> tuple[SettingRow, ...]:
    """Return every setting in the order of the models."""
    return tuple(_rows(Declared, ()))


@cache
def by_path() -> dict[tuple[str, ...], SettingRow]:
    """Return every setting by its path."""
    return {row.path: row for row in describe()}


def _rows(model: type[BaseModel], above: tuple[str, ...]) -> list[SettingRow]:
    rows: list[SettingRow] = []
    for name, field in model.model_fields.items():
        path = (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            if path in JSON_GROUPS:
                rows.append(SettingRow(path, "JSON", "", "All options below at once, as Celery's setting."))
            rows += _rows(field.annotation, path)
        else:
            rows.append(_row(path, field))
    return rows


def _row(path: tuple[str, ...], field: FieldInfo) -> SettingRow:
    default = field.get_default(call_default_factory=True, validated_data={})
    secret = "SecretStr" in str(field.annotation)
    kind = _kind(field, secret=secret)
    shown = show_seconds(default) if kind == "duration" else _show(default)
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return SettingRow(path, kind, shown, field.description or "", secret, choices)


def _kind(field: FieldInfo, *, secret: bool) -> str:
    if secret:
        return "secret" if field.default == SecretStr("") else "URL"
    origin = getattr(field.annotation, "__origin__", field.annotation)
    is_duration = any(getattr(step, "func", None) is parse_seconds for step in field.metadata)
    number = "duration" if is_duration else "number"
    kinds: dict[Any, str] = {bool: "boolean", float: number, int: "number", tuple: "list", dict: "mapping"}
    return kinds.get(origin, "text")


def _show(default: object) -> str:
    if default is None or default in ((), {}, ""):
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default)
    return str(default) if str(default).isprintable() else json.dumps(default)
