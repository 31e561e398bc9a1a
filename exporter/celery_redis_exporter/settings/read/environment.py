# SPDX-License-Identifier: Apache-2.0
"""Read the environment: the exporter's variables, files that contain secrets, and Celery's own variables.

Input: a mapping. Output: values by path. Reads the files that ``*_FILE`` variables name. An empty variable counts as
unset.
"""

import re
from collections.abc import Mapping

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.settings.read.given import Given, Path, split_group
from celery_redis_exporter.settings.read.text_file import read_text
from celery_redis_exporter.settings.schema.rows import ENVIRONMENT_PREFIX, JSON_GROUPS, by_path, describe
from celery_redis_exporter.settings.urls.urls import SCHEMES, scheme_of

BROKER: Path = ("broker_url",)
RESULTS: Path = ("result_backend_url",)

SERVICE_HOST = "SERVICE_HOST"
# Kubernetes sets variables of these forms, each after the name of a service, such as "exporter" or "exporter-redis".
SERVICE_LINK = re.compile(r"SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?")


def read_environment(environ: Mapping[str, str]) -> dict[Path, Given]:
    """Return the values of ``EXPORTER_*`` variables.

    Raises ConfigError for an unknown variable or an unreadable secret file.
    """
    _refuse_unknown(environ)
    flat: dict[Path, Given] = {}
    for group in JSON_GROUPS:
        name = by_path()[group].environment
        if environ.get(name):
            flat |= split_group(environ[name], name, group)
    for row in describe():
        name = row.environment
        if row.path not in JSON_GROUPS and environ.get(name):
            flat[row.path] = Given(environ[name], name)
        if row.secret and environ.get(f"{name}_FILE"):
            if row.path in flat:
                raise ConfigError(f"{name}_FILE: {name} is set too; unset one of them")
            flat[row.path] = Given(_secret(f"{name}_FILE", environ), f"{name}_FILE")
    return flat


def read_celery(environ: Mapping[str, str]) -> tuple[dict[Path, Given], tuple[str, ...]]:
    """Return the values of Celery's own variables, and notes on what was left out."""
    flat: dict[Path, Given] = {}
    notes: tuple[str, ...] = ()
    broker, results = environ.get("CELERY_BROKER_URL"), environ.get("CELERY_RESULT_BACKEND")
    if broker:
        flat[BROKER] = Given(broker, "CELERY_BROKER_URL")
    if results and scheme_of(results) in {*SCHEMES, "sentinel"}:
        flat[RESULTS] = Given(results, "CELERY_RESULT_BACKEND")
    elif results:
        notes = ("CELERY_RESULT_BACKEND is not a Redis URL, so no result backend is read.",)
    return flat, notes


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {row.environment for row in describe()} | {f"{row.environment}_FILE" for row in describe() if row.secret}
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not _is_service_link(name, environ):
            raise ConfigError(f"{name}: no such variable{suggest(name, known) or '; see --help'}")


def _is_service_link(name: str, environ: Mapping[str, str]) -> bool:
    """Return whether Kubernetes sets this variable for a service whose SERVICE_HOST it has set.

    The names of services are taken from those variables, because a name may itself end with _PORT or _SERVICE.
    """
    hosts = (host for host in environ if host.startswith(ENVIRONMENT_PREFIX) and host.endswith(f"_{SERVICE_HOST}"))
    services = (host.removesuffix(SERVICE_HOST) for host in hosts)
    return any(name.startswith(each) and SERVICE_LINK.fullmatch(name, len(each)) for each in services)


def _secret(name: str, environ: Mapping[str, str]) -> str:
    return read_text(environ[name], name, secret=True).removesuffix("\n").removesuffix("\r")
