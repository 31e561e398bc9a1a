# SPDX-License-Identifier: Apache-2.0
"""Build what an exporter of several applications has once: servers that several use, and series of the process.

Input: the common settings. Output: families, as those of a monitor.
"""

from collections.abc import Iterable
from functools import partial

from celery_redis_exporter.brokers.endpoints import Endpoints
from celery_redis_exporter.catalog import internals
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.daemon import options
from celery_redis_exporter.daemon.redis_servers import RedisServers
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.scrape.scrape import Background, Scrape
from celery_redis_exporter.settings import Settings
from celery_redis_exporter.state.series import Store


class SharedServers:
    """The servers that several applications use, built and not started. It is a ``MetricsSource``.

    ``store`` receives the series of the process. ``more`` returns further samples.
    """

    def __init__(self, settings: Settings, clock: Clock, store: Store, more: Iterable[Background]) -> None:
        self._store = store
        self._endpoints = Endpoints(settings, clock)
        self.servers = RedisServers(
            settings,
            self._endpoints,
            store,
            clock,
            broker=None,
            queues=None,
            transport=options.transport(settings),
            more=more,
            on_bug=self._count_bug,
        )

    @property
    def scrape(self) -> Scrape:
        """Return what reads the servers."""
        return self.servers.scrape

    def families(self) -> list[Family]:
        """Return the current families of the process."""
        with self._store.lock:
            return self._store.collect()

    def text_bytes(self) -> float:
        """Return the approximate length of the text of these families."""
        return self._store.text_bytes()

    def start(self) -> None:
        """Start every thread."""
        self.servers.start()
        for name, finder in self._endpoints.finders.items():
            self.servers.supervisor.start(f"sentinel_{name}", partial(finder.watch, self.servers.stop))

    def close(self) -> None:
        """Let every thread end, and close every connection. Does not wait for the threads."""
        self.servers.close()

    def _count_bug(self, name: str) -> None:
        with self._store.lock:
            self._store.scalar(internals.UNEXPECTED_ERRORS, name).value += 1
