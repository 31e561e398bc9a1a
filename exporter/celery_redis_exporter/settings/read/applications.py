# SPDX-License-Identifier: Apache-2.0
"""Read the settings of several Celery applications: the mapping ``applications`` of the settings file.

Input: the file's content, and the values that all applications have in common. Output: values by application. Each
application has what the common values say, except for what it sets itself.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.given import Given, Path, flatten
from celery_redis_exporter.settings.read.text_file import read_text
from celery_redis_exporter.settings.schema.rows import describe
from celery_redis_exporter.settings.urls.credentials import UrlFile

KEY = "applications"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
OWN = ("broker_url", "broker_password_file", "result_backend_url", "result_backend_password_file")
"""Settings that each application has itself."""
COMMON = ("web", "log", "scrape", "metrics", "status", "state", "config")
"""Groups that all applications have in common."""
COMMON_PATHS: tuple[Path, ...] = (("redis", "metrics"),)
NOT_INHERITED: tuple[Path, ...] = (("redis", "servers"), ("redis", "keys"))
"""Settings that are about servers: those of the common values are read once, for all applications."""


class ApplicationTree(NamedTuple):
    """The settings of one application as they were written. ``prefix`` precedes each key in messages."""

    tree: Mapping[Any, Any]
    prefix: str


class ApplicationValues(NamedTuple):
    """The values of one application: ``own``, and ``given`` with the common ones. ``url_files`` contain URLs."""

    own: dict[Path, Given]
    given: dict[Path, Given]
    url_files: dict[str, UrlFile]


def split_applications(tree: Mapping[Any, Any], prefix: str = "") -> tuple[dict[Any, Any], dict[str, ApplicationTree]]:
    """Return a tree of settings without the applications, and the tree of each application. Raises ConfigError."""
    common = dict(tree)
    found = common.pop(KEY, None)
    if found is None:
        return common, {}
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(f"{prefix}{KEY}: must be a mapping from a name to the settings of that application")
    return common, {str(name): _tree_of(str(name), one, prefix) for name, one in found.items()}


def _tree_of(name: str, tree: object, prefix: str) -> ApplicationTree:
    if not NAME.fullmatch(name):
        raise ConfigError(f"{prefix}{KEY}: has a name that is not made of up to 63 letters, digits and . _ - alone")
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{prefix}{KEY}.{name}: must be a mapping of settings with a broker_url")
    return ApplicationTree(tree, f"{prefix}{KEY}.{name}.")


def read_application(tree: ApplicationTree, common: Mapping[Path, Given]) -> ApplicationValues:
    """Return the values of one application.

    Raises ConfigError for a setting that does not exist or that applications have in common, and without a broker.
    """
    rest, files = _split_files(tree)
    own = flatten(rest, (), tree.prefix)
    for path, value in own.items():
        if path[0] in COMMON or path in COMMON_PATHS:
            raise ConfigError(f"{value.written}: is common to all applications; set it outside of {KEY}")
    url_files = {}
    for path, file in files.items():
        if path in own:
            raise ConfigError(f"{file.written}: {own[path].written} is set too; remove one of them")
        text = read_text(file.value, file.written, secret=True).removesuffix("\n").removesuffix("\r")
        own[path] = Given(text, file.written)
        if len(path) == 1:
            url_files[path[0]] = UrlFile(file.value, file.written)
    if ("broker_url",) not in own:
        raise ConfigError(f"{tree.prefix}broker_url: is missing; each application has a broker of its own")
    inherited = {path: value for path, value in common.items() if path not in NOT_INHERITED}
    return ApplicationValues(own, inherited | own, url_files)


def refuse_own(common: Mapping[Path, Given]) -> None:
    """Raise ConfigError for common values of settings that each application has itself."""
    for path, value in common.items():
        if path[0] in OWN:
            raise ConfigError(f"{value.written}: is set for each application; move it into {KEY}")


def _split_files(tree: ApplicationTree) -> tuple[dict[Any, Any], dict[Path, Given]]:
    """Return the tree without the keys that name a file with a secret, and these files by the setting they contain."""
    rest = _copy(tree.tree)
    files: dict[Path, Given] = {}
    for row in describe():
        group: Any = rest
        for part in row.path[:-1]:
            group = group.get(part) if isinstance(group, dict) else None
        key = f"{row.path[-1]}_file"
        if row.secret and isinstance(group, dict) and group.get(key) is not None:
            written = f"{tree.prefix}{row.key}_file"
            name = group.pop(key)
            if not isinstance(name, str):
                raise ConfigError(f"{written}: must be the path of a file")
            files[row.path] = Given(name, written)
    return rest, files


def _copy(tree: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
