# SPDX-License-Identifier: Apache-2.0
"""Collect the given values, each with the name that the user wrote.

Input: nested mappings. Output: a flat mapping of path -> ``Given``. Imports the standard library and rows only. Raises
ConfigError for names that do not exist.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.settings.schema.foreign import FOREIGN_BY_GROUP
from celery_redis_exporter.settings.schema.rows import JSON_GROUPS, by_path
from celery_redis_exporter.settings.unique import DuplicateKeyError, unique

Path = tuple[str, ...]


class Given(NamedTuple):
    """A value, and its setting as the user wrote it: a flag, a variable, or a file with a key."""

    value: Any
    written: str


def flatten(tree: Mapping[Any, Any], above: Path = (), prefix: str = "") -> dict[Path, Given]:
    """Return the values of a tree of file keys by path. None counts as not given.

    ``above`` is the path of the tree. ``prefix`` precedes each key in messages. Options of Celery that are not settings
    of the exporter are returned too: see ``is_foreign``.
    """
    flat: dict[Path, Given] = {}
    for key, value in tree.items():
        path = (*above, str(key))
        if path in by_path() and path not in JSON_GROUPS:
            if value is not None:
                flat[path] = Given(value, prefix + ".".join(path))
        elif _is_group(path):
            if isinstance(value, Mapping):
                flat |= flatten(value, path, prefix)
            elif value is not None:
                raise ConfigError(f"{prefix}{'.'.join(path)}: must be a group of settings")
        elif is_foreign(path):
            flat[path] = Given(value, prefix + ".".join(path))
        else:
            raise ConfigError(f"{prefix}{'.'.join(path)}: {_in_levels(path) or f'no such setting{_suggest_key(path)}'}")
    return flat


def is_foreign(path: Path) -> bool:
    """Return whether a path names an option of Celery that is not a setting of the exporter."""
    return path[-1] in FOREIGN_BY_GROUP.get(path[:-1], ())


def split_group(text: str, written: str, group: Path) -> dict[Path, Given]:
    """Return the values of a group, such as ``broker_transport_options``, from JSON under the name ``written``."""
    try:
        options = json.loads(text, object_pairs_hook=unique)
    except DuplicateKeyError as error:
        raise ConfigError(f"{written}: {error}") from None
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ConfigError(f'{written}: must be a JSON object, as in {{"visibility_timeout": 3600}}')
    flat = flatten(options, group, f"{written}: ")
    return {path: Given(value, f"{written}: {'.'.join(path[1:])}") for path, (value, _) in flat.items()}


def nest(flat: Mapping[Path, Given]) -> dict[str, Any]:
    """Return the tree that the models take."""
    tree: dict[str, Any] = {}
    for path, given in flat.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = given.value
    return tree


def _is_group(path: Path) -> bool:
    return any(known[: len(path)] == path and len(known) > len(path) for known in by_path())


def _in_levels(path: Path) -> str:
    """Return how to write a key that contains dots, if it names a setting or a group, else an empty string."""
    *levels, last = path[-1].split(".")
    whole = (*path[:-1], *levels, last)
    if not levels or not (whole in by_path() or _is_group(whole) or is_foreign(whole)):
        return ""
    value = "{...}" if _is_group(whole) else "..."
    return f"write it in levels, as in {''.join(f'{level}: {{' for level in levels)}{last}: {value}{'}' * len(levels)}"


def _suggest_key(path: Path) -> str:
    known = [row.key for row in by_path().values()]
    known += [".".join((*group, name)) for group, names in FOREIGN_BY_GROUP.items() for name in names]
    return suggest(".".join(path), known)
