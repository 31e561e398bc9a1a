"""Read the settings file (YAML).

Input: a path. Output: values by path of the setting. No line of the file is shown, because it may contain a secret.
"""

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.given import Given, Path, flatten
from celery_redis_exporter.settings.yaml_file import read_yaml

CONFIG_FILE: Path = ("config", "file")


def read_file(name: str, written: str) -> dict[Path, Given]:
    """Return the values of the file that the setting ``written`` names.

    Raises ConfigError with the file, and with the line if it is known.
    """
    tree = read_yaml(name, written)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: must be a mapping of settings, as in `broker_url: redis://localhost:6379/0`")
    flat = flatten(tree, (), f"{name}: ")
    if CONFIG_FILE in flat:
        raise ConfigError(f"{flat[CONFIG_FILE].written}: a file can't name another; use --config.file")
    return flat
