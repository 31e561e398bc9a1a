# SPDX-License-Identifier: Apache-2.0
"""Find servers that several applications use, to read each once, and applications that can't be distinguished.

Input: the common settings and those of each application. Output: the same settings, which now state what is shared.
Never connects.
"""

from collections.abc import Mapping
from types import MappingProxyType

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.settings.schema.redis import RedisOptions
from celery_redis_exporter.settings.schema.servers import ServerOptions
from celery_redis_exporter.settings.settings import (
    ServerIdentity,
    Settings,
    SharedServer,
    identity_of_server,
    master_options,
)
from celery_redis_exporter.settings.urls.credentials import UrlFile
from celery_redis_exporter.settings.urls.urls import RedisTarget

BROKER, RESULTS = "broker", "results"


def share_servers(common: Settings, applications: Mapping[str, Settings]) -> Settings:
    """Return the common settings with the applications, each of which knows what it shares.

    A server that several applications use is one of the common ``redis.servers`` then, under a name that begins with
    its role: ``broker@`` if it is anyone's broker, else ``results@``. Raises ConfigError for two applications whose
    events are the same.
    """
    _refuse_same_events(applications)
    _refuse_same_names(common, applications)
    names = _shared_names(common, applications)
    redis, url_files = _rename_servers(common, names), dict(common.url_files)
    servers, sampled = dict(redis.servers), dict[str, set[int]]()
    with_shared: dict[str, Settings] = {}
    for application, settings in applications.items():
        shared: dict[str, SharedServer] = {}
        for target in settings.redis_targets:
            name = names.get(identity_of_server(settings, target))
            if name is None:
                continue
            if name not in servers:
                servers[name] = _server_options(settings, target)
                url_files |= _url_file(settings, target, name)
            samples = target.name == BROKER and target.db not in sampled.setdefault(name, set())
            if samples:
                sampled[name].add(target.db)
            shared[target.name] = SharedServer(name, samples)
        with_shared[application] = settings.model_copy(update={"shared": MappingProxyType(shared)})
    return common.model_copy(
        update={
            "redis": redis.model_copy(update={"servers": servers}),
            "url_files": MappingProxyType(url_files),
            "applications": MappingProxyType(with_shared),
            "message_databases": MappingProxyType({name: frozenset(found) for name, found in sampled.items()}),
        }
    )


def choose_application(settings: Settings, name: str | None) -> Settings:
    """Return the settings of one application as if there was no other one.

    Raises ConfigError for a name that does not exist, and if there are several applications and no name.
    """
    applications = settings.applications
    if not applications and name is None:
        return settings
    if not applications:
        raise ConfigError("--application: the settings list no applications")
    if name is None or name not in applications:
        hint = suggest(name or "", applications) or f"; there are {', '.join(applications)}"
        raise ConfigError(f"--application: {'no such application' if name else 'name one of several'}{hint}")
    return applications[name].model_copy(update={"application": "", "shared": MappingProxyType({})})


def _shared_names(common: Settings, applications: Mapping[str, Settings]) -> dict[ServerIdentity, str]:
    """Return the names of servers of several applications, and of the common servers that an application uses."""
    own_names = {identity_of_server(common, target): target.name for target in common.redis_targets}
    users: dict[ServerIdentity, set[str]] = {}
    roles: dict[ServerIdentity, set[str]] = {}
    addresses: dict[ServerIdentity, str] = {}
    for application, settings in applications.items():
        for target in settings.redis_targets:
            identity = identity_of_server(settings, target)
            users.setdefault(identity, set()).add(application)
            roles.setdefault(identity, set()).add(target.name)
            addresses.setdefault(identity, own_names.get(identity) or _address(settings, target))
    names = {}
    for identity, address in addresses.items():
        if len(users[identity]) > 1 or identity in own_names:
            role = next((role for role in (BROKER, RESULTS) if role in roles[identity]), "")
            names[identity] = f"{role}@{address}" if role else address
    return names


def _rename_servers(common: Settings, names: Mapping[ServerIdentity, str]) -> RedisOptions:
    """Return the common ``redis`` options with the names by which common servers are shown."""
    shown = {target.name: names.get(identity_of_server(common, target), target.name) for target in common.redis_targets}
    redis = common.redis
    servers = {shown.get(name, name): server for name, server in redis.servers.items()}
    return redis.model_copy(
        update={"servers": servers, "keys": {shown.get(name, name): keys for name, keys in redis.keys.items()}}
    )


def _address(settings: Settings, target: RedisTarget) -> str:
    """Return the address of a server, or the name of its master and the address of the first sentinel."""
    host, port = target.sentinels[0] if target.sentinels else target.server_key
    shown = f"[{host}]" if ":" in host else _ascii(host)
    address = f"{shown}:{port}" if port else host
    return f"{master_options(settings, target.name).master_name}@{address}" if target.sentinels else address


def _ascii(host: str) -> str:
    """Return a host name as DNS has it (RFC 3490), since the alerts recognize addresses in ASCII only."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:  # No such name can exist.
        return host


def _server_options(settings: Settings, target: RedisTarget) -> ServerOptions:
    """Return a server as one of ``redis.servers``, with the user of this application."""
    if target.name in settings.redis.servers:
        return settings.redis.servers[target.name]
    is_broker = target.name == BROKER
    options = settings.broker_transport_options if is_broker else settings.result_backend_transport_options
    url = settings.broker_url if is_broker or settings.result_backend_url is None else settings.result_backend_url
    return ServerOptions.model_construct(
        url=url,
        password_file=settings.broker_password_file if is_broker else settings.result_backend_password_file,
        discover=not is_broker,
        master_name=options.master_name,
        sentinel_kwargs=options.sentinel_kwargs,
    )


def _url_file(settings: Settings, target: RedisTarget, name: str) -> dict[str, UrlFile]:
    key = {BROKER: "broker_url", RESULTS: "result_backend_url"}.get(target.name, "")
    return {f"redis.servers.{name}": settings.url_files[key]} if key in settings.url_files else {}


def _refuse_same_names(common: Settings, applications: Mapping[str, Settings]) -> None:
    for application, settings in applications.items():
        for name in settings.redis.servers.keys() & common.redis.servers.keys():
            raise ConfigError(
                f"applications.{application}.redis.servers: has {name!r}, which is one of the common redis.servers; "
                "choose another name"
            )


def _refuse_same_events(applications: Mapping[str, Settings]) -> None:
    known: dict[object, str] = {}
    for name, settings in applications.items():
        other = known.setdefault(_events_of(settings), name)
        if other != name:
            raise ConfigError(
                f"applications.{name}: has the server, database, prefix and event exchange of {other}, so that their "
                "events can't be told apart; give one of them another database or event_exchange"
            )


def _events_of(settings: Settings) -> object:
    """Return where the events of an application are published."""
    broker, options = settings.broker, settings.broker_transport_options
    if not isinstance(broker, RedisTarget):
        return (broker.redacted.replace("***@", ""), settings.event_exchange)
    channels: object = options.fanout_prefix
    if isinstance(channels, bool):
        channels = f"/{broker.db}." if channels else ""
    elif isinstance(channels, str):
        channels = channels.replace("{db}", str(broker.db))
    server = identity_of_server(settings, settings.redis_targets[0])
    return (server, options.global_keyprefix, channels, settings.event_exchange)
