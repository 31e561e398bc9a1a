# SPDX-License-Identifier: Apache-2.0
"""Read one Redis server during a scrape: its INFO, and everything else that travels in the same round trip.

Connects sources.redis_server -> decode.redis_server -> samples. It reads only when a scrape requests it.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import structlog

from celery_redis_exporter.catalog import internals
from celery_redis_exporter.catalog import redis_server as redis_rows
from celery_redis_exporter.clock import Clock
from celery_redis_exporter.decode import redis_server as decode
from celery_redis_exporter.decode.redis_info import decode_info
from celery_redis_exporter.errors import ReplyTooLargeError, SourceError
from celery_redis_exporter.records.samples import Sample
from celery_redis_exporter.scrape.bounds import SampleBounds
from celery_redis_exporter.sources import redis_server as source
from celery_redis_exporter.sources.redis_server import RedisServer, ServerReading
from celery_redis_exporter.sources.refusals import Denial
from celery_redis_exporter.sources.wire import Command

MOST_DATABASES = 1_000
"""The maximum number of databases that are shown although they are empty."""
log = structlog.get_logger()


class ServerRead(Protocol):
    """Something that is read along with a server, in the same round trip."""

    def commands(self) -> list[Command]:
        """Return the commands of the read that begins."""

    def samples(self, replies: list[Any]) -> list[Sample]:
        """Return the samples, from one reply per command."""


@runtime_checkable
class LargeRead(ServerRead, Protocol):
    """A read whose replies can be larger than what is kept of a reply, since others determine their size."""

    def leave_out(self) -> str:
        """Leave out what can be large, for a while. Return the effect, or nothing if it is left out already."""


class ServerScrape:
    """Read one server and its parts.

    ``db`` is the database that Celery uses there, or None on a server without databases (a sentinel). ``bounds`` limits
    the series.
    """

    def __init__(
        self, server: RedisServer, db: int | None, parts: Sequence[ServerRead], clock: Clock, bounds: SampleBounds
    ) -> None:
        self.server = server
        self._bounds = bounds
        self._refused = 0
        self._db = db
        self._parts = parts
        self._clock = clock
        self._settings: list[Sample] = []
        self._databases: tuple[int, ...] = () if db is None else (db,)
        self._scrapes = 0
        self._asked: list[list[Command]] = []

    @property
    def name(self) -> str:
        """Return the server's name in the settings."""
        return self.server.name

    @property
    def denied(self) -> list[Denial]:
        """Return the commands that the server refuses."""
        return [Denial(right, f"ACL SETUSER <user> +{right}") for right in self.server.session.refused]

    def failure(self, error: SourceError) -> list[Sample]:
        """Return the samples of a server that could not be read: that it is down, and the reason."""
        return self._state(error.reason)

    def close(self) -> None:
        """Close the connection. Thread-safe."""
        self.server.close()

    def read(self, deadline: float) -> list[Sample]:
        """Return every sample of the server, within ``deadline`` seconds. Raises SourceError.

        If the replies are too large, they are requested once more without what can be large.
        """
        started = self._clock.monotonic()
        self._scrapes += 1
        try:
            reading = self.server.read(self._ask(), deadline)
        except ReplyTooLargeError as error:
            effects = [effect for part in self._parts if isinstance(part, LargeRead) and (effect := part.leave_out())]
            if not effects:
                raise
            log.warning("redis.reply_left_out", redis=self.name, error=str(error), effect="; ".join(effects))
            left = deadline - (self._clock.monotonic() - started)
            if left <= 0:
                raise
            reading = self.server.read(self._ask(), left)
        return self._bounds.apply(self._decode(reading, started))

    def _ask(self) -> list[Command]:
        self._asked = [part.commands() for part in self._parts]
        return [command for commands in self._asked for command in commands]

    def _decode(self, reading: ServerReading, started: float) -> list[Sample]:
        samples = self._own(reading.info, reading) if isinstance(reading.info, bytes) else []
        replies = iter(reading.others)
        for part, commands in zip(self._parts, self._asked, strict=True):
            samples += part.samples([next(replies) for _ in commands])
        samples += self._state("" if reading.trouble is None else reading.trouble.reason)
        if reading.trouble is None:
            samples.append(self._duration(self._clock.monotonic() - started))
        return samples

    def _own(self, info: bytes, reading: ServerReading) -> list[Sample]:
        """Return the samples of the server itself, without those of ``parts``."""
        name, found = self.name, reading.own
        replies = [reply for command, reply in found.items() if source.is_config(command)]
        config = decode.decode_config(replies) if replies else None
        if config is not None and self._db is not None:
            count = decode.count_databases(config, cluster=bool(self.server.in_cluster))
            self._databases = tuple({self._db, *range(min(count, MOST_DATABASES))})
        samples, usage, refused = decode_info(name, info, self._databases, self._clock.now())
        self._refused += refused
        if config is not None:
            self._settings = decode.decode_settings(name, config, samples)
        samples += self._settings
        samples += decode.decode_slowlog(name, found.get(source.SLOWLOG_LENGTH), found.get(source.SLOWLOG_NEWEST))
        samples += decode.decode_latency_latest(name, found.get(source.LATENCY_LATEST))
        samples += decode.decode_latency_histogram(name, found.get(source.LATENCY_HISTOGRAM), usage)
        samples += decode.decode_command_logs(name, [found.get(command) for command in source.COMMAND_LOGS])
        samples += decode.decode_cluster_info(name, found.get(source.CLUSTER_INFO))
        return samples

    def _duration(self, seconds: float) -> Sample:
        return Sample(redis_rows.LAST_SCRAPE_DURATION, (self.name,), seconds)

    def _state(self, reason: str) -> list[Sample]:
        """Return the samples that state whether the server could be read, and if not, the reason."""
        name, connect_seconds = self.name, self.server.connect_seconds
        samples = [
            Sample(redis_rows.UP, (name,), 0 if reason else 1),
            Sample(redis_rows.LAST_SCRAPE_ERROR, (name, reason), 1 if reason else 0),
            Sample(redis_rows.SCRAPES, (name,), self._scrapes),
            Sample(internals.REDIS_VALUES_REFUSED, (name,), self._refused),
        ]
        lookups = self.server.session.lookups
        if lookups is not None:
            for found, count in (("hit", lookups.hits), ("miss", lookups.misses)):
                samples.append(Sample(internals.REDIS_LOOKUPS, (name, found), count))
        if connect_seconds is not None:
            samples.append(Sample(redis_rows.CONNECT_TIME, (name,), connect_seconds))
        return samples
