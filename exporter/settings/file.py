"""The settings file: YAML.

Takes a path, gives values by path of the setting. Never shows a line of the file, which may hold a secret.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from exporter.errors import ConfigError
from exporter.settings.given import Given, Path, flatten
from exporter.settings.text_file import read_text

CONFIG_FILE: Path = ("config", "file")
INVALID = "is not valid YAML; check indentation, colons and quotes"
TWICE = "a key stands twice"


class _UniqueLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would keep the last silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 -- as in yaml
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(problem=TWICE, problem_mark=node.start_mark)
        return mapping


def read_yaml(name: str, written: str, *, unique: bool = False) -> Any:  # noqa: ANN401 -- YAML is anything
    """Read the YAML that the setting ``written`` names; raise ConfigError with file, and line where known.

    ``unique`` refuses a key that stands twice in one mapping.
    """
    text = read_text(name, written)
    try:
        return yaml.load(text, _UniqueLoader if unique else yaml.SafeLoader)  # noqa: S506 -- both are safe loaders
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}: " if mark else f"{name}: "
        fault = "has a key twice in one mapping; keep one" if error.problem == TWICE else INVALID
        raise ConfigError(f"{place}{fault}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # ValueError: dates that do not exist, and the like.
        raise ConfigError(f"{name}: {INVALID}") from None


def read_file(name: str, written: str) -> dict[Path, Given]:
    """Read the settings file that the setting ``written`` names; raise ConfigError with file, and line where known."""
    tree = read_yaml(name, written)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: must be a mapping of settings, as in `broker_url: redis://localhost:6379/0`")
    flat = flatten(tree, (), f"{name}: ")
    if CONFIG_FILE in flat:
        raise ConfigError(f"{flat[CONFIG_FILE].written}: a file can't name another; use --config.file")
    return flat
