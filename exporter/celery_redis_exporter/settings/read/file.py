# SPDX-License-Identifier: Apache-2.0
"""Read the settings file (YAML).

Input: a path. Output: values by path of the setting, and the settings of each application. No line of the file is
shown, because it may contain a secret.
"""

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.applications import ApplicationTree, split_applications
from celery_redis_exporter.settings.read.given import Given, Path, flatten

CONFIG_FILE: Path = ("config", "file")


def read_file(name: str, written: str) -> tuple[dict[Path, Given], dict[str, ApplicationTree]]:
    """Return the values of the file that the setting ``written`` names, and the applications that it lists.

    Raises ConfigError with the file, and with the line if it is known.
    """
    # PyYAML takes 0.9 MB, and most settings are flags and variables.
    from celery_redis_exporter.settings.yaml_file import read_yaml  # noqa: PLC0415 -- as above

    tree = read_yaml(name, written)
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: must be a mapping of settings, as in `broker_url: redis://localhost:6379/0`")
    common, applications = split_applications(tree, f"{name}: ")
    flat = flatten(common, (), f"{name}: ")
    if CONFIG_FILE in flat:
        raise ConfigError(f"{flat[CONFIG_FILE].written}: a file can't name another; use --config.file")
    return flat, applications
