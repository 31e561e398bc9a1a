# SPDX-License-Identifier: Apache-2.0
"""The settings of a run, and what follows from them: the servers that they name, each once, and their secrets.

Input: validated values (from ``read.reader``). Output: read-only attributes, targets, and texts that must not be shown.
Never connects. Password files are read only when a target's ``credentials`` is called.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial, reduce
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import Field, PrivateAttr
from pydantic_settings import SettingsConfigDict

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.settings.schema.foreign import BROKER_GROUP, RESULTS_GROUP
from celery_redis_exporter.settings.schema.model import Declared
from celery_redis_exporter.settings.schema.rows import describe
from celery_redis_exporter.settings.schema.transport import SentinelOptions
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget, parse_broker_url, parse_result_url
from celery_redis_exporter.settings.urls.credentials import PasswordFile, UrlFile
from celery_redis_exporter.settings.urls.urls import RedisTarget, credentials_of, secrets_of

_SECRET_NAME = re.compile(r"passw|passphrase|secret|token|credential", re.IGNORECASE)


class SharedServer(NamedTuple):
    """A Redis server that several applications use.

    ``name`` is the value of the label ``redis`` for all of them. ``samples`` is True if this application samples the
    keys of the database with its messages: the first one that uses it.
    """

    name: str
    samples: bool


class Settings(Declared):
    """Everything that can be set, and what follows from it; frozen. Its repr shows no secret.

    ``notes`` are facts about the configuration that are worth a log line, free of secrets. ``web_config`` is the
    content of the file ``web.config.file``. ``url_files`` are the files that URLs were read from, by setting.
    ``kombu_options`` are transport options of the broker that only kombu may need.

    ``applications`` are the settings of each Celery application by name, empty if there is one without a name. Then
    these settings are the common ones, without broker and result backend, and ``message_databases`` are the databases
    whose keys applications sample, by server. In the settings of an application ``application`` is its name, ``shared``
    are its servers that others use too, by their name here, and ``given`` what was set for this application alone.
    """

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)

    notes: tuple[str, ...] = ()
    web_config: WebConfig = WebConfig()
    url_files: Mapping[str, UrlFile] = MappingProxyType({})
    kombu_options: Mapping[str, Any] = Field(MappingProxyType({}), repr=False)
    application: str = ""
    applications: Mapping[str, "Settings"] = Field(default_factory=dict, repr=False)
    shared: Mapping[str, SharedServer] = Field(default_factory=dict)
    message_databases: Mapping[str, frozenset[int]] = Field(default_factory=dict)
    given: Mapping[tuple[str, ...], Any] = Field(default_factory=dict, repr=False)
    _password_files: dict[str, PasswordFile] = PrivateAttr(default_factory=dict)

    def password_file(self, written: str, path: str | None) -> PasswordFile | None:
        """Return the file of a password, or None without a path.

        It is the same object each time, because it records the contents that the file had.
        """
        return self._password_files.setdefault(written, PasswordFile(path, written)) if path else None

    @property
    def broker(self) -> RedisTarget | KombuTarget:
        """Return the broker."""
        target = parse_broker_url(self.broker_url.get_secret_value())
        return replace(target, options=self.kombu_options) if isinstance(target, KombuTarget) else target

    @property
    def redis_targets(self) -> tuple[RedisTarget, ...]:
        """Return each Redis server once, under its first name: ``broker``, ``results``, those of ``redis.servers``."""
        found: list[RedisTarget] = []
        for target in named_redis_targets(self):
            if not any(_is_same(self, target, other) for other in found):
                found.append(target)
        return tuple(found)

    @property
    def read_targets(self) -> tuple[RedisTarget, ...]:
        """Return the Redis servers that are read for these settings: those of ``redis_targets`` that are not shared."""
        return tuple(target for target in self.redis_targets if target.name not in self.shared)

    @property
    def targets(self) -> tuple[RedisTarget | KombuTarget, ...]:
        """Return every server, the broker first."""
        if self.applications:
            return self.redis_targets
        broker = self.broker
        return (broker, *(target for target in self.redis_targets if target.name != broker.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return every text that must never be shown, for the log's filter. It grows when a file changes."""
        found = set(self.web_config.users.values()).union(*(one.secrets for one in self.applications.values()))
        return tuple(sorted(_find_secrets(self) | _find_option_secrets(self.kombu_options) | found))


class MasterOptions(NamedTuple):
    """How sentinels are queried for a server; ``setting`` is the group of these settings, for messages.

    ``parameters`` are those of ``sentinel_kwargs`` that are set, for redis-py.
    """

    setting: str
    master_name: str
    parameters: Mapping[str, Any]
    tls: bool


def _value(settings: Settings, path: tuple[str, ...]) -> object:
    return reduce(getattr, path, settings)


