# SPDX-License-Identifier: Apache-2.0
"""Settings: the only package that reads flags, environment and files.

``load`` takes arguments and an environment, and returns frozen ``Settings`` or raises a ConfigError of one line. The
order is flag, environment, file, Celery's own variables, default. pydantic is imported in this package only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celery_redis_exporter.settings.read import reader
from celery_redis_exporter.settings.settings import (
    MasterOptions,
    Settings,
    SharedServer,
    differing,
    master_options,
    named_redis_targets,
)
from celery_redis_exporter.settings.sharing import choose_application
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget
from celery_redis_exporter.settings.urls.urls import RedisTarget
from celery_redis_exporter.settings.usage import render_help

__all__ = [
    "KombuTarget", "MasterOptions", "RedisTarget", "Settings", "SharedServer", "UsageRequested", "choose_application",
    "differing", "load", "load_tree", "master_options", "named_redis_targets",
]  # fmt: skip


class UsageRequested(Exception):  # noqa: N818 -- a request, not an error
    """``--help`` was among the arguments; ``str()`` of it is the help text."""


def load(
    argv: Sequence[str],
    environ: Mapping[str, str],
    program: str = "celery-redis-exporter",
    others: Sequence[str] = (),
) -> Settings:
    """Read the settings. Raises ConfigError (one line, free of secrets) or UsageRequested.

    ``argv`` are the arguments without the program. ``others`` are flags that the command has besides the settings. They
    are used to suggest a flag for an unknown one.
    """
    if not {"-h", "--help"}.isdisjoint(argv):
        raise UsageRequested(render_help(program))
    return reader.read(argv, environ, others)


def load_tree(tree: Mapping[str, Any]) -> Settings:
    """Read settings from a mapping with the structure of a file, and from nothing else.

    Raises ConfigError (one line, free of secrets).
    """
    return reader.read_tree(tree)
