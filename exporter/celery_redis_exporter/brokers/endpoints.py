"""Ways to the Redis servers of the settings, straight or by their sentinels.

Takes targets, gives endpoints; those of one server share the knowledge of where its master is. Opens nothing.
"""

from urllib.parse import quote, urlencode

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
from celery_redis_exporter.sources.refusals import Refusals
from celery_redis_exporter.sources.sentinel import PATIENCE, MasterFinder, Sentinel
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Endpoint, Wire


class _At:
    """A server that stays where it is: a ``sources.wire.Master``."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def locate(self) -> tuple[str, int]:
        return self._address.host, self._address.port

    def follow(self, wire: Wire, address: tuple[str, int]) -> None:
        """Leave the connection as it is."""


class Endpoints:
    """Makes endpoints.

    ``finders`` are those who know the masters, by the name of the target; ``addresses`` decides which addresses that
    servers name may be connected to.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.finders: dict[str, MasterFinder] = {}
        self.sentinels: dict[str, list[Sentinel]] = {}
        self.addresses = AddressPolicy(settings.redis.allowed_addresses)
        self.clock = clock
        self._refusals: dict[str, Refusals] = {}
        for target in named_redis_targets(settings):
            if target.sentinels:
                options = master_options(settings, target.name)
                sentinels = [_sentinel(*address, options) for address in target.sentinels]
                self.sentinels[target.name] = sentinels
                self.finders[target.name] = MasterFinder(
                    sentinels, options.master_name, options.setting, clock, self.addresses
                )

    def to(self, target: RedisTarget, *, timeout: float, db: int | None = None) -> Endpoint:
        """Give a way to a server, to another database than the URL's if ``db`` is given. Raises ConfigError.

        ``timeout`` bounds connecting and each step of it, in seconds.
        """
        finder, credentials = self.finders.get(target.name), target.credentials
        return Endpoint(target.url, timeout=timeout, db=db, master=finder, credentials=credentials)

    def session(self, target: RedisTarget, *, timeout: float) -> Session:
        """Give a connection to a server; those of one server share what it refused. Raises ConfigError."""
        refusals = self._refusals.setdefault(target.name, Refusals(self.clock))
        return Session(self.to(target, timeout=timeout), self.clock, refusals)

    def session_at(self, target: RedisTarget, address: Address, *, timeout: float, db: int | None = None) -> Session:
        """Give a connection to a node of a server's cluster, with the server's user and TLS. Raises ConfigError."""
        at, credentials = _At(address), target.credentials
        endpoint = Endpoint(target.url, timeout=timeout, db=db, master=at, credentials=credentials)
        return Session(endpoint, self.clock)


def _sentinel(host: str, port: int, options: MasterOptions) -> Sentinel:
    parameters = dict(options.parameters)
    user, password = (quote(parameters.pop(name, ""), safe="") for name in ("username", "password"))
    identity = f"{user}:{password}@" if user or password else ""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme = "rediss" if options.tls else "redis"
    url = f"{scheme}://{identity}{shown}?{urlencode(parameters)}"
    return Sentinel(host, shown, Endpoint(url, timeout=PATIENCE, db=0))
