"""Ways to the Redis servers of the settings, straight or by their sentinels.

Takes targets, gives endpoints; those of one server share the knowledge of where its master is. Opens nothing.
"""

from urllib.parse import quote, urlencode

from exporter.clock import Clock
from exporter.settings import RedisTarget, Settings
from exporter.settings.transport import BROKER_GROUP, RESULTS_GROUP, SentinelOptions
from exporter.sources.sentinel import PATIENCE, MasterFinder, Sentinel
from exporter.sources.wire import Endpoint


class Endpoints:
    """Makes endpoints; ``finders`` are those who know the masters, by the name of the target."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.finders: dict[str, MasterFinder] = {}
        for target in settings.redis_targets:
            if target.sentinels:
                is_broker = target.name == "broker"
                group = settings.broker_transport_options if is_broker else settings.result_backend_transport_options
                name = (BROKER_GROUP if is_broker else RESULTS_GROUP)[0]
                sentinels = [_sentinel(*address, group.sentinel_kwargs) for address in target.sentinels]
                self.finders[target.name] = MasterFinder(sentinels, group.master_name, name, clock)

    def to(self, target: RedisTarget, *, timeout: float, select_db: bool = True) -> Endpoint:
        """Give a way to a server; ``timeout`` bounds connecting and each step of it, in seconds. Raises ConfigError."""
        return Endpoint(target.url, timeout=timeout, select_db=select_db, master=self.finders.get(target.name))


def _sentinel(host: str, port: int, options: SentinelOptions) -> Sentinel:
    parameters = options.parameters
    user, password = (quote(parameters.pop(name, ""), safe="") for name in ("username", "password"))
    identity = f"{user}:{password}@" if user or password else ""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme = "rediss" if options.ssl else "redis"
    url = f"{scheme}://{identity}{shown}?{urlencode(parameters)}"
    return Sentinel(shown, Endpoint(url, timeout=PATIENCE, select_db=False))
