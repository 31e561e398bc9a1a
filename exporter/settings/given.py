"""Values as they were given, each with the name under which the user wrote it.

Takes nested mappings, gives flat ones: path -> ``Given``. Standard library and rows only; raises ConfigError for
names that do not exist.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from exporter.errors import ConfigError
from exporter.settings.nearest import suggest
from exporter.settings.rows import JSON_GROUP, by_path

Path = tuple[str, ...]

# Options of Celery that concern its own connections and loops; pasting them along does no harm.
CELERY_ONLY = frozenset({
    "ack_emulation", "client_name", "health_check_interval", "max_connections", "queue_order_strategy",
    "retry_on_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options",
    "socket_timeout", "unacked_mutex_expire", "unacked_mutex_key", "unacked_restore_interval",
    "unacked_restore_limit", "unacked_restore_throttle",
})  # fmt: skip


class Given(NamedTuple):
    """A value, and its setting as the user wrote it: a flag, a variable, or a file with a key."""

    value: Any
    written: str


def flatten(tree: Mapping[Any, Any], above: Path = (), prefix: str = "") -> dict[Path, Given]:
    """Flatten a tree of file keys; ``prefix`` stands before each key in messages; None counts as not given."""
    flat: dict[Path, Given] = {}
    for key, value in tree.items():
        path = (*above, str(key))
        if path in by_path() and path != JSON_GROUP:
            if value is not None:
                flat[path] = Given(value, prefix + ".".join(path))
        elif _is_group(path):
            if isinstance(value, Mapping):
                flat |= flatten(value, path, prefix)
            elif value is not None:
                raise ConfigError(f"{prefix}{'.'.join(path)}: must be a group of settings")
        elif not (above == JSON_GROUP and key in CELERY_ONLY):
            raise ConfigError(f"{prefix}{'.'.join(path)}: no such setting{_suggest_key(path)}")
    return flat


def split_group(text: str, written: str) -> dict[Path, Given]:
    """Read ``broker_transport_options`` given as JSON under the name ``written``."""
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ConfigError(f'{written}: must be a JSON object, as in {{"visibility_timeout": 3600}}')
    flat = flatten(options, JSON_GROUP, f"{written}: ")
    return {path: Given(value, f"{written}: {path[-1]}") for path, (value, _) in flat.items()}


def nest(flat: Mapping[Path, Given]) -> dict[str, Any]:
    """Build the tree that the models take."""
    tree: dict[str, Any] = {}
    for path, given in flat.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = given.value
    return tree


def _is_group(path: Path) -> bool:
    return any(known[: len(path)] == path and len(known) > len(path) for known in by_path())


def _suggest_key(path: Path) -> str:
    return suggest(".".join(path), [row.key for row in by_path().values()])
