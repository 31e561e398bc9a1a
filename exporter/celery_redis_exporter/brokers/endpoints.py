# SPDX-License-Identifier: Apache-2.0
"""Build endpoints of the Redis servers of the settings, direct ones and those behind sentinels.

Input: targets. Output: endpoints. Endpoints of the same server share one ``MasterFinder``, which finds its master.
Opens no connection.
"""

from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.settings import (
    MasterOptions,
    RedisTarget,
    Settings,
    master_options,
    named_redis_targets,
)
from celery_redis_exporter.sources.addresses import AddressPolicy
from celery_redis_exporter.sources.lookups import Lookups
from celery_redis_exporter.sources.refusals import Refusals
from celery_redis_exporter.sources.sentinel import PATIENCE, MasterFinder, Sentinel
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint, Wire


class _At:
    """A server whose address does not change: a ``sources.wire.Master``."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def locate(self) -> tuple[str, int]:
        return self._address.host, self._address.port

    def follow(self, wire: Wire, address: tuple[str, int]) -> None:
        """Leave the connection as it is."""


class Endpoints:
    """Build endpoints and sessions.

    ``finders`` and ``sentinels`` contain, by the name of a target, the finder of its master and its sentinels.
    ``addresses`` decides which of the addresses that servers report may be connected to.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.finders: dict[str, MasterFinder] = {}
        self.sentinels: dict[str, list[Sentinel]] = {}
        self.addresses = AddressPolicy(settings.redis.allowed_addresses)
        self.clock = clock
        self._refusals: dict[str, Refusals] = {}
        self._lookups = WeakValueDictionary[str, Lookups]()
        self._broker = settings.broker.name
        for target in named_redis_targets(settings):
            if target.sentinels:
                options = master_options(settings, target.name)
                sentinels = [_sentinel(*address, options) for address in target.sentinels]
                self.sentinels[target.name] = sentinels
                self.finders[target.name] = MasterFinder(
                    sentinels, options.master_name, options.setting, clock, self.addresses
                )

    def to(self, target: RedisTarget, *, timeout: float, db: int | None = None) -> Endpoint:
        """Return an endpoint of a server. Raises ConfigError.

        ``timeout`` bounds connecting and each step of it, in seconds. ``db`` replaces the database of the URL.
        """
        finder, credentials = self.finders.get(target.name), target.credentials
        return Endpoint(target.url, timeout=timeout, db=db, master=finder, credentials=credentials)

    def session(self, target: RedisTarget, *, timeout: float) -> Session:
        """Return a session with a server. Raises ConfigError.

        All sessions of one server share which commands it refused, and what they looked up. ``timeout`` is in seconds.
        """
        refusals = self._refusals.setdefault(target.name, Refusals(self.clock))
        return Session(self.to(target, timeout=timeout), self.clock, refusals, self._lookups_on(target.name))

    def session_at(
        self, target: RedisTarget, address: Address, *, timeout: float, db: int | None = None, name: str = ""
    ) -> Session:
        """Return a session with a node of a server's cluster, with the server's user and TLS. Raises ConfigError.

        The sessions of a node that has a ``name`` share what they looked up.
        """
        at, credentials = _At(address), target.credentials
        endpoint = Endpoint(target.url, timeout=timeout, db=db, master=at, credentials=credentials)
        return Session(endpoint, self.clock, lookups=self._lookups_on(name) if name else None)

    def _lookups_on(self, server: str) -> Lookups | None:
        """Return the count of look-ups on a server; none on the broker, where most look-ups are for messages."""
        return None if server == self._broker else self._lookups.setdefault(server, Lookups())


def _sentinel(host: str, port: int, options: MasterOptions) -> Sentinel:
    parameters = dict(options.parameters)
    user, password = (quote(parameters.pop(name, ""), safe="") for name in ("username", "password"))
    identity = f"{user}:{password}@" if user or password else ""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme = "rediss" if options.tls else "redis"
    url = f"{scheme}://{identity}{shown}?{urlencode(parameters)}"
    return Sentinel(host, shown, Endpoint(url, timeout=PATIENCE, db=0))
