# SPDX-License-Identifier: Apache-2.0
"""Build the samplers of all servers' key spaces: one for each Redis server, over its databases.

Input: settings. Output: samplers, and their samples. The names of Celery's keys are known if the broker is Redis. If
several URLs have the same server, their databases are sampled together.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.brokers.redis_broker import current_keys, queue_keys
from celery_redis_exporter.collectors.key_space import KeySamplingOptions, KeySpace
from celery_redis_exporter.collectors.key_sweep import KeyNames
from celery_redis_exporter.collectors.node_key_spaces import NodeKeySpaces
from celery_redis_exporter.daemon.options import key_budget
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.decode.key_groups import CeleryNames
from celery_redis_exporter.records.replies import Address
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.settings import RedisTarget, Settings, master_options, named_redis_targets
from celery_redis_exporter.sources.key_space import KeySpaceReader
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.state.queues import Queues
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.transport import Transport

Masters = Callable[[str], Mapping[str, Address]]
"""Returns the masters of the cluster that a server of the settings is a node of, by name, or none while unknown."""


class KeySpaces:
    """The samplers. There are none if ``redis.key_space.interval`` is 0.

    ``queues`` are those of the broker, or None if no application belongs to these settings.
    """

    def __init__(  # noqa: PLR0913, PLR0917 -- it connects that much
        self,
        settings: Settings,
        endpoints: Endpoints,
        queues: Queues | None,
        transport: Transport,
        store: Store,
        masters: Masters,
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._queues = queues
        self._keys = partial(current_keys, queue_keys(settings), transport)
        self._store = store
        interval, clock = settings.redis.key_space.interval, endpoints.clock
        self.samplers: list[NodeKeySpaces] = []
        for target in settings.redis_targets if interval else ():
            if not _databases(settings, target):
                continue  # Another set of servers reads all of this server.
            shared = settings.shared.get(target.name)
            name = shared.name if shared else target.name
            build, seed = partial(self._build, target), self._build(target, name, None)
            self.samplers.append(NodeKeySpaces(seed, partial(masters, target.name), build, interval, clock))

    def start(self, supervisor: Supervisor, stop: threading.Event) -> None:
        """Start a thread per server."""
        for sampler in self.samplers:
            supervisor.start(f"key_space_{sampler.name}", partial(sampler.run, stop))

    def samples(self) -> Sequence[Sample]:
        """Return the last results of all servers. Thread-safe."""
        return [sample for sampler in self.samplers for sample in sampler.samples()]

    def close(self) -> None:
        """Close the connections. Thread-safe."""
        for sampler in self.samplers:
            sampler.close()

    def _build(self, target: RedisTarget, name: str, address: Address | None) -> KeySpace:
        """Build the sampler of a server, or of the node at ``address`` of its cluster."""
        settings, endpoints, deadline = self._settings, self._endpoints, self._settings.scrape.deadline
        databases = {
            db: partial(_names, settings, self._queues if is_broker else None, self._keys, self._store)
            for db, is_broker in _databases(settings, target).items()
        }
        if address is None:
            session = endpoints.session(target, timeout=deadline)
        else:
            session = endpoints.session_at(target, address, timeout=deadline, name=name)
        reader = KeySpaceReader(session, endpoints.clock, deadline, select=len(databases) > 1)
        wanted = settings.redis.key_space
        options = KeySamplingOptions(databases, wanted.interval, key_budget(settings), wanted.max_groups)
        return KeySpace(name, reader, options, self._store, endpoints.clock)


def _databases(settings: Settings, target: RedisTarget) -> dict[int, bool]:
    """Return the databases of a server that are sampled, and whether the broker's queues are there.

    On a server of several applications each samples the database of its own messages. The process samples the others.
    """
    if target.name in settings.shared:
        return {target.db: True} if settings.shared[target.name].samples else {}
    master = master_options(settings, target.name).master_name
    same = [
        other
        for other in named_redis_targets(settings)
        if other.server_key == target.server_key
        and (not other.sentinels or master_options(settings, other.name).master_name == master)
    ]
    found = dict.fromkeys((*(each.db for each in same), *settings.redis.key_space.databases), False)
    for db in settings.message_databases.get(target.name, ()):
        found.pop(db, None)
    return found | ({target.db: True} if target.name == settings.broker.name and not settings.applications else {})


def _names(settings: Settings, queues: Queues | None, current: Callable[[], QueueKeys], store: Store) -> KeyNames:
    """Return the names of the keys of a database.

    ``queues`` are those in this database, or None. ``current`` returns the current names of their keys.
    """
    if queues is None:
        return key_names(settings, {})
    keys = current()
    with store.lock:
        shown = {queue: queues.shown(queue) for queue in queues.names()}
    names = key_names(settings, shown)
    celery = replace(names.celery, separator=keys.sep, priority_steps=keys.priority_steps)
    return replace(names, celery=celery, census=tuple(_census(settings, keys, shown)))


def key_names(settings: Settings, queues: Mapping[str, str]) -> KeyNames:
    """Return the names of keys without a census. ``queues`` maps known queues to the names they are shown by."""
    options = settings.broker_transport_options
    celery = CeleryNames(
        prefix=options.global_keyprefix,
        result_prefix=settings.result_backend_transport_options.global_keyprefix,
        separator=options.sep,
        priority_steps=options.priority_steps,
        unacked_key=options.unacked_key,
        unacked_index_key=options.unacked_index_key,
        redbeat_prefix=settings.redbeat.key_prefix,
        queues=queues,
    )
    return KeyNames(celery, settings.redis.key_space.groups)


def _census(settings: Settings, keys: QueueKeys, names: Iterable[str]) -> list[str]:
    exchanges = (f"{settings.control_exchange}.pidbox", "reply.celery.pidbox", settings.event_exchange)
    return [
        *(keys.global_keyprefix + key for key in (keys.unacked_key, keys.unacked_index_key)),
        *(keys.binding_of(exchange) for exchange in exchanges),
        *(keys.list_of(queue, step) for queue in names for step in keys.priority_steps),
        *(keys.binding_of(queue) for queue in names),
    ]
