"""Binds the rooms for a scrape: reads of the servers and what events left in memory, into families.

Every server is read in one round trip, all of them at the same time, under one deadline; a server that does not
answer costs its own metrics alone and is shown as down. Reads run in threads of their own.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from exporter.catalog import redis_server as redis_rows
from exporter.clock import Clock
from exporter.decode import redis_server as decode
from exporter.errors import SourceError
from exporter.exposition.families import SampleGrouper
from exporter.pipeline import EventPipeline
from exporter.records import Family, Sample
from exporter.single_flight import SingleFlight
from exporter.sources.redis_server import RedisServer
from exporter.sources.wire import Command
from exporter.state.series import Store
from exporter.state.tasks import Tasks
from exporter.supervisor import Supervisor


class Part(Protocol):
    """Something that is read along with a server, in the same round trip."""

    def commands(self) -> list[Command]:
        """Give the commands of the read that begins."""

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Give the samples, from one reply per command."""


class ServerScrape:
    """Reads one server and its parts; ``db`` is the database that Celery uses there."""

    def __init__(self, server: RedisServer, db: int, parts: Sequence[Part], clock: Clock) -> None:
        self.server = server
        self._db = db
        self._parts = parts
        self._clock = clock

    def read(self, deadline: float) -> list[Sample]:
        """Give every sample of the server, within ``deadline`` seconds; raise SourceError."""
        started = self._clock.monotonic()
        asked = [part.commands() for part in self._parts]
        reading = self.server.read([command for commands in asked for command in commands], deadline)
        name = self.server.name
        fields = decode.parse_info(reading.info)
        # INFO leaves out databases without keys; of the one in use we know that it is empty.
        fields.setdefault(f"db{self._db}", "keys=0,expires=0,avg_ttl=0")
        samples = [
            *decode.decode_info(name, fields),
            *decode.decode_slowlog(name, reading.slowlog_length, reading.slowlog_newest),
            *decode.decode_latency_latest(name, reading.latency_latest),
        ]
        if isinstance(reading.cluster, bytes):
            samples += decode.decode_cluster_info(name, reading.cluster)
        replies = iter(reading.others)
        for part, commands in zip(self._parts, asked, strict=True):
            samples += part.samples([next(replies) for _ in commands])
        samples.append(Sample(redis_rows.UP, (name,), 1))
        samples.append(Sample(redis_rows.LAST_SCRAPE_ERROR, (name, ""), 0))
        samples.append(Sample(redis_rows.LAST_SCRAPE_DURATION, (name,), self._clock.monotonic() - started))
        return samples


def failure_samples(name: str, error: SourceError) -> list[Sample]:
    """What is shown of a server that could not be read: that it is down, and why."""
    return [
        Sample(redis_rows.UP, (name,), 0),
        Sample(redis_rows.LAST_SCRAPE_ERROR, (name, error.reason), 1),
    ]


class Scrape:
    """One scrape: all servers and the store."""

    def __init__(self, servers: Sequence[ServerScrape], store: Store, clock: Clock, freshness: float) -> None:
        self._store = store
        self._clock = clock
        self._reads = {scrape.server.name: SingleFlight(scrape.read, clock, freshness) for scrape in servers}
        self._grouper = SampleGrouper()

    def start(self, supervisor: Supervisor) -> None:
        """Start a thread per server."""
        for name, read in self._reads.items():
            supervisor.start(f"read_{name}", read.run)

    def stop(self) -> None:
        """End the threads; who waits gets what there is."""
        for read in self._reads.values():
            read.stop()

    def collect(self, pipeline: EventPipeline, tasks: Tasks, deadline: float) -> list[Family]:
        """Give every family, within ``deadline`` seconds whatever hangs."""
        samples = [sample for read in self.read(deadline).values() for sample in read]
        with self._store.lock:
            pipeline.tick_locked()
            tasks.refresh()
            families = self._store.collect()
        return [*families, *self._grouper.group(samples)]

    def read(self, deadline: float) -> dict[str, list[Sample]]:
        """Read every server, at the same time; a failed one gives its failure's samples."""
        until = self._clock.monotonic() + deadline
        for read in self._reads.values():
            read.ask(deadline)
        found = {}
        for name, read in self._reads.items():
            try:
                found[name] = read.wait(until)
            except SourceError as error:
                found[name] = failure_samples(name, error)
        return found
