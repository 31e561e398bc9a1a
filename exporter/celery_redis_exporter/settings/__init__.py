"""Settings: the only reader of environment, files and flags.

``load`` takes arguments and an environment, gives frozen ``Settings`` or a ConfigError of one line. The order is
flag, environment, file, Celery's own variables, default. pydantic is imported in this package only, and only when
settings are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from celery_redis_exporter.settings.held import Settings, changed
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget
from celery_redis_exporter.settings.urls.urls import RedisTarget

__all__ = ["KombuTarget", "RedisTarget", "Settings", "UsageRequested", "changed", "load", "load_tree"]


class UsageRequested(Exception):  # noqa: N818 -- a request, not an error
    """``--help`` was among the arguments; ``str()`` of it is the help text."""


def load(argv: Sequence[str], environ: Mapping[str, str], program: str = "celery-redis-exporter") -> Settings:
    """Read the settings; raise ConfigError (one line, free of secrets) or UsageRequested."""
    from celery_redis_exporter.settings.read import reader  # noqa: PLC0415 -- they bring pydantic
    from celery_redis_exporter.settings.schema import rows  # noqa: PLC0415 -- they bring pydantic

    if not {"-h", "--help"}.isdisjoint(argv):
        raise UsageRequested(rows.render_help(program))
    return reader.read(argv, environ)


def load_tree(tree: Mapping[str, Any]) -> Settings:
    """Read settings that are given as a file's, and nothing else; raise ConfigError (one line, free of secrets)."""
    from celery_redis_exporter.settings.read import reader  # noqa: PLC0415 -- brings pydantic

    return reader.read_tree(tree)
