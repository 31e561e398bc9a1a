# SPDX-License-Identifier: Apache-2.0
"""Read the YAML file that a setting or a flag names.

Input: the path of a file. Output: its content as Python objects. Values of the file are never shown, because they may
be secrets.
"""

from typing import Any

import yaml

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.text_file import read_text

INVALID = "is not valid YAML; check indentation, colons and quotes"
SECOND_DOCUMENT = "begins a second YAML document, which would not be read; remove the line ---, or use another file"
ONE_DOCUMENT = "expected a single document in the stream"
"""PyYAML's message about a file with several documents."""
MERGE_TAG = "tag:yaml.org,2002:merge"


def read_yaml(name: str, written: str) -> Any:  # noqa: ANN401 -- YAML is anything
    """Return the content of the YAML file ``name``, which the setting ``written`` names.

    Raises ConfigError with the file, and with the line if it is known. A key that occurs twice in one mapping is an
    error too, because YAML parsers keep the last value and drop the first without a message.
    """
    text = read_text(name, written)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_unique(name, root)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}: " if mark else f"{name}: "
        raise ConfigError(f"{place}{SECOND_DOCUMENT if error.context == ONE_DOCUMENT else INVALID}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # PyYAML raises ValueError for dates that do not exist and similar values.
        raise ConfigError(f"{name}: {INVALID}") from None


def _check_unique(name: str, root: yaml.Node) -> None:
    """Raise ConfigError for the first key that its mapping already contains.

    Keys are compared as they are written: ``1`` and ``"1"`` name the same setting. Merge keys (``<<``) may be repeated,
    and their mappings may be overridden. Every node is visited once, however many aliases refer to it.
    """
    visited: set[int] = set()
    waiting: list[tuple[str, yaml.Node]] = [("", root)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(path, item) for item in reversed(node.value)]
        elif isinstance(node, yaml.MappingNode):
            waiting += reversed(_check_mapping(name, path, node))


def _check_mapping(name: str, path: str, mapping: yaml.MappingNode) -> list[tuple[str, yaml.Node]]:
    """Return the values of a mapping with their paths. Raises ConfigError if it contains a key twice."""
    lines: dict[str, int] = {}
    values: list[tuple[str, yaml.Node]] = []
    for key, value in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # It can't be a setting; the caller refuses it.
        below = f"{path}.{key.value}" if path else key.value
        line = key.start_mark.line + 1
        if key.tag == MERGE_TAG:
            below = path
        elif key.value in lines:
            raise ConfigError(f"{name}:{line}: {below}: is already set on line {lines[key.value]}; keep one")
        lines[key.value] = line
        values.append((below, value))
    return values
