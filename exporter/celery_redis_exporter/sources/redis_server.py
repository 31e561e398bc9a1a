# SPDX-License-Identifier: Apache-2.0
"""Read one Redis server in one round trip: INFO, and the commands of the caller.

Sends CLIENT SETNAME and INFO server once per connection, to learn which commands this server has. Each read then sends
one pipeline: INFO, SLOWLOG LEN, SLOWLOG GET 1, LATENCY LATEST, LATENCY HISTOGRAM (Redis 7), COMMANDLOG LEN (Valkey
8.1), CLUSTER INFO (in cluster mode), every five minutes CONFIG GET of named parameters, and the caller's commands.

Needs ``+info +client|setname +slowlog|len +slowlog|get +latency|latest +latency|histogram +commandlog|len +cluster|info
+config|get``. Without a permission only its own replies are missing. Runs in the caller's thread. A failure raises
SourceError: the server is down for that scrape, and is shown as down.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from celery_redis_exporter.catalog.server_fields import MODERN, mode_of
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import CLIENT_NAME, Command

PING: Command = ("PING",)
"""Shows that a server is alive if nothing else is read from it."""
CORE_SECTIONS = (
    "server", "clients", "memory", "persistence", "stats", "replication", "cluster", "keyspace", "errorstats",
)  # fmt: skip
PLAIN_INFO: Command = ("INFO",)
SLOWLOG_LENGTH: Command = ("SLOWLOG", "LEN")
SLOWLOG_NEWEST: Command = ("SLOWLOG", "GET", 1)
LATENCY_LATEST: Command = ("LATENCY", "LATEST")
LATENCY_HISTOGRAM: Command = ("LATENCY", "HISTOGRAM")
COMMAND_LOGS: tuple[Command, ...] = tuple(
    ("COMMANDLOG", "LEN", kind) for kind in ("slow", "large-request", "large-reply")
)
CLUSTER_INFO: Command = ("CLUSTER", "INFO")
SERVER_COMMANDS: tuple[Command, ...] = (SLOWLOG_LENGTH, SLOWLOG_NEWEST, LATENCY_LATEST)
"""The commands that every server receives besides INFO."""
PARAMETERS = (
    "databases", "maxclients", "maxmemory", "io-threads", "repl-backlog-size", "client-output-buffer-limit",
)  # fmt: skip
VALKEY_9_PARAMETERS = ("cluster-databases",)
COMMAND_LOG_PARAMETERS = (
    "commandlog-execution-slower-than", "commandlog-slow-execution-max-len", "commandlog-request-larger-than",
    "commandlog-large-request-max-len", "commandlog-reply-larger-than", "commandlog-large-reply-max-len",
)  # fmt: skip
CONFIG_SECONDS = 300.0
"""Seconds for which the settings of the server are not read again."""
VALKEY_WITH_COMMAND_LOGS = (8, 1)
VALKEY_WITH_CLUSTER_DATABASES = (9, 0)
_VERSION = re.compile(rb"(redis|valkey)_version:(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The extent of a read: everything, the needs of ``core`` metrics, or only the caller's commands (``off``)."""

    level: Literal["full", "core", "off"] = "full"
    latency_histogram: bool = False


class ServerReading(NamedTuple):
    """The replies of one read. Each may be a Refusal.

    - ``info``: the reply to INFO, or None if it was not sent.
    - ``own``: the replies to the other commands of this module.
    - ``others``: the replies to the caller's commands.
    - ``trouble``: why the server can't be used although it answers, or None.
    """

    info: Any
    own: Mapping[Command, Any]
    others: list[Any]
    trouble: Refusal | None


