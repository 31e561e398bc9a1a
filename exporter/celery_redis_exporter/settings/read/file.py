"""The settings file: YAML.

Takes a path, gives values by path of the setting. Never shows a line of the file, which may hold a secret.
"""

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.given import Given, Path, flatten
from celery_redis_exporter.settings.yaml_file import read_yaml

CONFIG_FILE: Path = ("config", "file")


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
