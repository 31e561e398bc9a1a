# SPDX-License-Identifier: Apache-2.0
"""Define the interface of a broker, and build the broker of the settings.

Input: settings. Output: a ``Broker``. kombu is imported only for a broker that needs it, because it costs memory.
"""

from typing import Protocol

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_broker import RedisBroker
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.control import ControlClient
from celery_redis_exporter.collectors.events import Decode, Stream
from celery_redis_exporter.collectors.queue_discovery import QueueDiscovery
from celery_redis_exporter.scrape.shared_read import Target
from celery_redis_exporter.settings import RedisTarget, Settings
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.transport import Transport


class Broker(Protocol):
    """How the exporter uses its broker.

    - ``stream`` reads events, and ``decode`` decodes what it reads.
    - ``subscription`` names for people what the stream subscribes to.
    - ``rights`` is the command that permits a user to subscribe.
    - ``discovery`` is None if queues can't be searched for.
    - ``counts_consumers`` is True if the broker knows the consumers of a queue.
    """

    stream: Stream
    decode: Decode
    subscription: str
    rights: str
    control_client: ControlClient
    discovery: QueueDiscovery | None
    counts_consumers: bool

    def scrape(self, *, shared: bool) -> Target:
        """Return a new target of scrapes. Of a ``shared`` server it reads nothing but what is this application's."""

    def close(self) -> None:
        """Close every connection that no other object closes. Thread-safe."""


def build_broker(  # noqa: PLR0913, PLR0917 -- it connects that much
    settings: Settings, endpoints: Endpoints, queues: Queues, transport: Transport, store: Store, clock: Clock
) -> Broker:
    """Build the broker of the settings. Raises ConfigError if its library is missing or an option is wrong."""
    target = settings.broker
    if isinstance(target, RedisTarget):
        return RedisBroker(settings, endpoints, queues, transport, store, clock)
    from celery_redis_exporter.brokers.kombu_broker import KombuBroker  # noqa: PLC0415 -- see the module's docstring

    return KombuBroker(settings, target, queues, store, clock)
