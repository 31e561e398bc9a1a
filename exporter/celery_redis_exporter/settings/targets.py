"""The Redis servers that the settings name, each once, with what tells their users and passwords.

Takes settings, gives targets. Never connects; reads files of passwords only when a target's ``credentials`` is called.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.schema.foreign import BROKER_GROUP, RESULTS_GROUP
from celery_redis_exporter.settings.urls.broker_urls import parse_result_url
from celery_redis_exporter.settings.urls.credentials import PasswordFile, UrlFile
from celery_redis_exporter.settings.urls.urls import RedisTarget, credentials_of, secrets_of

if TYPE_CHECKING:
    from celery_redis_exporter.settings.held import Settings
    from celery_redis_exporter.settings.schema.transport import SentinelOptions


_SECRET_NAME = re.compile(r"passw|passphrase|secret|token|credential", re.IGNORECASE)


class MasterOptions(NamedTuple):
    """What sentinels are asked about a server, and how: ``setting`` is the group that says so, for messages.

    ``parameters`` are those of ``sentinel_kwargs`` that are set, for redis-py.
    """

    setting: str
    master_name: str
    parameters: Mapping[str, Any]
    tls: bool


class _Named(NamedTuple):
    """A server of the settings: its target, and where its user and password come from besides the URL."""

    target: RedisTarget
    file: PasswordFile | UrlFile | None


def find_redis_targets(settings: "Settings") -> tuple[RedisTarget, ...]:
    """Give every server once, the broker first; the first name that it has in the settings counts."""
    found: list[RedisTarget] = []
    for target in named_redis_targets(settings):
        if not any(_is_same(settings, target, other) for other in found):
            found.append(target)
    return tuple(found)


def named_redis_targets(settings: "Settings") -> tuple[RedisTarget, ...]:
    """Give every name with its server and database, also those that mean a server twice."""
    return tuple(
        target if file is None else replace(target, credentials=partial(_read, target, file))
        for target, file in _named(settings)
    )


def find_repeated(settings: "Settings") -> tuple[tuple[str, str], ...]:
    """Give names of ``redis.servers`` that are another server's once more, each with that other's."""
    targets = settings.redis_targets
    names = {target.name for target in targets}
    return tuple(
        (repeated.name, next(target.name for target in targets if _is_same(settings, repeated, target)))
        for repeated, _ in _named(settings)
        if repeated.name in settings.redis.servers and repeated.name not in names
    )


def master_options(settings: "Settings", name: str) -> MasterOptions:
    """Give what sentinels are asked about the server called ``name``."""
    if name in settings.redis.servers:
        server = settings.redis.servers[name]
        return _master_options(f"redis.servers.{name}", server.master_name, server.sentinel_kwargs)
    if name == "broker":
        broker = settings.broker_transport_options
        return _master_options(BROKER_GROUP[0], broker.master_name, broker.sentinel_kwargs)
    results = settings.result_backend_transport_options
    return _master_options(RESULTS_GROUP[0], results.master_name, results.sentinel_kwargs)


def _master_options(setting: str, master_name: str, options: "SentinelOptions") -> MasterOptions:
    given = {"username": options.username, "password": options.password.get_secret_value()}
    if options.ssl:
        given |= {name: value for name, value in vars(options).items() if name.startswith("ssl_")}
    parameters = {name: value for name, value in given.items() if value != ""}
    return MasterOptions(setting, master_name, parameters, options.ssl)


def find_secrets(settings: "Settings") -> set[str]:
    """Give every text of the Redis servers that must never be shown, what files held meanwhile among it."""
    urls = [settings.broker_url, *([settings.result_backend_url] if settings.result_backend_url else [])]
    urls += [server.url for server in settings.redis.servers.values()]
    found = {secret for url in urls for secret in secrets_of(url.get_secret_value())}
    names = ("broker", "results", *settings.redis.servers)
    for name in names:
        password = master_options(settings, name).parameters.get("password", "")
        found |= {password, quote(password, safe="")} - {""}
    return found | {text for _, file in _named(settings) if file is not None for text in file.seen.texts}


def find_option_secrets(options: Mapping[str, Any]) -> set[str]:
    """Give the texts of kombu's options that are secrets by their names, at any depth."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= find_option_secrets(value)
        elif isinstance(value, str) and value and _SECRET_NAME.search(name):
            found.add(value)
    return found


def _named(settings: "Settings") -> Iterator[_Named]:
    broker = settings.broker
    if isinstance(broker, RedisTarget):
        yield _Named(broker, _file(settings, "broker", settings.broker_password_file))
    if settings.result_backend_url is not None:
        target = parse_result_url("results", settings.result_backend_url.get_secret_value())
        yield _Named(target, _file(settings, "result_backend", settings.result_backend_password_file))
    for name, server in settings.redis.servers.items():
        file = settings.password_file(f"redis.servers.{name}.password_file", server.password_file)
        yield _Named(parse_result_url(name, server.url.get_secret_value()), file)


def _file(settings: "Settings", role: str, password_file: str | None) -> PasswordFile | UrlFile | None:
    named = settings.password_file(f"{role}_password_file", password_file)
    return named or settings.url_files.get(f"{role}_url")


def _read(target: RedisTarget, file: PasswordFile | UrlFile) -> tuple[str, str]:
    """User and password at this moment; raise ConfigError."""
    if isinstance(file, PasswordFile):
        return credentials_of(target.url)[0], file.read()
    try:
        return credentials_of(parse_result_url(target.name, file.read()).url)
    except ValueError as error:
        raise ConfigError(f"{file.written}: {error}") from None


def _is_same(settings: "Settings", target: RedisTarget, other: RedisTarget) -> bool:
    """Whether two names mean one server; the same sentinels may know several."""
    if target.server_key != other.server_key:
        return False
    names = [master_options(settings, name).master_name for name in (target.name, other.name)]
    return not target.sentinels or names[0] == names[1]
