"""The settings file: YAML.

Takes a path, gives values by path of the setting. Never shows a line of the file, which may hold a secret.
"""

from pathlib import Path as FilePath

import yaml

from exporter.errors import ConfigError
from exporter.settings.given import Given, Path, flatten

CONFIG_FILE: Path = ("config", "file")


def read_text(name: str, written: str) -> str:
    """Read the text of the file that the setting ``written`` names; raise ConfigError when that fails."""
    try:
        return FilePath(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{written}: can't read {name}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{written}: {name} is not UTF-8 text") from None


def read_file(name: str, written: str) -> dict[Path, Given]:
    """Read the file that the setting ``written`` names; raise ConfigError with file, and line where known."""
    text = read_text(name, written)
    try:
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}: " if mark else f"{name}: "
        raise ConfigError(f"{place}is not valid YAML; check indentation, colons and quotes") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        # ValueError: dates that do not exist, and the like.
        raise ConfigError(f"{name}: is not valid YAML; check indentation, colons and quotes") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: must be a mapping of settings, as in `broker_url: redis://localhost:6379/0`")
    flat = flatten(tree, (), f"{name}: ")
    if CONFIG_FILE in flat:
        raise ConfigError(f"{flat[CONFIG_FILE].written}: a file can't name another; use --config.file")
    return flat
