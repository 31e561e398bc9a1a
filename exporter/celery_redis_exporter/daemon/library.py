# SPDX-License-Identifier: Apache-2.0
"""Use the exporter within another program, as a collector for its prometheus_client registry.

Input: settings as keyword arguments. Output: the metrics of ``/metrics``, without a web server and without the metrics
of the process, which belong to the other program. Reads neither environment, flags nor files. Changes neither signal
handlers nor the configuration of logs.
"""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from celery_redis_exporter.catalog import CATALOG
from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.daemon.exporter import Exporter
from celery_redis_exporter.daemon.options import dropped_metrics
from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.exposition.collector import RegistryCollector as FamilyCollector
from celery_redis_exporter.records.samples import Family
from celery_redis_exporter.settings import load_tree


class Collector(FamilyCollector):
    """Consume the events of one Celery application, and collect metrics for ``CollectorRegistry.register``.

    ``settings`` are those of the file, groups as mappings: ``Collector(broker_url="redis://localhost:6379/0",
    queues={"names": ["mail"]})``. Raises ConfigError for an invalid one. Connects to nothing before ``start``, which a
    ``with`` block calls. A collector can be started once, and collects nothing before and after it runs. ``collect``
    returns within ``scrape.deadline`` seconds, whatever hangs, and is thread-safe. ``describe``, by which ``register``
    learns the names, reads no server.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 -- as various as a file's
        read = load_tree(settings)
        if read.applications:
            raise ConfigError("applications: a collector has one application; give broker_url itself")
        self._exporter = Exporter(read, SystemClock(), keeps_state=True)
        self._dropped = dropped_metrics(read)
        self._grouping = threading.Lock()
        self._running = False
        shown = tuple(metric for metric in CATALOG.values() if metric.name not in self._dropped)
        super().__init__(self._families, shown, created=read.metrics.created)

    def start(self) -> None:
        """Start the threads that consume events and read servers. Raises RuntimeError if they were started before."""
        if self._running or self._exporter.stop.is_set():
            raise RuntimeError("a Collector can be started once")
        self._exporter.start()
        self._running = True

    def close(self) -> None:
        """Stop the threads and close every connection, within a second.

        Further calls, or one before ``start``, do no harm.
        """
        self._running = False
        self._exporter.close()
        self._exporter.save()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _families(self) -> Iterator[Family]:
        if not self._running:
            return
        exporter = self._exporter
        monitor = exporter.only
        pending = monitor.scrape.request(exporter.settings.scrape.deadline)
        families = monitor.families()  # The servers are read meanwhile.
        found = pending.wait()
        with self._grouping:
            families += monitor.scrape.group(found)
        yield from (family for family in families if family.metric.name not in self._dropped)