class _Named(NamedTuple):
    """A server of the settings: its target, and the file of its password or URL, if there is one."""

    target: RedisTarget
    file: PasswordFile | UrlFile | None


def named_redis_targets(settings: Settings) -> tuple[RedisTarget, ...]:
    """Return every name with its server and database, including several names of one server."""
    return tuple(
        target if file is None else replace(target, credentials=partial(_read, target, file))
        for target, file in _named(settings)
    )


def find_repeated(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return the names of ``redis.servers`` whose server already has another name, each with that other name."""
    targets = settings.redis_targets
    names = {target.name for target in targets}
    return tuple(
        (repeated.name, next(target.name for target in targets if _is_same(settings, repeated, target)))
        for repeated, _ in _named(settings)
        if repeated.name in settings.redis.servers and repeated.name not in names
    )


def differing(first: Settings, second: Settings) -> list[str]:
    """Return the keys of the settings that differ, such as ``scrape.deadline``."""
    return [row.key for row in describe() if row.kind != "JSON" and _value(first, row.path) != _value(second, row.path)]


def master_options(settings: Settings, name: str) -> MasterOptions:
    """Return how sentinels are queried for the server called ``name``."""
    if name in settings.redis.servers:
        server = settings.redis.servers[name]
        return _master_options(f"redis.servers.{name}", server.master_name, server.sentinel_kwargs)
    if name == "broker":
        broker = settings.broker_transport_options
        return _master_options(BROKER_GROUP[0], broker.master_name, broker.sentinel_kwargs)
    results = settings.result_backend_transport_options
    return _master_options(RESULTS_GROUP[0], results.master_name, results.sentinel_kwargs)


def _master_options(setting: str, master_name: str, options: SentinelOptions) -> MasterOptions:
    given = {"username": options.username, "password": options.password.get_secret_value()}
    if options.ssl:
        given |= {name: value for name, value in vars(options).items() if name.startswith("ssl_")}
    parameters = {name: value for name, value in given.items() if value != ""}
    return MasterOptions(setting, master_name, parameters, options.ssl)


def _find_secrets(settings: Settings) -> set[str]:
    """Return every text of the Redis servers that must never be shown, including former contents of files."""
    urls = [settings.broker_url, *([settings.result_backend_url] if settings.result_backend_url else [])]
    urls += [server.url for server in settings.redis.servers.values()]
    found = {secret for url in urls for secret in secrets_of(url.get_secret_value())}
    names = ("broker", "results", *settings.redis.servers)
    for name in names:
        password = master_options(settings, name).parameters.get("password", "")
        found |= {password, quote(password, safe="")} - {""}
    return found | {text for _, file in _named(settings) if file is not None for text in file.seen.texts}


def _find_option_secrets(options: Mapping[str, Any]) -> set[str]:
    """Return the texts of kombu's options whose names mark them as secrets, at any depth."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= _find_option_secrets(value)
        elif isinstance(value, str) and value and _SECRET_NAME.search(name):
            found.add(value)
    return found


def _named(settings: Settings) -> Iterator[_Named]:
    broker = settings.broker
    if isinstance(broker, RedisTarget) and not settings.applications:
        yield _Named(broker, _file(settings, "broker", settings.broker_password_file))
    if settings.result_backend_url is not None:
        target = parse_result_url("results", settings.result_backend_url.get_secret_value())
        yield _Named(target, _file(settings, "result_backend", settings.result_backend_password_file))
    for name, server in settings.redis.servers.items():
        written = f"redis.servers.{name}"
        password = settings.password_file(f"{written}.password_file", server.password_file)
        file = password or settings.url_files.get(written)
        yield _Named(parse_result_url(name, server.url.get_secret_value()), file)


def _file(settings: Settings, role: str, password_file: str | None) -> PasswordFile | UrlFile | None:
    named = settings.password_file(f"{role}_password_file", password_file)
    return named or settings.url_files.get(f"{role}_url")


def _read(target: RedisTarget, file: PasswordFile | UrlFile) -> tuple[str, str]:
    """Return the current user and password. Raises ConfigError."""
    if isinstance(file, PasswordFile):
        return credentials_of(target.url)[0], file.read()
    try:
        return credentials_of(parse_result_url(target.name, file.read()).url)
    except ValueError as error:
        raise ConfigError(f"{file.written}: {error}") from None


ServerIdentity = tuple[str, int, str]
"""What is equal for two names of one server: its address, and the name of its master behind sentinels."""


def identity_of_server(settings: Settings, target: RedisTarget) -> ServerIdentity:
    """Return the identity of a server of these settings. The same sentinels may monitor several servers."""
    return (*target.server_key, master_options(settings, target.name).master_name if target.sentinels else "")


def _is_same(settings: Settings, target: RedisTarget, other: RedisTarget) -> bool:
    return identity_of_server(settings, target) == identity_of_server(settings, other)
