# SPDX-License-Identifier: Apache-2.0
"""Read the settings from all sources, validate them with the models, and check those that depend on each other.

Input: arguments, an environment or a tree. Output: Settings, or ConfigError.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.settings.read.applications import (
    ApplicationTree,
    read_application,
    refuse_own,
    split_applications,
)
from celery_redis_exporter.settings.read.environment import read_celery, read_environment
from celery_redis_exporter.settings.read.faults import explain
from celery_redis_exporter.settings.read.file import CONFIG_FILE, read_file
from celery_redis_exporter.settings.read.flags import read_flags
from celery_redis_exporter.settings.read.given import Given, Path, flatten, is_foreign, nest
from celery_redis_exporter.settings.read.web_config import read_web_config
from celery_redis_exporter.settings.schema.foreign import BROKER_GROUP
from celery_redis_exporter.settings.schema.model import Declared
from celery_redis_exporter.settings.schema.rows import describe
from celery_redis_exporter.settings.settings import Settings, find_repeated, master_options, named_redis_targets
from celery_redis_exporter.settings.sharing import share_servers
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget
from celery_redis_exporter.settings.urls.credentials import UrlFile

WEB_CONFIG_FILE: Path = ("web", "config", "file")


def read(argv: Sequence[str], environ: Mapping[str, str], others: Sequence[str] = ()) -> Settings:
    """Read the settings. Raises ConfigError (one line, free of secrets).

    ``others`` are further flags of the command.
    """
    flags, environment = read_flags(argv, others), read_environment(environ)
    celery, notes = read_celery(environ)
    above_file = environment | flags
    named = above_file.get(CONFIG_FILE)
    file, applications = read_file(str(named.value), named.written) if named else ({}, {})
    if applications:
        notes = tuple(f"{one.written} is not used: the settings file lists applications." for one in celery.values())
        return _build_all(file | above_file, applications, notes)
    return _build(celery | file | above_file, environ, notes)


def read_tree(tree: Mapping[str, Any]) -> Settings:
    """Read settings from a mapping with the structure of a file, and from nothing else.

    Raises ConfigError (one line, free of secrets).
    """
    common, applications = split_applications(tree)
    given = flatten(common)
    if CONFIG_FILE in given:
        raise ConfigError(f"{given[CONFIG_FILE].written}: no file is read; give its settings themselves")
    return _build_all(given, applications, ()) if applications else _build(given, {}, ())


def _build(given: dict[Path, Given], environ: Mapping[str, str], notes: tuple[str, ...]) -> Settings:
    """Return the settings of one application without a name."""
    return _add_web_config(_validate(given, _url_files(given, environ)), given, notes)


def _build_all(common: dict[Path, Given], trees: Mapping[str, ApplicationTree], notes: tuple[str, ...]) -> Settings:
    """Return the common settings with those of each application."""
    refuse_own(common)
    labels = common.get(("metrics", "labels"))
    applications = {}
    for name, tree in trees.items():
        values = read_application(tree, common)
        applications[name] = _validate(values.given, values.url_files).model_copy(
            update={"application": name, "given": {path: given.value for path, given in values.own.items()}}
        )
        if "application" in applications[name].metrics.labels and labels is not None:
            raise ConfigError(f"{labels.written}: has 'application', which is the name of each application already")
    settings = _validate(common, {}, applications)
    _check_keys(settings, common)
    settings = share_servers(settings, applications)
    return _add_web_config(settings, common, notes)


def _add_web_config(settings: Settings, given: Mapping[Path, Given], notes: tuple[str, ...]) -> Settings:
    web_file = settings.web.config.file
    web_config = read_web_config(web_file, given[WEB_CONFIG_FILE].written) if web_file else WebConfig()
    update = {"notes": (*notes, *settings.notes, *web_config.notes), "web_config": web_config}
    return settings.model_copy(update=update)


def _validate(
    given: dict[Path, Given], url_files: Mapping[str, UrlFile], applications: Mapping[str, Settings] | None = None
) -> Settings:
    """Return the settings with their notes. ``applications`` means that ``given`` is common to these."""
    foreign = {path: value for path, value in given.items() if is_foreign(path)}
    try:
        declared = Declared(**nest({path: value for path, value in given.items() if path not in foreign}))
    except ValidationError as error:
        raise explain(error, given) from None
    kombu_options = {path[-1]: value for path, (value, _) in foreign.items() if path[:-1] == BROKER_GROUP}
    settings = Settings.model_construct(
        **dict(declared), url_files=url_files, kombu_options=kombu_options, applications=applications or {}
    )
    _check_masters(settings)
    _check_histograms(settings, given)
    if not settings.applications:
        _check_redbeat(settings, given)
        _check_keys(settings, given)
    _check_files(settings)
    found = (
        *_unused_parameters(settings),
        *_unused_options(settings, foreign),
        *_repeated(settings),
    )
    return settings.model_copy(update={"notes": found})


def _check_masters(settings: Settings) -> None:
    """Raise ConfigError for sentinels without the name of their master."""
    for target in settings.redis_targets:
        options = master_options(settings, target.name)
        if target.sentinels and not options.master_name:
            raise ConfigError(
                f"{options.setting}.master_name: is missing; a sentinel:// URL needs the name of its master"
            )


def _check_histograms(settings: Settings, given: Mapping[Path, Given]) -> None:
    """Raise ConfigError for histograms that would have neither classic nor native buckets in protobuf."""
    path, shown = ("metrics", "classic_histograms"), settings.metrics
    if not shown.classic_histograms and not shown.native_histograms:
        raise ConfigError(f"{given[path].written}: can be false only if metrics.native_histograms is true")


def _check_redbeat(settings: Settings, given: Mapping[Path, Given]) -> None:
    """Raise ConfigError for a server of RedBeat that does not exist."""
    path = ("redbeat", "server")
    known = {target.name for target in named_redis_targets(settings)}
    if settings.redbeat.server not in known and (settings.redbeat.interval or settings.redbeat.server != "broker"):
        names = ", ".join(sorted(known)) or "none"
        written = given[path].written if path in given else ".".join(path)
        raise ConfigError(f"{written}: must be a Redis server of these settings ({names})")


def _check_keys(settings: Settings, given: Mapping[Path, Given]) -> None:
    """Raise ConfigError for keys of a server that is not read, or that is read under another name."""
    path = ("redis", "keys")
    known = {target.name for target in settings.redis_targets}
    for server in settings.redis.keys:
        if server not in known:
            written = given[path].written if path in given else ".".join(path)
            raise ConfigError(f"{written}: has no server {server!r}; servers are {', '.join(sorted(known)) or 'none'}")


def _check_files(settings: Settings) -> None:
    """Raise ConfigError for password files that can't be read or are not used. An empty file means no password."""
    for target in settings.redis_targets:
        if target.credentials is not None:
            target.credentials()
    if settings.broker_password_file and isinstance(settings.broker, KombuTarget):
        raise ConfigError("broker_password_file: is for Redis; write the password of other brokers into broker_url")
    if settings.result_backend_password_file and settings.result_backend_url is None:
        raise ConfigError("result_backend_password_file: there is no result_backend_url that it could belong to")


