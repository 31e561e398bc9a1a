"""Settings: the only reader of environment, files and flags.

``load`` takes arguments and an environment, and returns frozen ``Settings`` or raises a ConfigError of one line. The
order is flag, environment, file, Celery's own variables, default. pydantic is imported in this package only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celery_redis_exporter.settings.read import reader
from celery_redis_exporter.settings.schema import rows
from celery_redis_exporter.settings.settings import (
    MasterOptions,
    Settings,
    differing,
    master_options,
    named_redis_targets,
)
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget
from celery_redis_exporter.settings.urls.urls import RedisTarget

__all__ = [
    "KombuTarget", "MasterOptions", "RedisTarget", "Settings", "UsageRequested", "differing", "load", "load_tree",
    "master_options", "named_redis_targets",
]  # fmt: skip


class UsageRequested(Exception):  # noqa: N818 -- a request, not an error
    """``--help`` was among the arguments; ``str()`` of it is the help text."""


def load(
    argv: Sequence[str],
    environ: Mapping[str, str],
    program: str = "celery-redis-exporter",
    others: Sequence[str] = (),
) -> Settings:
    """Read the settings; raise ConfigError (one line, free of secrets) or UsageRequested.

    ``others`` are flags that the command has besides these, for the suggestion of a right one.
    """
    if not {"-h", "--help"}.isdisjoint(argv):
        raise UsageRequested(rows.render_help(program))
    return reader.read(argv, environ, others)


def load_tree(tree: Mapping[str, Any]) -> Settings:
    """Read settings that are given as a file's, and nothing else; raise ConfigError (one line, free of secrets)."""
    return reader.read_tree(tree)
