"""One Redis server as a scrape reads it: what it says of itself, and whatever travels with that in one round trip.

Binds sources.redis_server -> decode.redis_server -> samples. Does nothing by itself: ``scrape`` asks it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from exporter.catalog import redis_server as redis_rows
from exporter.clock import Clock
from exporter.decode import redis_server as decode
from exporter.errors import SourceError
from exporter.records import Sample
from exporter.sources.redis_server import RedisServer, ServerReading
from exporter.sources.wire import Command


class Part(Protocol):
    """Something that is read along with a server, in the same round trip."""

    def commands(self) -> list[Command]:
        """Give the commands of the read that begins."""

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Give the samples, from one reply per command."""


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