class RedisServer:
    """Read one server.

    ``name`` is its label. ``connect_seconds`` is the time that connecting and learning its commands took.
    """

    def __init__(self, name: str, session: Session, clock: Clock, wanted: Wanted = Wanted()) -> None:
        self.name = name
        self.session = session
        self.connect_seconds: float | None = None
        self._clock = clock
        self._wanted = wanted
        self._known = 0
        self._info: Command | None = None
        self._asks: tuple[Command, ...] = ()
        self._config: tuple[Command, ...] = ()
        self._config_at = 0.0
        self._asked: list[Command] = []
        self._met = False
        self._cluster = False

    @property
    def in_cluster(self) -> bool | None:
        """Return True if the server runs in cluster mode, or None before the first read."""
        return self._cluster if self._known else None

    def read(self, commands: Sequence[Command], deadline: float) -> ServerReading:
        """Return the server's replies, those to ``commands`` last, within ``deadline`` seconds. Raises SourceError."""
        until = self._clock.monotonic() + deadline
        if self._known == 0 or self._known != self.session.opened:
            self._learn(deadline)
        replies = self.session.ask(self._ask(commands), max(until - self._clock.monotonic(), 0.0))
        return self._reading(self._ask_simpler(replies, until))

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self.session.close()
        self._known = 0

    def _ask(self, commands: Sequence[Command]) -> list[Command]:
        info = [] if self._info is None else [self._info]
        due = self._clock.monotonic() - self._config_at >= CONFIG_SECONDS
        self._asked = [*info, *self._asks, *(self._config if due else ())]
        return [*self._asked, *commands]

    def _ask_simpler(self, replies: list[Any], until: float) -> list[Any]:
        """Return the replies, after sending simpler commands in place of those that the server does not support.

        Dragonfly refuses INFO with several sections, and CONFIG GET with several names. This happens once per
        connection.
        """
        plainer: dict[Command, tuple[Command, ...]] = {}
        for command, reply in zip(self._asked, replies, strict=False):
            if isinstance(reply, Refusal) and reply.reason == "protocol" and len(command) > len(_plainer(command)[0]):
                plainer[command] = _plainer(command)
        if not plainer:
            return replies
        again = [command for commands in plainer.values() for command in commands]
        found = dict(zip(again, self.session.ask(again, max(until - self._clock.monotonic(), 0.0)), strict=True))
        self._info = PLAIN_INFO if PLAIN_INFO in again else self._info
        self._config = tuple(command for known in self._config for command in plainer.get(known, (known,)))
        own = dict(zip(self._asked, replies, strict=False))
        others = replies[len(self._asked) :]
        self._asked = [command for known in self._asked for command in plainer.get(known, (known,))]
        return [*(found.get(command, own.get(command)) for command in self._asked), *others]

    def _reading(self, replies: list[Any]) -> ServerReading:
        own = dict(zip(self._asked, replies, strict=False))
        if any(command in own for command in self._config):
            self._config_at = self._clock.monotonic()
        info = None if self._info is None else own.pop(self._info)
        # The session reconnected, perhaps to another version, or INFO was granted, so that the commands can be learned.
        if self.session.opened != self._known or (not self._met and isinstance(info, bytes)):
            self._known = 0
        trouble = _trouble(info, replies)
        if trouble is not None and trouble.reason == "auth":
            self.close()
        return ServerReading(info, own, replies[len(self._asked) :], trouble)

    def _learn(self, deadline: float) -> None:
        started, opened = self._clock.monotonic(), self.session.opened
        _, info = self.session.exchange([("CLIENT", "SETNAME", CLIENT_NAME), ("INFO", "server")], deadline)
        if self.session.opened != opened:
            self.connect_seconds = self._clock.monotonic() - started
        self._prepare(info if isinstance(info, bytes) else b"")
        self._config_at = -CONFIG_SECONDS
        self._known = self.session.opened

    def _prepare(self, info: bytes) -> None:
        """Choose the commands for the server whose INFO server is ``info``.

        If it is empty, nothing more is requested.
        """
        self._met = bool(info)
        versions = {name: (int(major), int(minor)) for name, major, minor in _VERSION.findall(info)}
        modern, valkey = versions.get(b"redis", (0, 0)) >= MODERN, versions.get(b"valkey", (0, 0))
        mode, level = mode_of(info), self._wanted.level
        self._cluster = mode == "cluster"
        run_id = info.partition(b"\r\nrun_id:")[2].partition(b"\r")[0]
        if run_id:
            self.session.talks_to(run_id.decode("ascii", "replace"))
        self._info, self._asks, self._config = _choose_info(level, modern=modern), (), ()
        if level == "off":
            self._asks = (PING,)
        elif self._met and mode != "sentinel":
            self._config = _choose_config(valkey, modern=modern)
            more = self._choose(valkey, modern=modern) if level == "full" else ()
            self._asks = (*more, *([CLUSTER_INFO] if self._cluster else []))

    def _choose(self, valkey: tuple[int, int], *, modern: bool) -> tuple[Command, ...]:
        return (
            *SERVER_COMMANDS,
            *([LATENCY_HISTOGRAM] if modern and self._wanted.latency_histogram else []),
            *(COMMAND_LOGS if valkey >= VALKEY_WITH_COMMAND_LOGS else ()),
        )


def _choose_info(level: str, *, modern: bool) -> Command | None:
    if level == "off":
        return None
    if level == "full":
        return ("INFO", "ALL")
    return ("INFO", *CORE_SECTIONS) if modern else PLAIN_INFO


def _choose_config(valkey: tuple[int, int], *, modern: bool) -> tuple[Command, ...]:
    names = [*PARAMETERS]
    if valkey >= VALKEY_WITH_COMMAND_LOGS:
        names += COMMAND_LOG_PARAMETERS
    if valkey >= VALKEY_WITH_CLUSTER_DATABASES:
        names += VALKEY_9_PARAMETERS
    return (("CONFIG", "GET", *names),) if modern else tuple(("CONFIG", "GET", name) for name in names)


def _plainer(command: Command) -> tuple[Command, ...]:
    """Return simpler commands that together request the same, or the command itself if there are none."""
    if command[0] == "INFO":
        return (PLAIN_INFO,)
    if is_config(command):
        return tuple((*command[:2], name) for name in command[2:])
    return (command,)


def is_config(command: Command) -> bool:
    """Return True for CONFIG GET."""
    return command[0] == "CONFIG"


def _trouble(info: Any, replies: Iterable[Any]) -> Refusal | None:  # noqa: ANN401 -- a reply can be anything
    """Return why the server can't be used although it answers, or None if it can be used."""
    refusal = next((reply for reply in replies if isinstance(reply, Refusal) and reply.is_of_server), None)
    if refusal is None and isinstance(info, bytes) and b"\nloading:1" in info:
        return Refusal("LOADING the server loads its data")
    return info if refusal is None and isinstance(info, Refusal) else refusal
