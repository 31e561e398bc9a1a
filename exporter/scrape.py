"""Binds the rooms for a scrape: reads of the servers and what events left in memory, into families.

Every server is read in one round trip, all of them at the same time, under one deadline; a server that does not
answer costs its own metrics alone and is shown as down. A server that is connected is asked at once, and who scrapes
renders what events left while it answers; connecting, which nothing bounds (names have to be looked up), and long
questions happen in a thread per server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from exporter.clock import Clock
from exporter.errors import SourceError
from exporter.exposition.families import SampleGrouper
from exporter.pipeline import EventPipeline
from exporter.records import Family, Sample
from exporter.single_flight import SingleFlight, Work
from exporter.state.merging import Merging
from exporter.state.rules import Naming
from exporter.state.series import Store
from exporter.state.tasks import Tasks
from exporter.static_labels import StaticLabels
from exporter.supervisor import Supervisor


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
    """How old a reading may be to be given again (seconds), labels on every metric, and the names that are shown."""

    freshness: float
    labels: StaticLabels
    naming: Naming


class Scrape:
    """One scrape: all servers and the store."""

    def __init__(self, servers: Sequence[Target], store: Store, supervisor: Supervisor, options: ScrapeOptions) -> None:
        self.background: list[Callable[[], Sequence[Sample]]] = []
        """Give what was read in the background, without waiting."""
        self._store = store
        self._clock = supervisor.clock
        self._supervisor = supervisor
        self._targets = {target.name: target for target in servers}
        self._reads = {}
        for name, target in self._targets.items():
            attempt = partial(supervisor.attempt, f"read_{name}")
            self._reads[name] = SingleFlight(target, self._clock, options.freshness, attempt)
        self._grouper = SampleGrouper(labels=options.labels)
        self._merging = Merging(options.naming)

    def start(self) -> None:
        """Start a thread per server."""
        for name, read in self._reads.items():
            self._supervisor.start(f"read_{name}", read.run)

    def stop(self) -> None:
        """End the threads and close the connections; who waits gets what there is."""
        for read in self._reads.values():
            read.stop()
        for target in self._targets.values():
            target.close()

    def begin(self, deadline: float) -> "Collection":
        """Ask every server, at the same time, and give what will collect the answers within ``deadline`` seconds."""
        for read in self._reads.values():
            read.ask(deadline)
        return Collection(self._targets, self._reads, self._clock, self._clock.monotonic() + deadline)

    def events(self, pipeline: EventPipeline, tasks: Tasks) -> list[Family]:
        """Give the families that events feed, at this moment."""
        with self._store.lock:
            pipeline.tick_locked()
            tasks.refresh()
            families = self._store.collect()
            return self._merging.merge(families) if self._merging.needed else families

    def group(self, found: dict[str, list[Sample]]) -> list[Family]:
        """Give the families of what the servers answered."""
        read = [*found.values(), *(samples() for samples in self.background)]
        return self._grouper.group(sample for samples in read for sample in samples)


class Collection:
    """Reads of all servers under way, until the monotonic time ``until``; what hangs is left behind."""

    def __init__(
        self, targets: dict[str, Target], reads: dict[str, SingleFlight[list[Sample]]], clock: Clock, until: float
    ) -> None:
        self._targets = targets
        self._reads = reads
        self._clock = clock
        self._until = until

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds; tell whether ``wait`` will not have to."""
        until = self._clock.monotonic() + patience
        return all(read.gather(max(until - self._clock.monotonic(), 0.0)) for read in self._reads.values())

    def wait(self) -> dict[str, list[Sample]]:
        """Give every server's samples; a failed one's are those of its failure."""
        found = {}
        for name, read in self._reads.items():
            try:
                found[name] = read.wait(self._until)
            except SourceError as error:
                found[name] = self._targets[name].failure(error)
        return found
