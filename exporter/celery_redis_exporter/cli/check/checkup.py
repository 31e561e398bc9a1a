# SPDX-License-Identifier: Apache-2.0
"""The data that the parts of a check share: the monitor as it would run, and when to stop.

Data only.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from celery_redis_exporter.brokers.broker import Broker
from celery_redis_exporter.cli.check.place import Place, place_of
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.daemon.application import Application
from celery_redis_exporter.daemon.monitor import Monitor
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command


@dataclass(slots=True)
class Checkup:
    """One check. ``listen`` is in seconds. Once ``stop`` is set, only the results so far are reported.

    ``old`` contains the names of servers that are older than Redis 7, as far as they are known. ``stated`` contains the
    reasons for which the broker can't be used, as far as they were reported. ``masters`` contains addresses that
    sentinels reported, by the name of the server. ``progress`` shows a line while the check waits, and nothing for an
    empty one.
    """

    monitor: Monitor
    listen: float
    stop: threading.Event = field(default_factory=threading.Event)
    old: set[str] = field(default_factory=set)
    stated: set[str] = field(default_factory=set)
    masters: dict[str, tuple[str, int] | None] = field(default_factory=dict)
    progress: Callable[[str], None] = field(default=lambda _: None)

    @property
    def settings(self) -> Settings:
        """Return the settings."""
        return self.monitor.settings

    @property
    def clock(self) -> Clock:
        """Return the clock."""
        return self.monitor.clock

    @property
    def application(self) -> Application:
        """Return the Celery application."""
        return self.monitor.application

    @property
    def broker(self) -> Broker:
        """Return the broker of the application."""
        return self.monitor.application.broker

    @property
    def targets(self) -> list[Target]:
        """Return the servers that a scrape reads, with nodes of clusters that were found."""
        return self.monitor.servers.reads.targets

    @property
    def broker_target(self) -> Target:
        """Return the broker as a scrape reads it."""
        return next(target for target in self.targets if target.name == self.settings.broker.name)

    @property
    def broker_on_redis(self) -> RedisTarget | None:
        """Return the broker, or None if it is not Redis."""
        target = self.settings.broker
        return self.settings.redis_targets[0] if isinstance(target, RedisTarget) else None

    def place(self, name: str) -> Place:
        """Return the place of the broker or of a server of the settings, or of its sentinels and nodes."""
        settings = self.settings
        found = next((one for one in settings.redis_targets if one.name == name.partition("/")[0]), settings.broker)
        place = replace(place_of(found, settings.secrets), modern=name not in self.old)
        _, is_named_by_server, address = name.partition("/")
        if not is_named_by_server:
            master = self._master(found.name) if isinstance(found, RedisTarget) and found.sentinels else None
            return place if master is None else replace(place, host=master[0], port=master[1])
        host, _, port = address.rpartition("/")[2].rpartition(":")
        return replace(place, shown=name, host=host.strip("[]"), port=int(port))

    def _master(self, name: str) -> tuple[str, int] | None:
        """Return the address of a server that sentinels report, or None if they report none.

        They are queried once, because a check is short, and sentinels that do not answer would delay each finding.
        """
        if name not in self.masters:
            self.masters[name] = None
            with suppress(SourceError):
                self.masters[name] = self.monitor.endpoints.finders[name].locate()
        return self.masters[name]

    def ask_broker(self, commands: Sequence[Command]) -> list[object]:
        """Return the broker's replies on a dedicated connection, if it is Redis. Raises SourceError."""
        target = self.broker_on_redis
        if target is None:
            return []
        deadline = self.settings.scrape.deadline
        session: Session = self.monitor.endpoints.session(target, timeout=deadline)
        try:
            return list(session.ask(commands, deadline))
        finally:
            session.close()
