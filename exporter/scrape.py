"""Binds the rooms for a scrape: reads of the servers and what events left in memory, into families.

Every server is read in one round trip, all of them at the same time, under one deadline; a server that does not
answer costs its own metrics alone and is shown as down. A server that is connected is asked at once, and who scrapes
renders what events left while it answers; connecting, which nothing bounds (names have to be looked up), and long
questions happen in a thread per server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from exporter.catalog import redis_server as redis_rows
from exporter.clock import Clock
from exporter.decode import redis_server as decode
from exporter.errors import SourceError
from exporter.exposition.families import SampleGrouper
from exporter.pipeline import EventPipeline
from exporter.records import Family, Sample
from exporter.single_flight import SingleFlight, Work
from exporter.sources.redis_server import RedisServer, ServerReading
from exporter.sources.wire import Command
from exporter.state.merging import Merging
from exporter.state.rules import Naming
from exporter.state.series import Store
from exporter.state.tasks import Tasks
from exporter.static_labels import StaticLabels
from exporter.supervisor import Supervisor


class Part(Protocol):
    """Something that is read along with a server, in the same round trip."""

    def commands(self) -> list[Command]:
        """Give the commands of the read that begins."""

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Give the samples, from one reply per command."""


class Target(Work[list[Sample]], Protocol):
    """A server that is read when a scrape asks: Redis here, another broker in kombu_broker."""

    @property
    def name(self) -> str:
        """Its name in the settings: ``broker`` or ``results``."""

    def failure(self, error: SourceError) -> list[Sample]:
        """Give what is shown of it when it could not be read."""

    def close(self) -> None:
        """Close its connection; safe from any thread."""


class ServerScrape:
    """Reads one server and its parts, all at once or begun and ended; ``db`` is the one that Celery uses there."""

    def __init__(self, server: RedisServer, db: int, parts: Sequence[Part], clock: Clock) -> None:
        self.server = server
        self._db = db
        self._parts = parts
        self._clock = clock
        self._info = decode.InfoDecoder(server.name)
        self._asked: list[list[Command]] = []
        self._spent = 0.0

    @property
    def name(self) -> str:
        """The server's name in the settings."""
        return self.server.name

    def failure(self, error: SourceError) -> list[Sample]:
        """Give what is shown of a server that could not be read: that it is down, and why."""
        return [
            Sample(redis_rows.UP, (self.name,), 0),
            Sample(redis_rows.LAST_SCRAPE_ERROR, (self.name, error.reason), 1),
        ]

    def close(self) -> None:
        """Close the connection; safe from any thread."""
        self.server.close()

    def run(self, deadline: float) -> list[Sample]:
        """Give every sample of the server, within ``deadline`` seconds; raise SourceError."""
        started = self._clock.monotonic()
        reading = self.server.read(self._ask(), deadline)
        return self._decode(reading, started)

    def begin(self, deadline: float) -> bool:
        """Begin to, without waiting; False, with nothing sent, if that can't be; raise SourceError."""
        started = self._clock.monotonic()
        begun = self.server.begin(self._ask(), deadline)
        self._spent = self._clock.monotonic() - started
        return begun

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds for the replies; tell whether ``end`` will not have to."""
        started = self._clock.monotonic()
        gathered = self.server.gather(patience)
        self._spent += self._clock.monotonic() - started
        return gathered

    def end(self) -> list[Sample]:
        """Give the samples of what was begun; raise SourceError."""
        # What others did in the meantime is no time of the server's.
        started = self._clock.monotonic() - self._spent
        return self._decode(self.server.end(), started)

    def _ask(self) -> list[Command]:
        self._asked = [part.commands() for part in self._parts]
        return [command for commands in self._asked for command in commands]

    def _decode(self, reading: ServerReading, started: float) -> list[Sample]:
        name = self.server.name
        samples = [
            *self._info.decode(reading.info, self._db),
            *decode.decode_slowlog(name, reading.slowlog_length, reading.slowlog_newest),
            *decode.decode_latency_latest(name, reading.latency_latest),
        ]
        if isinstance(reading.cluster, bytes):
            samples += decode.decode_cluster_info(name, reading.cluster)
        replies = iter(reading.others)
        for part, commands in zip(self._parts, self._asked, strict=True):
            samples += part.samples([next(replies) for _ in commands])
        samples.append(Sample(redis_rows.UP, (name,), 1))
        samples.append(Sample(redis_rows.LAST_SCRAPE_ERROR, (name, ""), 0))
        samples.append(Sample(redis_rows.LAST_SCRAPE_DURATION, (name,), self._clock.monotonic() - started))
        return samples


@dataclass(frozen=True, slots=True)
class ScrapeOptions:
    """How old a reading may be to be given again (seconds), labels on every metric, and the names that are shown."""

    freshness: float
    labels: StaticLabels
    naming: Naming


class Scrape:
    """One scrape: all servers and the store."""

    def __init__(self, servers: Sequence[Target], store: Store, supervisor: Supervisor, options: ScrapeOptions) -> None:
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
        return self._grouper.group(sample for samples in found.values() for sample in samples)


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
