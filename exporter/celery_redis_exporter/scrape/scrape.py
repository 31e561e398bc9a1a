"""Binds the rooms for a scrape: reads of the servers and what events left in memory, into families.

Every server is read in one round trip, all of them at the same time, under one deadline; a server that does not
answer costs its own metrics alone and is shown as down. A server that is connected is asked at once, and who scrapes
renders what events left while it answers; connecting, which nothing bounds (names have to be looked up), and long
questions happen in a thread per server.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol

from celery_redis_exporter.catalog import Metric
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.collectors.events import EventPipeline
from celery_redis_exporter.daemon.supervisor import Supervisor
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.exposition.families import SampleGrouper
from celery_redis_exporter.records.samples import Family, Sample
from celery_redis_exporter.records.static_labels import StaticLabels
from celery_redis_exporter.scrape.single_flight import SingleFlight, Work
from celery_redis_exporter.state.merging import Merging
from celery_redis_exporter.state.series import Store
from celery_redis_exporter.state.tasks import Tasks


class Target(Work[list[Sample]], Protocol):
    """A server that is read when a scrape asks: Redis here, another broker in kombu_broker."""

    @property
    def name(self) -> str:
        """Its name in the settings: ``broker`` or ``results``."""

    def failure(self, error: SourceError) -> list[Sample]:
        """Give what is shown of it when it could not be read."""

    def close(self) -> None:
        """Close its connection; safe from any thread."""


@dataclass(frozen=True, slots=True)
class ScrapeOptions:
    """How old a reading may be to be used again (seconds), labels on every metric, and the workers' shown names."""

    freshness: float
    labels: StaticLabels
    merging: Merging


@dataclass(slots=True)
class _Read:
    """A server, and the read of it that all scrapes share; ``removed`` when it is read no longer."""

    target: Target
    flight: SingleFlight[list[Sample]]
    removed: bool = False


class Scrape:
    """One scrape: all servers and the store."""

    def __init__(self, servers: Sequence[Target], store: Store, supervisor: Supervisor, options: ScrapeOptions) -> None:
        self.background: list[Callable[[], Sequence[Sample]]] = []
        """Give what was read in the background, without waiting."""
        self.watchers: list[Callable[[Mapping[str, Sequence[Sample]]], None]] = []
        """Are told what each scrape found, by server, before ``background`` is asked."""
        self._store = store
        self._clock = supervisor.clock
        self._supervisor = supervisor
        self._freshness = options.freshness
        self._reads: Mapping[str, _Read] = {}
        self._changing = threading.Lock()
        self._started = False
        for target in servers:
            self.add(target)
        self._grouper = SampleGrouper(labels=options.labels)
        self._merging = options.merging

    @property
    def targets(self) -> list[Target]:
        """The servers that are read at this moment."""
        return [read.target for read in self._reads.values()]

    def add(self, target: Target) -> None:
        """Read one server more from now on; safe from any thread."""
        self.change([target], ())

    def remove(self, name: str) -> None:
        """Read a server no longer; safe from any thread."""
        self.change((), [name])

    def change(self, come: Iterable[Target], gone: Iterable[str]) -> None:
        """Read others from now on: no scrape finds both, or neither; safe from any thread."""
        with self._changing:
            # A scrape goes on with the mapping that it began with.
            reads = dict(self._reads)
            left = [reads.pop(name) for name in gone]
            added = {target.name: _Read(target, self._flight(target)) for target in come}
            self._reads = {**reads, **added}
            for read in left:
                self._supervisor.forget(f"read_{read.target.name}")
            for name, read in added.items() if self._started else ():
                self._supervisor.start(f"read_{name}", read.flight.run)
        for read in left:
            read.removed = True
            read.flight.stop()
            read.target.close()

    def _flight(self, target: Target) -> SingleFlight[list[Sample]]:
        attempt = partial(self._supervisor.attempt, f"read_{target.name}")
        return SingleFlight(target, self._clock, self._freshness, attempt)

    def start(self) -> None:
        """Start a thread per server."""
        with self._changing:
            self._started = True
            for name, read in self._reads.items():
                self._supervisor.start(f"read_{name}", read.flight.run)

    def stop(self) -> None:
        """End the threads and close the connections; who waits gets what there is."""
        for read in self._reads.values():
            read.flight.stop()
        for read in self._reads.values():
            read.target.close()

    def begin(self, deadline: float) -> "Collection":
        """Ask every server, at the same time, and give what will collect the answers within ``deadline`` seconds."""
        reads = self._reads
        for read in reads.values():
            read.flight.ask(deadline)
        return Collection(reads, self._clock, self._clock.monotonic() + deadline)

    def events(
        self, pipeline: EventPipeline, tasks: Tasks, *, whole: bool = False, only: frozenset[Metric] | None = None
    ) -> list[Family]:
        """Give the families that events feed, at this moment; ``whole`` and ``only`` as in ``Store.collect``."""
        with self._store.lock:
            pipeline.tick_locked()
            tasks.refresh()
            families = self._store.collect(whole=whole, only=only)
            return self._merging.merge(families) if self._merging.needed else families

    def group(self, found: dict[str, list[Sample]]) -> list[Family]:
        """Give the families of what the servers answered."""
        for watch in self.watchers:
            watch(found)
        read = [*found.values(), *(samples() for samples in self.background)]
        return self._grouper.group(chain.from_iterable(read))


class Collection:
    """Reads of all servers under way, until the monotonic time ``until``; what hangs is left behind."""

    def __init__(self, reads: Mapping[str, _Read], clock: Clock, until: float) -> None:
        self._reads = reads
        self._clock = clock
        self._until = until
        self._found: dict[str, list[Sample]] | None = None

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds; tell whether ``wait`` will not have to."""
        until = self._clock.monotonic() + patience
        return all(read.flight.gather(max(until - self._clock.monotonic(), 0.0)) for read in self._reads.values())

    def wait(self) -> dict[str, list[Sample]]:
        """Give every server's samples, the same each time; a failed one's are those of its failure."""
        if self._found is not None:
            return self._found
        found = {}
        for name, read in self._reads.items():
            try:
                found[name] = read.flight.wait(self._until)
            except SourceError as error:
                if not read.removed:
                    found[name] = read.target.failure(error)
        self._found = found
        return found