def _url_files(given: Mapping[Path, Given], environ: Mapping[str, str]) -> dict[str, UrlFile]:
    """Return the files that variables ending in _FILE name, for the URLs that were read from them."""
    rows = [row for row in describe() if row.path in {("broker_url",), ("result_backend_url",)}]
    return {
        row.key: UrlFile(environ[f"{row.environment}_FILE"], f"{row.environment}_FILE")
        for row in rows
        if row.path in given and given[row.path].written == f"{row.environment}_FILE"
    }


def _repeated(settings: Settings) -> tuple[str, ...]:
    return tuple(
        f"redis.servers.{name} is the server that is shown as {other} already; it is not read twice."
        for name, other in find_repeated(settings)
    )


def _unused_options(settings: Settings, foreign: Mapping[Path, Given]) -> tuple[str, ...]:
    """Return notes on options of Celery that are not settings. kombu may need them for brokers other than Redis."""
    if isinstance(settings.broker, KombuTarget):
        foreign = {path: value for path, value in foreign.items() if path[:-1] != BROKER_GROUP}
    sentence = "concerns Celery's own connections and has no effect here."
    return tuple(f"{value.written} {sentence}" for value in foreign.values())


def _unused_parameters(settings: Settings) -> tuple[str, ...]:
    return tuple(
        f"The parameters {', '.join(target.ignored)} of the {target.name} URL are not used; the exporter sets its own."
        for target in settings.targets
        if target.ignored
    )
